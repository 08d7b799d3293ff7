// SPDX-License-Identifier: MIT
// Runs on a PC: a network as the source text of a PyTorch module.
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/deploy/emit_layers.hpp>
#include <bantam/layers/all.hpp>

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bantam::deploy {

/// Never defined: its appearance in a compiler's output is the error message. Specialize PyTorchForm for a layer of
/// your own.
template <class Layer>
struct layer_has_no_pytorch_form;

/// A module that grows layer by layer: statements of its __init__ and of its forward.
class PyTorchSource {
public:
    using Path = bantam::detail::Path;

    /// Forward gets "x3 = expression"; returns the new value.
    EmittedValue assign(const std::string& expression, bool flat = false) {
        EmittedValue value{"x" + std::to_string(++values_), flat};
        forward_ += "        " + value.name + " = " + expression + "\n";
        return value;
    }
    /// Registers the module that `construction` makes; its tensors have the names of checkpoints. A layer that runs
    /// again is registered once. Returns the expression that stands for it in forward.
    std::string module(const Path& path, const std::string& construction) {
        add_once("        self._register(" + name(path) + ", " + construction + ")\n");
        return "self.get_submodule(" + name(path) + ")";
    }
    /// The same for a tensor that belongs to no module of PyTorch, one element per channel.
    std::string parameter(const Path& path, Index channels) {
        add_once("        self._register(" + name(path) + ", nn.Parameter(torch.ones(" + std::to_string(channels) +
                 ")))\n");
        return "self.get_parameter(" + name(path) + ")";
    }

    EmittedValue as_map(const EmittedValue& value) {
        return value.flat ? assign(value.name + "[:, :, None, None]") : value;
    }
    EmittedValue as_flat(const EmittedValue& value) {
        return value.flat ? value : assign(value.name + ".flatten(1)", true);
    }

    const std::string& init() const { return init_; }
    const std::string& forward() const { return forward_; }

private:
    static std::string name(const Path& path) { return '"' + std::string{path.view()} + '"'; }

    void add_once(const std::string& statement) {
        if (init_.find(statement) == std::string::npos) init_ += statement;
    }

    std::string init_;
    std::string forward_;
    int values_ = 0;
};

/// How a layer is written: `static EmittedValue emit<Input>(PyTorchSource&, const PyTorchSource::Path&, EmittedValue)`.
template <class L>
struct PyTorchForm {
    static_assert(sizeof(layer_has_no_pytorch_form<L>) > 0, "a layer has no form in PyTorch");
};

namespace detail {

/// "name(1, 2, 3": numbers as arguments of a call that is still open.
inline std::string call(std::string_view function, std::initializer_list<Index> arguments) {
    std::string text{function};
    const char* separator = "(";
    for (const Index argument : arguments) {
        text += separator + std::to_string(argument);
        separator = ", ";
    }
    return text;
}

/// "3" for both axes, or "(1, 7)".
inline std::string pytorch_size(Size2d size) {
    if (size.height == size.width) return std::to_string(size.height);
    return call("", {size.height, size.width}) + ")";
}

template <class L>
EmittedValue emit_pytorch_conv(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value,
                               Index inputs, Index outputs, Index groups) {
    const EmittedValue map = output.as_map(value);
    std::string construction = call("nn.Conv2d", {inputs, outputs}) + ", " + pytorch_size(L::kernel_size);
    if (L::stride != 1) construction += ", stride=" + pytorch_size(L::stride);
    if (L::padding != 0) construction += ", padding=" + pytorch_size(L::padding);
    if (L::dilation != 1) construction += ", dilation=" + pytorch_size(L::dilation);
    if (groups != 1) construction += ", groups=" + std::to_string(groups);
    construction += L::bias ? ")" : ", bias=False)";
    return output.assign(output.module(path, construction) + "(" + map.name + ")");
}

template <class L>
EmittedValue emit_pytorch_pool(PyTorchSource& output, const EmittedValue& value, const char* function) {
    const EmittedValue map = output.as_map(value);
    return output.assign(std::string{function} + "(" + map.name + ", " + pytorch_size(L::kernel_size) + ", " +
                         pytorch_size(L::stride) + ", " + pytorch_size(L::padding) + ")");
}

}  // namespace detail

template <int Out, auto Kernel, auto Stride, ConvOptions Options>
struct PyTorchForm<Conv2d<Out, Kernel, Stride, Options>> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value) {
        using L = Conv2d<Out, Kernel, Stride, Options>;
        return detail::emit_pytorch_conv<L>(output, path, value, Input.channels, Out, L::groups);
    }
};

