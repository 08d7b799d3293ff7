// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/layers/activations.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/exec/batch_norm_math.hpp>
#include <bantam/layers/batch_norm2d.hpp>

#include <algorithm>

namespace bantam::cpu {

/// The parts of batch norm that its stages share, on `Channels` channels.
template <Index Channels, class S>
struct BatchNormArithmetic {
    static constexpr Index channels = Channels;

    /// Scalars summed in `S` before they join a double, which keeps float sums exact enough.
    static constexpr Index run = 64;

    /// Adds `terms<Width>(row, channel, first, second)` of every row into two sums a channel.
    template <class Terms>
    static void add_two(Index first_row, Index rows, double* totals, Terms&& terms) {
        alignas(64) S run_sums[2 * channels];
        for (Index row = first_row; row < first_row + rows; row += run) {
            const Index end = std::min(row + run, first_row + rows);
            for_each_packet<S, channels>([&]<int Width>(Index c) {
                Packet<S, Width> one = Packet<S, Width>::Zero();
                Packet<S, Width> two = Packet<S, Width>::Zero();
                for (Index r = row; r < end; ++r) terms.template operator()<Width>(r, c, one, two);
                store_packet<S, Width>(run_sums + c, one);
                store_packet<S, Width>(run_sums + channels + c, two);
            });
            for (Index i = 0; i < 2 * channels; ++i) totals[i] += static_cast<double>(run_sums[i]);
        }
    }

    /// Adds x − origin and its square: no cancellation where a channel lies far from zero.
    static void add_moments(Index first_row, Index rows, const S* values, const S* origin, double* totals) {
        add_two(first_row, rows, totals,
                [&]<int Width>(Index row, Index c, Packet<S, Width>& one, Packet<S, Width>& two) {
                    const Packet<S, Width> difference =
                        load_packet<S, Width>(values + row * channels + c) - load_packet<S, Width>(origin + c);
                    one += difference;
                    two += difference * difference;
                });
    }

    /// Mean and 1 / √(variance + ε) from the moments about `origin`; moves the running statistics.
    static void finish_statistics(const double* moments, double count, const S* origin, S* statistics, S* mean,
                                  S* inverse_deviation) {
        for (Index c = 0; c < channels; ++c)
            Channel{mean + c, inverse_deviation + c, nullptr, nullptr}.from_batch(
                moments[c], moments[channels + c], count, origin[c], statistics[c], statistics[channels + c]);
    }

    static void running_statistics(const S* statistics, S* mean, S* inverse_deviation) {
        for (Index c = 0; c < channels; ++c)
            Channel{mean + c, inverse_deviation + c, nullptr, nullptr}.from_running(statistics[c],
                                                                                    statistics[channels + c]);
    }

    /// y = x · scale + shift.
    static void scale_and_shift(const S* parameters, S* mean, S* inverse_deviation, S* scale, S* shift) {
        for (Index c = 0; c < channels; ++c)
            Channel{mean + c, inverse_deviation + c, scale + c, shift + c}.find_scale(parameters[c],
                                                                                      parameters[channels + c]);
    }

    /// The gradients of weight and bias, and slope and offset of dL/dx = scale · g + slope · x + offset, from
    /// Σg and Σg·(x − mean).
    static void backward_coefficients(const double* gradient_sums, double count, S* mean, S* inverse_deviation,
                                      S* scale, S* parameter_gradient, S* slope, S* offset) {
        for (Index c = 0; c < channels; ++c)
            Channel{mean + c, inverse_deviation + c, scale + c, nullptr}.backward_coefficients(
                gradient_sums[c], gradient_sums[channels + c], count, parameter_gradient[c],
                parameter_gradient[channels + c], slope[c], offset[c]);
    }

private:
    using Channel = exec::BatchNormChannel<S>;
};

/// Batch norm and the activation behind it in one go; `Act` is Identity where none follows. Only the
/// input is needed on the way back: the normalized value is recomputed, not stored.
template <class Act, Shape Input, class S>
struct BatchNormOperation : OperationSizes {
    using Arithmetic = ActivationArithmetic<Act>;
    using Norm = BatchNormArithmetic<Input.channels, S>;
    static constexpr Index channels = Input.channels;
    static constexpr Index sum_count = 2 * channels;

