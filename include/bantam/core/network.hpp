// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/layer_mistakes.hpp>
#include <bantam/core/sequence.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/visit.hpp>

#include <array>
#include <concepts>
#include <string_view>
#include <type_traits>

namespace bantam {

/// The input of a network: height, width, channels.
template <int Height, int Width, int Channels>
struct Image {
    static constexpr Shape shape{Height, Width, Channels};
};

namespace detail {

/// What is wrong with the arguments of a network.
template <class Input, class... Ls>
struct NetworkMistake {
    static constexpr Mistake mistake = [] {
        Mistake found;
        if constexpr (!ImageType<Input>) {
            found.reason = Reason::no_image;
            found.text =
                "a network begins with the size of its images: Network<Image<height, width, channels>, layers...>";
        } else if constexpr (Input::shape.height < 1 || Input::shape.width < 1 || Input::shape.channels < 1) {
            found.reason = Reason::no_image;
            found.text = "the extents of an image are at least 1: Image<height, width, channels>";
        } else if constexpr (sizeof...(Ls) == 0) {
            found.reason = Reason::no_layers;
            found.text = "a network has at least one layer: Network<Image<height, width, channels>, layers...>";
        } else {
            found = LayersMistake<Sequence<Ls...>, Input::shape>::mistake;
            if (!found) found = last_layer_mistake<Ls...>();
        }
        return found;
    }();
    static constexpr Sentence sentence = sentence_of(mistake);
    using Facts = compile_error<mistake.reason, mistake.position, mistake.given, mistake.needed>;
};

template <class Input>
constexpr Shape image_shape() {
    if constexpr (ImageType<Input>)
        return Input::shape;
    else
        return {1, 1, 1};
}

}  // namespace detail

/// A neural network as a type. Input shapes are deduced from the image and the layers before. All numbers below are
/// computed at compile time from the layers' tensor lists. Where its arguments are no image and layers that fit each
/// other, the compiler prints what is wrong in one sentence; such a network has no layers.
template <class Input, class... Ls>
struct Network {
    // Not a base: clang drops a class whose base is refused from the bases of Student.
    static_assert(sizeof(detail::Refusal<detail::NetworkMistake<Input, Ls...>>) > 0);
    using Layers =
        std::conditional_t<bool(detail::NetworkMistake<Input, Ls...>::mistake), detail::RefusedLayers, Sequence<Ls...>>;
    static constexpr Shape input = detail::image_shape<Input>();
    using Nodes = NodesOf<Layers, input>;
};

/// A layer, block or sequence with its input shape: the numbers below are defined for it as for a network.
template <class L, Shape Input>
struct Part {
    using Layers = Sequence<L>;
    static constexpr Shape input = Input;
};

namespace detail {

template <class T>
inline constexpr bool is_network = false;
template <class Input, class... Ls>
inline constexpr bool is_network<Network<Input, Ls...>> = true;

}  // namespace detail

/// A network: `Network<…>` itself is not compiled to find out, so that it reports its mistakes where it is used.
template <class Net>
concept NetworkType = detail::is_network<Net> || requires {
    typename Net::Layers;
    typename Net::Nodes;
    Net::input;
};

namespace detail {

template <class Net>
struct NotANetwork {
    static constexpr Sentence sentence = [] {
        Sentence text;
        if (NetworkType<Net>) return text;
        return text.append(type_name<Net>())
            .append(" is not a network: write Network<Image<height, width, channels>, layers...>");
    }();
    using Facts = compile_error<Reason::no_image, std::type_identity<Net>{}>;
};

/// Says that `Net` is not a network, and replaces it, so that no other errors follow.
template <class Net>
struct NoNetwork {
    static_assert(sizeof(Refusal<NotANetwork<Net>>) > 0);
    using Layers = RefusedLayers;
    static constexpr Shape input{1, 1, 1};
    using Nodes = NodesOf<Layers, input>;
};

template <class Net>
inline constexpr bool is_network<NoNetwork<Net>> = true;

template <class Net>
using CheckedNetwork =
    std::conditional_t<NetworkType<Net>, std::type_identity<Net>, std::type_identity<NoNetwork<Net>>>::type;

}  // namespace detail

/// One row of a network's layer table.
struct LayerEntry {
    std::string_view name;
    detail::Path path;
    Shape input;
    Shape output;
    Index trainable;
    Index non_trainable;
    Index multiply_adds;
};

/// One row of a network's tensor table: its name in checkpoints, and the offset of its elements in the flat parameter
/// buffer (trainable) or the flat statistics buffer (not trainable).
struct NamedTensor {
    detail::Path name;
    Tensor tensor;
    Index offset;
};

namespace detail {

struct Counter {
    std::size_t layers = 0;
    std::size_t tensors = 0;
    template <class L, Shape Input>
    constexpr void operator()(const Path&) {
        ++layers;
        tensors += L::tensors(Input).count;
    }
};

template <class Layers, Shape Input>
inline constexpr Counter network_size = [] {
    Counter counter;
    walk<Layers, Input>(counter, Path{});
    return counter;
}();

template <std::size_t Layers, std::size_t Tensors>
struct Tables {
    std::array<LayerEntry, Layers> layers{};
    std::array<NamedTensor, Tensors> tensors{};
    Index trainable = 0;
    Index non_trainable = 0;
    Index repeated = 0;
    Index folded = 0;
    std::size_t layer = 0;
    std::size_t tensor = 0;

