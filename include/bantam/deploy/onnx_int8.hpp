// SPDX-License-Identifier: MIT
// Runs on a PC: a network in int8 as an ONNX model. Needs what deploy/onnx.hpp needs.
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/deploy/calibration.hpp>
#include <bantam/deploy/onnx.hpp>
#include <bantam/deploy/prepare.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bantam::deploy {
namespace detail {

/// A map between two stages: its value behind DequantizeLinear, and its scale.
struct OnnxMap {
    EmittedValue value;
    double scale;
};

/// What the export hands from stage to stage.
struct OnnxInt8Export {
    OnnxExport layers;
    ScaleReader scales;
    std::size_t stages = 0;

    OnnxGraph& graph() { return layers.graph; }
    /// The name of the next stage.
    OnnxGraph::Path next_path() { return bantam::detail::joined(OnnxGraph::Path{}.append("stage"), stages++); }

    /// What a stage's preparation writes, and the scale of its output.
    template <class Stage>
    struct Prepared {
        std::vector<std::int8_t> weights = std::vector<std::int8_t>(static_cast<std::size_t>(Stage::weight_count));
        std::vector<std::int32_t> constants =
            std::vector<std::int32_t>(static_cast<std::size_t>(Stage::constant_count));
        double scale = 1;
    };
    template <class Stage>
    Prepared<Stage> prepare(double in_scale) {
        Prepared<Stage> prepared;
        prepared.scale = PrepareStage<Stage>::run(
            layers.tensors, WeightTarget<Int8>{prepared.weights.data(), prepared.constants.data()}, in_scale, scales);
        return prepared;
    }

