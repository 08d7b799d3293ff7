// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/cuda/backend.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/sample_reduction.hpp>
#include <bantam/cuda/layers/batch_norm2d.hpp>
#include <bantam/cuda/layers/conv2d.hpp>
#include <bantam/cuda/layers/depthwise_conv2d.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/exec/fusion.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <utility>

namespace bantam::cuda {

/// A run of convolution + norm + activation stages on the way from memory to memory, as `cpu::FusedConvBlocks`: every
/// stage stores only its convolution's output z, whose statistics are summed while it is written. Norm and activation
/// are applied where the next stage reads z, on the way back as on the way there; the gradient that is stored on the
/// way back is the one behind the norm. In inference norm and activation are applied before z is written. `Pooled` runs
/// end in a global average, which reads the last stage likewise.
template <class S, bool Pooled, class... Stages>
struct FusedConvBlocks : OperationSizes {
    using Number = Compute<S>;
    static constexpr std::size_t size = sizeof...(Stages), last = size - 1;
    template <std::size_t I>
    using StageAt = std::tuple_element_t<I, std::tuple<Stages...>>;
    template <class Stage>
    using KernelOf = typename Operation<typename Stage::ConvType, Stage::input, S>::Kernel;
    template <std::size_t I>
    using KernelAt = KernelOf<StageAt<I>>;
    template <std::size_t I>
    using ActAt = typename StageAt<I>::ActType;
    template <std::size_t I>
    static constexpr Index channels = StageAt<I>::output.channels;
    template <std::size_t I>
    static constexpr Index pixels = pixel_count(StageAt<I>::output);

    static constexpr Index scratch_size = std::max({KernelOf<Stages>::scratch_size...});
    static constexpr Index partial_size = std::max({KernelOf<Stages>::partial_size...});
    static constexpr Index sum_count = 2 * std::max({Stages::output.channels...});

    /// What the stages of a sample's way there (and back) read and write if nothing stays in a cache.
    static constexpr Index scalars_moved(bool training) {
        return ((Stages::forward_label.scalars_moved + (training ? Stages::backward_label.scalars_moved : 0)) + ...);
    }

    static constexpr exec::FusedConvTensors<Stages...> conv_tensors{};
    /// Where the stages' parts of the workspace begin: outputs (a sample), norms.
    struct Offsets {
        std::array<Index, size + 1> output{}, norm{};
    };
    static constexpr Offsets offsets = [] {
        Offsets o;
        std::size_t i = 0;
        ((o.output[i + 1] = o.output[i] + exec::align_up<S>(element_count(Stages::output)),
          o.norm[i + 1] = o.norm[i] + exec::align_up<S>(NormCoefficients<S>::count * exec::storage_per_compute<S> *
                                                        Stages::output.channels),
          ++i),
         ...);
        return o;
    }();
    // Workspace: the norms, then the convolutions' outputs and on the way back gradients between the stages, of which
    // two take turns; in inference maps between the stages take turns.
    static constexpr Index maps_between = static_cast<Index>(size) - (Pooled ? 0 : 1);
    static constexpr Index largest_between = [] {
        Index largest = 0, stage = 0;
        ((largest = stage++ < maps_between ? std::max(largest, element_count(Stages::output)) : largest), ...);
        return exec::align_up<S>(largest);
    }();
    static constexpr Index between = largest_between * std::min<Index>(2, maps_between);
    static constexpr Index saved_per_sample(bool training) { return between + (training ? offsets.output[size] : 0); }
    static constexpr Index saved_fixed(bool) { return offsets.norm[size]; }

    template <std::size_t I>
    static NormCoefficients<S> norm_at(S* saved) {
        return {reinterpret_cast<Number*>(saved + offsets.norm[I]), channels<I>};
    }
    template <std::size_t I>
    static S* output_at(const Pass<S>& pass, S* saved) {
        return saved + offsets.norm[size] + pass.count * offsets.output[I];
    }
    template <std::size_t I>
    static S* gradient_at(const Pass<S>& pass, S* saved) {
        return saved + offsets.norm[size] +
               pass.count * (offsets.output[size] + static_cast<Index>(I % 2) * largest_between);
    }
    template <std::size_t I>
    static S* inferred_at(const Pass<S>& pass, S* output, S* saved) {
        if (I == last && !Pooled) return output;
        return saved + offsets.norm[size] + pass.count * static_cast<Index>(I % 2) * largest_between;
    }

    template <std::size_t I>
    static const Number* parameters_at(const Weights<S>& weights) {
        return weights.parameters + conv_tensors.trainable[I];
    }
    template <std::size_t I>
    static const Number* bias_at(const Weights<S>& weights) {
        return parameters_at<I>(weights) + KernelAt<I>::weight_count;
    }
    template <std::size_t I>
    static constexpr Index norm_parameters = conv_tensors.trainable[I] + StageAt<I>::conv_parameters;

    /// What stage I reads in training.
    template <std::size_t I>
    static auto source_of(const Pass<S>& pass, const S* input, S* saved) {
        if constexpr (I == 0)
            return MemorySource<StageAt<0>::input.channels, S>{input};
        else
            return NormActSource<ActAt<I - 1>, channels<I - 1>, S>{output_at<I - 1>(pass, saved),
                                                                   norm_at<I - 1>(saved)};
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            if (pass.training) {
                (train_stage<Is>(pass, weights, input, saved), ...);
                finish(pass, output, saved);
            } else {
                (infer_stage<Is>(pass, weights, input, output, saved), ...);
                if constexpr (Pooled)
                    average(pass, MemorySource<channels<last>, S>{inferred_at<last>(pass, output, saved)}, output);
            }
        }(std::make_index_sequence<size>{});
    }