template <auto Kernel, auto Stride, ConvOptions Options>
struct PyTorchForm<DepthwiseConv2d<Kernel, Stride, Options>> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value) {
        return detail::emit_pytorch_conv<DepthwiseConv2d<Kernel, Stride, Options>>(output, path, value, Input.channels,
                                                                                   Input.channels, Input.channels);
    }
};

template <int Out, auto Kernel, auto Stride, ConvTransposeOptions Options>
struct PyTorchForm<ConvTranspose2d<Out, Kernel, Stride, Options>> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value) {
        using L = ConvTranspose2d<Out, Kernel, Stride, Options>;
        const EmittedValue map = output.as_map(value);
        const std::string construction =
            detail::call("nn.ConvTranspose2d", {Input.channels, Out}) + ", " + detail::pytorch_size(L::kernel_size) +
            ", " + detail::pytorch_size(L::stride) + ", " + detail::pytorch_size(L::padding) + ", " +
            detail::pytorch_size(L::output_padding) + ", dilation=" + detail::pytorch_size(L::dilation) +
            (L::bias ? ")" : ", bias=False)");
        return output.assign(output.module(path, construction) + "(" + map.name + ")");
    }
};

template <int Out, Bias HasBias>
struct PyTorchForm<Linear<Out, HasBias>> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value) {
        const EmittedValue flat = output.as_flat(value);
        const std::string construction =
            detail::call("nn.Linear", {Input.channels, Out}) + (HasBias == Bias::with ? ")" : ", bias=False)");
        return output.assign(output.module(path, construction) + "(" + flat.name + ")", true);
    }
};

template <>
struct PyTorchForm<BatchNorm2d> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value) {
        // PyTorch's defaults of epsilon and momentum are Bantam's.
        const std::string construction =
            detail::call(value.flat ? "nn.BatchNorm1d" : "nn.BatchNorm2d", {Input.channels}) + ")";
        return output.assign(output.module(path, construction) + "(" + value.name + ")", value.flat);
    }
};

template <int Groups>
struct PyTorchForm<GroupNorm<Groups>> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value) {
        const std::string norm = output.module(path, detail::call("nn.GroupNorm", {Groups, Input.channels}) + ")");
        return output.assign(norm + "(" + value.name + ")", value.flat);
    }
};

template <>
struct PyTorchForm<LayerNorm> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value) {
        const std::string norm = output.module(path, detail::call("nn.LayerNorm", {Input.channels}) + ")");
        if (value.flat) return output.assign(norm + "(" + value.name + ")", true);
        return output.assign(norm + "(" + value.name + ".permute(0, 2, 3, 1)).permute(0, 3, 1, 2)");
    }
};

namespace detail {

/// An activation of the value named `x` as an expression.
template <ActivationLayer Act>
std::string pytorch_activation(const std::string& x) {
    if constexpr (std::is_same_v<Act, ReLU>)
        return "functional.relu(" + x + ")";
    else if constexpr (std::is_same_v<Act, ReLU6>)
        return "functional.relu6(" + x + ")";
    else if constexpr (std::is_same_v<Act, LeakyReLU>)
        return "functional.leaky_relu(" + x + ")";  // with Bantam's slope, 0.01
    else if constexpr (std::is_same_v<Act, ELU>)
        return "functional.elu(" + x + ")";
    else if constexpr (std::is_same_v<Act, Softplus>)
        return "functional.softplus(" + x + ")";
    else if constexpr (std::is_same_v<Act, Sigmoid>)
        return "torch.sigmoid(" + x + ")";
    else if constexpr (std::is_same_v<Act, HardSigmoid>)
        return "functional.hardsigmoid(" + x + ")";
    else if constexpr (std::is_same_v<Act, SiLU>)
        return "functional.silu(" + x + ")";
    else if constexpr (std::is_same_v<Act, HardSwish>)
        return "functional.hardswish(" + x + ")";
    else if constexpr (std::is_same_v<Act, GELU>)
        return "functional.gelu(" + x + ")";
    else if constexpr (std::is_same_v<Act, TanhExp>)
        return x + " * torch.tanh(torch.exp(" + x + "))";
    else if constexpr (std::is_same_v<Act, Mish>)
        return "functional.mish(" + x + ")";
    else
        static_assert(sizeof(layer_has_no_pytorch_form<Act>) > 0, "an activation has no form in PyTorch");
}

}  // namespace detail

