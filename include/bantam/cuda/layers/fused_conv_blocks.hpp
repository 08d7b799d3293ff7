// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/cuda/backend.hpp>
#include <bantam/cuda/kernels/batch_norm.hpp>
#include <bantam/cuda/kernels/batch_sums.hpp>
#include <bantam/cuda/kernels/conv_operation.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/norm_coefficients.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/kernels/sample_reduction.hpp>
#include <bantam/cuda/kernels/source.hpp>
#include <bantam/cuda/layers/conv2d.hpp>
#include <bantam/cuda/layers/depthwise_conv2d.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/exec/fusion.hpp>
#include <bantam/exec/workspace.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <utility>

namespace bantam::cuda {

/// Neighboring blocks of convolution, norm and activation as one stage, as in `cpu::FusedConvBlocks`. In training a
/// block stores its convolution's output z only and sums z's statistics while it does (MomentsEpilogue). The next block
/// applies norm and activation when it loads z, forward and backward (NormActSource); the gradient stored between
/// blocks is the one behind the norm (ActBackwardEpilogue). In inference norm and activation are applied before the
/// output is stored (NormActEpilogue). With `Pooled` a global average follows, which reads the last z in the same way.
template <class S, bool Pooled, class... Blocks>
struct FusedConvBlocks : OperationSizes {
    using ComputeType = Compute<S>;
    static constexpr std::size_t size = sizeof...(Blocks), last = size - 1;
    template <std::size_t I>
    using BlockAt = std::tuple_element_t<I, std::tuple<Blocks...>>;
    template <class Block>
    using KernelOf = typename Operation<typename Block::ConvType, Block::input, S>::Kernel;
    template <std::size_t I>
    using KernelAt = KernelOf<BlockAt<I>>;
    template <std::size_t I>
    using ActAt = typename BlockAt<I>::ActType;
    template <std::size_t I>
    static constexpr Index channels = BlockAt<I>::output.channels;
    template <std::size_t I>
    static constexpr Index pixels = pixel_count(BlockAt<I>::output);

    static constexpr Index scratch_size = std::max({KernelOf<Blocks>::scratch_size...});
    static constexpr Index partial_size = std::max({KernelOf<Blocks>::partial_size...});
    static constexpr Index sum_count = 2 * std::max({Blocks::output.channels...});

    /// Scalars that a sample's pass reads and writes if nothing stays in a cache.
    static constexpr Index scalars_moved(bool training) {
        return ((Blocks::forward_label.scalars_moved + (training ? Blocks::backward_label.scalars_moved : 0)) + ...);
    }

    static constexpr exec::FusedConvTensors<Blocks...> conv_tensors{};
    // Regions: the norms' coefficients, in training z of every block, and two buffers in turn: in training for the
    // gradients between blocks, in inference for the maps between blocks, the last of which a global average reads.
    static constexpr std::size_t norm_region(std::size_t i) { return i; }
    static constexpr std::size_t output_region(std::size_t i) { return size + i; }
    static constexpr std::size_t buffer_region(std::size_t i) { return 2 * size + i % 2; }
    static constexpr auto workspace = exec::make_workspace<S>([](bool training) {
        std::array<exec::RegionSize, 2 * size + 2> regions{};
        const std::array<Shape, size> shapes{Blocks::output...};
        std::array<Index, size> between{};
        for (std::size_t i = 0; i < size; ++i) {
            regions[norm_region(i)].fixed = NormCoefficients<S>::count * storage_per_compute<S> * shapes[i].channels;
            if (training) regions[output_region(i)].per_sample = element_count(shapes[i]);
            if (i + 1 < size || (Pooled && !training)) between[i] = element_count(shapes[i]);
        }
        const std::array<Index, 2> buffers = exec::alternating_sizes(between);
        for (std::size_t i = 0; i < 2; ++i) regions[buffer_region(i)].per_sample = buffers[i];
        return regions;
    });
    static constexpr Index saved_per_sample(bool training) { return workspace.per_sample(training); }
    static constexpr Index saved_fixed(bool training) { return workspace.fixed(training); }

