// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/cpu/kernels/conv_operation.hpp>
#include <bantam/cpu/kernels/streamed_conv_blocks.hpp>
#include <bantam/cpu/layers/activations.hpp>
#include <bantam/cpu/layers/batch_norm2d.hpp>
#include <bantam/cpu/layers/conv2d.hpp>
#include <bantam/cpu/layers/depthwise_conv2d.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/exec/fusion.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <utility>

namespace bantam::cpu {

/// A run of convolution + norm + activation stages on the way from memory to memory: every stage stores
/// only its convolution's output, whose statistics are summed while it is written; norm and activation
/// are applied where the next stage reads, on the way back as on the way there. `Pooled` runs end in a
/// global average, which reads the last stage likewise.
template <class S, bool Pooled, class... Stages>
struct FusedConvBlocks : OperationSizes {
    static constexpr std::size_t size = sizeof...(Stages);
    template <std::size_t I>
    using StageAt = std::tuple_element_t<I, std::tuple<Stages...>>;
    template <class Stage>
    using ConvOf = Operation<typename Stage::ConvType, Stage::input, S>;
    template <std::size_t I>
    static constexpr Index channels = StageAt<I>::output.channels;
    template <std::size_t I>
    static constexpr Index pixels = pixel_count(StageAt<I>::output);

    static constexpr Index packed_size = (ConvOf<Stages>::packed_size + ...);
    // In inference the stages' streams, and lines of the last map on their way into its mean.
    using Streamed = StreamedConvBlocks<S, size, Stages...>;
    static constexpr Index lines_at_once = rows_worthwhile(StageAt<size - 1>::output);
    static constexpr Index pooled_lines =
        Pooled ? lines_at_once * StageAt<size - 1>::output.width * StageAt<size - 1>::output.channels : 0;
    static constexpr Index scratch_size = std::max({Streamed::memory + pooled_lines, ConvOf<Stages>::scratch_size...});
    static constexpr Index partial_size = std::max({ConvOf<Stages>::partial_size...});
    static constexpr Index sum_count = 2 * std::max({Stages::output.channels...});

    static constexpr exec::FusedConvTensors<Stages...> conv_tensors{};
    /// Where the stages' parts begin: outputs (a sample), norms, packed weights.
    struct Offsets {
        std::array<Index, size + 1> output{}, norm{}, packed{};
    };
    static constexpr Offsets offsets = [] {
        Offsets o;
        std::size_t i = 0;
        ((o.output[i + 1] = o.output[i] + element_count(Stages::output),
          o.norm[i + 1] = o.norm[i] + 6 * Stages::output.channels,
          o.packed[i + 1] = o.packed[i] + ConvOf<Stages>::packed_size, ++i),
         ...);
        return o;
    }();
    static constexpr Index largest = std::max({element_count(Stages::output)...});

    // Workspace: the norms, then in training the convolutions' outputs and on the way back two gradients
    // that take turns.
    static constexpr Index saved_per_sample(bool training) { return training ? offsets.output[size] + 2 * largest : 0; }
    static constexpr Index saved_fixed(bool) { return offsets.norm[size]; }

    template <std::size_t I>
    static S* output_at(const Pass<S>& pass, S* saved) {
        return saved + offsets.norm[size] + pass.count * offsets.output[I];
    }
    template <std::size_t I>
    static S* gradient_at(const Pass<S>& pass, S* saved) {
        return saved + offsets.norm[size] + pass.count * (offsets.output[size] + static_cast<Index>(I % 2) * largest);
    }