template <ActivationLayer Act>
struct PyTorchForm<Act> {
    template <Shape>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path&, const EmittedValue& value) {
        return output.assign(detail::pytorch_activation<Act>(value.name), value.flat);
    }
};

template <>
struct PyTorchForm<Softmax> {
    template <Shape>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path&, const EmittedValue& value) {
        return output.assign("functional.softmax(" + value.name + ", 1)", value.flat);
    }
};

template <ActivationLayer Act>
struct PyTorchForm<Gate<Act>> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path&, const EmittedValue& value) {
        const std::string half = std::to_string(Input.channels / 2);
        const EmittedValue gate = output.assign(value.name + "[:, :" + half + "]", value.flat);
        return output.assign(
            "(" + detail::pytorch_activation<Act>(gate.name) + ") * " + value.name + "[:, " + half + ":]", value.flat);
    }
};

template <auto Kernel, auto Stride, auto Padding>
struct PyTorchForm<MaxPool2d<Kernel, Stride, Padding>> {
    template <Shape>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path&, const EmittedValue& value) {
        return detail::emit_pytorch_pool<MaxPool2d<Kernel, Stride, Padding>>(output, value, "functional.max_pool2d");
    }
};
template <auto Kernel, auto Stride, auto Padding>
struct PyTorchForm<AvgPool2d<Kernel, Stride, Padding>> {
    template <Shape>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path&, const EmittedValue& value) {
        return detail::emit_pytorch_pool<AvgPool2d<Kernel, Stride, Padding>>(output, value, "functional.avg_pool2d");
    }
};

template <>
struct PyTorchForm<GlobalAveragePool> {
    template <Shape>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path&, const EmittedValue& value) {
        return value.flat ? value : output.assign(value.name + ".mean((2, 3), keepdim=True)");
    }
};

template <>
struct PyTorchForm<PReLU> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value) {
        const std::string module = output.module(path, detail::call("nn.PReLU", {Input.channels}) + ")");
        return output.assign(module + "(" + value.name + ")", value.flat);
    }
};

template <int Factor, Interpolation Between>
struct PyTorchForm<Upsample<Factor, Between>> {
    template <Shape>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path&, const EmittedValue& value) {
        return output.assign("functional.interpolate(" + output.as_map(value).name +
                             ", scale_factor=" + std::to_string(Factor) +
                             (Between == Interpolation::nearest ? ")" : ", mode=\"bilinear\")"));
    }
};

template <int Height, int Width>
struct PyTorchForm<AdaptiveAvgPool2d<Height, Width>> {
    template <Shape>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path&, const EmittedValue& value) {
        return output.assign("functional.adaptive_avg_pool2d(" + output.as_map(value).name + ", (" +
                             std::to_string(Height) + ", " + std::to_string(Width) + "))");
    }
};

template <int KernelSize, int Stride>
struct PyTorchForm<BlurPool2d<KernelSize, Stride>> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path&, const EmittedValue& value) {
        // The taps of a window that no border mirrors.
        using Axis = BlurAxis<2 * KernelSize, KernelSize, 1>;
        std::string taps;
        for (int tap = 0; tap < KernelSize; ++tap)
            taps += (tap == 0 ? "" : ", ") +
                    std::to_string(Axis::template weight<float>(KernelSize, KernelSize - KernelSize / 2 + tap));
        const std::string x = output.as_map(value).name, channels = std::to_string(Input.channels),
                          kernel = std::to_string(KernelSize), padding = std::to_string(KernelSize / 2);
        const EmittedValue binomial = output.assign("torch.tensor([" + taps + "], device=" + x + ".device)");
        return output.assign("functional.conv2d(functional.pad(" + x + ", [" + padding + "] * 4, mode=\"reflect\"), (" +
                             binomial.name + "[:, None] * " + binomial.name + ").expand(" + channels + ", 1, " +
                             kernel + ", " + kernel + "), stride=" + std::to_string(Stride) + ", groups=" + channels +
                             ")");
    }
};

