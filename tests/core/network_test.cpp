// SPDX-License-Identifier: MIT
// Counts, shapes, names and offsets, nearly all of them static assertions.
#define BOOST_TEST_MODULE core_network
#include <boost/test/unit_test.hpp>

#include <bantam/core/budget.hpp>
#include <bantam/core/network.hpp>
#include <bantam/layers/dropout.hpp>
#include <bantam/layers/flatten.hpp>
#include <bantam/layers/inverted_residual.hpp>
#include <bantam/layers/repeat.hpp>
#include <bantam/layers/squeeze_excite.hpp>
#include <bantam/models/ensemble.hpp>
#include <bantam/models/mobile.hpp>
#include <bantam/models/resnet18.hpp>
#include <bantam/models/sample.hpp>
#include <bantam/models/tiniest.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>

using namespace bantam;

namespace {

constexpr ConvOptions no_bias{.bias = false};

// ------------------------------------------------------------------------- the reference networks

static_assert(trainable_parameters<Mobile98k<11>> == 95'371);
static_assert(non_trainable_parameters<Mobile98k<11>> == 2'784);
static_assert(parameter_count<Mobile98k<11>> == 98'155);
static_assert(output_shape<Mobile98k<11>> == Shape{1, 1, 11});
static_assert(class_count<Mobile98k<11>> == 11);

static_assert(trainable_parameters<Sample88k<11>> == 87'907);
static_assert(non_trainable_parameters<Sample88k<11>> == 456);

// torchvision: 11,689,512 with 1000 classes, less 990 · 513.
static_assert(trainable_parameters<ResNet18<10>> == 11'181'642);
static_assert(trainable_parameters<ResNet18<1000, 224>> == 11'689'512);
static_assert(non_trainable_parameters<ResNet18<10>> == 9'600);
// The published 1.81 G multiply-adds at 224 pixels.
static_assert(multiply_adds<ResNet18<1000, 224>> == 1'814'073'344);

static_assert(parameter_count<Tiniest97k<10>> == 97'530);
static_assert(non_trainable_parameters<Tiniest97k<10>> == 0);

static_assert(Student<Mobile98k<11>>::parameter_limit == 100'000);
static_assert(Student<Tiniest97k<10>, 97'530>::parameter_limit == 97'530);

// --------------------------------------------------------------------------- exactly at the limit

using Exactly = Network<Image<1, 1, 999>, Linear<100>>;
static_assert(parameter_count<Exactly> == 100'000);
static_assert(parameter_count<Student<Exactly>> == 100'000);
static_assert(output_shape<Student<Exactly>> == Shape{1, 1, 100});
static_assert(NetworkType<Student<Exactly>>);

// ------------------------------------------------------------------------------------- ensembles

using Pair = Ensemble<Network<Image<8, 8, 3>, Conv2d<4, 3>, BatchNorm2d, GlobalAveragePool, Linear<3>>,
                      Network<Image<8, 8, 3>, Flatten, Linear<3>>>;
static_assert(trainable_parameters<Pair> == (4 * 27 + 4) + 8 + (4 * 3 + 3) + (192 * 3 + 3));
static_assert(non_trainable_parameters<Pair> == 8);
static_assert(output_shape<Pair> == Shape{1, 1, 3});
static_assert(parameter_count<Ensemble<Mobile98k<11>, Mobile98k<11>>> == 2 * 98'155);

// -------------------------------------------- dense N·M·k² against depthwise-separable N·k² + N·M

template <int N, int M, int K>
constexpr bool weights_as_published() {
    using Dense = Part<Conv2d<M, K, 1, no_bias>, Shape{16, 16, N}>;
    using Separable = Part<Sequence<DepthwiseConv2d<K, 1, no_bias>, PointwiseConv2d<M, no_bias>>, Shape{16, 16, N}>;
    return trainable_parameters<Dense> == std::int64_t{N} * M * K * K &&
           trainable_parameters<Separable> == std::int64_t{N} * K * K + std::int64_t{N} * M &&
           multiply_adds<Dense> == 256 * trainable_parameters<Dense> &&
           multiply_adds<Separable> == 256 * trainable_parameters<Separable>;
}
static_assert(weights_as_published<32, 64, 3>());
static_assert(weights_as_published<3, 7, 5>());
static_assert(weights_as_published<1, 1, 1>());

// ------------------------------------------------------------------- one layer after the other

template <class L, Shape Input>
constexpr bool is(Shape output, std::int64_t trainable, std::int64_t statistics, std::int64_t cost) {
    using Only = Part<L, Input>;
    return output_shape<Only> == output && trainable_parameters<Only> == trainable &&
           non_trainable_parameters<Only> == statistics && multiply_adds<Only> == cost;
}
static_assert(is<Conv2d<16, 3, 2>, Shape{9, 8, 3}>({5, 4, 16}, 16 * 27 + 16, 0, 20 * 16 * 27));
static_assert(is<Conv2d<6, 3, 1, ConvOptions{.groups = 3}>, Shape{4, 4, 9}>({4, 4, 6}, 6 * 3 * 9 + 6, 0, 16 * 6 * 27));
static_assert(is<Conv2d<1, 3, 1, ConvOptions{.padding = 0, .dilation = 2}>, Shape{5, 7, 1}>({1, 3, 1}, 10, 0, 27));
static_assert(is<DepthwiseConv2d<3, 2>, Shape{8, 8, 5}>({4, 4, 5}, 50, 0, 16 * 45));
static_assert(is<BatchNorm2d, Shape{4, 4, 7}>({4, 4, 7}, 14, 14, 0));
static_assert(is<LayerNorm, Shape{4, 4, 7}>({4, 4, 7}, 14, 0, 0));
static_assert(is<MaxPool2d<3, 2, 1>, Shape{7, 6, 2}>({4, 3, 2}, 0, 0, 0));
static_assert(is<AvgPool2d<2>, Shape{7, 6, 2}>({3, 3, 2}, 0, 0, 0));
static_assert(is<GlobalAveragePool, Shape{7, 6, 2}>({1, 1, 2}, 0, 0, 0));
static_assert(is<Flatten, Shape{7, 6, 2}>({1, 1, 84}, 0, 0, 0));
static_assert(is<Linear<11>, Shape{1, 1, 176}>({1, 1, 11}, 176 * 11 + 11, 0, 176 * 11));
static_assert(is<Dropout<20>, Shape{7, 6, 2}>({7, 6, 2}, 0, 0, 0));
static_assert(is<TanhExpGate, Shape{3, 3, 8}>({3, 3, 4}, 0, 0, 36));
static_assert(is<SqueezeExcite<4>, Shape{3, 3, 8}>({3, 3, 8}, (8 * 2 + 2) + (2 * 8 + 8), 0, 16 + 16 + 72));
static_assert(is<Residual<PointwiseConv2d<4>>, Shape{3, 3, 4}>({3, 3, 4}, 20, 0, 9 * 16));
static_assert(is<ScaledResidual<Scale::body, Identity>, Shape{3, 3, 4}>({3, 3, 4}, 4, 0, 36));
// MobileNetV2's block: expand 4 to 24, depthwise, project to 4, three norms.
static_assert(is<InvertedResidual<4>, Shape{8, 8, 4}>({8, 8, 4}, 96 + 48 + 216 + 48 + 96 + 8, 48 + 48 + 8,
                                                      64 * (96 + 216 + 96)));
static_assert(is<SplitConcatenate<Identity, DepthwiseConv2d<3>>, Shape{3, 3, 8}>({3, 3, 8}, 40, 0, 9 * 36));

// ------------------------------------------------------------------------------ offsets and names

/// Tensors follow each other without a gap, in both buffers.
template <class Net>
constexpr bool offsets_are_contiguous() {
    std::int64_t trainable = 0, statistics = 0;
    for (const NamedTensor& entry : tensor_table<Net>) {
        std::int64_t& next = entry.tensor.trainable ? trainable : statistics;
        if (entry.offset != next || entry.tensor.element_count() <= 0) return false;
        next += entry.tensor.element_count();
    }
    return trainable == trainable_parameters<Net> && statistics == non_trainable_parameters<Net>;
}
static_assert(offsets_are_contiguous<Mobile98k<11>>());
static_assert(offsets_are_contiguous<Sample88k<11>>());
static_assert(offsets_are_contiguous<ResNet18<10>>());
static_assert(offsets_are_contiguous<Tiniest97k<10>>());
static_assert(offsets_are_contiguous<Pair>());

template <class Net>
bool names_are_unique() {
    std::set<std::string> names;
    for (const NamedTensor& entry : tensor_table<Net>) names.emplace(entry.name.view());
    return names.size() == tensor_table<Net>.size();
}

/// Layers' rows add up to the totals.
template <class Net>
constexpr bool rows_add_up() {
    std::int64_t trainable = 0, statistics = 0;
    for (const LayerEntry& layer : layer_table<Net>) {
        trainable += layer.trainable;
        statistics += layer.non_trainable;
    }
    return trainable == trainable_parameters<Net> && statistics == non_trainable_parameters<Net>;
}
static_assert(rows_add_up<Mobile98k<11>>() && rows_add_up<ResNet18<10>>() && rows_add_up<Tiniest97k<10>>());

}  // namespace

// A repeated layer counts its tensors once and its multiply-adds each time, also where repeats are nested.
using Repeated =
    Network<Image<7, 6, 3>, Conv2d<4, 3>, Repeat<3, DepthwiseConv2d<3>, Repeat<2, PointwiseConv2d<4>>, BatchNorm2d>>;
static_assert(parameter_count<Repeated> == (3 * 4 * 9 + 4) + (4 * 9 + 4) + (4 * 4 + 4) + 4 * 4);
static_assert(parameter_count_per_run<Repeated> == (3 * 4 * 9 + 4) + 3 * ((4 * 9 + 4) + 2 * (4 * 4 + 4) + 4 * 4));
static_assert(multiply_adds<Repeated> == 7 * 6 * (3 * 4 * 9 + 3 * (4 * 9 + 2 * 4 * 4)));
static_assert(parameter_count_per_run<Mobile98k<11>> == parameter_count<Mobile98k<11>>);

BOOST_AUTO_TEST_CASE(tensor_names_are_unique) {
    BOOST_TEST(names_are_unique<Mobile98k<11>>());
    BOOST_TEST(names_are_unique<Sample88k<11>>());
    BOOST_TEST(names_are_unique<ResNet18<10>>());
    BOOST_TEST(names_are_unique<Tiniest97k<10>>());
    BOOST_TEST(names_are_unique<Pair>());
}

BOOST_AUTO_TEST_CASE(resnet18_has_torchvisions_tensor_names) {
    std::set<std::string> expected;
    const auto norm = [&](const std::string& path) {
        for (const char* part : {"weight", "bias", "running_mean", "running_var"}) expected.insert(path + "." + part);
    };
    expected.insert("conv1.weight");
    norm("bn1");
    for (int stage = 1; stage <= 4; ++stage)
        for (int block = 0; block < 2; ++block) {
            const std::string path = "layer" + std::to_string(stage) + "." + std::to_string(block);
            for (const char* part : {"1", "2"}) {
                expected.insert(path + ".conv" + part + ".weight");
                norm(path + ".bn" + part);
            }
            if (stage > 1 && block == 0) {
                expected.insert(path + ".downsample.0.weight");
                norm(path + ".downsample.1");
            }
        }
    expected.insert("fc.weight");
    expected.insert("fc.bias");
    std::set<std::string> found;
    for (const NamedTensor& entry : tensor_table<ResNet18<10>>) found.emplace(entry.name.view());
    BOOST_TEST(found == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(only_weights_decay) {
    for (const NamedTensor& entry : tensor_table<Tiniest97k<10>>)
        BOOST_TEST(entry.tensor.decayed == (entry.tensor.rank > 1), entry.name.view());
    for (const NamedTensor& entry : tensor_table<ResNet18<10>>)
        BOOST_TEST(entry.tensor.decayed == (entry.tensor.rank > 1), entry.name.view());
}

BOOST_AUTO_TEST_CASE(tensor_extents_equal_pytorchs) {
    const auto& table = tensor_table<ResNet18<10>>;
    BOOST_TEST(std::string{table.front().name.view()} == "conv1.weight");
    BOOST_TEST(table.front().tensor.rank == 4);
    BOOST_TEST((table.front().tensor.extents == std::array<std::int64_t, 4>{64, 3, 7, 7}));
    BOOST_TEST((table[table.size() - 2].tensor.extents == std::array<std::int64_t, 4>{10, 512, 0, 0}));
}