    /// What a stage's norm is in this batch, and its coefficients on the way back.
    struct NormAt {
        S *mean, *inverse_deviation, *scale, *shift, *slope, *offset;
    };
    template <std::size_t I>
    static NormAt norm_at(S* saved) {
        S* first = saved + offsets.norm[I];
        constexpr Index c = channels<I>;
        return {first, first + c, first + 2 * c, first + 3 * c, first + 4 * c, first + 5 * c};
    }
    template <std::size_t I>
    static NormActSource<typename StageAt<I>::ActType, channels<I>, S> map_after(const Pass<S>& pass, S* saved) {
        const NormAt norm = norm_at<I>(saved);
        return {output_at<I>(pass, saved), norm.scale, norm.shift};
    }
    template <std::size_t I>
    static auto map_before(const Pass<S>& pass, const S* input, S* saved) {
        if constexpr (I == 0)
            return MemorySource<StageAt<0>::input.channels, S>{input};
        else
            return map_after<I - 1>(pass, saved);
    }
    template <std::size_t I>
    static constexpr Index norm_parameters = conv_tensors.trainable[I] + StageAt<I>::conv_parameters;

    template <std::size_t I>
    static Weights<S> weights_at(const Weights<S>& weights) {
        return {weights.parameters + conv_tensors.trainable[I], weights.statistics + conv_tensors.non_trainable[I],
                weights.packed + offsets.packed[I]};
    }

    static void prepare(const S* parameters, S* panels) {
        std::size_t i = 0;
        ((ConvOf<Stages>::prepare(parameters + conv_tensors.trainable[i], panels + offsets.packed[i]), ++i), ...);
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        if (!pass.training) return infer(pass, weights, input, output, saved);
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (forward_stage<Is>(alternating(pass, Is), weights, input, saved), ...);
        }(std::make_index_sequence<size>{});
        finish(alternating(pass, size), output, saved);
    }

    template <std::size_t I>
    static void forward_stage(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved) {
        const StageProfiler::Scope timed{pass.profiler, StageAt<I>::there};
        using Norm = BatchNormArithmetic<channels<I>, S>;
        const NormAt norm = norm_at<I>(saved);
        const Weights<S> own = weights_at<I>(weights);
        S* z = output_at<I>(pass, saved);
        const auto source = map_before<I>(pass, input, saved);
        for_each_chunk(pass, [&](Chunk chunk, S* scratch_here) {
            double* totals = pass.sums + chunk.index * sum_count;
            std::fill(totals, totals + 2 * channels<I>, 0.0);
            ConvOf<StageAt<I>>::forward_chunk(
                chunk, own, source, z,
                [&](Index first, Index rows) {
                    // The running mean is near the batch's, so differences to it do not cancel.
                    Norm::add_moments(first, rows, z, own.statistics, totals);
                },
                scratch_here);
        });
        add_partials(pass, pass.sums, sum_count, 2 * channels<I>, pass.sums);
        Norm::finish_statistics(pass.sums, static_cast<double>(pass.count * pixels<I>), own.statistics, own.statistics,
                                norm.mean, norm.inverse_deviation);
        Norm::scale_and_shift(weights.parameters + norm_parameters<I>, norm.mean, norm.inverse_deviation, norm.scale,
                              norm.shift);
    }

    template <std::size_t I>
    static StreamTensors<S> stream_tensors(const Weights<S>& weights, S* saved) {
        using Norm = BatchNormArithmetic<channels<I>, S>;
        const NormAt norm = norm_at<I>(saved);
        const Weights<S> own = weights_at<I>(weights);
        Norm::running_statistics(own.statistics, norm.mean, norm.inverse_deviation);
        Norm::scale_and_shift(weights.parameters + norm_parameters<I>, norm.mean, norm.inverse_deviation, norm.scale,
                              norm.shift);
        return {own, norm.scale, norm.shift};
    }

    static void infer(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        const auto tensors = [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            return std::array<StreamTensors<S>, size>{stream_tensors<Is>(weights, saved)...};
        }(std::make_index_sequence<size>{});
        const auto run = [&](Chunk chunk, S* memory) {
            const Streamed streamed{input, tensors.data(), chunk, memory};
            if constexpr (Pooled) {
                constexpr Index rows = lines_at_once * StageAt<last>::output.width;
                S* lines = memory + Streamed::memory;
                for (Index n = chunk.first; n < chunk.first + chunk.count; ++n) {
                    S* mean = output + n * channels<last>;
                    std::fill(mean, mean + channels<last>, S{0});
                    for (Index row = 0; row < pixels<last>; row += rows) {
                        const Index count = std::min(rows, pixels<last> - row);
                        add_row_sums<S>(count, channels<last>, streamed.rows(n * pixels<last> + row, count, lines),
                                        mean);
                    }
                    for (Index c = 0; c < channels<last>; ++c) mean[c] *= pool_share;
                }
            } else {
                const Index first = chunk.first * pixels<last>;
                streamed.rows(first, chunk.count * pixels<last>, output + first * channels<last>);
            }
        };
        // Samples that run on one thread stay together: they share the weights that are in the cache.
        if (pass.threads == 1)
            run({0, 0, pass.count}, pass.scratch);
        else
            for_each_chunk(pass, run);
    }

