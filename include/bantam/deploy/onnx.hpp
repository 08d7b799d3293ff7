// SPDX-License-Identifier: MIT
// Runs on a PC: a network as an ONNX model. Needs the format's own library, <onnx/onnx_pb.h> and libonnx_proto (Debian:
// libonnx-dev).
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/deploy/emit_layers.hpp>
#include <bantam/deploy/prepare.hpp>
#include <bantam/layers/all.hpp>

// As the library itself is built, where the build does not say.
#ifndef ONNX_NAMESPACE
#define ONNX_NAMESPACE onnx
#endif
#ifndef ONNX_ML
#define ONNX_ML 1
#endif
#include <onnx/onnx_pb.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bantam::deploy {

/// What a model says beside the network.
struct OnnxText {
    std::string name = "student";                   ///< of the graph
    std::map<std::string, std::string> metadata{};  ///< entries for whoever runs the model
};

/// Never defined: its appearance in a compiler's output is the error message. Specialize OnnxForm for a layer of your
/// own.
template <class Layer>
struct layer_has_no_onnx_form;

/// A graph that grows node by node. The initializers that are a layer's tensors have the names of checkpoints.
class OnnxGraph {
public:
    using Path = bantam::detail::Path;
    static constexpr int opset = 17;

    explicit OnnxGraph(onnx::GraphProto& graph) : graph_{graph} {}

    /// A node `op` of the layer at `path`, named after both; returns its output.
    EmittedValue add(std::string_view op, const Path& path, std::initializer_list<std::string> inputs,
                     bool flat = false) {
        return {*add_node(op, path, inputs).mutable_output(0), flat};
    }
    /// The same, with attributes that `set(node)` adds.
    template <class Set>
    EmittedValue add(std::string_view op, const Path& path, std::initializer_list<std::string> inputs, bool flat,
                     Set&& set) {
        onnx::NodeProto& node = add_node(op, path, inputs);
        set(node);
        return {node.output(0), flat};
    }
    /// A node of several outputs: the value cut into `count` equal parts along the channels.
    std::vector<EmittedValue> split(const Path& path, const EmittedValue& value, int count) {
        onnx::NodeProto& node = add_node("Split", path, {value.name});
        set_integer(node, "axis", 1);
        std::vector<EmittedValue> parts{{node.output(0), value.flat}};
        for (int part = 1; part < count; ++part) {
            parts.push_back({node.output(0) + "." + std::to_string(part), value.flat});
            node.add_output(parts.back().name);
        }
        return parts;
    }

    /// A tensor of the network under its name in checkpoints; returns that name.
    std::string add_tensor(const Path& path, const Tensor& tensor, const float* values) {
        const std::string name{bantam::detail::joined(path, tensor.name).view()};
        const std::span<const Index> extents{tensor.extents.data(), static_cast<std::size_t>(tensor.rank)};
        add_floats(name, extents, values);
        return name;
    }
    /// A tensor with one element per channel, in the shape that meets the channels of a map or of flat values.
    std::string add_channels(const Path& path, const Tensor& tensor, const float* values, bool flat) {
        const std::string name{bantam::detail::joined(path, tensor.name).view()};
        const Index extents[]{tensor.element_count(), 1, 1};
        add_floats(name, std::span{extents, flat ? std::size_t{1} : std::size_t{3}}, values);
        return name;
    }
    /// An initializer of integers of 8 or 32 bits under `name`.
    template <class Integer>
    void add_integers(const std::string& name, std::span<const Index> extents, std::span<const Integer> values) {
        onnx::TensorProto& proto = *graph_.add_initializer();
        proto.set_name(name);
        proto.set_data_type(std::is_same_v<Integer, std::int8_t>    ? onnx::TensorProto::INT8
                            : std::is_same_v<Integer, std::uint8_t> ? onnx::TensorProto::UINT8
                                                                    : onnx::TensorProto::INT32);
        for (const Index extent : extents) proto.add_dims(extent);
        // In the format's own field for integers, each takes up to ten bytes.
        static_assert(std::endian::native == std::endian::little);
        proto.set_raw_data(values.data(), values.size_bytes());
    }
    /// One of floats. A layer that runs again has its tensors once.
    void add_floats(const std::string& name, std::span<const Index> extents, const float* values) {
        if (!floats_.insert(name).second) return;
        onnx::TensorProto& proto = *graph_.add_initializer();
        proto.set_name(name);
        proto.set_data_type(onnx::TensorProto::FLOAT);
        Index count = 1;
        for (const Index extent : extents) {
            proto.add_dims(extent);
            count *= extent;
        }
        proto.mutable_float_data()->Reserve(static_cast<int>(count));
        for (Index i = 0; i < count; ++i) proto.add_float_data(values[i]);
    }
    /// A number, an array and a list of whole numbers, as initializers; return their names.
    std::string constant(float value) { return constant({}, &value); }
    std::string constant(std::initializer_list<Index> extents, const float* values) {
        const std::string name = "constant." + std::to_string(constants_++);
        add_floats(name, std::span{extents.begin(), extents.size()}, values);
        return name;
    }
    std::string constant(std::initializer_list<Index> values) {
        onnx::TensorProto& proto = *graph_.add_initializer();
        proto.set_name("constant." + std::to_string(constants_++));
        proto.set_data_type(onnx::TensorProto::INT64);
        proto.add_dims(static_cast<Index>(values.size()));
        for (const Index value : values) proto.add_int64_data(value);
        return proto.name();
    }

