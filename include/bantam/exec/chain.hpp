// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/exec/operation.hpp>
#include <bantam/exec/random_stream.hpp>
#include <bantam/exec/stage_label.hpp>
#include <bantam/exec/workspace.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <utility>

namespace bantam::exec {

/// One step of a chain: an operation for one layer, or for fused neighbors of which `L` is the first. `Position` is the
/// position of `L` among the layers, so that fusing does not change the random streams.
template <class L, class Op, Shape Input, Shape Output, Index Trainable, Index NonTrainable, std::size_t Position>
struct Stage {
    using OperationType = Op;
    static constexpr std::size_t position = Position;
    static constexpr Index output_elements = element_count(Output);
    static constexpr Index trainable = Trainable;
    static constexpr Index non_trainable = NonTrainable;
    static constexpr StageLabel forward_label = stage_label<L>(L::name, Input, false);
    static constexpr StageLabel backward_label = stage_label<L>(L::name, Input, true);
};

template <class... Stages>
struct StageList {};

template <class... As, class... Bs>
constexpr StageList<As..., Bs...> operator+(StageList<As...>, StageList<Bs...>) {
    return {};
}

template <class N, class Op, std::size_t Position>
using StageOf =
    Stage<typename N::LayerType, Op, N::input, N::output, trainable_parameters<Part<typename N::LayerType, N::input>>,
          non_trainable_parameters<Part<typename N::LayerType, N::input>>, Position>;

/// Stages in order. A chain has the interface of an operation: composite layers contain chains, and a network is one.
template <class Backend, class S, class List>
struct StageChain;

/// What remains of layers that do not fit: core/diagnostics.hpp reports the error, and the chain adds no others.
template <class Backend, class S>
struct StageChain<Backend, S, StageList<>> : OperationSizes {
    static constexpr Index packed_size = 0;
    using Pass = typename Backend::template Pass<S>;
    using Weights = typename Backend::template Weights<S>;
    static void prepare(const S*, S*) {}
    static void forward(const Pass&, const Weights&, const S*, S*, S*) {}
    template <class InputGradient>
    static void backward(const Pass&, const Weights&, const S*, S*, const S*, InputGradient, Compute<S>*) {}
};

template <class Backend, class S, class... Stages>
struct StageChain<Backend, S, StageList<Stages...>> {
    using Pass = typename Backend::template Pass<S>;
    using Weights = typename Backend::template Weights<S>;
    static constexpr std::size_t size = sizeof...(Stages);
    template <std::size_t I>
    using StageAt = std::tuple_element_t<I, std::tuple<Stages...>>;
    template <std::size_t I>
    using OperationAt = typename StageAt<I>::OperationType;

    static constexpr Index packed_size = (packed_size_of<typename Stages::OperationType> + ...);
    static constexpr Index scratch_size = std::max({Stages::OperationType::scratch_size...});
    static constexpr Index partial_size = std::max({Stages::OperationType::partial_size...});
    static constexpr Index sum_count = std::max({Stages::OperationType::sum_count...});

    static constexpr int stream_digits =
        std::max({step_digits(Stages::position) + Stages::OperationType::stream_digits...});
    static_assert(stream_digits <= max_stream_digits && ((Stages::position < max_children) && ...),
                  "layers are nested too deep, or too many in one chain, for distinct random streams");

    // Regions. In training every stage keeps its output, which backward reads, and what its operation saves; two
    // buffers hold the gradients between the stages in turn. In inference the two buffers hold the maps between the
    // stages, and all operations save in one place.
    static constexpr std::size_t output_region(std::size_t i) { return 2 * i; }
    static constexpr std::size_t saved_region(std::size_t i) { return 2 * i + 1; }
    static constexpr std::size_t alternating_region(std::size_t i) { return 2 * size + i % 2; }
    static constexpr std::size_t inference_region = 2 * size + 2;

