// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/deploy/map_memory.hpp>
#include <bantam/deploy/precision.hpp>
#include <bantam/deploy/stages/product.hpp>
#include <bantam/layers/size2d.hpp>

#include <cstddef>
#include <type_traits>

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
    Size2d stride;
    Size2d padding;
    Size2d dilation;
    int groups;
    WeightSource source;
    bool bias;
    bool norm;
    Bound bound;
};

/// What every kind of convolution says of itself. A windowed stage turns the `kernel_height` input lines that one
/// output line sees into that line; `stride`, `padding` and `dilation` count lines.
template <ConvSpec S, class P, class InType, class OutType>
struct ConvolutionBase {
    using In = InType;
    using Out = OutType;
    using Precision = P;
    static constexpr ConvSpec spec = S;
    static constexpr Shape input = S.input;
    static constexpr Shape output = S.output;
    static constexpr int kernel_height = S.kernel_height;
    static constexpr int stride = S.stride.height;
    static constexpr int padding = S.padding.height;
    static constexpr int dilation = S.dilation.height;
    static constexpr int in_channels = static_cast<int>(S.input.channels);
    static constexpr int out_channels = static_cast<int>(S.output.channels);
    static constexpr int in_width = static_cast<int>(S.input.width);
    static constexpr int out_width = static_cast<int>(S.output.width);
    /// Inputs and outputs of one group, and inputs that one output sums.
    static constexpr int inputs = in_channels / S.groups;
    static constexpr int outputs = out_channels / S.groups;
    static constexpr int length = S.kernel_height * S.kernel_width * inputs;
    /// The output pixels whose windows have all columns inside the map.
    static constexpr int inside_begin = (S.padding.width + S.stride.width - 1) / S.stride.width;
    static constexpr int inside_end = [] {
        const int last = in_width - 1 + S.padding.width - (S.kernel_width - 1) * S.dilation.width;
        return last < 0 ? 0 : last / S.stride.width + 1;
    }();
    // With the largest element and weight and a bias of 2^30 a sum stays below 2^31.
    static_assert(std::is_same_v<P, Float32> || length <= 33'000, "a sum of more products may leave 32 bits");

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
        Base::length, Base::inside_begin, Base::inside_end;
    static constexpr int padded_length = (length + P::length_multiple - 1) / P::length_multiple * P::length_multiple;
    static constexpr Index weight_count = Index{out_channels} * padded_length;
    /// Whether a pixel's inputs lie in a line as a product reads them.
    static constexpr bool in_place = std::is_same_v<In, typename P::Patch> && S.groups == 1 && S.kernel_height == 1 &&
                                     S.kernel_width == 1 && S.padding == 0 && padded_length == length;
    /// Whether products read windows inside the map where they are: a row of one lies as its weights do.
#if defined(__AVX__)
    static constexpr bool reads_windows = std::is_same_v<P, Float32> && !in_place && S.groups == 1 &&
                                          S.dilation.width == 1 && out_channels % (2 * P::output_block) == 0;
#else
    static constexpr bool reads_windows = false;
#endif
    // Patches take memory, and more than two pixels' sums take more registers than small processors have.
#if defined(__SSE2__) || defined(__ARM_NEON)
    static constexpr int pixels_per_step = out_width == 1 ? 1 : in_place && out_width >= 8 ? 8 : 2;
#else
    static constexpr int pixels_per_step = out_width == 1 ? 1 : 2;
#endif
    static constexpr Index line_scratch_bytes =
        in_place ? 0 : pixels_per_step * padded_length * static_cast<Index>(sizeof(typename P::Patch));

    static constexpr Index weight_index(int m, int ky, int kx, int c) {
        const int k = (ky * S.kernel_width + kx) * inputs + c;
        return Index{m / outputs} * outputs * padded_length +
               product_weight_index<P>(m % outputs, k, outputs, padded_length);
    }

    /// Copies what output pixel `x` sees of a group, with zeros for what lies outside the map.
    static void gather(const In* const* lines, int x, int group, typename P::Patch* patch) {
        int k = 0;
        for (int ky = 0; ky < S.kernel_height; ++ky)
            for (int kx = 0; kx < S.kernel_width; ++kx, k += inputs) {
                const int in_x = x * S.stride.width - S.padding.width + kx * S.dilation.width;
                const bool outside = lines[ky] == nullptr || in_x < 0 || in_x >= in_width;
                fill_patch<P, In>(outside ? nullptr : lines[ky] + in_x * in_channels + group * inputs, inputs, patch,
                                  k);
            }
        fill_patch<P, In>(nullptr, padded_length - length, patch, length);
    }

    template <int Pixels>
    static void pixels(const In* const* lines, int x, Out* out, WeightView<P> view, typename P::Patch* patches) {
        for (int group = 0; group < S.groups; ++group) {
            const typename P::Patch* seen[std::size_t{Pixels}];
            for (int pixel = 0; pixel < Pixels; ++pixel) {
                if constexpr (in_place) {
                    seen[pixel] = lines[0] + (x + pixel) * S.stride.width * in_channels;
                } else {
                    gather(lines, x + pixel, group, patches + pixel * padded_length);
                    seen[pixel] = patches + pixel * padded_length;
                }
            }
            multiply<P, Pixels, outputs % P::output_block, S.bound>(
                seen, view.weights + group * outputs * padded_length, padded_length, outputs,
                view.constants + group * outputs * Base::Epilogue::constants_per_channel,
                out + x * out_channels + group * outputs, out_channels);
        }
    }

    static void line(const In* const* lines, Out* out, WeightView<P> view, std::byte* scratch) {
        auto* patches = map_at<typename P::Patch>(scratch);
        int x = 0;
#if defined(__AVX__)
        if constexpr (reads_windows) {
            constexpr int windows_per_step = 8;
            for (; x < inside_begin && x < out_width; ++x) pixels<1>(lines, x, out, view, patches);
            for (; x + windows_per_step <= inside_end; x += windows_per_step) {
                const float* windows[std::size_t{S.kernel_height}];
                for (int ky = 0; ky < S.kernel_height; ++ky)
                    windows[ky] = lines[ky] == nullptr
                                      ? nullptr
                                      : lines[ky] + (x * S.stride.width - S.padding.width) * in_channels;
                multiply_windows<windows_per_step, S.bound>(windows, S.kernel_height, S.kernel_width * inputs,
                                                            S.stride.width * in_channels, view.weights, out_channels,
                                                            view.constants, out + x * out_channels);
            }
        }
#endif
        for (; x + pixels_per_step <= out_width; x += pixels_per_step)
            pixels<pixels_per_step>(lines, x, out, view, patches);
        if constexpr (out_width % pixels_per_step != 0 || reads_windows)
            for (; x < out_width; ++x) pixels<1>(lines, x, out, view, patches);
    }
};

/// One pixel of a depthwise convolution from the `taps` inputs that lie inside the map. Not inlined: one copy serves
/// every stage.
template <class P, Bound bound, class In, class Out>
[[gnu::noinline]] void convolve_channels(const In* const* inputs, const typename P::Weight* const* weights, int taps,
                                         int channels, const typename P::Constant* constants, Out* out) {
    using Epilogue = ChannelEpilogue<P>;
    constexpr int block = P::output_block;
    int channel = 0;
#if defined(__SSE2__) || defined(__ARM_NEON)
    if constexpr (std::is_same_v<P, Float32>) {
        // Several vectors of sums, since each addition depends on the one before it.
        constexpr int unrolled = 4 * block;
        for (; channel + unrolled <= channels; channel += unrolled, constants += unrolled) {
            float sums[std::size_t{unrolled}];
            multiply_channels<P, unrolled>(inputs, weights, taps, channel, sums);
            unroll<unrolled / block>([&](auto i) __attribute__((always_inline)) {
                store_vector<bound>(sums + i * block, constants + i * block, out + channel + i * block);
            });
        }
    }
#endif
    for (; channel + block <= channels; channel += block, constants += block * Epilogue::constants_per_channel) {
        typename P::Sum sums[std::size_t{block}];
        multiply_channels<P, block>(inputs, weights, taps, channel, sums);
        unroll<block>([&](auto i) __attribute__((always_inline)) {
            out[channel + i] =
                Epilogue::template store<Out, bound>(sums[i], constants + i * Epilogue::constants_per_channel);
        });
    }
    for (; channel < channels; ++channel, constants += Epilogue::constants_per_channel) {
        typename P::Sum sums[1];
        multiply_channels<P, 1>(inputs, weights, taps, channel, sums);
        out[channel] = Epilogue::template store<Out, bound>(sums[0], constants);
    }
}

/// A convolution of every channel alone. Weights lie as taps of all channels.
template <ConvSpec S, class P, class In, class Out>
struct Depthwise : ConvolutionBase<S, P, In, Out> {
    using Base = ConvolutionBase<S, P, In, Out>;
    using Base::in_channels, Base::in_width, Base::out_channels, Base::out_width, Base::inside_begin, Base::inside_end;
    static constexpr Index weight_count = Index{Base::length} * out_channels;
    static constexpr Index line_scratch_bytes = 0;