    template <class L, Shape Input>
    constexpr void operator()(const Path& path) {
        const TensorList list = L::tensors(Input);
        Index own_multiply_adds = L::multiply_adds(Input);
        if constexpr (requires { L::template repeated_multiply_adds<Input>; }) {
            own_multiply_adds += L::template repeated_multiply_adds<Input>;
            repeated += L::template repeated_parameters<Input>;
        }
        if constexpr (requires { L::template folded_parameters<Input>; })
            folded += L::template folded_parameters<Input>;
        layers[layer++] = {L::name,
                           path,
                           Input,
                           L::output_shape(Input),
                           bantam::element_count(list, true),
                           bantam::element_count(list, false),
                           own_multiply_adds};
        for (const Tensor& item : list) {
            Index& offset = item.trainable ? trainable : non_trainable;
            tensors[tensor++] = {joined(path, item.name), item, offset};
            offset += item.element_count();
        }
    }
};

/// Of the layers, not of the network, so that the compiler looks at the network first and reports its mistakes there.
template <class Layers, Shape Input>
inline constexpr auto tables = [] {
    Tables<network_size<Layers, Input>.layers, network_size<Layers, Input>.tensors> result;
    walk<Layers, Input>(result, Path{});
    return result;
}();

}  // namespace detail

/// Every layer in storage order. Blocks are written out; a composite follows the layers inside it.
template <class Net>
inline constexpr const auto& layer_table = detail::tables<typename Net::Layers, Net::input>.layers;

/// Every tensor in storage order, with its checkpoint name and offset.
template <class Net>
inline constexpr const auto& tensor_table = detail::tables<typename Net::Layers, Net::input>.tensors;

template <class Net>
inline constexpr Shape input_shape = Net::input;

/// What the last layer gives for one sample.
template <class Net>
inline constexpr Shape output_shape = Net::Layers::output_shape(Net::input);

/// Number of classes: the elements of one sample's output.
template <class Net>
inline constexpr Index class_count = element_count(output_shape<Net>);

template <class Net>
inline constexpr Index trainable_parameters = detail::tables<typename Net::Layers, Net::input>.trainable;

/// Elements that are stored but not trained, such as batch-norm running statistics.
template <class Net>
inline constexpr Index non_trainable_parameters = detail::tables<typename Net::Layers, Net::input>.non_trainable;

/// All parameters, trainable or not.
template <class Net>
inline constexpr Index parameter_count = detail::tables<typename Net::Layers, Net::input>.trainable +
                                         detail::tables<typename Net::Layers, Net::input>.non_trainable;

namespace detail {

template <class Net>
struct Kept {
    using type = Net;
};
template <class Net>
    requires requires { typename Net::Kept; }
struct Kept<Net> {
    using type = typename Net::Kept;
};

}  // namespace detail

/// The network whose weights a trainer of `Net` keeps, and by which it infers: `Net`, unless that names another one as
/// its `Kept`, such as the student of a NetAug.
template <class Net>
using KeptNetwork = typename detail::Kept<Net>::type;

/// How many networks give logits for each picture while `Net` is trained, each of which has the loss; [heads][classes]
/// is what `Net` gives.
template <class Net>
inline constexpr Index training_heads = [] {
    if constexpr (requires { Net::heads; })
        return Net::heads;
    else
        return Index{1};
}();

/// The parameters of `Deployed<Net>` (bantam/layers/deployed.hpp): those that stay when branches are folded after
/// training.
template <class Net>
inline constexpr Index deployed_parameter_count =
    parameter_count<KeptNetwork<Net>> -
    detail::tables<typename KeptNetwork<Net>::Layers, KeptNetwork<Net>::input>.folded;

namespace detail {

template <class Entries, class Number>
constexpr Index total(const Entries& layers, Number number) {
    Index sum = 0;
    for (const LayerEntry& layer : layers) sum += number(layer);
    return sum;
}

}  // namespace detail

/// What tools count that count the parameters of a layer each time it runs, as torchsummary does; see Repeat.
template <class Net>
inline constexpr Index parameter_count_per_run =
    parameter_count<Net> + detail::tables<typename Net::Layers, Net::input>.repeated;

/// Multiply-accumulates of one sample's forward pass.
template <class Net>
inline constexpr Index multiply_adds =
    detail::total(layer_table<Net>, [](const LayerEntry& layer) { return layer.multiply_adds; });

/// Bytes of all layer outputs of one sample in float32.
template <class Net>
inline constexpr Index activation_bytes =
    detail::total(layer_table<Net>, [](const LayerEntry& layer) { return element_count(layer.output) * 4; });

}  // namespace bantam