    /// The value as [N, C, H, W].
    EmittedValue as_map(const Path& path, const EmittedValue& value) {
        if (!value.flat) return value;
        return add("Unsqueeze", path, {value.name, constant({2, 3})});
    }
    /// The value of one pixel as [N, C].
    EmittedValue as_flat(const Path& path, const EmittedValue& value) {
        if (value.flat) return value;
        return add("Flatten", path, {value.name}, true);
    }
    EmittedValue transpose(const Path& path, const EmittedValue& value, std::initializer_list<Index> order) {
        return add("Transpose", path, {value.name}, false,
                   [&](onnx::NodeProto& node) { set_integers(node, "perm", order); });
    }

    static void set_integer(onnx::NodeProto& node, const char* name, Index value) {
        onnx::AttributeProto& attribute = *node.add_attribute();
        attribute.set_name(name);
        attribute.set_type(onnx::AttributeProto::INT);
        attribute.set_i(value);
    }
    static void set_number(onnx::NodeProto& node, const char* name, double value) {
        onnx::AttributeProto& attribute = *node.add_attribute();
        attribute.set_name(name);
        attribute.set_type(onnx::AttributeProto::FLOAT);
        attribute.set_f(static_cast<float>(value));
    }
    static void set_integers(onnx::NodeProto& node, const char* name, std::initializer_list<Index> values) {
        onnx::AttributeProto& attribute = *node.add_attribute();
        attribute.set_name(name);
        attribute.set_type(onnx::AttributeProto::INTS);
        for (const Index value : values) attribute.add_ints(value);
    }

private:
    onnx::NodeProto& add_node(std::string_view op, const Path& path, std::initializer_list<std::string> inputs) {
        onnx::NodeProto& node = *graph_.add_node();
        node.set_op_type(std::string{op});
        std::string name{path.view()};
        name += (name.empty() ? "" : "/") + node.op_type();
        if (const int number = used_[name]++; number > 0) name += "." + std::to_string(number);
        node.set_name(name);
        for (const std::string& input : inputs) node.add_input(input);
        node.add_output(name);
        return node;
    }

    onnx::GraphProto& graph_;
    std::map<std::string, int> used_;
    std::set<std::string> floats_;
    int constants_ = 0;
};

/// What an export hands from layer to layer.
struct OnnxExport {
    OnnxGraph& graph;
    detail::TensorReader tensors;

    /// Adds a layer's tensors in storage order; returns their names.
    template <class L, Shape Input>
    std::vector<std::string> add_tensors(const OnnxGraph::Path& path) {
        std::vector<std::string> names;
        for (const Tensor& tensor : L::tensors(Input)) {
            const Index count = tensor.element_count();
            const float* values = tensor.trainable ? tensors.take_parameters(count) : tensors.take_statistics(count);
            names.push_back(graph.add_tensor(path, tensor, values));
        }
        return names;
    }
};

