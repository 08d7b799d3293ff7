// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/deploy/lower.hpp>
#include <bantam/deploy/pixel_scaling.hpp>
#include <bantam/deploy/prepare.hpp>
#include <bantam/quantize/fake_quantize.hpp>
#include <bantam/quantize/simulated_tensors.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

// The network that simulates deploy's int8 in floating point: for each of deploy's stages the layers that compute the
// same on real numbers, with a FakeQuantize behind them where the stage rounds.

namespace bantam::quantize {
namespace detail {

using deploy::Int8;
using deploy::detail::PrepareStage;
using deploy::detail::ScaleReader;

/// The layers of a stage as `Layers`. `plan(plan, scale of the input, scales)` appends what they need and returns the
/// scale of the output.
template <class Stage>
struct Simulation;

template <class List>
struct SimulationChain;
template <class... Stages>
struct SimulationChain<deploy::StageList<Stages...>> {
    using Layers =
        std::conditional_t<sizeof...(Stages) == 0, Identity, Sequence<typename Simulation<Stages>::Layers...>>;

    static double plan(SimulationPlan& plan, double scale, ScaleReader& scales) {
        ((scale = Simulation<Stages>::plan(plan, scale, scales)), ...);
        return scale;
    }
};

/// Layers whose output is rounded to `Out`; logits are not.
template <class Out, class... Ls>
using Rounded =
    std::conditional_t<std::is_same_v<Out, Int8::Logit>, Sequence<Ls...>, Sequence<Ls..., FakeQuantize<Out>>>;

/// The plan of a stage's rounding.
template <class Stage>
double plan_rounding(SimulationPlan& plan, double in_scale, ScaleReader& scales) {
    const double scale = PrepareStage<Stage>::out_scale(in_scale, scales);
    if constexpr (!std::is_same_v<typename Stage::Out, Int8::Logit>) plan.map_scales.push_back(scale);
    return scale;
}

/// A stage that copies elements.
template <class Stage, class L>
struct SimulateCopy {
    using Layers = L;
    static double plan(SimulationPlan&, double in_scale, ScaleReader& scales) {
        return PrepareStage<Stage>::out_scale(in_scale, scales);
    }
};

/// A stage without tensors that rounds.
template <class Stage, class L>
struct SimulateRounded {
    using Layers = Rounded<typename Stage::Out, L>;
    static double plan(SimulationPlan& plan, double in_scale, ScaleReader& scales) {
        return plan_rounding<Stage>(plan, in_scale, scales);
    }
};

template <deploy::ConvSpec S>
constexpr auto simulated_conv() {
    constexpr int outputs = static_cast<int>(S.output.channels);
    constexpr bool depthwise = S.groups == S.input.channels && S.groups == outputs;
    constexpr Size2d kernel_size{S.kernel_height, S.kernel_width};
    constexpr ConvOptions options{
        .padding = S.padding, .dilation = S.dilation, .groups = depthwise ? 1 : S.groups, .bias = true};
    if constexpr (S.source == deploy::WeightSource::linear)
        return Sequence<Flatten, Linear<outputs>>{};
    else if constexpr (depthwise)
        return DepthwiseConv2d<kernel_size, S.stride, options>{};
    else
        return Conv2d<outputs, kernel_size, S.stride, options>{};
}

template <class Stage>
struct SimulateConv {
    static constexpr deploy::ConvSpec spec = Stage::spec;
    using Layers = Rounded<typename Stage::Out, decltype(simulated_conv<spec>())>;

