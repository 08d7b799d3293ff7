// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/cuda/backend.hpp>
#include <bantam/cuda/batch_norm2d.hpp>
#include <bantam/cuda/conv2d.hpp>
#include <bantam/cuda/depthwise_conv2d.hpp>
#include <bantam/cuda/hooks.hpp>
#include <bantam/cuda/operation.hpp>
#include <bantam/cuda/sample_sums.hpp>
#include <bantam/device/fusion.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>

namespace bantam::cuda {

/// A run of convolution + norm + activation stages on the way from memory to memory, as `cpu::FusedRun`: every stage
/// stores only its convolution's output z, whose statistics are summed while it is written. Norm and activation are
/// applied where the next stage reads z, on the way back as on the way there; the gradient that is stored on the way
/// back is the one behind the norm. In inference norm and activation are applied before z is written. `Pooled` runs
/// end in a global average, which reads the last stage likewise.
template <class S, bool Pooled, class... Stages>
struct FusedRun : OperationSizes {
    using Number = Arithmetic<S>;
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
    static constexpr std::int64_t channels = StageAt<I>::output.channels;
    template <std::size_t I>
    static constexpr std::int64_t pixels = pixel_count(StageAt<I>::output);

    static constexpr std::int64_t scratch = std::max({KernelOf<Stages>::scratch...});
    static constexpr std::int64_t partials = std::max({KernelOf<Stages>::partials...});
    static constexpr std::int64_t sums = 2 * std::max({Stages::output.channels...});

    /// What the stages of a sample's way there (and back) read and write if nothing stays in a cache.
    static constexpr std::int64_t scalars_moved(bool training) {
        return ((Stages::there.scalars_moved + (training ? Stages::back.scalars_moved : 0)) + ...);
    }

    static constexpr device::RunTensors<Stages...> run_tensors{};
    /// Where the stages' parts of the workspace begin: outputs (a sample), norms.
    struct Offsets {
        std::array<std::int64_t, size + 1> output{}, norm{};
    };
    static constexpr Offsets offsets = [] {
        Offsets o;
        std::size_t i = 0;
        ((o.output[i + 1] = o.output[i] + device::whole_numbers<S>(element_count(Stages::output)),
          o.norm[i + 1] = o.norm[i] + device::whole_numbers<S>(NormCoefficients<S>::count *
                                                               device::scalars_a_number<S> * Stages::output.channels),
          ++i),
         ...);
        return o;
    }();
    // Workspace: the norms, then the convolutions' outputs and on the way back gradients between the stages, of which
    // two take turns; in inference maps between the stages take turns.
    static constexpr std::int64_t maps_between = static_cast<std::int64_t>(size) - (Pooled ? 0 : 1);
    static constexpr std::int64_t largest_between = [] {
        std::int64_t largest = 0, stage = 0;
        ((largest = stage++ < maps_between ? std::max(largest, element_count(Stages::output)) : largest), ...);
        return device::whole_numbers<S>(largest);
    }();
    static constexpr std::int64_t between = largest_between * std::min<std::int64_t>(2, maps_between);
    static constexpr std::int64_t saved_per_sample(bool training) {
        return between + (training ? offsets.output[size] : 0);
    }
    static constexpr std::int64_t saved_fixed(bool) { return offsets.norm[size]; }

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
               pass.count * (offsets.output[size] + static_cast<std::int64_t>(I % 2) * largest_between);
    }
    template <std::size_t I>
    static S* inferred_at(const Pass<S>& pass, S* output, S* saved) {
        if (I == last && !Pooled) return output;
        return saved + offsets.norm[size] + pass.count * static_cast<std::int64_t>(I % 2) * largest_between;
    }

    template <std::size_t I>
    static const Number* parameters_at(const Weights<S>& weights) {
        return weights.parameters + run_tensors.trainable[I];
    }
    template <std::size_t I>
    static const Number* bias_at(const Weights<S>& weights) {
        return parameters_at<I>(weights) + KernelAt<I>::weight_count;
    }
    template <std::size_t I>
    static constexpr std::int64_t norm_parameters = run_tensors.trainable[I] + StageAt<I>::conv_parameters;