/// How a layer is written: `static EmittedValue emit<Input>(OnnxExport&, const OnnxGraph::Path&, EmittedValue)`.
template <class L>
struct OnnxForm {
    static_assert(sizeof(layer_has_no_onnx_form<L>) > 0, "a layer has no form in ONNX");
};

namespace detail {

/// The attributes of a node whose window slides over a map.
inline void set_onnx_window(onnx::NodeProto& node, Size2d kernel_size, Size2d stride, Size2d padding) {
    OnnxGraph::set_integers(node, "kernel_shape", {kernel_size.height, kernel_size.width});
    OnnxGraph::set_integers(node, "strides", {stride.height, stride.width});
    OnnxGraph::set_integers(node, "pads", {padding.height, padding.width, padding.height, padding.width});
}

/// A convolution of any groups; `set_more(node)` adds attributes.
template <class L, Shape Input, class Set>
EmittedValue emit_onnx_conv(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value, Index groups,
                            const char* op, const Set& set_more) {
    const EmittedValue map = output.graph.as_map(path, value);
    const std::vector<std::string> tensors = output.add_tensors<L, Input>(path);
    const auto set = [&](onnx::NodeProto& node) {
        set_onnx_window(node, L::kernel_size, L::stride, L::padding);
        OnnxGraph::set_integers(node, "dilations", {L::dilation.height, L::dilation.width});
        OnnxGraph::set_integer(node, "group", groups);
        set_more(node);
    };
    if (tensors.size() == 1) return output.graph.add(op, path, {map.name, tensors[0]}, false, set);
    return output.graph.add(op, path, {map.name, tensors[0], tensors[1]}, false, set);
}
template <class L, Shape Input>
EmittedValue emit_onnx_conv(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value, Index groups) {
    return emit_onnx_conv<L, Input>(output, path, value, groups, "Conv", [](onnx::NodeProto&) {});
}

template <class L>
EmittedValue emit_onnx_pool(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value,
                            const char* op) {
    return output.graph.add(op, path, {output.graph.as_map(path, value).name}, false, [&](onnx::NodeProto& node) {
        set_onnx_window(node, L::kernel_size, L::stride, L::padding);
        // As PyTorch's AvgPool2d and Bantam's: a window at the border is divided by its whole size.
        if (std::string_view{op} == "AveragePool") OnnxGraph::set_integer(node, "count_include_pad", 1);
    });
}

constexpr const char* onnx_join(Join join) {
    return join == Join::concatenate ? "Concat" : join == Join::add ? "Sum" : "Mean";
}

/// x · gate(x), the form of several activations; `gate` is a value.
inline EmittedValue gated(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value,
                          const EmittedValue& gate) {
    return output.graph.add("Mul", path, {value.name, gate.name}, value.flat);
}

}  // namespace detail

template <int Out, auto Kernel, auto Stride, ConvOptions Options>
struct OnnxForm<Conv2d<Out, Kernel, Stride, Options>> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        using L = Conv2d<Out, Kernel, Stride, Options>;
        return detail::emit_onnx_conv<L, Input>(output, path, value, L::groups);
    }
};

template <auto Kernel, auto Stride, ConvOptions Options>
struct OnnxForm<DepthwiseConv2d<Kernel, Stride, Options>> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        return detail::emit_onnx_conv<DepthwiseConv2d<Kernel, Stride, Options>, Input>(output, path, value,
                                                                                       Input.channels);
    }
};

template <int Out, auto Kernel, auto Stride, ConvTransposeOptions Options>
struct OnnxForm<ConvTranspose2d<Out, Kernel, Stride, Options>> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        using L = ConvTranspose2d<Out, Kernel, Stride, Options>;
        return detail::emit_onnx_conv<L, Input>(output, path, value, 1, "ConvTranspose", [](onnx::NodeProto& node) {
            OnnxGraph::set_integers(node, "output_padding", {L::output_padding.height, L::output_padding.width});
        });
    }
};

