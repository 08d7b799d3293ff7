// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/kernels/norm_coefficients.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/exec/batch_norm_math.hpp>

#include <algorithm>
#include <cstddef>

namespace bantam::cpu {

/// Batch norm over `Channels` channels: sums over rows, and the coefficients that follow from them.
template <Index Channels, class S>
struct BatchNormKernel {
    static constexpr Index channels = Channels;

    /// Rows summed in `S` before their sum is added to a double, which keeps sums of floats accurate.
    static constexpr Index rows_per_partial_sum = 64;

    /// Computes two sums per channel over `rows` rows, `terms<Width>(row, channel, sum, dot)` adds the terms of
    /// one row, and adds them to `totals` [2][channels].
    template <class Terms>
    static void add_sums(Index first_row, Index rows, double* totals, Terms&& terms) {
        alignas(64) S partial_sums[std::size_t{2 * channels}];
        for (Index row = first_row; row < first_row + rows; row += rows_per_partial_sum) {
            const Index end = std::min(row + rows_per_partial_sum, first_row + rows);
            for_each_packet<S, channels>([&]<int Width>(Index c) {
                Packet<S, Width> sum = Packet<S, Width>::Zero();
                Packet<S, Width> dot = Packet<S, Width>::Zero();
                for (Index r = row; r < end; ++r) terms.template operator()<Width>(r, c, sum, dot);
                store_packet<S, Width>(partial_sums + c, sum);
                store_packet<S, Width>(partial_sums + channels + c, dot);
            });
            for (Index i = 0; i < 2 * channels; ++i) totals[i] += static_cast<double>(partial_sums[i]);
        }
    }

    /// Adds Σ(x − origin) and Σ(x − origin)² of `rows` rows to `totals`. An origin near the mean avoids
    /// cancellation in channels far from zero.
    static void sum_moments(Index rows, const S* values, const S* origin, double* totals) {
        add_sums(0, rows, totals, [&]<int Width>(Index row, Index c, Packet<S, Width>& sum, Packet<S, Width>& dot) {
            const Packet<S, Width> difference =
                load_packet<S, Width>(values + row * channels + c) - load_packet<S, Width>(origin + c);
            sum += difference;
            dot += difference * difference;
        });
    }
};

/// The coefficients of batch norm over `channels` channels, which are few, so that they are not compiled for each
/// count.
template <class S>
struct BatchNormCoefficients {
    /// From the moments about `origin` of `count` values per channel; updates the running statistics. `origin` may be
    /// the running mean.
    [[gnu::noinline]] static void from_batch(Index channels, const double* moments, double count, const S* origin,
                                             const S* parameters, S* statistics, const NormCoefficients<S>& norm) {
        for (Index c = 0; c < channels; ++c)
            channel(norm, c).from_batch(moments[c], moments[channels + c], count, origin[c], statistics[c],
                                        statistics[channels + c]);
        find_scale(channels, parameters, norm);
    }

    /// From the running statistics.
    [[gnu::noinline]] static void from_running(Index channels, const S* statistics, const S* parameters,
                                               const NormCoefficients<S>& norm) {
        for (Index c = 0; c < channels; ++c) channel(norm, c).from_running(statistics[c], statistics[channels + c]);
        find_scale(channels, parameters, norm);
    }

    /// The gradients of weight and bias, and slope and offset of the backward pass, from Σg and Σg·(x − mean)
    /// with g = dL/dy.
    [[gnu::noinline]] static void backward(Index channels, const double* gradient_sums, double count,
                                           const NormCoefficients<S>& norm, S* parameter_gradient) {
        for (Index c = 0; c < channels; ++c)
            channel(norm, c).backward_coefficients(gradient_sums[c], gradient_sums[channels + c], count,
                                                   parameter_gradient[c], parameter_gradient[channels + c],
                                                   norm.slope[c], norm.offset[c]);
    }

private:
    static exec::BatchNormChannel<S> channel(const NormCoefficients<S>& norm, Index c) {
        return {norm.mean + c, norm.inverse_deviation + c, norm.scale + c, norm.shift + c};
    }
    static void find_scale(Index channels, const S* parameters, const NormCoefficients<S>& norm) {
        for (Index c = 0; c < channels; ++c) channel(norm, c).find_scale(parameters[c], parameters[channels + c]);
    }
};

}  // namespace bantam::cpu
