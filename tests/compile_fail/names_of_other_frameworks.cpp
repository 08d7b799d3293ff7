// SPDX-License-Identifier: MIT
// Each name is refused with what to write instead; the first of them is compiled.
// expect-text: layer 1 BatchNorm: it is BatchNorm2d here
// without: nvcc
// errors: 1
// with: cxx26
#include <bantam/core/network.hpp>
#include <bantam/layers/all.hpp>

using namespace bantam;

#ifdef TWIN
using Net = Network<Image<8, 8, 3>, Conv2d<8, 3>, BatchNorm2d>;
#else
using Net = Network<Image<8, 8, 3>, Conv2d<8, 3>, BatchNorm>;
#endif
static_assert(sizeof(Net) > 0);

template <class L>
constexpr bool refused = static_cast<bool>(detail::LayersMistake<L, Shape{8, 8, 3}>::mistake);
static_assert(refused<MaxPool<2>> && refused<Sequential<ReLU>> && refused<LogSoftmax> && refused<MaxPooling2D<2>>);
static_assert(!refused<GlobalAveragePool> && !refused<MaxPool2d<2>> && !refused<Sequence<ReLU>>);

// A softmax is a layer, but not the last one.
template <class... Ls>
constexpr std::string_view text = detail::NetworkMistake<Image<8, 8, 3>, Ls...>::mistake.text;
static_assert(text<GlobalAveragePool, Softmax>.starts_with("leave it out: a network ends with its logits"));
static_assert(text<ChannelGate<GlobalAveragePool, Softmax>, Conv2d<8, 3>>.empty());
static_assert(
    text<ConvTranspose2d<8, 3, 2, ConvTransposeOptions{.output_padding = 2}>>.starts_with("its output padding"));

// Other mistakes of the layers' types.
struct Declared;
struct Private : private Layer {
    static constexpr std::string_view name = "Private";
};
static_assert(text<Declared>.starts_with("it is declared and not defined here"));
static_assert(text<Private>.starts_with("it derives from bantam::Layer privately"));
static_assert(text<Image<8, 8, 3>, ReLU>.starts_with("the image stands once"));
static_assert(text<Residual<>>.starts_with("its body has at least one layer"));