template <int Out, Bias HasBias>
struct OnnxForm<Linear<Out, HasBias>> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        const EmittedValue flat = output.graph.as_flat(path, value);
        const std::vector<std::string> tensors = output.add_tensors<Linear<Out, HasBias>, Input>(path);
        const auto set = [](onnx::NodeProto& node) { OnnxGraph::set_integer(node, "transB", 1); };
        if (tensors.size() == 1) return output.graph.add("Gemm", path, {flat.name, tensors[0]}, true, set);
        return output.graph.add("Gemm", path, {flat.name, tensors[0], tensors[1]}, true, set);
    }
};

template <>
struct OnnxForm<BatchNorm2d> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        const std::vector<std::string> tensors = output.add_tensors<BatchNorm2d, Input>(path);
        return output.graph.add(
            "BatchNormalization", path, {value.name, tensors[0], tensors[1], tensors[2], tensors[3]}, value.flat,
            [](onnx::NodeProto& node) { OnnxGraph::set_number(node, "epsilon", BatchNorm2d::epsilon); });
    }
};

template <>
struct OnnxForm<LayerNorm> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        const std::vector<std::string> tensors = output.add_tensors<LayerNorm, Input>(path);
        const EmittedValue pixels = value.flat ? value : output.graph.transpose(path, value, {0, 2, 3, 1});
        const EmittedValue normalized = output.graph.add(
            "LayerNormalization", path, {pixels.name, tensors[0], tensors[1]}, value.flat, [](onnx::NodeProto& node) {
                OnnxGraph::set_integer(node, "axis", -1);
                OnnxGraph::set_number(node, "epsilon", LayerNorm::epsilon);
            });
        return value.flat ? normalized : output.graph.transpose(path, normalized, {0, 3, 1, 2});
    }
};

/// ONNX normalizes each "instance", here a group: [N, Groups, the group's scalars].
template <int Groups>
struct OnnxForm<GroupNorm<Groups>> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        OnnxGraph& graph = output.graph;
        const EmittedValue map = graph.as_map(path, value);
        std::vector<std::string> tensors;
        for (const Tensor& tensor : GroupNorm<Groups>::tensors(Input))
            tensors.push_back(
                graph.add_channels(path, tensor, output.tensors.take_parameters(tensor.element_count()), false));
        const EmittedValue grouped = graph.add("Reshape", path, {map.name, graph.constant({0, Groups, -1})});
        const std::vector<float> ones(Groups, 1.0F), zeros(Groups, 0.0F);
        const EmittedValue normalized = graph.add(
            "InstanceNormalization", path,
            {grouped.name, graph.constant({Groups}, ones.data()), graph.constant({Groups}, zeros.data())}, false,
            [](onnx::NodeProto& node) { OnnxGraph::set_number(node, "epsilon", GroupNorm<Groups>::epsilon); });
        const EmittedValue shaped = graph.add(
            "Reshape", path, {normalized.name, graph.constant({0, Input.channels, Input.height, Input.width})});
        const EmittedValue scaled = graph.add("Mul", path, {shaped.name, tensors[0]});
        return graph.add("Add", path, {scaled.name, tensors[1]});
    }
};