    template <std::size_t I>
    static NormCoefficients<S> norm_at(S* saved) {
        // The norms come first, so that they are in the same place for every batch.
        return {reinterpret_cast<ComputeType*>(saved + workspace.offset(norm_region(I), false, 0)), channels<I>};
    }
    template <std::size_t I>
    static S* output_at(const Pass<S>& pass, S* saved) {
        return workspace.at(output_region(I), pass, saved);
    }
    template <std::size_t I>
    static S* gradient_at(const Pass<S>& pass, S* saved) {
        return workspace.at(buffer_region(I), pass, saved);
    }
    template <std::size_t I>
    static S* inferred_at(const Pass<S>& pass, S* output, S* saved) {
        if (I == last && !Pooled) return output;
        return workspace.at(buffer_region(I), pass, saved);
    }

    template <std::size_t I>
    static const ComputeType* parameters_at(const Weights<S>& weights) {
        return weights.parameters + conv_tensors.trainable[I];
    }
    template <std::size_t I>
    static const ComputeType* bias_at(const Weights<S>& weights) {
        return parameters_at<I>(weights) + KernelAt<I>::weight_count;
    }
    template <std::size_t I>
    static constexpr Index norm_parameters = conv_tensors.trainable[I] + BlockAt<I>::conv_parameters;

    /// The input of block I in training.
    template <std::size_t I>
    static auto source_of(const Pass<S>& pass, const S* input, S* saved) {
        if constexpr (I == 0)
            return MemorySource<BlockAt<0>::input.channels, S>{input};
        else
            return NormActSource<ActAt<I - 1>, channels<I - 1>, S>{output_at<I - 1>(pass, saved),
                                                                   norm_at<I - 1>(saved)};
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            if (pass.training) {
                (train_block<Is>(pass, weights, input, saved), ...);
                store_output(pass, output, saved);
            } else {
                (infer_block<Is>(pass, weights, input, output, saved), ...);
                if constexpr (Pooled)
                    average(pass, MemorySource<channels<last>, S>{inferred_at<last>(pass, output, saved)}, output);
            }
        }(std::make_index_sequence<size>{});
    }

    template <std::size_t I>
    static void train_block(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved) {
        Backend<>::run_stage(pass, BlockAt<I>::forward_label, [&] {
            ComputeType* statistics = weights.statistics + conv_tensors.non_trainable[I];
            // The running means are the origins: they are near the batch's means.
            const MomentsEpilogue<KernelAt<I>::bias, channels<I>, S> epilogue{output_at<I>(pass, saved),
                                                                              bias_at<I>(weights), statistics};
            const Index slices =
                KernelAt<I>::forward(pass, parameters_at<I>(weights), source_of<I>(pass, input, saved), epilogue);
            reduce_slices<2>(
                pass, slices, channels<I>, pass.sums,
                NormFromBatch<S, ComputeType>{static_cast<double>(pass.batch() * pixels<I>), statistics,
                                              weights.parameters + norm_parameters<I>, statistics, norm_at<I>(saved)});
        });
    }

    template <class Source>
    static void average(const Pass<S>& pass, const Source& source, S* output) {
        sum_samples<BlockAt<last>::output>(pass, SourceTerm<Source>{source},
                                           ComputeType(1.0 / static_cast<double>(pixels<last>)), output);
    }

    /// The last z behind norm and activation, or the average of that.
    static void store_output(const Pass<S>& pass, S* output, S* saved) {
        const S* z = output_at<last>(pass, saved);
        if constexpr (Pooled)
            average(pass, NormActSource<ActAt<last>, channels<last>, S>{z, norm_at<last>(saved)}, output);
        else
            write_rows(pass, pass.count * pixels<last>, channels<last>,
                       NormActColumns<ActAt<last>, S>{z, norm_at<last>(saved)}, output);
    }

