// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/deploy/precision.hpp>
#include <bantam/layers/size2d.hpp>

#include <cstddef>
#include <type_traits>

namespace bantam::deploy {

struct PoolSpec {
    Shape input;
    Shape output;
    Size2d kernel;
    Size2d stride;
    Size2d padding;
};

/// A stage with no weights of its layer's that sees windows of its input and keeps the type of its elements.
template <PoolSpec S, class P, class T>
struct PoolBase {
    using In = T;
    using Out = T;
    using Precision = P;
    static constexpr Shape input = S.input;
    static constexpr Shape output = S.output;
    static constexpr int kernel_height = S.kernel.height;
    static constexpr int stride = S.stride.height;
    static constexpr int padding = S.padding.height;
    static constexpr int dilation = 1;
    static constexpr Index weight_count = 0;
    static constexpr Index line_scratch_bytes = 0;
    static constexpr Index trainable = 0;
    static constexpr Index statistics = 0;

protected:
    static constexpr int channels = static_cast<int>(S.input.channels);
    static constexpr int out_width = static_cast<int>(S.output.width);

    /// Calls `body(value)` for every element of channel `c` inside the map that output pixel `x` sees.
    template <class Body>
    static void for_each_tap(const T* const* lines, int x, int c, Body&& body) {
        for (int ky = 0; ky < S.kernel.height; ++ky) {
            if (lines[ky] == nullptr) continue;
            for (int kx = 0; kx < S.kernel.width; ++kx) {
                const int in_x = x * S.stride.width - S.padding.width + kx;
                if (in_x >= 0 && in_x < static_cast<int>(S.input.width)) body(lines[ky][in_x * channels + c]);
            }
        }
    }
};

/// Largest element of every window.
template <PoolSpec S, class P, class T>
struct MaxPool : PoolBase<S, P, T> {
    using Base = PoolBase<S, P, T>;
    static constexpr Index constant_count = 0;

    static void line(const T* const* lines, T* out, WeightView<P>, std::byte*) {
        for (int x = 0; x < Base::out_width; ++x)
            for (int c = 0; c < Base::channels; ++c) {
                T largest = std::numeric_limits<T>::lowest();
                Base::for_each_tap(lines, x, c, [&](T value) { largest = value > largest ? value : largest; });
                out[x * Base::channels + c] = largest;
            }
    }
};

/// Mean of every window, with zeros outside the map. int8: the constant is the factor 1 / the window's elements.
template <PoolSpec S, class P, class T>
struct AveragePool : PoolBase<S, P, T> {
    using Base = PoolBase<S, P, T>;
    static constexpr Index constant_count = std::is_same_v<P, Int8> ? 1 : 0;
    static constexpr double share = 1.0 / (S.kernel.height * S.kernel.width);

    static void line(const T* const* lines, T* out, WeightView<P> view, std::byte*) {
        for (int x = 0; x < Base::out_width; ++x)
            for (int c = 0; c < Base::channels; ++c) {
                typename P::Sum sum = 0;
                Base::for_each_tap(lines, x, c, [&](T value) { sum += value; });
                if constexpr (std::is_same_v<P, Int8>)
                    out[x * Base::channels + c] = scale_to<T>(sum, view.constants[0]);
                else
                    out[x * Base::channels + c] = sum * static_cast<float>(share);
            }
    }
};

/// Mean over all positions. int8: the constant is the factor from the sum to the output.
template <Shape Input, class P, class T>
struct GlobalPool {
    using In = T;
    using Out = T;
    using Precision = P;
    using Sum = typename P::Sum;
    static constexpr Shape input = Input;
    static constexpr Shape output{1, 1, Input.channels};
    static constexpr int channels = static_cast<int>(Input.channels);
    static constexpr Index weight_count = 0;
    static constexpr Index constant_count = std::is_same_v<P, Int8> ? 1 : 0;
    static constexpr Index trainable = 0;
    static constexpr Index statistics = 0;
    static constexpr double share = 1.0 / static_cast<double>(pixel_count(Input));
    static_assert(pixel_count(Input) < (Index{1} << 23), "the sum of a map has 32 bits");

    static void start(Sum* sums) {
        for (int c = 0; c < channels; ++c) sums[c] = 0;
    }
    static void add_line(const T* line, Sum* sums) {
        for (int x = 0; x < static_cast<int>(Input.width); ++x)
            for (int c = 0; c < channels; ++c) sums[c] += static_cast<Sum>(line[x * channels + c]);
    }
    static void finish(const Sum* sums, T* out, WeightView<P> view) {
        for (int c = 0; c < channels; ++c) {
            if constexpr (std::is_same_v<P, Int8>)
                out[c] = scale_to<T>(sums[c], view.constants[0]);
            else
                out[c] = sums[c] * static_cast<float>(share);
        }
    }
};

}  // namespace bantam::deploy
