// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/deploy/precision.hpp>
#include <bantam/deploy/stages/product.hpp>

#include <cstddef>

namespace bantam::deploy {

/// Which layer a convolution's weights come from: Conv2d or DepthwiseConv2d; Linear, behind a Flatten or not, whose
/// weights lie in the order of the map; or a BatchNorm2d that stands alone and has none.
enum class WeightSource { convolution, linear, none };

/// A convolution, the batch norm folded into it, and the bound behind it.
struct ConvSpec {
    Shape input;
    Shape output;
    int kernel_height;
    int kernel_width;
    int stride;
    int padding;
    int dilation;
    int groups;
    WeightSource source;
    bool bias;
    bool norm;
    Bound bound;
};

/// What every kind of convolution says of itself. A windowed stage turns the `kernel_height` input lines that one
/// output line sees into that line.
template <ConvSpec S, class P, class InType, class OutType>
struct ConvolutionBase {
    using In = InType;
    using Out = OutType;
    using Precision = P;
    static constexpr ConvSpec spec = S;
    static constexpr Shape input = S.input;
    static constexpr Shape output = S.output;
    static constexpr int kernel_height = S.kernel_height;
    static constexpr int stride = S.stride;
    static constexpr int padding = S.padding;
    static constexpr int dilation = S.dilation;
    static constexpr int in_channels = static_cast<int>(S.input.channels);
    static constexpr int out_channels = static_cast<int>(S.output.channels);
    static constexpr int in_width = static_cast<int>(S.input.width);
    static constexpr int out_width = static_cast<int>(S.output.width);
    /// Inputs and outputs of one group, and inputs that one output sums.
    static constexpr int inputs = in_channels / S.groups;
    static constexpr int outputs = out_channels / S.groups;
    static constexpr int length = S.kernel_height * S.kernel_width * inputs;
    // With the largest element and weight and a bias of 2^30 a sum stays below 2^31.
    static_assert(length <= 33'000, "a sum of more products may leave 32 bits");

    using Epilogue = ChannelEpilogue<P>;
    static constexpr Index constant_count = Index{out_channels} * Epilogue::constants_per_channel;
    static constexpr Index weight_tensor = S.source == WeightSource::none ? 0 : Index{out_channels} * length;
    static constexpr Index bias_tensor = S.bias ? out_channels : 0;
    /// Elements of the layers' trainable tensors and statistics, in storage order: weight, bias, and the norm's.
    static constexpr Index trainable = weight_tensor + bias_tensor + (S.norm ? 2 * out_channels : 0);
    static constexpr Index statistics = S.norm ? 2 * out_channels : 0;

    /// Where the weight of output `m` for tap `ky`, `kx` and input `c` of its group lies in the weight tensor.
    static constexpr Index tensor_index(int m, int ky, int kx, int c) {
        if (S.source == WeightSource::linear) return Index{m} * length + (ky * S.kernel_width + kx) * inputs + c;
        return Index{m} * length + (c * S.kernel_height + ky) * S.kernel_width + kx;
    }
};

/// A convolution whose outputs sum over several inputs, in groups or not.
template <ConvSpec S, class P, class In, class Out>
struct Convolution : ConvolutionBase<S, P, In, Out> {
    using Base = ConvolutionBase<S, P, In, Out>;
    using Base::in_channels, Base::in_width, Base::out_channels, Base::out_width, Base::inputs, Base::outputs,
        Base::length;
    static constexpr int padded_length = (length + P::length_multiple - 1) / P::length_multiple * P::length_multiple;
    static constexpr Index weight_count = Index{out_channels} * padded_length;
    /// Whether a pixel's inputs lie in a line as a product reads them.
    static constexpr bool in_place =
        S.groups == 1 && S.kernel_height == 1 && S.kernel_width == 1 && S.padding == 0 && padded_length == length;
    static constexpr int pixels_per_step = out_width > 1 ? 2 : 1;
    static constexpr Index line_scratch_bytes =
        in_place ? 0 : pixels_per_step * padded_length * static_cast<Index>(sizeof(In));

    static constexpr Index weight_index(int m, int ky, int kx, int c) {
        const int k = (ky * S.kernel_width + kx) * inputs + c;
        return Index{m / outputs} * outputs * padded_length +
               product_weight_index<P>(m % outputs, k, outputs, padded_length);
    }