    /// What stage I reads in training.
    template <std::size_t I>
    static auto source_of(const Pass<S>& pass, const S* input, S* saved) {
        if constexpr (I == 0)
            return PlainSource<StageAt<0>::input.channels, S>{input};
        else
            return ActivatedSource<ActAt<I - 1>, channels<I - 1>, S>{output_at<I - 1>(pass, saved),
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
                    average(pass, PlainSource<channels<last>, S>{inferred_at<last>(pass, output, saved)}, output);
            }
        }(std::make_index_sequence<size>{});
    }

    template <std::size_t I>
    static void train_stage(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved) {
        const device::StageClock::Scope timed{pass.clock, StageAt<I>::there};
        Backend::run_stage(StageAt<I>::there, [&] {
            Number* statistics = weights.statistics + run_tensors.non_trainable[I];
            // The running means are near the batch's.
            const MomentSink<KernelAt<I>::bias, channels<I>, S> sink{output_at<I>(pass, saved), bias_at<I>(weights),
                                                                     statistics};
            const std::int64_t parts =
                KernelAt<I>::forward(pass, parameters_at<I>(weights), source_of<I>(pass, input, saved), sink);
            finish_parts<2>(*pass.execution, parts, channels<I>, pass.sums,
                            NormFromBatch<S, Number>{static_cast<double>(pass.count * pixels<I>), statistics,
                                                     weights.parameters + norm_parameters<I>, statistics,
                                                     norm_at<I>(saved)});
        });
    }

    template <class Source>
    static void average(const Pass<S>& pass, const Source& source, S* output) {
        sum_samples<StageAt<last>::output>(pass, SourceTerm<Source>{source},
                                           Number(1.0 / static_cast<double>(pixels<last>)), output);
    }

    /// The last stage's map, normalised and activated, or its average.
    static void finish(const Pass<S>& pass, S* output, S* saved) {
        const S* z = output_at<last>(pass, saved);
        if constexpr (Pooled)
            average(pass, ActivatedSource<ActAt<last>, channels<last>, S>{z, norm_at<last>(saved)}, output);
        else
            write_rows(pass, pass.count * pixels<last>, channels<last>,
                       detail::Normalise<ActAt<last>, S>{z, norm_at<last>(saved)}, output);
    }

    template <std::size_t I>
    static void infer_stage(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        const device::StageClock::Scope timed{pass.clock, StageAt<I>::there};
        Backend::run_stage(StageAt<I>::there, [&] {
            const NormCoefficients<S> norm = norm_at<I>(saved);
            for_each_index(pass, channels<I>,
                           NormFromRunning<S>{weights.statistics + run_tensors.non_trainable[I],
                                              weights.parameters + norm_parameters<I>, norm});
            const S* from = input;
            if constexpr (I > 0) from = inferred_at<I - 1>(pass, output, saved);
            KernelAt<I>::forward(pass, parameters_at<I>(weights), PlainSource<StageAt<I>::input.channels, S>{from},
                                 FinishSink<ActAt<I>, KernelAt<I>::bias, channels<I>, S>{
                                     inferred_at<I>(pass, output, saved), bias_at<I>(weights), norm});
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved,
                         const S* output_gradient, S* input_gradient, Number* parameter_gradient) {
        finish_rows(*pass.execution, pass.count * pixels<last>, channels<last>,
                    detail::NormGradientTerm<ActAt<last>, S, shared_by>{output_at<last>(pass, saved), output_gradient,
                                                                        norm_at<last>(saved)},
                    pass.sums, way_back<last>(pass, saved, parameter_gradient));
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            std::int64_t parts = 0;  // of the sums that the stage behind left
            ((parts = backward_stage<last - Is>(pass, weights, input, saved, output_gradient, input_gradient,
                                                parameter_gradient, parts)),
             ...);
        }(std::make_index_sequence<size>{});
    }

private:
    /// Rows of the last map that share one row of the run's output.
    static constexpr std::int64_t shared_by = Pooled ? pixels<last> : 1;

    template <std::size_t I>
    static NormWayBack<S> way_back(const Pass<S>& pass, S* saved, Number* parameter_gradient) {
        return {static_cast<double>(pass.count * pixels<I>), norm_at<I>(saved),
                parameter_gradient + norm_parameters<I>};
    }

    template <std::size_t I>
    static std::int64_t backward_stage(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved,
                                       const S* output_gradient, S* input_gradient, Number* parameter_gradient,
                                       std::int64_t parts) {
        const device::StageClock::Scope timed{pass.clock, StageAt<I>::back};
        std::int64_t own_parts = 0;
        Backend::run_stage(StageAt<I>::back, [&] {
            if constexpr (I < last)
                finish_parts<2>(*pass.execution, parts, channels<I>, pass.sums,
                                way_back<I>(pass, saved, parameter_gradient));
            const auto gradient = [&] {
                const S* z = output_at<I>(pass, saved);
                if constexpr (I == last)
                    return NormGradientSource<ActAt<I>, channels<I>, S, shared_by>{output_gradient, z,
                                                                                   norm_at<I>(saved)};
                else
                    return NormGradientSource<Identity, channels<I>, S>{gradient_at<I>(pass, saved), z,
                                                                        norm_at<I>(saved)};
            }();
            Number* weight_gradient = parameter_gradient + run_tensors.trainable[I];
            if constexpr (KernelAt<I>::bias)
                bias_gradient(pass, pass.count * pixels<I>, gradient, weight_gradient + KernelAt<I>::weight_count);
            const auto run = [&](const auto& sink) {
                own_parts = KernelAt<I>::backward(pass, parameters_at<I>(weights), gradient,
                                                  source_of<I>(pass, input, saved), sink, weight_gradient);
            };
            constexpr std::int64_t in = StageAt<I>::input.channels;
            if constexpr (I > 0)
                run(StageSink<ActAt<I - 1>, in, S>{gradient_at<I - 1>(pass, saved), output_at<I - 1>(pass, saved),
                                                   norm_at<I - 1>(saved)});
            else if (input_gradient)
                run(PlainSink<false, in, S>{input_gradient});
            else
                run(NoSink<in, S>{});
        });
        return own_parts;
    }
};

}  // namespace bantam::cuda