/// Activations, whose values have the shape of their input.
template <ActivationLayer Act>
struct OnnxForm<Act> {
    template <Shape>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& x) {
        OnnxGraph& graph = output.graph;
        const auto apply = [&](const char* op, const EmittedValue& value) {
            return graph.add(op, path, {value.name}, value.flat);
        };
        if constexpr (std::is_same_v<Act, ReLU>) {
            return apply("Relu", x);
        } else if constexpr (std::is_same_v<Act, ReLU6>) {
            return graph.add("Clip", path, {x.name, graph.constant(0.0F), graph.constant(6.0F)}, x.flat);
        } else if constexpr (std::is_same_v<Act, LeakyReLU>) {
            return graph.add("LeakyRelu", path, {x.name}, x.flat, [](onnx::NodeProto& node) {
                OnnxGraph::set_number(node, "alpha", LeakyReLU::negative_slope);
            });
        } else if constexpr (std::is_same_v<Act, ELU>) {
            return apply("Elu", x);
        } else if constexpr (std::is_same_v<Act, Softplus>) {
            return apply("Softplus", x);
        } else if constexpr (std::is_same_v<Act, Sigmoid>) {
            return apply("Sigmoid", x);
        } else if constexpr (std::is_same_v<Act, HardSigmoid>) {
            return graph.add("HardSigmoid", path, {x.name}, x.flat,
                             [](onnx::NodeProto& node) { OnnxGraph::set_number(node, "alpha", 1.0 / 6); });
        } else if constexpr (std::is_same_v<Act, SiLU>) {
            return detail::gated(output, path, x, apply("Sigmoid", x));
        } else if constexpr (std::is_same_v<Act, HardSwish>) {
            return apply("HardSwish", x);
        } else if constexpr (std::is_same_v<Act, GELU>) {
            // x · (1 + erf(x / √2)) / 2
            const EmittedValue scaled = graph.add("Mul", path, {x.name, graph.constant(0.70710678F)}, x.flat);
            const EmittedValue raised =
                graph.add("Add", path, {apply("Erf", scaled).name, graph.constant(1.0F)}, x.flat);
            const EmittedValue half = graph.add("Mul", path, {raised.name, graph.constant(0.5F)}, x.flat);
            return detail::gated(output, path, x, half);
        } else if constexpr (std::is_same_v<Act, TanhExp>) {
            return detail::gated(output, path, x, apply("Tanh", apply("Exp", x)));
        } else if constexpr (std::is_same_v<Act, Mish>) {
            return detail::gated(output, path, x, apply("Tanh", apply("Softplus", x)));
        } else {
            static_assert(sizeof(layer_has_no_onnx_form<Act>) > 0, "an activation has no form in ONNX");
        }
    }
};

template <>
struct OnnxForm<Softmax> {
    template <Shape>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        return output.graph.add("Softmax", path, {value.name}, value.flat,
                                [](onnx::NodeProto& node) { OnnxGraph::set_integer(node, "axis", 1); });
    }
};

template <ActivationLayer Act>
struct OnnxForm<Gate<Act>> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        constexpr Shape half{Input.height, Input.width, Input.channels / 2};
        const std::vector<EmittedValue> halves = output.graph.split(path, value, 2);
        return detail::gated(output, path, halves[1], OnnxForm<Act>::template emit<half>(output, path, halves[0]));
    }
};

template <auto Kernel, auto Stride, auto Padding>
struct OnnxForm<MaxPool2d<Kernel, Stride, Padding>> {
    template <Shape>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        return detail::emit_onnx_pool<MaxPool2d<Kernel, Stride, Padding>>(output, path, value, "MaxPool");
    }
};
template <auto Kernel, auto Stride, auto Padding>
struct OnnxForm<AvgPool2d<Kernel, Stride, Padding>> {
    template <Shape>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        return detail::emit_onnx_pool<AvgPool2d<Kernel, Stride, Padding>>(output, path, value, "AveragePool");
    }
};

template <>
struct OnnxForm<GlobalAveragePool> {
    template <Shape>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        return value.flat ? value : output.graph.add("GlobalAveragePool", path, {value.name});
    }
};

template <>
struct OnnxForm<PReLU> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        const Tensor slope = *PReLU::tensors(Input).begin();
        const std::string name =
            output.graph.add_channels(path, slope, output.tensors.take_parameters(slope.element_count()), value.flat);
        return output.graph.add("PRelu", path, {value.name, name}, value.flat);
    }
};

/// Weighted sums along the rows and along the columns, as two products with constant matrices.
template <ResamplingLayer L>
struct OnnxForm<L> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        OnnxGraph& graph = output.graph;
        const EmittedValue map = graph.as_map(path, value);
        const std::string columns = weights<typename L::template Columns<Input.width>>(graph, true);
        const std::string rows = weights<typename L::template Rows<Input.height>>(graph, false);
        const EmittedValue narrow = graph.add("MatMul", path, {map.name, columns});
        return graph.add("MatMul", path, {rows, narrow.name});
    }

private:
    /// The weights of an axis as a constant [outputs, inputs], or transposed.
    template <class Axis>
    static std::string weights(OnnxGraph& graph, bool transposed) {
        const Index rows = transposed ? Axis::inputs : Axis::outputs;
        const Index columns = transposed ? Axis::outputs : Axis::inputs;
        std::vector<float> values;
        for (Index row = 0; row < rows; ++row)
            for (Index column = 0; column < columns; ++column)
                values.push_back(transposed ? Axis::template weight<float>(column, row)
                                            : Axis::template weight<float>(row, column));
        return graph.constant({rows, columns}, values.data());
    }
};

