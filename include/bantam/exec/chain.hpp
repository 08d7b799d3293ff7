// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/exec/operation.hpp>
#include <bantam/exec/stage_profiler.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <utility>

namespace bantam::exec {

// What runs a network is a backend: the CPU, a GPU. `Backend::Operation<L, Input, S>` says how it runs a
// layer, `Backend::Chain<L, Input, S>` how it runs layers one after the other, `Backend::Pass<S>` what
// its operations know of a pass. `Backend::run_stage(label, step)` calls one stage's forward or backward.

/// One step of a chain: an operation that stands for one layer or for neighbors that run as one, of
/// which `L` is the first.
/// `Position` is the first one's among the layers, so that fusing changes no layer's randomness.
template <class L, class Op, Shape Input, Shape Output, Index Trainable, Index NonTrainable, std::size_t Position>
struct Stage {
    using OperationType = Op;
    static constexpr std::size_t position = Position;
    static constexpr Index in = element_count(Input);
    static constexpr Index out = element_count(Output);
    static constexpr Index trainable = Trainable;
    static constexpr Index non_trainable = NonTrainable;
    static constexpr StageLabel there = stage_label<L>(L::name, Input, false);
    static constexpr StageLabel back = stage_label<L>(L::name, Input, true);
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

/// Every layer as a stage of its own.
template <class Backend, class S, class... Nodes>
constexpr auto one_by_one(NodeList<Nodes...>) {
    return []<std::size_t... Is>(std::index_sequence<Is...>) {
        return StageList<
            StageOf<Nodes, typename Backend::template Operation<typename Nodes::LayerType, Nodes::input, S>, Is>...>{};
    }(std::index_sequence_for<Nodes...>{});
}

/// Stages one after the other. A chain has the interface of an operation, so that composite layers
/// hold chains and a network is one. In training every stage's output is kept until the way back.
template <class Backend, class S, class List>
struct StageChain;

/// What is left of layers that do not fit: the error is given where they are listed, and no other here.
template <class Backend, class S>
struct StageChain<Backend, S, StageList<>> : OperationSizes {
    using Pass = typename Backend::template Pass<S>;
    static void forward(const Pass&, const Weights<S>&, const S*, S*, S*) {}
    static void backward(const Pass&, const Weights<S>&, const S*, S*, const S*, S*, Compute<S>*) {}
};

template <class Backend, class S, class... Stages>
struct StageChain<Backend, S, StageList<Stages...>> {
    using Pass = typename Backend::template Pass<S>;
    static constexpr std::size_t size = sizeof...(Stages);
    template <std::size_t I>
    using StageAt = std::tuple_element_t<I, std::tuple<Stages...>>;
    template <std::size_t I>
    using OperationAt = typename StageAt<I>::OperationType;

    static constexpr Index packed_size = (Stages::OperationType::packed_size + ...);
    static constexpr Index scratch_size = std::max({Stages::OperationType::scratch_size...});
    static constexpr Index partial_size = std::max({Stages::OperationType::partial_size...});
    static constexpr Index sum_count = std::max({Stages::OperationType::sum_count...});

    /// Outputs between the stages; the last one goes to the caller.
    static constexpr std::array<Index, size> kept = [] {
        std::array<Index, size> outputs{align_up<S>(Stages::out)...};
        outputs[size - 1] = 0;
        return outputs;
    }();
    static constexpr Index largest = *std::max_element(kept.begin(), kept.end());

    /// What stage operation `Op` saves of a sample and of a batch; whatever lies behind it is aligned.
    template <class Op>
    static constexpr Index own_per_sample(bool training) {
        return align_up<S>(Op::saved_per_sample(training));
    }
    template <class Op>
    static constexpr Index own_fixed(bool training) {
        return align_up<S>(Op::saved_fixed(training));
    }
    static constexpr Index saved_per_sample(bool training) {
        if (!training) return 2 * largest + std::max({own_per_sample<typename Stages::OperationType>(false)...});
        Index total = 2 * largest;  // gradients between the stages take turns in two buffers
        for (Index output : kept) total += output;
        return total + (own_per_sample<typename Stages::OperationType>(true) + ...);
    }
    static constexpr Index saved_fixed(bool training) {
        if (!training) return std::max({own_fixed<typename Stages::OperationType>(false)...});
        return (own_fixed<typename Stages::OperationType>(true) + ...);
    }