    static constexpr Index weight_index(int m, int ky, int kx, int) {
        return Index{ky * S.kernel_width + kx} * out_channels + m;
    }

    static void line(const In* const* lines, Out* out, WeightView<P> view, std::byte*) {
        int x = 0;
#if defined(__SSE2__) || defined(__ARM_NEON)
        if constexpr (std::is_same_v<P, Float32> && out_channels % vector_length == 0) {
            for (; x < inside_begin && x < out_width; ++x) pixel(lines, x, out, view);
            for (; x + inside_pixels <= inside_end; x += inside_pixels) pixels_inside(lines, x, out, view);
            // The last ones, and before them some that are computed a second time.
            if constexpr (inside_end - inside_begin >= inside_pixels)
                if (x < inside_end) {
                    pixels_inside(lines, inside_end - inside_pixels, out, view);
                    x = inside_end;
                }
        }
#endif
        for (; x < out_width; ++x) pixel(lines, x, out, view);
    }

private:
    static void pixel(const In* const* lines, int x, Out* out, WeightView<P> view) {
        const In* inputs[static_cast<std::size_t>(S.kernel_height * S.kernel_width)];
        const typename P::Weight* weights[static_cast<std::size_t>(S.kernel_height * S.kernel_width)];
        int taps = 0;
        for (int ky = 0; ky < S.kernel_height; ++ky) {
            if (lines[ky] == nullptr) continue;
            for (int kx = 0; kx < S.kernel_width; ++kx) {
                const int in_x = x * S.stride.width - S.padding.width + kx * S.dilation.width;
                if (in_x < 0 || in_x >= in_width) continue;
                inputs[taps] = lines[ky] + in_x * in_channels;
                weights[taps++] = view.weights + (ky * S.kernel_width + kx) * out_channels;
            }
        }
        convolve_channels<P, S.bound>(inputs, weights, taps, out_channels, view.constants, out + x * out_channels);
    }

#if defined(__SSE2__) || defined(__ARM_NEON)
    // Pixels inside, some at a time: a weight is read once for all.
    static constexpr int vector_length = sizeof(FloatVector) / sizeof(float);
    static constexpr int inside_pixels = 4;
    static void pixels_inside(const float* const* lines, int x, float* out, WeightView<Float32> view) {
        constexpr int pixel_step = S.stride.width * in_channels;
        const int begin = (x * S.stride.width - S.padding.width) * in_channels;
        for (int channel = 0; channel < out_channels; channel += vector_length) {
            FloatVector sums[std::size_t{inside_pixels}] = {};
            for (int ky = 0; ky < S.kernel_height; ++ky) {
                if (lines[ky] == nullptr) continue;
                unroll<S.kernel_width>([&](auto kx) __attribute__((always_inline)) {
                    FloatVector weight;
                    __builtin_memcpy(&weight, view.weights + (ky * S.kernel_width + kx) * out_channels + channel,
                                     sizeof weight);
                    const float* input = lines[ky] + begin + kx * S.dilation.width * in_channels + channel;
                    unroll<inside_pixels>([&](auto i) __attribute__((always_inline)) {
                        FloatVector value;
                        __builtin_memcpy(&value, input + i * pixel_step, sizeof value);
                        sums[i] += value * weight;
                    });
                });
            }
            unroll<inside_pixels>([&](auto i) __attribute__((always_inline)) {
                float stored[std::size_t{vector_length}];
                __builtin_memcpy(stored, &sums[i], sizeof stored);
                store_vector<S.bound>(stored, view.constants + channel, out + (x + i) * out_channels + channel);
            });
        }
    }
#endif
};

}  // namespace bantam::deploy