    /// A value as a map of `Out`s; logits are not quantized.
    template <class Out>
    OnnxMap quantized(const OnnxGraph::Path& path, const EmittedValue& value, double scale) {
        if constexpr (std::is_same_v<Out, Int8::Logit>) {
            return {value, scale};
        } else {
            const std::string zero{bantam::detail::joined(path, "zero_point").view()};
            const Out none = 0;
            graph().add_integers<Out>(zero, {}, std::span{&none, 1});
            const std::string step = graph().constant(static_cast<float>(scale));
            const EmittedValue integers = graph().add("QuantizeLinear", path, {value.name, step, zero});
            return {graph().add("DequantizeLinear", path, {integers.name, step, zero}), scale};
        }
    }
};

/// Writes a stage: `run(output, input)` returns its output.
template <class Stage>
struct EmitOnnxStage;

template <class List>
struct EmitOnnxChain;
template <class... Stages>
struct EmitOnnxChain<StageList<Stages...>> {
    static OnnxMap run(OnnxInt8Export& output, OnnxMap map) {
        ((map = EmitOnnxStage<Stages>::run(output, map)), ...);
        return map;
    }
};

/// Weights of 8 bits with a scale per output channel; biases of 32 bits in units of the sums.
template <class Conv>
struct EmitOnnxConv {
    static OnnxMap run(OnnxInt8Export& output, const OnnxMap& in) {
        constexpr ConvSpec spec = Conv::spec;
        constexpr int taps = spec.kernel_height * spec.kernel_width;
        const OnnxGraph::Path path = output.next_path();
        const auto prepared = output.prepare<Conv>(in.scale);
        std::vector<std::int8_t> weights(static_cast<std::size_t>(Conv::out_channels * Conv::length));
        PrepareConv<Conv>::for_each_weight([&](std::size_t m, std::size_t k, Index at) {
            const std::size_t tap = k / static_cast<std::size_t>(Conv::inputs),
                              c = k % static_cast<std::size_t>(Conv::inputs);
            weights[(m * static_cast<std::size_t>(Conv::inputs) + c) * static_cast<std::size_t>(taps) + tap] =
                prepared.weights[static_cast<std::size_t>(at)];
        });
        std::vector<float> weight_scales, bias_scales;
        std::vector<std::int32_t> biases;
        for (std::size_t m = 0; m < static_cast<std::size_t>(Conv::out_channels); ++m) {
            const std::int32_t factor = prepared.constants[2 * m + 1];
            const double scale =
                std::ldexp(static_cast<double>(factor >> 8), -(factor & 0xff)) * prepared.scale / in.scale;
            weight_scales.push_back(std::max(static_cast<float>(scale), std::numeric_limits<float>::min()));
            bias_scales.push_back(static_cast<float>(static_cast<double>(weight_scales.back()) * in.scale));
            biases.push_back(prepared.constants[2 * m]);
        }
        const EmittedValue kernel = dequantized<std::int8_t>(
            output, bantam::detail::joined(path, "weight"),
            {Conv::out_channels, Conv::inputs, spec.kernel_height, spec.kernel_width}, weights, weight_scales);
        const EmittedValue bias = dequantized<std::int32_t>(output, bantam::detail::joined(path, "bias"),
                                                            {Conv::out_channels}, biases, bias_scales);
        const EmittedValue sum = output.graph().add(
            "Conv", path, {in.value.name, kernel.name, bias.name}, false, [&](onnx::NodeProto& node) {
                set_onnx_window(node, {spec.kernel_height, spec.kernel_width}, spec.stride, spec.padding);
                OnnxGraph::set_integers(node, "dilations", {spec.dilation.height, spec.dilation.width});
                OnnxGraph::set_integer(node, "group", spec.groups);
            });
        // Quantization to an unsigned map is the ReLU, and with the scale 6 / 255 the ReLU6.
        return output.quantized<typename Conv::Out>(path, sum, prepared.scale);
    }

private:
    /// An initializer of integers behind a DequantizeLinear with one scale per output channel.
    template <class Integer>
    static EmittedValue dequantized(OnnxInt8Export& output, const OnnxGraph::Path& path,
                                    std::initializer_list<Index> extents, const std::vector<Integer>& values,
                                    const std::vector<float>& scales) {
        const std::string name{path.view()}, scale = name + ".scale", zero = name + ".zero_point";
        const Index channels[]{static_cast<Index>(scales.size())};
        const std::vector<Integer> zeros(scales.size());
        output.graph().add_integers<Integer>(name, std::vector<Index>{extents}, values);
        output.graph().add_floats(scale, channels, scales.data());
        output.graph().add_integers<Integer>(zero, channels, zeros);
        return output.graph().add("DequantizeLinear", path, {name, scale, zero}, false,
                                  [](onnx::NodeProto& node) { OnnxGraph::set_integer(node, "axis", 0); });
    }
};

template <ConvSpec S, class P, class In, class Out>
struct EmitOnnxStage<Convolution<S, P, In, Out>> : EmitOnnxConv<Convolution<S, P, In, Out>> {};
template <ConvSpec S, class P, class In, class Out>
struct EmitOnnxStage<Depthwise<S, P, In, Out>> : EmitOnnxConv<Depthwise<S, P, In, Out>> {};

/// A stage whose float form `emit(path, value)` adds.
template <class Stage, class Emit>
OnnxMap emit_onnx_stage(OnnxInt8Export& output, const OnnxMap& in, Emit&& emit) {
    const OnnxGraph::Path path = output.next_path();
    const double scale = output.prepare<Stage>(in.scale).scale;
    return output.quantized<typename Stage::Out>(path, emit(path, in.value), scale);
}

template <PoolSpec S>
struct PoolWindow {
    static constexpr Size2d kernel_size = S.kernel;
    static constexpr Size2d stride = S.stride;
    static constexpr Size2d padding = S.padding;
};

template <PoolSpec S, class Stage>
OnnxMap emit_onnx_pool_stage(OnnxInt8Export& output, const OnnxMap& in, const char* op) {
    return emit_onnx_stage<Stage>(output, in, [&](const OnnxGraph::Path& path, const EmittedValue& value) {
        return emit_onnx_pool<PoolWindow<S>>(output.layers, path, value, op);
    });
}
template <PoolSpec S, class P, class T>
struct EmitOnnxStage<MaxPool<S, P, T>> {
    static OnnxMap run(OnnxInt8Export& output, const OnnxMap& in) {
        return emit_onnx_pool_stage<S, MaxPool<S, P, T>>(output, in, "MaxPool");
    }
};
template <PoolSpec S, class P, class T>
struct EmitOnnxStage<AveragePool<S, P, T>> {
    static OnnxMap run(OnnxInt8Export& output, const OnnxMap& in) {
        return emit_onnx_pool_stage<S, AveragePool<S, P, T>>(output, in, "AveragePool");
    }
};

template <Shape Input, class P, class T>
struct EmitOnnxStage<GlobalPool<Input, P, T>> {
    static OnnxMap run(OnnxInt8Export& output, const OnnxMap& in) {
        return emit_onnx_stage<GlobalPool<Input, P, T>>(
            output, in, [&](const OnnxGraph::Path& path, const EmittedValue& value) {
                return output.graph().add("GlobalAveragePool", path, {value.name});
            });
    }
};

template <Shape Input, class P, class T>
struct EmitOnnxStage<FlattenMap<Input, P, T>> {
    static OnnxMap run(OnnxInt8Export& output, const OnnxMap& in) {
        return emit_onnx_stage<FlattenMap<Input, P, T>>(
            output, in, [&](const OnnxGraph::Path& path, const EmittedValue& value) {
                OnnxGraph& graph = output.graph();
                const EmittedValue pixels = graph.transpose(path, value, {0, 2, 3, 1});
                return graph.add("Reshape", path, {pixels.name, graph.constant({0, element_count(Input), 1, 1})});
            });
    }
};

template <class Act, Shape Input, class P, class In, class Out>
struct EmitOnnxStage<Activate<Act, Input, P, In, Out>> {
    static OnnxMap run(OnnxInt8Export& output, const OnnxMap& in) {
        return emit_onnx_stage<Activate<Act, Input, P, In, Out>>(
            output, in, [&](const OnnxGraph::Path& path, const EmittedValue& value) {
                return OnnxForm<Act>::template emit<Input>(output.layers, path, value);
            });
    }
};
template <class Act, Shape Input, class P, class In, class Out>
struct EmitOnnxStage<GateHalves<Act, Input, P, In, Out>> {
    static OnnxMap run(OnnxInt8Export& output, const OnnxMap& in) {
        return emit_onnx_stage<GateHalves<Act, Input, P, In, Out>>(
            output, in, [&](const OnnxGraph::Path& path, const EmittedValue& value) {
                return OnnxForm<Gate<Act>>::template emit<Input>(output.layers, path, value);
            });
    }
};

template <class Shuffle, Shape Input, class P, class T>
struct EmitOnnxStage<ShuffleChannels<Shuffle, Input, P, T>> {
    static OnnxMap run(OnnxInt8Export& output, const OnnxMap& in) {
        return emit_onnx_stage<ShuffleChannels<Shuffle, Input, P, T>>(
            output, in, [&](const OnnxGraph::Path& path, const EmittedValue& value) {
                return OnnxForm<Shuffle>::template emit<Input>(output.layers, path, value);
            });
    }
};
template <Shape Input, class P, class In, class Out>
struct EmitOnnxStage<NormalizePixels<Input, P, In, Out>> {
    static OnnxMap run(OnnxInt8Export& output, const OnnxMap& in) {
        const OnnxGraph::Path path = output.next_path();
        const EmittedValue normalized = OnnxForm<LayerNorm>::template emit<Input>(output.layers, path, in.value);
        const double scale = PrepareStage<NormalizePixels<Input, P, In, Out>>::out_scale(in.scale, output.scales);
        return output.quantized<Out>(path, normalized, scale);
    }
};

template <Shape Input, class P, class In>
struct EmitOnnxStage<ToLogits<Input, P, In>> {
    static OnnxMap run(OnnxInt8Export& output, const OnnxMap& in) {
        return emit_onnx_stage<ToLogits<Input, P, In>>(
            output, in, [](const OnnxGraph::Path&, const EmittedValue& value) { return value; });
    }
};

template <Shape Input, class P, class In, class Out, class GateElement, class Body>
struct EmitOnnxStage<GateChannels<Input, P, In, Out, GateElement, Body>> {
    static OnnxMap run(OnnxInt8Export& output, const OnnxMap& in) {
        const OnnxMap gate = EmitOnnxChain<Body>::run(output, in);
        const OnnxGraph::Path path = output.next_path();
        using Stage = GateChannels<Input, P, In, Out, GateElement, Body>;
        const double scale = PrepareStage<Stage>::out_scale(in.scale, output.scales);
        return output.quantized<Out>(path, gated(output.layers, path, in.value, gate.value), scale);
    }
};

template <JoinSpec S, class P, class In, class Out, class... Paths>
struct EmitOnnxStage<JoinPaths<S, P, In, Out, Paths...>> {
    static OnnxMap run(OnnxInt8Export& output, const OnnxMap& in) {
        using Stage = JoinPaths<S, P, In, Out, Paths...>;
        OnnxGraph& graph = output.graph();
        const OnnxGraph::Path path = output.next_path();
        constexpr int count = static_cast<int>(sizeof...(Paths));
        std::vector<EmittedValue> values(sizeof...(Paths), in.value);
        if (S.fork == Fork::split && count > 1) values = graph.split(path, in.value, count);
        std::size_t at = 0;
        ((values[at] = EmitOnnxChain<typename Paths::Stages>::run(output, {values[at], in.scale}).value, ++at), ...);

        const float* learned = output.layers.tensors.take_parameters(Stage::scale_count);
        if constexpr (S.scaled_path >= 0) {
            const std::string name{bantam::detail::joined(path, "scale").view()};
            graph.add_floats(name, std::array<Index, 3>{Stage::channels, 1, 1}, learned);
            EmittedValue& scaled = values[static_cast<std::size_t>(S.scaled_path)];
            scaled = graph.add("Mul", path, {scaled.name, name});
        }
        const EmittedValue joined = graph.add(onnx_join(S.join), path, {}, false, [&](onnx::NodeProto& node) {
            for (const EmittedValue& value : values) node.add_input(value.name);
            if (S.join == Join::concatenate) OnnxGraph::set_integer(node, "axis", 1);
        });
        return output.quantized<Out>(path, joined, PrepareStage<Stage>::out_scale(in.scale, output.scales));
    }
};

}  // namespace detail