    /// Where the parts of a chain's workspace begin for a batch of `count`.
    struct Layout {
        std::array<Index, size> output;
        std::array<Index, size> saved;
        Index gradients;
    };
    static constexpr Layout layout(Index count) {
        Layout result{};
        Index offset = 0;
        std::size_t i = 0;
        ((result.output[i] = offset, offset += kept[i] * count, result.saved[i] = offset,
          offset += own_per_sample<typename Stages::OperationType>(true) * count +
                    own_fixed<typename Stages::OperationType>(true),
          ++i),
         ...);
        result.gradients = offset;
        return result;
    }

    struct Offsets {
        std::array<Index, size> trainable{}, non_trainable{}, packed{};
    };
    static constexpr Offsets offsets = [] {
        Offsets result;
        Index trainable = 0, non_trainable = 0, panels = 0;
        std::size_t i = 0;
        ((result.trainable[i] = trainable, trainable += Stages::trainable, result.non_trainable[i] = non_trainable,
          non_trainable += Stages::non_trainable, result.packed[i] = panels,
          panels += Stages::OperationType::packed_size, ++i),
         ...);
        return result;
    }();

    static Weights<S> weights_at(const Weights<S>& weights, std::size_t i) {
        return {weights.parameters + offsets.trainable[i], weights.statistics + offsets.non_trainable[i],
                weights.packed + offsets.packed[i]};
    }
    static constexpr std::array<std::size_t, size> positions{Stages::position...};
    static Pass pass_at(const Pass& pass, std::size_t i) {
        Pass own = pass;
        own.stream = pass.stream * 64 + positions[i] + 1;
        return own;
    }

    static void prepare(const S* parameters, S* panels) {
        std::size_t i = 0;
        ((Stages::OperationType::prepare(parameters + offsets.trainable[i], panels + offsets.packed[i]), ++i), ...);
    }

    static void forward(const Pass& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        const Layout parts = layout(pass.count);
        // Without a way back two buffers take turns and every stage saves in the same place.
        const auto output_at = [&](std::size_t i) {
            if (i + 1 == size) return output;
            if (pass.training) return saved + parts.output[i];
            return saved + static_cast<Index>(i % 2) * largest * pass.count;
        };
        const auto saved_at = [&](std::size_t i) {
            return pass.training ? saved + parts.saved[i] : saved + 2 * largest * pass.count;
        };
        std::size_t i = 0;
        const auto step = [&]<class Stage>() {
            const StageProfiler::Scope timed{pass.profiler, Stage::there};
            Backend::run_stage(Stage::there, [&] {
                Stage::OperationType::forward(pass_at(pass, i), weights_at(weights, i),
                                              i == 0 ? input : output_at(i - 1), output_at(i), saved_at(i));
            });
            ++i;
        };
        (step.template operator()<Stages>(), ...);
    }

    static void backward(const Pass& pass, const Weights<S>& weights, const S* input, S* saved,
                         const S* output_gradient, S* input_gradient, Compute<S>* parameter_gradient) {
        const Layout parts = layout(pass.count);
        const auto gradient_at = [&](std::size_t i) {  // with respect to stage i's output
            return saved + parts.gradients + static_cast<Index>(i % 2) * largest * pass.count;
        };
        const auto step = [&]<std::size_t I>() {
            const StageProfiler::Scope timed{pass.profiler, StageAt<I>::back};
            Backend::run_stage(StageAt<I>::back, [&] {
                OperationAt<I>::backward(
                    pass_at(pass, I), weights_at(weights, I), I == 0 ? input : saved + parts.output[I == 0 ? 0 : I - 1],
                    saved + parts.saved[I], I + 1 == size ? output_gradient : gradient_at(I),
                    I == 0 ? input_gradient : gradient_at(I - 1), parameter_gradient + offsets.trainable[I]);
            });
        };
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (step.template operator()<size - 1 - Is>(), ...);
        }(std::make_index_sequence<size>{});
    }
};

}  // namespace bantam::exec