    /// Copies what output pixel `x` sees of a group, with zeros for what lies outside the map.
    static void gather(const In* const* lines, int x, int group, In* patch) {
        for (int ky = 0; ky < S.kernel_height; ++ky) {
            for (int kx = 0; kx < S.kernel_width; ++kx, patch += inputs) {
                const int in_x = x * S.stride - S.padding + kx * S.dilation;
                if (lines[ky] == nullptr || in_x < 0 || in_x >= in_width) {
                    for (int c = 0; c < inputs; ++c) patch[c] = 0;
                } else {
                    const In* from = lines[ky] + in_x * in_channels + group * inputs;
                    for (int c = 0; c < inputs; ++c) patch[c] = from[c];
                }
            }
        }
        for (int i = length; i < padded_length; ++i) *patch++ = 0;
    }

    template <int Pixels>
    static void pixels(const In* const* lines, int x, Out* out, WeightView<P> view, In* patches) {
        for (int group = 0; group < S.groups; ++group) {
            const In* seen[Pixels];
            for (int pixel = 0; pixel < Pixels; ++pixel) {
                if constexpr (in_place) {
                    seen[pixel] = lines[0] + (x + pixel) * S.stride * in_channels;
                } else {
                    In* patch = patches + pixel * padded_length;
                    gather(lines, x + pixel, group, patch);
                    seen[pixel] = patch;
                }
            }
            multiply<P, Pixels, outputs>(seen, view.weights + group * outputs * padded_length, padded_length,
                                         [&](int pixel, int m, typename P::Sum sum) {
                                             const int channel = group * outputs + m;
                                             out[(x + pixel) * out_channels + channel] =
                                                 Base::Epilogue::template store<Out, S.bound>(sum, view.constants,
                                                                                              channel);
                                         });
        }
    }

    static void line(const In* const* lines, Out* out, WeightView<P> view, std::byte* scratch) {
        In* patches = reinterpret_cast<In*>(scratch);
        int x = 0;
        for (; x + pixels_per_step <= out_width; x += pixels_per_step)
            pixels<pixels_per_step>(lines, x, out, view, patches);
        if constexpr (out_width % pixels_per_step != 0) pixels<1>(lines, x, out, view, patches);
    }
};

/// A convolution of every channel alone. Weights lie as taps of all channels.
template <ConvSpec S, class P, class In, class Out>
struct Depthwise : ConvolutionBase<S, P, In, Out> {
    using Base = ConvolutionBase<S, P, In, Out>;
    using Base::in_channels, Base::in_width, Base::out_channels, Base::out_width;
    static constexpr Index weight_count = Index{Base::length} * out_channels;
    static constexpr Index line_scratch_bytes = 0;
    static constexpr int channel_block = in_channels % 8 == 0 ? 8 : in_channels % 4 == 0 ? 4 : 1;

    static constexpr Index weight_index(int m, int ky, int kx, int) {
        return Index{ky * S.kernel_width + kx} * out_channels + m;
    }

    static void line(const In* const* lines, Out* out, WeightView<P> view, std::byte*) {
        using Sum = typename P::Sum;
        for (int x = 0; x < out_width; ++x)
            for (int begin = 0; begin < out_channels; begin += channel_block) {
                Sum sums[channel_block] = {};
                for (int ky = 0; ky < S.kernel_height; ++ky) {
                    if (lines[ky] == nullptr) continue;
                    for (int kx = 0; kx < S.kernel_width; ++kx) {
                        const int in_x = x * S.stride - S.padding + kx * S.dilation;
                        if (in_x < 0 || in_x >= in_width) continue;
                        const In* from = lines[ky] + in_x * in_channels + begin;
                        const typename P::Weight* weights =
                            view.weights + (ky * S.kernel_width + kx) * out_channels + begin;
                        for (int i = 0; i < channel_block; ++i)
                            sums[i] += static_cast<Sum>(from[i]) * static_cast<Sum>(weights[i]);
                    }
                }
                for (int i = 0; i < channel_block; ++i)
                    out[x * out_channels + begin + i] =
                        Base::Epilogue::template store<Out, S.bound>(sums[i], view.constants, begin + i);
            }
    }
};

}  // namespace bantam::deploy