    /// Mean, 1 / √(variance + ε), scale and shift of the batch.
    static constexpr Index saved_fixed(bool) { return 4 * channels; }

    /// Sums over the batch: `add(chunk's first row, rows, totals)` for every chunk, joined in order.
    template <class Add>
    static void sum_over_batch(const Pass<S>& pass, Add&& add) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            double* totals = pass.sums + chunk.index * sum_count;
            std::fill(totals, totals + sum_count, 0.0);
            add(chunk.first * pixel_count(Input), chunk.count * pixel_count(Input), totals);
        });
        add_partials(pass, pass.sums, sum_count, sum_count, pass.sums);
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        S* mean = saved;
        S* inverse_deviation = saved + channels;
        S* scale = saved + 2 * channels;
        S* shift = saved + 3 * channels;
        if (pass.training) {
            sum_over_batch(pass, [&](Index first_row, Index rows, double* totals) {
                Norm::add_moments(first_row, rows, input, input, totals);
            });
            Norm::finish_statistics(pass.sums, static_cast<double>(pass.count * pixel_count(Input)), input,
                                    weights.statistics, mean, inverse_deviation);
        } else {
            Norm::running_statistics(weights.statistics, mean, inverse_deviation);
        }
        Norm::scale_and_shift(weights.parameters, mean, inverse_deviation, scale, shift);
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index begin = chunk.first * pixel_count(Input);
            for (Index row = begin; row < begin + chunk.count * pixel_count(Input); ++row)
                for_each_packet<S, channels>([&]<int Width>(Index c) {
                    const Packet<S, Width> normalized =
                        load_packet<S, Width>(input + row * channels + c) * load_packet<S, Width>(scale + c) +
                        load_packet<S, Width>(shift + c);
                    store_packet<S, Width>(output + row * channels + c, Arithmetic::value(normalized));
                });
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, S* saved, const S* output_gradient,
                         S* input_gradient, S* parameter_gradient) {
        S* mean = saved;
        S* inverse_deviation = saved + channels;
        S* scale = saved + 2 * channels;
        const S* shift = saved + 3 * channels;
        const auto normalized_gradient = [&]<int Width>(Index row, Index c) -> Packet<S, Width> {
            const Index i = row * channels + c;
            const Packet<S, Width> normalized =
                load_packet<S, Width>(input + i) * load_packet<S, Width>(scale + c) + load_packet<S, Width>(shift + c);
            return load_packet<S, Width>(output_gradient + i) * Arithmetic::derivative(normalized);
        };
        sum_over_batch(pass, [&](Index first_row, Index rows, double* totals) {
            Norm::add_two(first_row, rows, totals,
                          [&]<int Width>(Index row, Index c, Packet<S, Width>& one, Packet<S, Width>& two) {
                              const Packet<S, Width> gradient = normalized_gradient.template operator()<Width>(row, c);
                              one += gradient;
                              two += gradient * (load_packet<S, Width>(input + row * channels + c) -
                                                 load_packet<S, Width>(mean + c));
                          });
        });
        alignas(64) S slope[channels];
        alignas(64) S offset[channels];
        Norm::backward_coefficients(pass.sums, static_cast<double>(pass.count * pixel_count(Input)), mean,
                                    inverse_deviation, scale, parameter_gradient, slope, offset);
        if (!input_gradient) return;
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index begin = chunk.first * pixel_count(Input);
            for (Index row = begin; row < begin + chunk.count * pixel_count(Input); ++row)
                for_each_packet<S, channels>([&]<int Width>(Index c) {
                    const Packet<S, Width> gradient = normalized_gradient.template operator()<Width>(row, c);
                    store_packet<S, Width>(
                        input_gradient + row * channels + c,
                        gradient * load_packet<S, Width>(scale + c) +
                            load_packet<S, Width>(input + row * channels + c) * load_packet<S, Width>(slope + c) +
                            load_packet<S, Width>(offset + c));
                });
        });
    }
};

template <Shape Input, class S>
struct Operation<BatchNorm2d, Input, S> : BatchNormOperation<Identity, Input, S> {};

}  // namespace bantam::cpu