template <int Block>
struct PyTorchForm<SpaceToDepth<Block>> {
    template <Shape>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path&, const EmittedValue& value) {
        return output.assign("functional.pixel_unshuffle(" + output.as_map(value).name + ", " + std::to_string(Block) +
                             ")");
    }
};

template <int Groups>
struct PyTorchForm<ChannelShuffle<Groups>> {
    template <Shape>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path&, const EmittedValue& value) {
        const std::string map = output.as_map(value).name;
        return output.assign(map + ".unflatten(1, (" + std::to_string(Groups) + ", -1)).transpose(1, 2).flatten(1, 2)");
    }
};

template <>
struct PyTorchForm<Flatten> {
    template <Shape>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path&, const EmittedValue& value) {
        // Elements in the order height, width, channels.
        return value.flat ? value : output.assign(value.name + ".permute(0, 2, 3, 1).flatten(1)", true);
    }
};

template <int Percent>
struct PyTorchForm<Dropout<Percent>> {
    template <Shape>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path&, const EmittedValue& value) {
        return output.assign(
            "functional.dropout(" + value.name + ", " + std::to_string(Percent) + " / 100, self.training)", value.flat);
    }
};

template <int Count, class... Ls>
struct PyTorchForm<Repeat<Count, Ls...>> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value) {
        using L = Repeat<Count, Ls...>;
        EmittedValue last = value;
        for (int run = 0; run < Count; ++run)
            last = detail::emit_child<PyTorchForm, L, Input, 0>(output, path, last, typename L::Children{});
        return last;
    }
};

template <class Body, class Shortcut, Scale Scaled>
struct PyTorchForm<ResidualBlock<Body, Shortcut, Scaled>> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value) {
        using L = ResidualBlock<Body, Shortcut, Scaled>;
        EmittedValue body = detail::emit_child<PyTorchForm, L, Input, 0>(output, path, value, typename L::Children{});
        EmittedValue shortcut =
            detail::emit_child<PyTorchForm, L, Input, 1>(output, path, value, typename L::Children{});
        if (body.flat != shortcut.flat) {
            body = output.as_map(body);
            shortcut = output.as_map(shortcut);
        }
        if constexpr (Scaled != Scale::none) {
            const Tensor scale = *L::tensors(Input).begin();
            EmittedValue& scaled = Scaled == Scale::body ? body : shortcut;
            scaled.name += " * " + output.parameter(bantam::detail::joined(path, scale.name), scale.element_count()) +
                           (body.flat ? "" : "[:, None, None]");
        }
        return output.assign(body.name + " + " + shortcut.name, body.flat);
    }
};

template <Fork Forking, Join Joining, class... Paths>
struct PyTorchForm<Branches<Forking, Joining, Paths...>> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value) {
        return emit_paths<Input>(output, path, value, std::index_sequence_for<Paths...>{});
    }

private:
    using L = Branches<Forking, Joining, Paths...>;

    /// What path `index` reads.
    template <Shape Input>
    static EmittedValue input_of(PyTorchSource& output, const EmittedValue& value, int index) {
        if (Forking == Fork::copy) return value;
        const Index share = Input.channels / L::count;
        return output.assign(
            value.name + "[:, " + std::to_string(index * share) + ":" + std::to_string((index + 1) * share) + "]",
            value.flat);
    }

    template <Shape Input, std::size_t... Is>
    static EmittedValue emit_paths(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value,
                                   std::index_sequence<Is...>) {
        std::vector<EmittedValue> values;
        (values.push_back(detail::emit_child<PyTorchForm, L, Input, Is>(
             output, path, input_of<Input>(output, value, static_cast<int>(Is)), typename L::Children{})),
         ...);
        bool all_flat = true;
        for (const EmittedValue& one : values) all_flat = all_flat && one.flat;
        if (!all_flat)
            for (EmittedValue& one : values) one = output.as_map(one);
        std::string joined;
        for (const EmittedValue& one : values)
            joined += (joined.empty() ? "" : Joining == Join::concatenate ? ", " : " + ") + one.name;
        if (Joining == Join::concatenate) return output.assign("torch.cat((" + joined + ",), 1)", all_flat);
        if (Joining == Join::mean) joined = "(" + joined + ") / " + std::to_string(L::count);
        return output.assign(joined, all_flat);
    }
};