template <int Block>
struct OnnxForm<SpaceToDepth<Block>> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        OnnxGraph& graph = output.graph;
        constexpr Shape to = SpaceToDepth<Block>::output_shape(Input);
        const EmittedValue map = graph.as_map(path, value);
        const EmittedValue blocks = graph.add(
            "Reshape", path, {map.name, graph.constant({0, Input.channels, to.height, Block, to.width, Block})});
        // ONNX's own SpaceToDepth has another order of channels.
        const EmittedValue turned = graph.transpose(path, blocks, {0, 1, 3, 5, 2, 4});
        return graph.add("Reshape", path, {turned.name, graph.constant({0, to.channels, to.height, to.width})});
    }
};

template <int Groups>
struct OnnxForm<ChannelShuffle<Groups>> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        OnnxGraph& graph = output.graph;
        const EmittedValue map = graph.as_map(path, value);
        // 0 copies the extent of the batch.
        const EmittedValue grouped =
            graph.add("Reshape", path,
                      {map.name, graph.constant({0, Groups, Input.channels / Groups, Input.height, Input.width})});
        const EmittedValue turned = graph.transpose(path, grouped, {0, 2, 1, 3, 4});
        return graph.add("Reshape", path,
                         {turned.name, graph.constant({0, Input.channels, Input.height, Input.width})});
    }
};

template <>
struct OnnxForm<Flatten> {
    template <Shape>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        if (value.flat) return value;
        return output.graph.as_flat(path, output.graph.transpose(path, value, {0, 2, 3, 1}));
    }
};

template <int Percent>
struct OnnxForm<Dropout<Percent>> {
    template <Shape>
    static EmittedValue emit(OnnxExport&, const OnnxGraph::Path&, const EmittedValue& value) {
        return value;
    }
};

template <int Count, class... Ls>
struct OnnxForm<Repeat<Count, Ls...>> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        using L = Repeat<Count, Ls...>;
        const detail::TensorReader tensors = output.tensors;
        EmittedValue last = value;
        for (int run = 0; run < Count; ++run) {
            output.tensors = tensors;
            last = detail::emit_child<OnnxForm, L, Input, 0>(output, path, last, typename L::Children{});
        }
        return last;
    }
};

template <class Body, class Shortcut, Scale Scaled>
struct OnnxForm<ResidualBlock<Body, Shortcut, Scaled>> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        using L = ResidualBlock<Body, Shortcut, Scaled>;
        OnnxGraph& graph = output.graph;
        EmittedValue body = detail::emit_child<OnnxForm, L, Input, 0>(output, path, value, typename L::Children{});
        EmittedValue shortcut = detail::emit_child<OnnxForm, L, Input, 1>(output, path, value, typename L::Children{});
        if (body.flat != shortcut.flat) {
            body = graph.as_map(path, body);
            shortcut = graph.as_map(path, shortcut);
        }
        if constexpr (Scaled != Scale::none) {
            const Tensor scale = *L::tensors(Input).begin();
            const std::string name =
                graph.add_channels(path, scale, output.tensors.take_parameters(scale.element_count()), body.flat);
            EmittedValue& scaled = Scaled == Scale::body ? body : shortcut;
            scaled = graph.add("Mul", path, {scaled.name, name}, scaled.flat);
        }
        return graph.add("Add", path, {body.name, shortcut.name}, body.flat);
    }
};

template <Fork Forking, Join Joining, class... Paths>
struct OnnxForm<Branches<Forking, Joining, Paths...>> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        return emit_paths<Input>(output, path, value, std::index_sequence_for<Paths...>{});
    }

