// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/cpu/kernels/batch_norm.hpp>
#include <bantam/cpu/kernels/epilogue.hpp>
#include <bantam/cpu/kernels/line_buffer.hpp>
#include <bantam/cpu/kernels/norm_coefficients.hpp>
#include <bantam/cpu/kernels/pointwise_conv.hpp>
#include <bantam/cpu/kernels/source.hpp>
#include <bantam/cpu/kernels/streamed_conv_blocks.hpp>
#include <bantam/cpu/layers/conv2d.hpp>
#include <bantam/cpu/layers/depthwise_conv2d.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/exec/fusion.hpp>
#include <bantam/exec/workspace.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace bantam::cpu {

/// Neighboring stages of convolution, norm and activation as one operation. Each stage stores only the output z of
/// its convolution and sums its moments while it is written; norm and activation are computed where the next stage
/// reads z, forward and backward. With `Pooled`, a global average follows, which reads the last z in the same way.
template <class S, bool Pooled, class... Stages>
struct FusedConvBlocks : OperationSizes {
    static constexpr std::size_t size = sizeof...(Stages);
    static constexpr std::size_t last = size - 1;
    template <std::size_t I>
    using StageAt = std::tuple_element_t<I, std::tuple<Stages...>>;
    template <class Stage>
    using ConvOf = Operation<typename Stage::ConvType, Stage::input, S>;
    template <std::size_t I>
    static constexpr Index channels = StageAt<I>::output.channels;
    template <std::size_t I>
    static constexpr Index pixels = pixel_count(StageAt<I>::output);

    static constexpr Index packed_size = (ConvOf<Stages>::packed_size + ...);
    // Inference needs memory for the lines of all stages, and for lines of the last map before they are averaged.
    using Streamed = StreamedConvBlocks<S, size, Stages...>;
    static constexpr Index pooled_rows = lines_per_fetch(StageAt<last>::output) * StageAt<last>::output.width;
    static constexpr Index pooled_size = Pooled ? pooled_rows * channels<last> : 0;
    static constexpr Index scratch_size =
        std::max({Streamed::memory_size + pooled_size, ConvOf<Stages>::scratch_size...});
    static constexpr Index partial_size = std::max({ConvOf<Stages>::partial_size...});
    static constexpr Index sum_count = 2 * std::max({Stages::output.channels...});

    static constexpr exec::FusedConvTensors<Stages...> conv_tensors{};
    static constexpr std::array<Index, size> packed_offsets = [] {
        std::array<Index, size> result{};
        Index next = 0;
        std::size_t i = 0;
        ((result[i++] = next, next += ConvOf<Stages>::packed_size), ...);
        return result;
    }();

    // Regions: the norm coefficients; in training also the outputs z, and two buffers for the gradients between the
    // stages in turn.
    static constexpr std::size_t norm_region(std::size_t i) { return i; }
    static constexpr std::size_t output_region(std::size_t i) { return size + i; }
    static constexpr std::size_t gradient_region(std::size_t i) { return 2 * size + i % 2; }
    static constexpr auto workspace = exec::make_workspace<S>([](bool training) {
        std::array<exec::RegionSize, 2 * size + 2> regions{};
        const std::array<Shape, size> shapes{Stages::output...};
        std::array<Index, size> gradients{};
        for (std::size_t i = 0; i < size; ++i) {
            regions[norm_region(i)].fixed = NormCoefficients<S>::count * shapes[i].channels;
            if (training) regions[output_region(i)].per_sample = element_count(shapes[i]);
            if (training && i < last) gradients[i] = element_count(shapes[i]);
        }
        const std::array<Index, 2> buffers = exec::alternating_sizes(gradients);
        for (std::size_t i = 0; i < 2; ++i) regions[gradient_region(i)].per_sample = buffers[i];
        return regions;
    });
    static constexpr Index saved_per_sample(bool training) { return workspace.per_sample(training); }
    static constexpr Index saved_fixed(bool training) { return workspace.fixed(training); }

    static void prepare(const S* parameters, S* packed) {
        std::size_t i = 0;
        ((ConvOf<Stages>::prepare(parameters + conv_tensors.trainable[i], packed + packed_offsets[i]), ++i), ...);
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        if (!pass.training) return infer(pass, weights, input, output, saved);
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (forward_stage<Is>(alternating(pass, Is), weights, input, saved), ...);
        }(std::make_index_sequence<size>{});
        write_output(alternating(pass, size), output, saved);
    }

    /// A pointer `input_gradient` is not null.
    template <class InputGradient>
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved,
                         const S* output_gradient, InputGradient input_gradient, S* parameter_gradient) {
        const LastStageGradient last_stage_gradient = gradient_source<last>(pass, saved, output_gradient);
        for_each_chunk(alternating(pass, size + 1), [&](Chunk chunk, S*) {
            double* totals = chunk_totals<last>(pass, chunk);
            BatchNormKernel<channels<last>, S>::add_sums(
                chunk.first * pixels<last>, chunk.count * pixels<last>, totals,
                [&]<int Width>(Index row, Index c, Packet<S, Width>& sum, Packet<S, Width>& dot) {
                    const Packet<S, Width> g = last_stage_gradient.template norm_gradient<Width>(row, c);
                    sum += g;
                    dot += g * (load_packet<S, Width>(last_stage_gradient.z + row * channels<last> + c) -
                                load_packet<S, Width>(last_stage_gradient.norm.mean + c));
                });
        });
        add_norm_partials(pass, sum_count, 2 * channels<last>);
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (backward_stage<last - Is>(alternating(pass, size + Is), weights, input, saved, output_gradient,
                                       input_gradient, parameter_gradient),
             ...);
        }(std::make_index_sequence<size>{});
    }

