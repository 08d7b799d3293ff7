// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/activations.hpp>
#include <bantam/cpu/block.hpp>
#include <bantam/cpu/operation.hpp>
#include <bantam/layers/batch_norm2d.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace bantam::cpu {

/// Batch norm and the activation behind it in one go; `Act` is Identity where none follows. Only the
/// input is needed on the way back: the normalised value is recomputed, not stored.
template <class Act, Shape Input, class S>
struct BatchNormOperation : OperationSizes {
    using Arithmetic = ActivationArithmetic<Act>;
    static constexpr std::int64_t channels = Input.channels;
    static constexpr std::int64_t sums = 2 * channels;

    /// Mean and 1 / √(variance + ε) of the batch, then the coefficients of the way back.
    static constexpr std::int64_t saved_fixed(bool) { return 4 * channels; }

    /// Scalars summed in `S` before they join a double, which keeps float sums exact enough.
    static constexpr std::int64_t run = 64;

    /// Adds, for every row of a chunk, `terms(row, offset, first, second)` into two sums a channel.
    template <class Terms>
    static void sum_two(std::int64_t first_row, std::int64_t rows, double* totals, Terms&& terms) {
        std::fill(totals, totals + 2 * channels, 0.0);
        alignas(64) S run_sums[2 * channels];
        for (std::int64_t row = first_row; row < first_row + rows; row += run) {
            const std::int64_t end = std::min(row + run, first_row + rows);
            for_each_block<S, channels>([&]<int Width>(std::int64_t c) {
                Block<S, Width> one = Block<S, Width>::Zero();
                Block<S, Width> two = Block<S, Width>::Zero();
                for (std::int64_t r = row; r < end; ++r) terms.template operator()<Width>(r * channels + c, c, one, two);
                store_block<S, Width>(run_sums + c, one);
                store_block<S, Width>(run_sums + channels + c, two);
            });
            for (std::int64_t i = 0; i < 2 * channels; ++i) totals[i] += static_cast<double>(run_sums[i]);
        }
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        S* mean = saved;
        S* inverse_deviation = saved + channels;
        S* scale = saved + 2 * channels;
        S* shift = saved + 3 * channels;
        if (pass.training) {
            find_batch_statistics(pass, weights, input, mean, inverse_deviation);
        } else {
            for (std::int64_t c = 0; c < channels; ++c) {
                mean[c] = weights.statistics[c];
                inverse_deviation[c] = S(1) / std::sqrt(weights.statistics[channels + c] + S(BatchNorm2d::epsilon));
            }
        }
        for (std::int64_t c = 0; c < channels; ++c) {
            scale[c] = weights.parameters[c] * inverse_deviation[c];
            shift[c] = weights.parameters[channels + c] - mean[c] * scale[c];
        }
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const std::int64_t begin = chunk.first * pixel_count(Input);
            for (std::int64_t row = begin; row < begin + chunk.count * pixel_count(Input); ++row)
                for_each_block<S, channels>([&]<int Width>(std::int64_t c) {
                    const Block<S, Width> normalised = load_block<S, Width>(input + row * channels + c) *
                                                           load_block<S, Width>(scale + c) +
                                                       load_block<S, Width>(shift + c);
                    store_block<S, Width>(output + row * channels + c, Arithmetic::value(normalised));
                });
        });
    }

    static void find_batch_statistics(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* mean,
                                      S* inverse_deviation) {
        // Sums of differences to the first row: no cancellation where a channel lies far from zero.
        const S* origin = input;
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            sum_two(chunk.first * pixel_count(Input), chunk.count * pixel_count(Input),
                    pass.sums + chunk.index * sums,
                    [&]<int Width>(std::int64_t i, std::int64_t c, Block<S, Width>& one, Block<S, Width>& two) {
                        const Block<S, Width> difference =
                            load_block<S, Width>(input + i) - load_block<S, Width>(origin + c);
                        one += difference;
                        two += difference * difference;
                    });
        });
        add_partials(pass, pass.sums, sums, sums, pass.sums);
        const double count = static_cast<double>(pass.count * pixel_count(Input));
        for (std::int64_t c = 0; c < channels; ++c) {
            const double offset = pass.sums[c] / count;
            const double variance = std::max(0.0, pass.sums[channels + c] / count - offset * offset);
            mean[c] = static_cast<S>(static_cast<double>(origin[c]) + offset);
            inverse_deviation[c] = static_cast<S>(1.0 / std::sqrt(variance + BatchNorm2d::epsilon));
            const double unbiased = count > 1 ? variance * count / (count - 1) : variance;
            move_statistic(weights.statistics[c], static_cast<double>(mean[c]));
            move_statistic(weights.statistics[channels + c], unbiased);
        }
    }

    static void move_statistic(S& running, double batch) {
        running = static_cast<S>((1 - BatchNorm2d::momentum) * static_cast<double>(running) +
                                 BatchNorm2d::momentum * batch);
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        const S* mean = saved;
        const S* inverse_deviation = saved + channels;
        S* scale = saved + 2 * channels;
        S* shift = saved + 3 * channels;
        for (std::int64_t c = 0; c < channels; ++c) {
            scale[c] = weights.parameters[c] * inverse_deviation[c];
            shift[c] = weights.parameters[channels + c] - mean[c] * scale[c];
        }
        const auto normalised_gradient = [&]<int Width>(std::int64_t i, std::int64_t c) -> Block<S, Width> {
            const Block<S, Width> normalised =
                load_block<S, Width>(input + i) * load_block<S, Width>(scale + c) + load_block<S, Width>(shift + c);
            return load_block<S, Width>(output_gradient + i) * Arithmetic::derivative(normalised);
        };
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            sum_two(chunk.first * pixel_count(Input), chunk.count * pixel_count(Input),
                    pass.sums + chunk.index * sums,
                    [&]<int Width>(std::int64_t i, std::int64_t c, Block<S, Width>& one, Block<S, Width>& two) {
                        const Block<S, Width> gradient = normalised_gradient.template operator()<Width>(i, c);
                        one += gradient;
                        two += gradient * (load_block<S, Width>(input + i) - load_block<S, Width>(mean + c));
                    });
        });
        add_partials(pass, pass.sums, sums, sums, pass.sums);
        // dL/dx = scale · (g − Σg / n − (x − mean) / deviation² · Σ g·(x − mean) / n), written as
        // scale · g + slope · x + offset a channel.
        const double count = static_cast<double>(pass.count * pixel_count(Input));
        alignas(64) S slope[channels];
        alignas(64) S offset[channels];
        for (std::int64_t c = 0; c < channels; ++c) {
            const double inverse = static_cast<double>(inverse_deviation[c]);
            const double factor = static_cast<double>(scale[c]);
            parameter_gradient[c] = static_cast<S>(pass.sums[channels + c] * inverse);
            parameter_gradient[channels + c] = static_cast<S>(pass.sums[c]);
            const double slope_here = -factor * inverse * inverse * pass.sums[channels + c] / count;
            slope[c] = static_cast<S>(slope_here);
            offset[c] = static_cast<S>(-factor * pass.sums[c] / count - slope_here * static_cast<double>(mean[c]));
        }
        if (!input_gradient) return;
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const std::int64_t begin = chunk.first * pixel_count(Input);
            for (std::int64_t row = begin; row < begin + chunk.count * pixel_count(Input); ++row)
                for_each_block<S, channels>([&]<int Width>(std::int64_t c) {
                    const std::int64_t i = row * channels + c;
                    const Block<S, Width> gradient = normalised_gradient.template operator()<Width>(i, c);
                    store_block<S, Width>(input_gradient + i,
                                          gradient * load_block<S, Width>(scale + c) +
                                              load_block<S, Width>(input + i) * load_block<S, Width>(slope + c) +
                                              load_block<S, Width>(offset + c));
                });
        });
    }
};

template <Shape Input, class S>
struct Operation<BatchNorm2d, Input, S> : BatchNormOperation<Identity, Input, S> {};

}  // namespace bantam::cpu