    template <std::size_t I>
    static void train_stage(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved) {
        Backend<>::run_stage(pass, StageAt<I>::forward_label, [&] {
            Number* statistics = weights.statistics + conv_tensors.non_trainable[I];
            // The running means are near the batch's.
            const MomentsEpilogue<KernelAt<I>::bias, channels<I>, S> sink{output_at<I>(pass, saved),
                                                                          bias_at<I>(weights), statistics};
            const Index parts =
                KernelAt<I>::forward(pass, parameters_at<I>(weights), source_of<I>(pass, input, saved), sink);
            finish_slices<2>(
                *pass.execution, parts, channels<I>, pass.sums,
                NormFromBatch<S, Number>{static_cast<double>(pass.count * pixels<I>), statistics,
                                         weights.parameters + norm_parameters<I>, statistics, norm_at<I>(saved)});
        });
    }

    template <class Source>
    static void average(const Pass<S>& pass, const Source& source, S* output) {
        sum_samples<StageAt<last>::output>(pass, SourceTerm<Source>{source},
                                           Number(1.0 / static_cast<double>(pixels<last>)), output);
    }

    /// The last stage's map, normalized and activated, or its average.
    static void finish(const Pass<S>& pass, S* output, S* saved) {
        const S* z = output_at<last>(pass, saved);
        if constexpr (Pooled)
            average(pass, NormActSource<ActAt<last>, channels<last>, S>{z, norm_at<last>(saved)}, output);
        else
            write_rows(pass, pass.count * pixels<last>, channels<last>,
                       detail::Normalize<ActAt<last>, S>{z, norm_at<last>(saved)}, output);
    }

    template <std::size_t I>
    static void infer_stage(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        Backend<>::run_stage(pass, StageAt<I>::forward_label, [&] {
            const NormCoefficients<S> norm = norm_at<I>(saved);
            for_each_index(pass, channels<I>,
                           NormFromRunning<S>{weights.statistics + conv_tensors.non_trainable[I],
                                              weights.parameters + norm_parameters<I>, norm});
            const S* from = input;
            if constexpr (I > 0) from = inferred_at<I - 1>(pass, output, saved);
            KernelAt<I>::forward(pass, parameters_at<I>(weights), MemorySource<StageAt<I>::input.channels, S>{from},
                                 NormActEpilogue<ActAt<I>, KernelAt<I>::bias, channels<I>, S>{
                                     inferred_at<I>(pass, output, saved), bias_at<I>(weights), norm});
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved,
                         const S* output_gradient, S* input_gradient, Number* parameter_gradient) {
        finish_rows(*pass.execution, pass.count * pixels<last>, channels<last>,
                    detail::NormGradientTerm<ActAt<last>, S, shared_by>{output_at<last>(pass, saved), output_gradient,
                                                                        norm_at<last>(saved)},
                    pass.sums, backward_coefficients<last>(pass, saved, parameter_gradient));
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            Index parts = 0;  // of the sums that the stage behind left
            ((parts = backward_stage<last - Is>(pass, weights, input, saved, output_gradient, input_gradient,
                                                parameter_gradient, parts)),
             ...);
        }(std::make_index_sequence<size>{});
    }

private:
    /// Rows of the last map that share one row of the run's output.
    static constexpr Index shared_by = Pooled ? pixels<last> : 1;

    template <std::size_t I>
    static NormBackwardCoefficients<S> backward_coefficients(const Pass<S>& pass, S* saved,
                                                             Number* parameter_gradient) {
        return {static_cast<double>(pass.count * pixels<I>), norm_at<I>(saved),
                parameter_gradient + norm_parameters<I>};
    }

    template <std::size_t I>
    static Index backward_stage(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved,
                                const S* output_gradient, S* input_gradient, Number* parameter_gradient, Index parts) {
        Index own_parts = 0;
        Backend<>::run_stage(pass, StageAt<I>::backward_label, [&] {
            if constexpr (I < last)
                finish_slices<2>(*pass.execution, parts, channels<I>, pass.sums,
                                 backward_coefficients<I>(pass, saved, parameter_gradient));
            const auto gradient = [&] {
                const S* z = output_at<I>(pass, saved);
                if constexpr (I == last)
                    return NormGradientSource<ActAt<I>, channels<I>, S, shared_by>{output_gradient, z,
                                                                                   norm_at<I>(saved)};
                else
                    return NormGradientSource<Identity, channels<I>, S>{gradient_at<I>(pass, saved), z,
                                                                        norm_at<I>(saved)};
            }();
            Number* weight_gradient = parameter_gradient + conv_tensors.trainable[I];
            if constexpr (KernelAt<I>::bias)
                bias_gradient(pass, pass.count * pixels<I>, gradient, weight_gradient + KernelAt<I>::weight_count);
            const auto run = [&](const auto& sink) {
                own_parts = KernelAt<I>::backward(pass, parameters_at<I>(weights), gradient,
                                                  source_of<I>(pass, input, saved), sink, weight_gradient);
            };
            constexpr Index in = StageAt<I>::input.channels;
            if constexpr (I > 0)
                run(ActBackwardEpilogue<ActAt<I - 1>, in, S>{gradient_at<I - 1>(pass, saved),
                                                             output_at<I - 1>(pass, saved), norm_at<I - 1>(saved)});
            else if (input_gradient)
                run(PlainSink<false, in, S>{input_gradient});
            else
                run(NullSink<in, S>{});
        });
        return own_parts;
    }
};

}  // namespace bantam::cuda