private:
    using L = Branches<Forking, Joining, Paths...>;

    template <Shape Input, std::size_t... Is>
    static EmittedValue emit_paths(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value,
                                   std::index_sequence<Is...>) {
        OnnxGraph& graph = output.graph;
        std::vector<EmittedValue> inputs(sizeof...(Is), value);
        if constexpr (Forking == Fork::split && sizeof...(Is) > 1) inputs = graph.split(path, value, L::count);
        std::vector<EmittedValue> values;
        (values.push_back(detail::emit_child<OnnxForm, L, Input, Is>(output, path, inputs[Is], typename L::Children{})),
         ...);
        bool all_flat = true;
        for (const EmittedValue& one : values) all_flat = all_flat && one.flat;
        if (!all_flat)
            for (EmittedValue& one : values) one = graph.as_map(path, one);
        return graph.add(detail::onnx_join(Joining), path, {}, all_flat, [&](onnx::NodeProto& node) {
            for (const EmittedValue& one : values) node.add_input(one.name);
            if (Joining == Join::concatenate) OnnxGraph::set_integer(node, "axis", 1);
        });
    }
};

template <class... Paths>
struct OnnxForm<FoldableAdd<Paths...>> : OnnxForm<Add<Paths...>> {};

template <class... Ls>
struct OnnxForm<ChannelGate<Ls...>> {
    template <Shape Input>
    static EmittedValue emit(OnnxExport& output, const OnnxGraph::Path& path, const EmittedValue& value) {
        using L = ChannelGate<Ls...>;
        const EmittedValue gate =
            detail::emit_child<OnnxForm, L, Input, 0>(output, path, value, typename L::Children{});
        const EmittedValue map = output.graph.as_map(path, value);
        return detail::gated(output, path, map, output.graph.as_map(path, gate));
    }
};

namespace detail {

/// The bytes of a model with input "pixels" [N, C, H, W] and output "logits" [N, classes]; `emit(graph, pixels)` adds
/// the nodes between and returns the last value.
template <class Net, class Emit>
std::string onnx_bytes(const OnnxText& about, Emit&& emit) {
    constexpr Shape input = input_shape<Net>;
    onnx::ModelProto model;
    model.set_ir_version(8);
    model.set_producer_name("bantam");
    model.add_opset_import()->set_version(OnnxGraph::opset);
    onnx::GraphProto& proto = *model.mutable_graph();
    proto.set_name(about.name);
    const auto declare = [](onnx::ValueInfoProto& value, const char* name, std::initializer_list<Index> extents) {
        value.set_name(name);
        onnx::TypeProto::Tensor& type = *value.mutable_type()->mutable_tensor_type();
        type.set_elem_type(onnx::TensorProto::FLOAT);
        type.mutable_shape()->add_dim()->set_dim_param("N");
        for (const Index extent : extents) type.mutable_shape()->add_dim()->set_dim_value(extent);
    };
    declare(*proto.add_input(), "pixels", {input.channels, input.height, input.width});
    declare(*proto.add_output(), "logits", {class_count<Net>});

    OnnxGraph graph{proto};
    const EmittedValue value = emit(graph, EmittedValue{"pixels"});
    graph.add("Identity", {}, {value.name}, true, [](onnx::NodeProto& node) { node.set_output(0, "logits"); });

    for (const auto& [key, text] : about.metadata) {
        onnx::StringStringEntryProto& entry = *model.add_metadata_props();
        entry.set_key(key);
        entry.set_value(text);
    }
    return model.SerializeAsString();
}

}  // namespace detail

/// The network in float32 as the bytes of an ONNX model (opset 17): input "pixels" [N, C, H, W], normalized as in
/// training; output "logits" [N, classes]. `parameters` and `statistics` are the flat buffers of `cpu::Model`. Throws
/// Error where they are another network's.
template <class Net>
std::string onnx_model(std::span<const float> parameters, std::span<const float> statistics,
                       const OnnxText& about = {}) {
    detail::check_tensors<Net>(parameters, statistics);
    return detail::onnx_bytes<Net>(about, [&](OnnxGraph& graph, const EmittedValue& pixels) {
        OnnxExport output{graph, {parameters.data(), statistics.data()}};
        const EmittedValue value =
            detail::emit_layer<OnnxForm, typename Net::Layers, input_shape<Net>>(output, {}, pixels);
        // A network that ends in a map has its elements in the order height, width, channels.
        return OnnxForm<Flatten>::emit<output_shape<Net>>(output, {}, value);
    });
}

}  // namespace bantam::deploy