/// The network in int8 as the bytes of an ONNX model (opset 17) of QuantizeLinear and DequantizeLinear around every
/// stage of `prepare_int8`, with the same weights, biases and scales; input and output are those of `onnx_model`. The
/// format rounds halves to even and `Classifier` rounds them up, so that elements may differ by one. Throws Error as
/// `prepare_int8` does.
template <class Net>
std::string onnx_int8_model(std::span<const float> parameters, std::span<const float> statistics,
                            std::span<const float> largest, const OnnxText& about = {},
                            const PixelScaling& scaling = {}) {
    using Stages = StagesOf<Net, Int8>;
    detail::check_tensors<Net>(parameters, statistics);
    detail::check_ranges<Net>(largest);
    return detail::onnx_bytes<Net>(about, [&](OnnxGraph& graph, const EmittedValue& pixels) {
        detail::OnnxInt8Export output{{graph, {parameters.data(), statistics.data()}}, {largest}};
        std::vector<std::int32_t> constants(static_cast<std::size_t>(2 * input_shape<Net>.channels));
        detail::WeightTarget<Int8> target{nullptr, constants.data()};
        double scale = 1;
        detail::prepare_pixels<input_shape<Net>>(scaling, target, scale, output.scales);
        const detail::OnnxMap input = output.quantized<std::int8_t>(output.next_path(), pixels, scale);
        const detail::OnnxMap logits =
            detail::EmitOnnxChain<typename detail::AfterPixels<Stages>::type>::run(output, input);
        return graph.as_flat({}, logits.value);
    });
}

/// The same with the ranges of a calibration, see `prepare_int8`.
template <class Net>
std::string onnx_int8_model(std::span<const float> parameters, std::span<const float> statistics,
                            const Calibration<Net>& calibration, const OnnxText& about = {},
                            const PixelScaling& scaling = {}, double kept = 1) {
    return onnx_int8_model<Net>(parameters, statistics, calibration.largest(kept), about, scaling);
}

}  // namespace bantam::deploy
