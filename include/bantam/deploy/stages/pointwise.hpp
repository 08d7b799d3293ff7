// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/deploy/precision.hpp>
#include <bantam/exec/activation_functions.hpp>
#include <bantam/layers/channel_shuffle.hpp>
#include <bantam/layers/layer_norm.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace bantam::deploy {

/// A stage that turns every pixel alone into a pixel.
template <Shape Input, Shape Output, class P, class InType, class OutType>
struct PixelStage {
    using In = InType;
    using Out = OutType;
    using Precision = P;
    static constexpr Shape input = Input;
    static constexpr Shape output = Output;
    static constexpr int kernel_height = 1;
    static constexpr int stride = 1;
    static constexpr int padding = 0;
    static constexpr int dilation = 1;
    static constexpr Index line_scratch_bytes = 0;
    static constexpr Index weight_count = 0;
    static constexpr Index constant_count = 0;
    static constexpr Index trainable = 0;
    static constexpr Index statistics = 0;
    static constexpr int width = static_cast<int>(Input.width);
    static constexpr int channels = static_cast<int>(Input.channels);
    static constexpr int elements = width * channels;
};

/// Bytes of a picture to what the network takes, color by color. float: constants are a factor and a summand per
/// color. int8: (byte · factor + summand) / 2¹⁶, rounded, halves up.
template <Shape Input, class P>
struct PixelInput : PixelStage<Input, Input, P, std::uint8_t, typename P::Signed> {
    using Base = PixelStage<Input, Input, P, std::uint8_t, typename P::Signed>;
    static constexpr Index constant_count = 2 * Input.channels;

    static void line(const std::uint8_t* const* lines, typename P::Signed* out, WeightView<P> view, std::byte*) {
        for (int x = 0; x < Base::width; ++x)
            for (int c = 0; c < Base::channels; ++c) {
                const int i = x * Base::channels + c;
                const typename P::Sum value =
                    static_cast<typename P::Sum>(lines[0][i]) * view.constants[2 * c] + view.constants[2 * c + 1];
                if constexpr (std::is_same_v<P, Int8>)
                    out[i] = saturate<std::int8_t>((std::int64_t{value} + 32768) >> 16);
                else
                    out[i] = value;
            }
    }
};

/// An activation that no stage before applies. int8: the weights are its 256 values, by the element's byte.
template <class Act, Shape Input, class P, class In, class Out>
struct Activate : PixelStage<Input, Input, P, In, Out> {
    using Base = PixelStage<Input, Input, P, In, Out>;
    using Activation = Act;
    static constexpr Index weight_count = std::is_same_v<P, Int8> ? 256 : 0;

    static void line(const In* const* lines, Out* out, WeightView<P> view, std::byte*) {
        for (int i = 0; i < Base::elements; ++i) {
            if constexpr (std::is_same_v<P, Int8>)
                out[i] = static_cast<Out>(view.weights[static_cast<std::uint8_t>(lines[0][i])]);
            else
                out[i] = exec::ActivationFunction<Act>::value(lines[0][i]);
        }
    }
};

/// Act(first half of the channels) · second half. int8: constants are the factor of the product and the
/// activation's 256 values, which have 16 bits.
template <class Act, Shape Input, class P, class In, class Out>
struct GateHalves : PixelStage<Input, Shape{Input.height, Input.width, Input.channels / 2}, P, In, Out> {
    using Base = PixelStage<Input, Shape{Input.height, Input.width, Input.channels / 2}, P, In, Out>;
    using Activation = Act;
    static constexpr Index constant_count = std::is_same_v<P, Int8> ? 257 : 0;

    static void line(const In* const* lines, Out* out, WeightView<P> view, std::byte*) {
        constexpr int half = Base::channels / 2;
        for (int x = 0; x < Base::width; ++x)
            for (int c = 0; c < half; ++c) {
                const In* pixel = lines[0] + x * Base::channels;
                if constexpr (std::is_same_v<P, Int8>)
                    out[x * half + c] = saturate<Out>(scale_by(
                        view.constants[1 + static_cast<std::uint8_t>(pixel[c])] * pixel[half + c], view.constants[0]));
                else
                    out[x * half + c] = exec::ActivationFunction<Act>::value(pixel[c]) * pixel[half + c];
            }
    }
};

/// ⌊√value⌋
constexpr std::uint32_t integer_root(std::uint64_t value) {
    std::uint64_t root = 0;
    for (std::uint64_t bit = std::uint64_t{1} << 31; bit > 0; bit >>= 1)
        if ((root + bit) * (root + bit) <= value) root += bit;
    return static_cast<std::uint32_t>(root);
}