template <class... Paths>
struct PyTorchForm<FoldableAdd<Paths...>> : PyTorchForm<Add<Paths...>> {};

template <class... Ls>
struct PyTorchForm<ChannelGate<Ls...>> {
    template <Shape Input>
    static EmittedValue emit(PyTorchSource& output, const PyTorchSource::Path& path, const EmittedValue& value) {
        using L = ChannelGate<Ls...>;
        const EmittedValue gate =
            detail::emit_child<PyTorchForm, L, Input, 0>(output, path, value, typename L::Children{});
        return output.assign(output.as_map(value).name + " * " + output.as_map(gate).name);
    }
};

/// The network as a Python file that needs PyTorch alone. Its class Student is the equivalent nn.Module, whose tensors
/// have the names of checkpoints: pixels [N, C, H, W], normalized as in training, become logits [N, classes]. Its
/// function `load` reads a checkpoint of Bantam; run as a program it writes one as a state_dict. `about` is a comment
/// of whole lines.
template <class Net>
std::string pytorch_source(std::string_view about = {}) {
    constexpr Shape input = input_shape<Net>;
    PyTorchSource source;
    EmittedValue logits = detail::emit_layer<PyTorchForm, typename Net::Layers, input>(source, {}, {"pixels"});
    logits = PyTorchForm<Flatten>::emit<output_shape<Net>>(source, {}, logits);

    const std::string shape = detail::call("", {input.channels, input.height, input.width}).substr(1);  // "3, 128, 128"
    std::string text = R"(#!/usr/bin/env python3
"""A network of Bantam as a PyTorch module: pixels )";
    text += "[N, " + shape + "] become logits [N, " + std::to_string(class_count<Net>) + "].\n\n";
    text += about;
    text += R"(
    load("student.safetensors")                       the module with the weights of a checkpoint
    python3 THIS_FILE student.safetensors out.pth     writes them as a state_dict
"""

import json
import os
import sys

import torch
from torch import nn
from torch.nn import functional


class Student(nn.Module):
    input_shape = ()";
    text += shape + R"()  # channels, height, width

    def __init__(self):
        super().__init__()
)";
    text += source.init();
    text += R"(
    def _register(self, path, item):
        """Registers a module or parameter under a name such as 3.0."""
        *parents, name = path.split(".")
        owner = self
        for parent in parents:
            if parent not in owner._modules:
                owner.add_module(parent, nn.Module())
            owner = owner._modules[parent]
        register = owner.register_parameter if isinstance(item, nn.Parameter) else owner.add_module
        register(name, item)

    def forward(self, pixels):
)";
    text += source.forward();
    text += "        return " + logits.name + "\n";
    text += R"(

def load(path):
    """The module with the weights of a safetensors file, for inference."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    state = {}
    for name, tensor in header.items():
        if tensor["dtype"] != "F32":
            raise ValueError(f"tensor {name} is {tensor['dtype']}, expected F32")
        begin, end = tensor["data_offsets"]
        state[name] = torch.frombuffer(data, dtype=torch.float32, count=(end - begin) // 4, offset=begin)
        state[name] = state[name].reshape(tensor["shape"])
    student = Student()
    for name, tensor in student.state_dict().items():
        # A counter of PyTorch's batch norm, which inference does not read.
        if name.endswith("num_batches_tracked"):
            state[name] = tensor
    student.load_state_dict(state)
    return student.eval()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} student.safetensors out.pth")
    try:
        student = load(sys.argv[1])
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        sys.exit(f"error: {sys.argv[1]}: is not a checkpoint of this network: {' '.join(str(error).split())}")
    torch.save(student.state_dict(), sys.argv[2] + ".new")
    os.replace(sys.argv[2] + ".new", sys.argv[2])
)";
    return text;
}

}  // namespace bantam::deploy