    template <std::size_t I>
    static void infer_block(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        Backend<>::run_stage(pass, BlockAt<I>::forward_label, [&] {
            const NormCoefficients<S> norm = norm_at<I>(saved);
            for_each_index(pass, channels<I>,
                           NormFromRunning<S>{weights.statistics + conv_tensors.non_trainable[I],
                                              weights.parameters + norm_parameters<I>, norm});
            const S* from = input;
            if constexpr (I > 0) from = inferred_at<I - 1>(pass, output, saved);
            KernelAt<I>::forward(pass, parameters_at<I>(weights), MemorySource<BlockAt<I>::input.channels, S>{from},
                                 NormActEpilogue<ActAt<I>, KernelAt<I>::bias, channels<I>, S>{
                                     inferred_at<I>(pass, output, saved), bias_at<I>(weights), norm});
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved,
                         const S* output_gradient, S* input_gradient, ComputeType* parameter_gradient) {
        reduce_rows(pass, pass.count * pixels<last>, channels<last>,
                    NormGradientTerm<ActAt<last>, S, rows_per_gradient>{output_at<last>(pass, saved), output_gradient,
                                                                        norm_at<last>(saved)},
                    pass.sums, backward_coefficients<last>(pass, saved, parameter_gradient));
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            Index slices = 0;  // of the sums that the block behind stored
            ((slices = backward_block<last - Is>(pass, weights, input, saved, output_gradient, input_gradient,
                                                 parameter_gradient, slices)),
             ...);
        }(std::make_index_sequence<size>{});
    }

private:
    /// Rows of the last z that belong to one row of the output.
    static constexpr Index rows_per_gradient = Pooled ? pixels<last> : 1;

    template <std::size_t I>
    static NormBackwardCoefficients<S> backward_coefficients(const Pass<S>& pass, S* saved,
                                                             ComputeType* parameter_gradient) {
        return {static_cast<double>(pass.batch() * pixels<I>), norm_at<I>(saved),
                parameter_gradient + norm_parameters<I>};
    }

    template <std::size_t I>
    static Index backward_block(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved,
                                const S* output_gradient, S* input_gradient, ComputeType* parameter_gradient,
                                Index slices) {
        Index stored_slices = 0;
        Backend<>::run_stage(pass, BlockAt<I>::backward_label, [&] {
            if constexpr (I < last)
                reduce_slices<2>(pass, slices, channels<I>, pass.sums,
                                 backward_coefficients<I>(pass, saved, parameter_gradient));
            const auto gradient = [&] {
                const S* z = output_at<I>(pass, saved);
                if constexpr (I == last)
                    return NormBackwardSource<ActAt<I>, channels<I>, S, rows_per_gradient>{output_gradient, z,
                                                                                           norm_at<I>(saved)};
                else
                    return NormBackwardSource<Identity, channels<I>, S>{gradient_at<I>(pass, saved), z,
                                                                        norm_at<I>(saved)};
            }();
            ComputeType* weight_gradient = parameter_gradient + conv_tensors.trainable[I];
            if constexpr (KernelAt<I>::bias)
                bias_gradient(pass, pass.count * pixels<I>, gradient, weight_gradient + KernelAt<I>::weight_count);
            const auto run = [&](const auto& epilogue) {
                stored_slices = KernelAt<I>::backward(pass, parameters_at<I>(weights), gradient,
                                                      source_of<I>(pass, input, saved), epilogue, weight_gradient);
            };
            constexpr Index in = BlockAt<I>::input.channels;
            if constexpr (I > 0)
                run(ActBackwardEpilogue<ActAt<I - 1>, in, S>{gradient_at<I - 1>(pass, saved),
                                                             output_at<I - 1>(pass, saved), norm_at<I - 1>(saved)});
            else if (input_gradient)
                run(IdentityEpilogue<in, S>{input_gradient});
            else
                run(NullSink<in, S>{});
        });
        return stored_slices;
    }
};

}  // namespace bantam::cuda