    static constexpr auto workspace = make_workspace<S>([](bool training) {
        std::array<RegionSize, 2 * size + 3> regions{};
        // The last output is the caller's.
        std::array<Index, size> outputs{Stages::output_elements...};
        outputs[size - 1] = 0;
        const std::array<Index, 2> buffers = alternating_sizes(outputs);
        for (std::size_t i = 0; i < 2; ++i) regions[alternating_region(i)].per_sample = buffers[i];
        const std::array<RegionSize, size> saved{saved_size<typename Stages::OperationType>(training)...};
        for (std::size_t i = 0; i < size; ++i) {
            if (training) regions[output_region(i)].per_sample = outputs[i];
            RegionSize& region = regions[training ? saved_region(i) : inference_region];
            region = region.max(saved[i]);
        }
        return regions;
    });
    static constexpr Index saved_per_sample(bool training) { return workspace.per_sample(training); }
    static constexpr Index saved_fixed(bool training) { return workspace.fixed(training); }

    static constexpr std::array<TensorOffsets, size> offsets = [] {
        std::array<TensorOffsets, size> result{};
        TensorOffsets next;
        std::size_t i = 0;
        ((result[i++] = next, next.trainable += Stages::trainable, next.non_trainable += Stages::non_trainable,
          next.packed += packed_size_of<typename Stages::OperationType>),
         ...);
        return result;
    }();
    static constexpr std::array<std::size_t, size> positions{Stages::position...};
    static Pass pass_at(const Pass& pass, std::size_t i) {
        return with_stream(pass, child_stream(pass.stream, positions[i]));
    }

    static void prepare(const S* parameters, S* packed) {
        std::size_t i = 0;
        ((Stages::OperationType::prepare(parameters + offsets[i].trainable, packed + offsets[i].packed), ++i), ...);
    }

    static void forward(const Pass& pass, const Weights& weights, const S* input, S* output, S* saved) {
        const auto output_at = [&](std::size_t i) {
            if (i + 1 == size) return output;
            return workspace.at(pass.training ? output_region(i) : alternating_region(i), pass, saved);
        };
        const auto saved_at = [&](std::size_t i) {
            return workspace.at(pass.training ? saved_region(i) : inference_region, pass, saved);
        };
        std::size_t i = 0;
        const auto step = [&]<class Stage>() {
            Backend::run_stage(pass, Stage::forward_label, [&] {
                Stage::OperationType::forward(pass_at(pass, i), weights.at(offsets[i]),
                                              i == 0 ? input : output_at(i - 1), output_at(i), saved_at(i));
            });
            ++i;
        };
        (step.template operator()<Stages>(), ...);
    }

    /// `input_gradient` is a pointer or nullptr itself, see exec::inner_gradient.
    template <class InputGradient>
    static void backward(const Pass& pass, const Weights& weights, const S* input, S* saved, const S* output_gradient,
                         InputGradient input_gradient, Compute<S>* parameter_gradient) {
        // The gradient of stage i's output.
        const auto gradient_at = [&](std::size_t i) { return workspace.at(alternating_region(i), pass, saved); };
        const auto run = [&]<std::size_t I>(const S* stage_input, auto stage_input_gradient) {
            Backend::run_stage(pass, StageAt<I>::backward_label, [&] {
                OperationAt<I>::backward(pass_at(pass, I), weights.at(offsets[I]), stage_input,
                                         workspace.at(saved_region(I), pass, saved),
                                         I + 1 == size ? output_gradient : gradient_at(I), stage_input_gradient,
                                         parameter_gradient + offsets[I].trainable);
            });
        };
        const auto step = [&]<std::size_t I>() {
            if constexpr (I == 0)
                run.template operator()<I>(input, input_gradient);
            else
                run.template operator()<I>(workspace.at(output_region(I - 1), pass, saved), gradient_at(I - 1));
        };
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (step.template operator()<size - 1 - Is>(), ...);
        }(std::make_index_sequence<size>{});
    }
};

}  // namespace bantam::exec