    static double plan(SimulationPlan& plan, double in_scale, ScaleReader& scales) {
        plan.steps.push_back({.outputs = Stage::out_channels,
                              .length = Stage::length,
                              .weights = spec.source != deploy::WeightSource::none,
                              .bias = spec.bias,
                              .norm = spec.norm,
                              .in_scale = in_scale});
        return plan_rounding<Stage>(plan, in_scale, scales);
    }
};

template <deploy::ConvSpec S, class P, class In, class Out>
struct Simulation<deploy::Convolution<S, P, In, Out>> : SimulateConv<deploy::Convolution<S, P, In, Out>> {};
template <deploy::ConvSpec S, class P, class In, class Out>
struct Simulation<deploy::Depthwise<S, P, In, Out>> : SimulateConv<deploy::Depthwise<S, P, In, Out>> {};

template <deploy::PoolSpec S, class P, class T>
struct Simulation<deploy::MaxPool<S, P, T>>
    : SimulateCopy<deploy::MaxPool<S, P, T>, MaxPool2d<S.kernel, S.stride, S.padding>> {};
template <deploy::PoolSpec S, class P, class T>
struct Simulation<deploy::AveragePool<S, P, T>>
    : SimulateRounded<deploy::AveragePool<S, P, T>, AvgPool2d<S.kernel, S.stride, S.padding>> {};
template <Shape Input, class P, class T>
struct Simulation<deploy::GlobalPool<Input, P, T>>
    : SimulateRounded<deploy::GlobalPool<Input, P, T>, GlobalAveragePool> {};
template <Shape Input, class P, class T>
struct Simulation<deploy::FlattenMap<Input, P, T>> : SimulateCopy<deploy::FlattenMap<Input, P, T>, Flatten> {};
template <Shape Input, class P, class In>
struct Simulation<deploy::ToLogits<Input, P, In>> : SimulateCopy<deploy::ToLogits<Input, P, In>, Identity> {};
template <class Act, Shape Input, class P, class In, class Out>
struct Simulation<deploy::Activate<Act, Input, P, In, Out>>
    : SimulateRounded<deploy::Activate<Act, Input, P, In, Out>, Act> {};
template <class Act, Shape Input, class P, class In, class Out>
struct Simulation<deploy::GateHalves<Act, Input, P, In, Out>>
    : SimulateRounded<deploy::GateHalves<Act, Input, P, In, Out>, Gate<Act>> {};

template <class Shuffle, Shape Input, class P, class T>
struct Simulation<deploy::ShuffleChannels<Shuffle, Input, P, T>>
    : SimulateCopy<deploy::ShuffleChannels<Shuffle, Input, P, T>, Shuffle> {};
template <Shape Input, class P, class In, class Out>
struct Simulation<deploy::NormalizePixels<Input, P, In, Out>> {
    using Stage = deploy::NormalizePixels<Input, P, In, Out>;
    using Layers = Rounded<Out, LayerNorm>;

    static double plan(SimulationPlan& plan, double in_scale, ScaleReader& scales) {
        plan.steps.push_back({.copied = Stage::trainable});
        return plan_rounding<Stage>(plan, in_scale, scales);
    }
};

template <deploy::JoinSpec S, class... Paths>
constexpr auto simulated_join() {
    if constexpr (S.scaled_path < 0)
        return Branches<S.fork, S.join, typename SimulationChain<typename Paths::Stages>::Layers...>{};
    else
        return ResidualBlock<typename SimulationChain<typename Paths::Stages>::Layers...,
                             S.scaled_path == 0 ? Scale::body : Scale::shortcut>{};
}

template <deploy::JoinSpec S, class P, class In, class Out, class... Paths>
struct Simulation<deploy::JoinPaths<S, P, In, Out, Paths...>> {
    using Stage = deploy::JoinPaths<S, P, In, Out, Paths...>;
    using Layers = Rounded<Out, decltype(simulated_join<S, Paths...>())>;

    static double plan(SimulationPlan& plan, double in_scale, ScaleReader& scales) {
        (SimulationChain<typename Paths::Stages>::plan(plan, in_scale, scales), ...);
        if (Stage::scale_count > 0) plan.steps.push_back({.copied = Stage::scale_count});
        return plan_rounding<Stage>(plan, in_scale, scales);
    }
};

template <Shape Input, class P, class In, class Out, class GateElement, class Body>
struct Simulation<deploy::GateChannels<Input, P, In, Out, GateElement, Body>> {
    using Stage = deploy::GateChannels<Input, P, In, Out, GateElement, Body>;
    using Layers = Rounded<Out, ChannelGate<typename SimulationChain<Body>::Layers>>;

    static double plan(SimulationPlan& plan, double in_scale, ScaleReader& scales) {
        SimulationChain<Body>::plan(plan, in_scale, scales);
        return plan_rounding<Stage>(plan, in_scale, scales);
    }
};

template <class Net>
using StagesBehindPixels = typename deploy::detail::AfterPixels<deploy::StagesOf<Net, Int8>>::type;

}  // namespace detail

/// Computes in floating point what deploy::Classifier<Net, deploy::Int8> computes in integers, from normalized pixels
/// to logits.
template <class Net>
using SimulatedNetwork =
    Network<Image<static_cast<int>(Net::input.height), static_cast<int>(Net::input.width),
                  static_cast<int>(Net::input.channels)>,
            FakeQuantize<std::int8_t>, typename detail::SimulationChain<detail::StagesBehindPixels<Net>>::Layers>;

/// How `Net` is simulated with these ranges, the largest magnitudes of its maps as deploy::Calibration gives them.
template <class Net>
SimulationPlan simulation_plan(std::span<const float> ranges) {
    detail::ScaleReader scales{ranges};
    const double pixel_scale = deploy::detail::PixelCoefficients<Net::input>{deploy::PixelScaling{}}.out_scale(scales);
    SimulationPlan plan{{}, {pixel_scale}};
    detail::SimulationChain<detail::StagesBehindPixels<Net>>::plan(plan, pixel_scale, scales);
    return plan;
}

}  // namespace bantam::quantize