    static constexpr std::size_t last = size - 1;
    static constexpr S pool_share = S(1.0 / static_cast<double>(pixels<last>));

    /// The last stage's map, normalized and activated, or its mean.
    static void finish(const Pass<S>& pass, S* output, S* saved) {
        const auto map = map_after<last>(pass, saved);
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            if constexpr (Pooled) {
                for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
                    for_each_packet<S, channels<last>>([&]<int Width>(Index c) {
                        Packet<S, Width> sum = Packet<S, Width>::Zero();
                        for (Index row = n * pixels<last>; row < (n + 1) * pixels<last>; ++row)
                            sum += map.template value<Width>(row, c);
                        store_packet<S, Width>(output + n * channels<last> + c, sum * pool_share);
                    });
            } else {
                const Index first = chunk.first * pixels<last>;
                map.rows(first, chunk.count * pixels<last>, output + first * channels<last>);
            }
        });
    }

    /// Rows of dL/dz of stage I from rows of dL/d(norm's output), stored or made on the spot.
    template <std::size_t I, class NormGradient>
    struct ConvGradient {
        NormAt norm;
        const S* z;
        NormGradient norm_gradient;

        const S* rows(Index first, Index count, S* to) const {
            for_each_group<S, channels<I>>([&]<int Width, int Blocks>(Index c) {
                const auto scale = load_group<S, Width, Blocks>(norm.scale + c);
                const auto slope = load_group<S, Width, Blocks>(norm.slope + c);
                const auto offset = load_group<S, Width, Blocks>(norm.offset + c);
                const auto gradient = norm_gradient;
                const S* own_z = z + first * channels<I> + c;
                for (Index row = 0; row < count; ++row) {
                    BANTAM_UNROLL(4)
                    for (std::size_t i = 0; i < Blocks; ++i) {
                        const Index beside = static_cast<Index>(i) * Width;
                        const Index at = row * channels<I> + beside;
                        store_packet<S, Width>(to + c + at,
                                               gradient.template at<Width>(first + row, c + beside) * scale[i] +
                                                   (load_packet<S, Width>(own_z + at) * slope[i] + offset[i]));
                    }
                }
            });
            return to;
        }
    };
    template <std::size_t I>
    struct StoredGradient {
        const S* values;
        template <int Width>
        Packet<S, Width> at(Index row, Index c) const {
            return load_packet<S, Width>(values + row * channels<I> + c);
        }
    };
    /// The gradient that comes from behind the run, through the last activation.
    struct LastGradient {
        NormActSource<typename StageAt<last>::ActType, channels<last>, S> map;
        const S* output_gradient;
        template <int Width>
        Packet<S, Width> at(Index row, Index c) const {
            if constexpr (Pooled)
                return load_packet<S, Width>(output_gradient + row / pixels<last> * channels<last> + c) * pool_share *
                       map.template slope<Width>(row, c);
            else
                return load_packet<S, Width>(output_gradient + row * channels<last> + c) *
                       map.template slope<Width>(row, c);
        }
    };

    /// Takes dL/d(input) of stage I to dL/d(norm's output) of stage I − 1 and sums it for that norm.
    template <std::size_t I>
    struct ActBackwardEpilogue {
        NormActSource<typename StageAt<I - 1>::ActType, channels<I - 1>, S> map;
        const S* mean;
        S* gradient;
        double* totals;

        static constexpr bool wanted() { return true; }
        void operator()(Index first, Index count, const S* rows) const {
            constexpr Index own = channels<I - 1>;
            BatchNormArithmetic<own, S>::add_two(
                0, count, totals, [&]<int Width>(Index row, Index c, Packet<S, Width>& one, Packet<S, Width>& two) {
                    const Index i = (first + row) * own + c;
                    const Packet<S, Width> g =
                        load_packet<S, Width>(rows + row * own + c) * map.template slope<Width>(first + row, c);
                    store_packet<S, Width>(gradient + i, g);
                    one += g;
                    two += g * (load_packet<S, Width>(map.raw + i) - load_packet<S, Width>(mean + c));
                });
        }
    };
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        const LastGradient behind{map_after<last>(pass, saved), output_gradient};
        const S* mean = norm_at<last>(saved).mean;
        for_each_chunk(alternating(pass, size + 1), [&](Chunk chunk, S*) {
            double* totals = pass.sums + chunk.index * sum_count;
            std::fill(totals, totals + 2 * channels<last>, 0.0);
            BatchNormArithmetic<channels<last>, S>::add_two(
                chunk.first * pixels<last>, chunk.count * pixels<last>, totals,
                [&]<int Width>(Index row, Index c, Packet<S, Width>& one, Packet<S, Width>& two) {
                    const Packet<S, Width> g = behind.template at<Width>(row, c);
                    one += g;
                    two += g * (load_packet<S, Width>(behind.map.raw + row * channels<last> + c) -
                                load_packet<S, Width>(mean + c));
                });
        });
        add_partials(pass, pass.sums, sum_count, 2 * channels<last>, pass.sums);
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (backward_stage<last - Is>(alternating(pass, size + Is), weights, input, saved, behind, input_gradient,
                                       parameter_gradient),
             ...);
        }(std::make_index_sequence<size>{});
    }

    /// Finds Σg and Σg·(x − mean) of its norm in the first chunk's sums and leaves those of the stage before.
    template <std::size_t I>
    static void backward_stage(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved,
                               const LastGradient& behind, S* input_gradient, S* parameter_gradient) {
        const StageProfiler::Scope timed{pass.profiler, StageAt<I>::back};
        using Conv = ConvOf<StageAt<I>>;
        const NormAt norm = norm_at<I>(saved);
        BatchNormArithmetic<channels<I>, S>::backward_coefficients(
            pass.sums, static_cast<double>(pass.count * pixels<I>), norm.mean, norm.inverse_deviation, norm.scale,
            parameter_gradient + norm_parameters<I>, norm.slope, norm.offset);
        const auto gradient = [&] {
            const S* z = output_at<I>(pass, saved);
            if constexpr (I == last)
                return ConvGradient<I, LastGradient>{norm, z, behind};
            else
                return ConvGradient<I, StoredGradient<I>>{norm, z, {gradient_at<I>(pass, saved)}};
        }();
        const Weights<S> own = weights_at<I>(weights);
        const auto source = map_before<I>(pass, input, saved);
        for_each_chunk(pass, [&](Chunk chunk, S* scratch_here) {
            S* partial = pass.partials + chunk.index * Conv::partial_size;
            std::fill(partial, partial + Conv::partial_size, S{0});
            if constexpr (I == 0) {
                Conv::backward_chunk(chunk, own, source, gradient,
                                     PlainSink<StageAt<0>::input.channels, S>{input_gradient}, partial, scratch_here);
            } else {
                double* totals = pass.sums + chunk.index * sum_count;
                std::fill(totals, totals + 2 * channels<I - 1>, 0.0);
                const ActBackwardEpilogue<I> sink{source, norm_at<I - 1>(saved).mean, gradient_at<I - 1>(pass, saved),
                                                  totals};
                Conv::backward_chunk(chunk, own, source, gradient, sink, partial, scratch_here);
            }
        });
        if constexpr (I > 0) add_partials(pass, pass.sums, sum_count, 2 * channels<I - 1>, pass.sums);
        Conv::finish_gradient(pass, parameter_gradient + conv_tensors.trainable[I]);
    }
};

}  // namespace bantam::cpu
