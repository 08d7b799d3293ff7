// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/communicator.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/sequence.hpp>
#include <bantam/cpu/kernels/batch_norm.hpp>
#include <bantam/cpu/kernels/norm_coefficients.hpp>
#include <bantam/cpu/kernels/source.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/layers/batch_norm2d.hpp>

#include <algorithm>
#include <cstddef>
#include <span>

namespace bantam::cpu {

/// act(norm(x)): batch norm and the activation behind it in one operation; `Act` is Identity where none follows.
/// Backward computes the normalized values again from the input, so that they are not stored.
template <class Act, Shape Input, class S>
struct BatchNormOperation : OperationSizes {
    using Kernel = BatchNormKernel<Input.channels, S>;
    using Source = NormActSource<Act, Input.channels, S>;
    static constexpr Index channels = Input.channels;
    static constexpr Index sum_count = 2 * channels;

    /// Mean, 1 / √(variance + ε), scale and shift of the batch.
    static constexpr Index saved_fixed(bool) { return 4 * channels; }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        const NormCoefficients<S> norm = coefficients(saved);
        if (pass.training) {
            const S* origin = input;
            alignas(64) S first_row_of_batch[std::size_t{channels}];
            if (pass.communicator && !pass.norms_per_rank) {
                std::copy_n(input, pass.count > 0 ? channels : 0, first_row_of_batch);
                broadcast(*pass.communicator, std::span<S>{first_row_of_batch}, 0);
                origin = first_row_of_batch;
            }
            sum_over_batch(pass, [&](Index first_row, Index rows, double* totals) {
                Kernel::sum_moments(rows, input + first_row * channels, origin, totals);
            });
            BatchNormCoefficients<S>::from_batch(channels, pass.sums,
                                                 static_cast<double>(pass.norm_samples() * pixel_count(Input)), origin,
                                                 weights.parameters, weights.statistics, norm);
        } else {
            BatchNormCoefficients<S>::from_running(channels, weights.statistics, weights.parameters, norm);
        }
        const Source source{input, norm};
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index first = chunk.first * pixel_count(Input);
            for (Index row = first; row < first + chunk.count * pixel_count(Input); ++row)
                for_each_packet<S, channels>([&]<int Width>(Index c) {
                    store_packet<S, Width>(output + row * channels + c, source.template value<Width>(row, c));
                });
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>&, const S* input, S* saved, const S* output_gradient,
                         S* input_gradient, S* parameter_gradient) {
        alignas(64) S slope[std::size_t{channels}];
        alignas(64) S offset[std::size_t{channels}];
        NormCoefficients<S> norm = coefficients(saved);
        norm.slope = slope;
        norm.offset = offset;
        const Source source{input, norm};
        const auto norm_gradient = [&]<int Width>(Index row, Index c) -> Packet<S, Width> {
            return load_packet<S, Width>(output_gradient + row * channels + c) *
                   source.template derivative<Width>(row, c);
        };
        sum_over_batch(pass, [&](Index first_row, Index rows, double* totals) {
            Kernel::add_sums(first_row, rows, totals,
                             [&]<int Width>(Index row, Index c, Packet<S, Width>& sum, Packet<S, Width>& dot) {
                                 const Packet<S, Width> g = norm_gradient.template operator()<Width>(row, c);
                                 sum += g;
                                 dot += g * (load_packet<S, Width>(input + row * channels + c) -
                                             load_packet<S, Width>(norm.mean + c));
                             });
        });
        BatchNormCoefficients<S>::backward(channels, pass.sums,
                                           static_cast<double>(pass.norm_samples() * pixel_count(Input)), norm,
                                           parameter_gradient);
        if (!input_gradient) return;
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const Index first = chunk.first * pixel_count(Input);
            for (Index row = first; row < first + chunk.count * pixel_count(Input); ++row)
                for_each_packet<S, channels>([&]<int Width>(Index c) {
                    const Packet<S, Width> g = norm_gradient.template operator()<Width>(row, c);
                    store_packet<S, Width>(
                        input_gradient + row * channels + c,
                        g * load_packet<S, Width>(norm.scale + c) +
                            load_packet<S, Width>(input + row * channels + c) * load_packet<S, Width>(norm.slope + c) +
                            load_packet<S, Width>(norm.offset + c));
                });
        });
    }

private:
    static NormCoefficients<S> coefficients(S* saved) {
        return {saved, saved + channels, saved + 2 * channels, saved + 3 * channels};
    }

    /// Adds up `add(first row, rows, totals)` of all chunks in pass.sums.
    template <class Add>
    static void sum_over_batch(const Pass<S>& pass, Add&& add) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            double* totals = pass.sums + chunk.index * sum_count;
            std::fill(totals, totals + sum_count, 0.0);
            add(chunk.first * pixel_count(Input), chunk.count * pixel_count(Input), totals);
        });
        add_norm_partials(pass, sum_count, sum_count);
    }
};

template <Shape Input, class S>
struct Operation<BatchNorm2d, Input, S> : BatchNormOperation<Identity, Input, S> {};

}  // namespace bantam::cpu