/// Layer norm over each pixel's channels. float: constants are weights, then biases.
///
/// int8: with n channels, d = n · element − Σ element and D = n · Σ element² − (Σ element)² + e, a normalized element
/// is d / √D. It is counted in 1 / 2¹⁶, rounded, halves up: d · m / 2^s, where m = ⌊2⁵⁴ / r⌋, r = ⌊√(D · 4^j)⌋ with 2³⁰
/// ≤ r < 2³¹, and s = 38 − j. The output is ⌊normalized · multiplier / 2^shift + bias / 2¹⁶ + 1/2⌋. Constants: the two
/// words of e, the shift, a multiplier per channel, a bias per channel.
template <Shape Input, class P, class In, class Out>
struct NormalizePixels : PixelStage<Input, Input, P, In, Out> {
    using Base = PixelStage<Input, Input, P, In, Out>;
    static constexpr Index constant_count = 2 * Input.channels + (std::is_same_v<P, Int8> ? 3 : 0);
    static constexpr Index trainable = 2 * Input.channels;

    static void line(const In* const* lines, Out* out, WeightView<P> view, std::byte*) {
        for (int x = 0; x < Base::width; ++x) normalize(lines[0] + x * channels, out + x * channels, view.constants);
    }

private:
    using Base::channels;
    static_assert(channels <= 32768, "the sums of a pixel have 32 bits");

    static void normalize(const In* pixel, Out* out, const typename P::Constant* constants) {
        if constexpr (std::is_same_v<P, Int8>) {
            std::int32_t sum = 0;
            std::int64_t squares = 0;
            for (int c = 0; c < channels; ++c) {
                sum += pixel[c];
                squares += pixel[c] * pixel[c];
            }
            std::uint64_t variance = static_cast<std::uint64_t>(channels * squares - std::int64_t{sum} * sum) +
                                     (static_cast<std::uint64_t>(static_cast<std::uint32_t>(constants[1])) << 32 |
                                      static_cast<std::uint32_t>(constants[0]));
            int shift = 38;
            if (variance == 0) variance = 1;
            for (; variance < std::uint64_t{1} << 60; variance <<= 2) --shift;
            const auto inverse = static_cast<std::int64_t>((std::uint64_t{1} << 54) / integer_root(variance));
            const int out_shift = constants[2];
            const std::int32_t* multipliers = constants + 3;
            const std::int32_t* biases = multipliers + channels;
            for (int c = 0; c < channels; ++c) {
                const std::int64_t normalized =
                    (std::int64_t{channels * pixel[c] - sum} * inverse + (std::int64_t{1} << (shift - 1))) >> shift;
                const std::int64_t value = normalized * multipliers[c] +
                                           std::int64_t{biases[c]} * (std::int64_t{1} << (out_shift - 16)) +
                                           (std::int64_t{1} << (out_shift - 1));
                out[c] = saturate<Out>(value >> out_shift);
            }
        } else {
            float mean = 0;
            for (int c = 0; c < channels; ++c) mean += pixel[c];
            mean /= channels;
            float variance = 0;
            for (int c = 0; c < channels; ++c) variance += (pixel[c] - mean) * (pixel[c] - mean);
            const float inverse = 1 / __builtin_sqrtf(variance / channels + static_cast<float>(LayerNorm::epsilon));
            for (int c = 0; c < channels; ++c)
                out[c] = (pixel[c] - mean) * inverse * constants[c] + constants[channels + c];
        }
    }
};

/// Channels in another order.
template <class Shuffle, Shape Input, class P, class T>
struct ShuffleChannels : PixelStage<Input, Input, P, T, T> {
    using Base = PixelStage<Input, Input, P, T, T>;

    static void line(const T* const* lines, T* out, WeightView<P>, std::byte*) {
        for (int x = 0; x < Base::width; ++x)
            for (int c = 0; c < Base::channels; ++c)
                out[x * Base::channels + c] =
                    lines[0][x * Base::channels + static_cast<int>(Shuffle::source_channel(c, Base::channels))];
    }
};

/// The last map of a network whose last layer does not give logits itself. int8: the constant is the factor.
template <Shape Input, class P, class In>
struct ToLogits : PixelStage<Input, Input, P, In, typename P::Logit> {
    using Base = PixelStage<Input, Input, P, In, typename P::Logit>;
    static constexpr Index constant_count = 1;

    static void line(const In* const* lines, typename P::Logit* out, WeightView<P> view, std::byte*) {
        for (int i = 0; i < Base::elements; ++i)
            out[i] = saturate<std::int32_t>(scale_by(lines[0][i], view.constants[0]));
    }
};

/// A map as one pixel: its elements in memory order.
template <Shape Input, class P, class T>
struct FlattenMap {
    using In = T;
    using Out = T;
    using Precision = P;
    static constexpr Shape input = Input;
    static constexpr Shape output{1, 1, element_count(Input)};
    static constexpr Index weight_count = 0;
    static constexpr Index constant_count = 0;
    static constexpr Index trainable = 0;
    static constexpr Index statistics = 0;
};

}  // namespace bantam::deploy