private:
    template <std::size_t I>
    using ActOf = typename StageAt<I>::ActType;
    template <std::size_t I>
    using OutputSource = NormActSource<ActOf<I>, channels<I>, S>;
    /// dL/dz of the last stage from dL/d(output).
    using LastStageGradient = NormBackwardSource<ActOf<last>, channels<last>, S, Pooled ? pixels<last> : 1>;

    template <std::size_t I>
    static S* output_at(const Pass<S>& pass, S* saved) {
        return workspace.at(output_region(I), pass, saved);
    }
    template <std::size_t I>
    static S* gradient_at(const Pass<S>& pass, S* saved) {
        return workspace.at(gradient_region(I), pass, saved);
    }
    template <std::size_t I>
    static NormCoefficients<S> norm_at(S* saved) {
        // The norms come first, so that they are in the same place for every batch.
        return NormCoefficients<S>::at(saved + workspace.offset(norm_region(I), false, 0), channels<I>);
    }
    template <std::size_t I>
    static constexpr Index norm_parameters = conv_tensors.trainable[I] + StageAt<I>::conv_parameters;
    /// The weights of the convolution of stage I and the statistics of its norm.
    template <std::size_t I>
    static Weights<S> weights_at(const Weights<S>& weights) {
        return weights.at({conv_tensors.trainable[I], conv_tensors.non_trainable[I], packed_offsets[I]});
    }

    template <std::size_t I>
    static OutputSource<I> output_source(const Pass<S>& pass, S* saved) {
        return {output_at<I>(pass, saved), norm_at<I>(saved)};
    }
    template <std::size_t I>
    static auto input_source(const Pass<S>& pass, const S* input, S* saved) {
        if constexpr (I == 0)
            return MemorySource<StageAt<0>::input.channels, S>{input};
        else
            return output_source<I - 1>(pass, saved);
    }
    /// dL/dz of stage I. The last stage starts from dL/d(output), the others from the stored gradient of their norm.
    template <std::size_t I>
    static auto gradient_source(const Pass<S>& pass, S* saved, const S* output_gradient) {
        const S* z = output_at<I>(pass, saved);
        if constexpr (I == last)
            return LastStageGradient{output_gradient, z, norm_at<I>(saved)};
        else
            return NormBackwardSource<Identity, channels<I>, S>{gradient_at<I>(pass, saved), z, norm_at<I>(saved)};
    }
    /// The sums of a chunk for the norm of stage I, set to zero.
    template <std::size_t I>
    static double* chunk_totals(const Pass<S>& pass, Chunk chunk) {
        double* totals = pass.sums + chunk.index * sum_count;
        std::fill(totals, totals + 2 * channels<I>, 0.0);
        return totals;
    }

    template <std::size_t I>
    [[gnu::noinline]] static void forward_stage(const Pass<S>& pass, const Weights<S>& weights, const S* input,
                                                S* saved) {
        const StageProfiler::Scope timed{pass.profiler, StageAt<I>::forward_label};
        const Weights<S> stage_weights = weights_at<I>(weights);
        S* z = output_at<I>(pass, saved);
        const auto source = input_source<I>(pass, input, saved);
        for_each_chunk(pass, [&](Chunk chunk, S* scratch) {
            // The running mean is near the batch's mean.
            const MomentsEpilogue<channels<I>, S> epilogue{z, stage_weights.statistics, chunk_totals<I>(pass, chunk)};
            ConvOf<StageAt<I>>::forward_chunk(chunk, stage_weights, source, epilogue, scratch);
        });
        add_norm_partials(pass, sum_count, 2 * channels<I>);
        BatchNormCoefficients<S>::from_batch(
            channels<I>, pass.sums, static_cast<double>(pass.norm_samples() * pixels<I>), stage_weights.statistics,
            weights.parameters + norm_parameters<I>, stage_weights.statistics, norm_at<I>(saved));
    }

    /// The output of the last stage, or its mean.
    static void write_output(const Pass<S>& pass, S* output, S* saved) {
        const OutputSource<last> source = output_source<last>(pass, saved);
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            if constexpr (Pooled) {
                for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
                    for_each_packet<S, channels<last>>([&]<int Width>(Index c) {
                        Packet<S, Width> sum = Packet<S, Width>::Zero();
                        for (Index row = n * pixels<last>; row < (n + 1) * pixels<last>; ++row)
                            sum += source.template value<Width>(row, c);
                        store_packet<S, Width>(output + n * channels<last> + c, sum * mean_factor);
                    });
            } else {
                const Index first = chunk.first * pixels<last>;
                source.rows(first, chunk.count * pixels<last>, output + first * channels<last>);
            }
        });
    }
    static constexpr S mean_factor = S(1.0 / static_cast<double>(pixels<last>));

    template <std::size_t I>
    static StageTensors<S> stage_tensors(const Weights<S>& weights, S* saved) {
        const Weights<S> stage_weights = weights_at<I>(weights);
        const NormCoefficients<S> norm = norm_at<I>(saved);
        BatchNormCoefficients<S>::from_running(channels<I>, stage_weights.statistics,
                                               weights.parameters + norm_parameters<I>, norm);
        return {stage_weights, norm};
    }

    [[gnu::noinline]] static void infer(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output,
                                        S* saved) {
        const auto tensors = [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            return std::array<StageTensors<S>, size>{stage_tensors<Is>(weights, saved)...};
        }(std::make_index_sequence<size>{});
        const auto infer_chunk = [&](Chunk chunk, S* memory) {
            const Streamed streamed{input, tensors.data(), chunk, memory};
            if constexpr (Pooled) {
                S* lines = memory + Streamed::memory_size;
                for (Index n = chunk.first; n < chunk.first + chunk.count; ++n) {
                    S* mean = output + n * channels<last>;
                    std::fill(mean, mean + channels<last>, S{0});
                    for (Index row = 0; row < pixels<last>; row += pooled_rows) {
                        const Index count = std::min(pooled_rows, pixels<last> - row);
                        add_row_sums<S>(count, channels<last>, streamed.rows(n * pixels<last> + row, count, lines),
                                        mean);
                    }
                    for (Index c = 0; c < channels<last>; ++c) mean[c] *= mean_factor;
                }
            } else {
                const Index first = chunk.first * pixels<last>;
                streamed.rows(first, chunk.count * pixels<last>, output + first * channels<last>);
            }
        };
        // On one thread the whole batch is one chunk, so that samples share the weights in the cache.
        if (pass.threads == 1)
            infer_chunk({0, 0, pass.count}, pass.scratch);
        else
            for_each_chunk(pass, infer_chunk);
    }

    /// Reads Σg and Σg · (z − mean) of its norm in pass.sums and leaves there those of the stage before.
    template <std::size_t I, class InputGradient>
    [[gnu::noinline]] static void backward_stage(const Pass<S>& pass, const Weights<S>& weights, const S* input,
                                                 S* saved, const S* output_gradient,
                                                 [[maybe_unused]] InputGradient input_gradient, S* parameter_gradient) {
        const StageProfiler::Scope timed{pass.profiler, StageAt<I>::backward_label};
        using Conv = ConvOf<StageAt<I>>;
        BatchNormCoefficients<S>::backward(channels<I>, pass.sums, static_cast<double>(pass.norm_samples() * pixels<I>),
                                           norm_at<I>(saved), parameter_gradient + norm_parameters<I>);
        const Weights<S> stage_weights = weights_at<I>(weights);
        const auto source = input_source<I>(pass, input, saved);
        const auto gradient = gradient_source<I>(pass, saved, output_gradient);
        // `epilogue_of(chunk)` takes the rows of dL/d(input).
        const auto backward_to = [&](const auto& epilogue_of) {
            for_each_chunk(pass, [&](Chunk chunk, S* scratch) {
                S* partial = pass.partials + chunk.index * Conv::partial_size;
                std::fill(partial, partial + Conv::partial_size, S{0});
                Conv::backward_chunk(chunk, stage_weights, source, gradient, epilogue_of(chunk), partial, scratch);
            });
        };
        if constexpr (I > 0) {
            S* to = gradient_at<I - 1>(pass, saved);
            backward_to([&](Chunk chunk) {
                return ActBackwardEpilogue<ActOf<I - 1>, channels<I - 1>, S>{source, to,
                                                                             chunk_totals<I - 1>(pass, chunk)};
            });
            add_norm_partials(pass, sum_count, 2 * channels<I - 1>);
        } else {
            constexpr Index input_channels = StageAt<0>::input.channels;
            if constexpr (std::is_null_pointer_v<InputGradient>)
                backward_to([](Chunk) { return NullSink<input_channels, S>{}; });
            else
                backward_to([&](Chunk) { return MemoryEpilogue<input_channels, S>{input_gradient}; });
        }
        Conv::reduce_gradient(pass, parameter_gradient + conv_tensors.trainable[I]);
    }
};

}  // namespace bantam::cpu
