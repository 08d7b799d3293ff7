// SPDX-License-Identifier: MIT
#pragma once

// The layers as all tests see them: one row per case. The gradient check (cpu/layers/layer_cases_test.cpp), the
// comparison with PyTorch (cpu/parity_test.cpp) and that of the GPU with the CPU (cuda/layers_test.cpp) iterate over
// these rows; reference/make_layer_reference.py reads them, too, and computes what PyTorch gives.
//
// To add a layer, add a row and run the script. To add an activation, run the script: its row is its entry in
// AllActivations.

#include <bantam/layers/all.hpp>
#include <bantam/models/tiniest.hpp>

#include <string_view>

namespace layer_cases {

using namespace bantam;

enum class Mode { training, inference };

template <class L, Shape Input>
struct Case {
    std::string_view name;  ///< of its tensors in reference/layers.safetensors
    Mode mode;
};

/// A row of the table. `pytorch` is the module that computes the same: an expression with the names of torch.nn and of
/// reference/torch_layers.py.
template <class L, Shape Input>
constexpr Case<L, Input> row(std::string_view name, [[maybe_unused]] std::string_view pytorch,
                             Mode mode = Mode::training) {
    return {name, mode};
}

// Input shapes; the script knows them by these names.
template <int Channels>
inline constexpr Shape map{7, 6, Channels};
template <int Channels>
inline constexpr Shape small_map{5, 4, Channels};
template <int Channels>
inline constexpr Shape even_map{6, 4, Channels};
template <int Channels>
inline constexpr Shape pixel{1, 1, Channels};
template <int Channels>
inline constexpr Shape image{32, 32, Channels};

// nvcc 13 loses class-type arguments of an alias within template arguments: no PointwiseConv2d<M, no_bias> here.
inline constexpr ConvOptions no_bias{.bias = false};

using Body = Sequence<BatchNorm2d, ReLU, Conv2d<4, 1, 1, no_bias>>;
using ProjectedBody = Sequence<Conv2d<6, 3, 2, no_bias>, BatchNorm2d, ReLU, Conv2d<6, 3, 1, no_bias>, BatchNorm2d>;
using Projection = Sequence<Conv2d<6, 1, 2, no_bias>, BatchNorm2d>;
using QuarterMixer = SplitConcatenate<Identity, DepthwiseConv2d<3>, DepthwiseConv2d<7>,
                                      Sequence<AvgPool2d<3, 1, 1>, DepthwiseConv2d<7, 1, ConvOptions{.dilation = 3}>>>;
using MobileTiny =
    Sequence<Conv2d<8, 3, 2, no_bias>, BatchNorm2d, ReLU6, DepthwiseSeparable<16>, DepthwiseSeparable<24, 2>,
             DepthwiseSeparable<24>, DepthwiseSeparable<32, 2>, GlobalAveragePool, Linear<11>>;

template <class Test, class... Acts>
void for_each_activation(ActivationList<Acts...>, const Test& test) {
    (test(Case<Acts, small_map<3>>{Acts::name, Mode::training}), ...);
}

/// Calls `test` with each layer that is not made of others.
template <class Test>
void for_each_layer(const Test& test) {
    for_each_activation(AllActivations{}, test);
    test(row<TanhExpGate, small_map<6>>("tanh_exp_gate", "TanhExpGate()"));
    test(row<Conv2d<4, 3>, map<3>>("conv_3x3_bias", "conv(3, 4, 3, bias=True)"));
    test(row<Conv2d<4, 3, 2, no_bias>, map<3>>("conv_3x3_stride2", "conv(3, 4, 3, 2)"));
    test(row<Conv2d<4, 5, 1, ConvOptions{.padding = 1, .bias = false}>, map<3>>("conv_5x5_padding1",
                                                                                "conv(3, 4, 5, padding=1)"));
    test(row<Conv2d<4, 3, 1, ConvOptions{.dilation = 2, .bias = false}>, map<3>>("conv_3x3_dilation2",
                                                                                 "conv(3, 4, 3, dilation=2)"));
    test(row<Conv2d<6, 3, 1, ConvOptions{.groups = 2, .bias = false}>, map<4>>("conv_groups2",
                                                                               "conv(4, 6, 3, groups=2)"));
    test(row<Conv2d<12, 4, 2, ConvOptions{.padding = 1, .groups = 4}>, map<8>>(
        "conv_4x4_stride2_groups4_padding1", "conv(8, 12, 4, 2, 1, groups=4, bias=True)"));
    test(row<Conv2d<4, 3, 1, ConvOptions{.padding = 0, .bias = false}>, map<3>>("conv_3x3_valid_no_bias",
                                                                                "conv(3, 4, 3, padding=0)"));
    test(row<Conv2d<4, 7, 2, no_bias>, map<3>>("conv_7x7_stride2", "conv(3, 4, 7, 2)"));
    test(row<Conv2d<4, Size2d{1, 5}, Size2d{1, 2}, no_bias>, map<3>>("conv_1x5_stride1x2",
                                                                     "conv(3, 4, (1, 5), (1, 2), (0, 2))"));
    test(row<Conv2d<6, Size2d{3, 2}, Size2d{2, 1},
                    ConvOptions{.padding = {2, 0}, .dilation = {2, 1}, .groups = 2, .bias = false}>,
             map<4>>("conv_3x2_stride2x1_dilation2x1_groups2", "conv(4, 6, (3, 2), (2, 1), (2, 0), (2, 1), groups=2)"));
    test(row<DepthwiseConv2d<3, 1, no_bias>, map<5>>("depthwise_3x3", "depthwise(5, 3)"));
    test(row<DepthwiseConv2d<3, 2>, map<5>>("depthwise_3x3_stride2_bias", "depthwise(5, 3, 2, bias=True)"));
    test(row<DepthwiseConv2d<7, 1, ConvOptions{.dilation = 3}>, map<3>>("depthwise_7x7_dilation3_bias",
                                                                        "depthwise(3, 7, dilation=3, bias=True)"));
    test(row<DepthwiseConv2d<Size2d{5, 2}, Size2d{1, 2}, ConvOptions{.padding = {2, 1}}>, map<3>>(
        "depthwise_5x2_stride1x2_bias", "conv(3, 3, (5, 2), (1, 2), (2, 1), groups=3, bias=True)"));
    test(row<PointwiseConv2d<7>, map<5>>("pointwise_bias", "pointwise(5, 7, bias=True)"));
    test(row<Conv2d<7, 1, 1, no_bias>, map<5>>("pointwise_no_bias", "pointwise(5, 7)"));
    test(row<ConvTranspose2d<4, 3>, small_map<3>>("conv_transpose_3x3_bias", "ConvTranspose2d(3, 4, 3)"));
    test(row<ConvTranspose2d<5, Size2d{4, 3}, Size2d{2, 3},
                             ConvTransposeOptions{.padding = {1, 0}, .output_padding = {0, 2}, .bias = false}>,
             small_map<3>>("conv_transpose_4x3_stride2x3",
                           "ConvTranspose2d(3, 5, (4, 3), (2, 3), (1, 0), (0, 2), bias=False)"));
    test(row<BatchNorm2d, map<5>>("batch_norm_train", "BatchNorm2d(5)"));
    test(row<BatchNorm2d, map<5>>("batch_norm_eval", "BatchNorm2d(5)", Mode::inference));
    test(row<LayerNorm, map<5>>("layer_norm_channels", "ChannelLayerNorm(5)"));
    test(row<GroupNorm<2>, map<6>>("group_norm_2", "GroupNorm(2, 6)"));
    test(row<MaxPool2d<2>, map<3>>("max_pool_2", "MaxPool2d(2)"));
    test(row<MaxPool2d<3, 2, 1>, map<3>>("max_pool_3_stride2_padding1", "MaxPool2d(3, 2, 1)"));
    test(row<MaxPool2d<Size2d{1, 3}, Size2d{2, 1}>, map<3>>("max_pool_1x3_stride2x1", "MaxPool2d((1, 3), (2, 1))"));
    test(row<AvgPool2d<2>, map<3>>("avg_pool_2", "AvgPool2d(2)"));
    test(row<AvgPool2d<3, 1, 1>, map<3>>("avg_pool_3_stride1_padding1", "AvgPool2d(3, 1, 1)"));
    test(row<AvgPool2d<Size2d{3, 2}, 1, Size2d{1, 0}>, map<3>>("avg_pool_3x2_padding1x0",
                                                               "AvgPool2d((3, 2), 1, (1, 0))"));
    test(row<GlobalAveragePool, map<3>>("global_average_pool", "AdaptiveAvgPool2d(1)"));
    test(row<ChannelShuffle<2>, map<6>>("channel_shuffle_2",
                                        "Apply(lambda x: x.unflatten(1, (2, 3)).transpose(1, 2).flatten(1, 2))"));
    test(row<SpaceToDepth<2>, even_map<3>>("space_to_depth_2", "PixelUnshuffle(2)"));
    test(row<Upsample<2>, small_map<3>>("upsample_nearest_2", "Upsample(scale_factor=2)"));
    test(row<Upsample<3, Interpolation::bilinear>, small_map<3>>("upsample_bilinear_3",
                                                                 "Upsample(scale_factor=3, mode='bilinear')"));
    test(row<AdaptiveAvgPool2d<3, 4>, map<3>>("adaptive_avg_pool_3x4", "AdaptiveAvgPool2d((3, 4))"));
    test(row<AdaptiveAvgPool2d<9, 4>, map<3>>("adaptive_avg_pool_9x4", "AdaptiveAvgPool2d((9, 4))"));
    test(row<BlurPool2d<>, map<3>>("blur_pool_3", "blur_pool(3, 3)"));
    test(row<BlurPool2d<5, 3>, map<3>>("blur_pool_5_stride3", "blur_pool(3, 5, 3)"));
    test(row<PReLU, map<5>>("prelu", "PReLU(5)"));
    test(row<Linear<5>, pixel<7>>("linear_bias", "linear(7, 5, bias=True)"));
    test(row<Linear<5, Bias::without>, pixel<7>>("linear_no_bias", "linear(7, 5)"));
}

/// Calls `test` with each block.
template <class Test>
void for_each_block(const Test& test) {
    test(row<DepthwiseSeparable<6, 2>, map<4>>("depthwise_separable_stride2", "depthwise_separable(4, 6, 2)"));
    test(row<InvertedResidual<4, 1, 4>, map<4>>("inverted_residual", "inverted_residual(4, 4)"));
    test(row<InvertedResidual<6, 2, 4>, map<4>>("inverted_residual_stride2", "inverted_residual(4, 6, 2)"));
    test(row<Residual<Body>, map<4>>("residual_plain", "Residual(block(4, 4))"));
    test(row<ProjectedResidual<Projection, ProjectedBody>, map<4>>("residual_projection", "basic_block_sum(4, 6)"));
    test(row<ScaledResidual<Scale::body, Body>, map<4>>("residual_scaled_body",
                                                        "Residual(block(4, 4), scaled='body', channels=4)"));
    test(row<ScaledResidual<Scale::shortcut, Body>, map<4>>("residual_scaled_shortcut",
                                                            "Residual(block(4, 4), scaled='shortcut', channels=4)"));
    test(row<Repeat<3, DepthwiseConv2d<3, 1, no_bias>, BatchNorm2d, ReLU>, map<4>>(
        "repeat_3", "Again(Sequential(depthwise(4, 3), BatchNorm2d(4), ReLU()), 3)"));
    test(row<Concatenate<PointwiseConv2d<4>, DepthwiseConv2d<3>>, map<3>>(
        "branches_concatenate", "Branches(pointwise(3, 4, bias=True), depthwise(3, 3, bias=True))"));
    test(row<Add<PointwiseConv2d<3>, DepthwiseConv2d<3>>, map<3>>(
        "branches_add", "Branches(pointwise(3, 3, bias=True), depthwise(3, 3, bias=True), add=True)"));
    test(row<RepConv2d<4>, map<4>>("rep_conv2d", "rep_conv2d(4)"));
    test(row<QuarterMixer, map<8>>("branches_split4", "tiniest_mixer(8)"));
    test(row<SqueezeExcite<4>, map<8>>("squeeze_excite", "SqueezeExcite(8)"));
    test(row<ChannelGate<GlobalAveragePool, PointwiseConv2d<6>, Softmax>, small_map<6>>("softmax_gate",
                                                                                        "SoftmaxGate(6)"));
    test(row<TiniestBlock<8>, map<8>>("tiniest_block", "tiniest_block(8)"));
}

/// Calls `test` with each whole network.
template <class Test>
void for_each_network(const Test& test) {
    test(row<MobileTiny, image<3>>("mobile_tiny", "mobile_tiny()"));
}

}  // namespace layer_cases
