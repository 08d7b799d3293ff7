// SPDX-License-Identifier: MIT
// Runs on a PC: the tensors of a network whose branches were folded.
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/deploy/prepare.hpp>
#include <bantam/layers/deployed.hpp>
#include <bantam/layers/foldable_add.hpp>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace bantam::deploy {

/// The flat buffers of a network, as those of `cpu::Model`.
struct NetworkTensors {
    std::vector<float> parameters;
    std::vector<float> statistics;
};

namespace detail {

/// A convolution's weights [output][input of its group][tap] and biases, to which paths are added.
template <class Conv, Shape Input>
struct SumOfPaths {
    static constexpr Size2d kernel_size = Conv::kernel_size;
    static constexpr Index outputs = Conv::output_shape(Input).channels;
    static constexpr Index inputs = Conv::tensors(Input).begin()->extents[1];
    std::vector<double> weights = std::vector<double>(static_cast<std::size_t>(outputs * inputs * Conv::Window::taps));
    std::vector<double> biases = std::vector<double>(static_cast<std::size_t>(outputs));

    void add(const FoldablePath& path, TensorReader& tensors) {
        const Index taps = Index{path.kernel_size.height} * path.kernel_size.width;
        const bool identity = path.kind == FoldablePath::Kind::identity;
        const float* weight = identity ? nullptr : tensors.take_parameters(outputs * inputs * taps);
        const float* bias = path.bias ? tensors.take_parameters(outputs) : nullptr;
        const float* norm = path.norm ? tensors.take_parameters(2 * outputs) : nullptr;
        const float* running = path.norm ? tensors.take_statistics(2 * outputs) : nullptr;
        for (Index o = 0; o < outputs; ++o) {
            double scale = 1, shift = 0;
            if (norm) {
                scale = norm_scale(static_cast<double>(norm[o]), static_cast<double>(running[outputs + o]));
                shift = static_cast<double>(norm[outputs + o]) - static_cast<double>(running[o]) * scale;
            }
            biases[static_cast<std::size_t>(o)] += shift + (bias ? static_cast<double>(bias[o]) * scale : 0.0);
            if (identity) {
                // A group has as many inputs as outputs.
                tap(o, o % inputs, path, 0, 0) += scale;
                continue;
            }
            for (Index c = 0; c < inputs; ++c)
                for (int ky = 0; ky < path.kernel_size.height; ++ky)
                    for (int kx = 0; kx < path.kernel_size.width; ++kx)
                        tap(o, c, path, ky, kx) += static_cast<double>(*weight++) * scale;
        }
    }

private:
    /// The weight over the input that tap `ky`, `kx` of a path's window lies over.
    double& tap(Index o, Index c, const FoldablePath& path, int ky, int kx) {
        const int y = ky + Conv::padding.height - path.padding.height;
        const int x = kx + Conv::padding.width - path.padding.width;
        return weights[static_cast<std::size_t>(((o * inputs + c) * kernel_size.height + y) * kernel_size.width + x)];
    }
};

template <Shape Input, class... Paths>
void fold_paths(FoldableAdd<Paths...>, TensorReader& from, NetworkTensors& to) {
    SumOfPaths<typename FoldableAdd<Paths...>::Deployed, Input> sum;
    (sum.add(bantam::detail::foldable_path<Paths>, from), ...);
    for (const double weight : sum.weights) to.parameters.push_back(static_cast<float>(weight));
    for (const double bias : sum.biases) to.parameters.push_back(static_cast<float>(bias));
}

template <class L, Shape Input>
void fold_layer(TensorReader& from, NetworkTensors& to);

template <Shape Input, class... Ls, std::size_t... Is>
void fold_sequence(TensorReader& from, NetworkTensors& to, Sequence<Ls...>, std::index_sequence<Is...>) {
    (fold_layer<Ls, sequence_shapes<Input, Ls...>[Is]>(from, to), ...);
}

template <class L, Shape Input, class... Cs, std::size_t... Is>
void fold_children(TensorReader& from, NetworkTensors& to, ChildList<Cs...>, std::index_sequence<Is...>) {
    (fold_layer<Cs, L::child_input(Input, static_cast<int>(Is))>(from, to), ...);
}

/// Reads a layer's tensors in storage order and appends those of the layer when deployed.
template <class L, Shape Input>
void fold_layer(TensorReader& from, NetworkTensors& to) {
    if constexpr (NamedLayer<L>) {
        fold_layer<typename L::Wrapped, Input>(from, to);
    } else if constexpr (BlockLayer<L>) {
        fold_layer<typename L::template Expansion<Input>, Input>(from, to);
    } else if constexpr (SequenceLayer<L>) {
        fold_sequence<Input>(from, to, typename L::Layers{}, std::make_index_sequence<L::Layers::size>{});
    } else if constexpr (requires { typename L::Deployed; }) {
        fold_paths<Input>(L{}, from, to);
    } else {
        if constexpr (CompositeLayer<L>)
            fold_children<L, Input>(from, to, typename L::Children{},
                                    std::make_index_sequence<static_cast<std::size_t>(L::Children::count)>{});
        constexpr Index trainable = element_count(L::tensors(Input), true);
        constexpr Index statistics = element_count(L::tensors(Input), false);
        const float* values = from.take_parameters(trainable);
        to.parameters.insert(to.parameters.end(), values, values + trainable);
        values = from.take_statistics(statistics);
        to.statistics.insert(to.statistics.end(), values, values + statistics);
    }
}

}  // namespace detail

/// The tensors of `Deployed<Net>` whose outputs are those of `Net` in inference, up to rounding. `parameters` and
/// `statistics` are the flat buffers of `cpu::Model`. Throws Error where they are another network's.
template <class Net>
NetworkTensors fold_tensors(std::span<const float> parameters, std::span<const float> statistics) {
    detail::check_tensors<Net>(parameters, statistics);
    detail::TensorReader from{parameters.data(), statistics.data()};
    NetworkTensors folded;
    detail::fold_layer<typename Net::Layers, input_shape<Net>>(from, folded);
    return folded;
}

}  // namespace bantam::deploy
