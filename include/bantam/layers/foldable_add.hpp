// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>
#include <bantam/layers/size2d.hpp>

#include <array>
#include <cstddef>
#include <string_view>

namespace bantam {

/// What a path of a FoldableAdd does: a convolution, or none where the input goes on as it is, and a batch norm or not.
struct FoldablePath {
    enum class Kind { unknown, identity, dense, depthwise };
    Kind kind = Kind::unknown;
    Size2d kernel_size = 1;
    Size2d stride = 1;
    Size2d padding = 0;
    Size2d dilation = 1;
    int out_channels = 0;  ///< 0 where they are the input's
    int groups = 1;
    bool bias = false;
    bool norm = false;
};

namespace detail {

template <class Path>
inline constexpr FoldablePath foldable_path{};
template <>
inline constexpr FoldablePath foldable_path<Identity>{.kind = FoldablePath::Kind::identity};
template <>
inline constexpr FoldablePath foldable_path<BatchNorm2d>{.kind = FoldablePath::Kind::identity, .norm = true};
template <int Out, auto KernelSize, auto Stride, ConvOptions Options>
inline constexpr FoldablePath foldable_path<Conv2d<Out, KernelSize, Stride, Options>>{
    .kind = FoldablePath::Kind::dense,
    .kernel_size = KernelSize,
    .stride = Stride,
    .padding = resolved_padding(Options, KernelSize),
    .dilation = Options.dilation,
    .out_channels = Out,
    .groups = Options.groups,
    .bias = Options.bias};
template <auto KernelSize, auto Stride, ConvOptions Options>
inline constexpr FoldablePath foldable_path<DepthwiseConv2d<KernelSize, Stride, Options>>{
    .kind = FoldablePath::Kind::depthwise,
    .kernel_size = KernelSize,
    .stride = Stride,
    .padding = resolved_padding(Options, KernelSize),
    .dilation = Options.dilation,
    .bias = Options.bias};
template <class L>
inline constexpr FoldablePath foldable_path<Sequence<L>> = foldable_path<L>;
template <class L>
inline constexpr FoldablePath foldable_path<Sequence<L, BatchNorm2d>> = [] {
    FoldablePath path = foldable_path<L>;
    if (path.norm) path.kind = FoldablePath::Kind::unknown;
    path.norm = true;
    return path;
}();

/// The convolution that is the sum of paths: the smallest window around all of theirs. Of kind `unknown` where there is
/// none.
template <std::size_t Count>
constexpr FoldablePath sum_of_paths(const std::array<FoldablePath, Count>& paths) {
    using Kind = FoldablePath::Kind;
    FoldablePath sum{.kind = Kind::identity};
    for (const FoldablePath& path : paths) {
        if (path.kind == Kind::unknown) return {};
        if (path.kind == Kind::identity) continue;
        if (sum.kind == Kind::identity) {
            sum = path;
            continue;
        }
        if (path.kind != sum.kind || path.out_channels != sum.out_channels || path.groups != sum.groups) return {};
        const auto larger = [](int a, int b) { return a > b ? a : b; };
        const auto taps_behind = [](int taps, int padding) { return taps - padding; };
        const int below = larger(taps_behind(sum.kernel_size.height, sum.padding.height),
                                 taps_behind(path.kernel_size.height, path.padding.height));
        const int right = larger(taps_behind(sum.kernel_size.width, sum.padding.width),
                                 taps_behind(path.kernel_size.width, path.padding.width));
        sum.padding = {larger(sum.padding.height, path.padding.height), larger(sum.padding.width, path.padding.width)};
        sum.kernel_size = {sum.padding.height + below, sum.padding.width + right};
    }
    if (sum.kind == Kind::identity) return {};
    for (const FoldablePath& path : paths)
        if (path.stride != sum.stride || (path.dilation != 1 && path.kernel_size != 1)) return {};
    sum.dilation = 1;
    sum.bias = true;
    sum.norm = false;
    return sum;
}

template <FoldablePath Sum>
constexpr auto conv_of() {
    constexpr bool same = Sum.kernel_size.height % 2 == 1 && Sum.kernel_size.width % 2 == 1 &&
                          resolved_padding({}, Sum.kernel_size) == Sum.padding;
    constexpr ConvOptions options{.padding = same ? Size2d{same_padding} : Sum.padding, .groups = Sum.groups};
    constexpr auto kernel_size = size_argument<Sum.kernel_size>();
    constexpr auto stride = size_argument<Sum.stride>();
    if constexpr (Sum.kind == FoldablePath::Kind::dense)
        return Conv2d<Sum.out_channels, kernel_size, stride, options>{};
    else if constexpr (Sum.kind == FoldablePath::Kind::depthwise)
        return DepthwiseConv2d<kernel_size, stride, options>{};
    else
        return Identity{};
}

}  // namespace detail

/// The sum of paths that together are one convolution, into which they are folded after training (Ding et al., RepVGG,
/// 2021; see deployed.hpp). A path is a convolution without dilation, with or without a batch norm behind it, a batch
/// norm, or the Identity.
template <class... Paths>
struct FoldableAdd : Branches<Fork::copy, Join::add, Paths...> {
    using Trained = Branches<Fork::copy, Join::add, Paths...>;
    static constexpr std::string_view name = "FoldableAdd";
    static constexpr FoldablePath sum =
        detail::sum_of_paths(std::array<FoldablePath, sizeof...(Paths)>{detail::foldable_path<Paths>...});
    /// What it is folded into.
    using Deployed = decltype(detail::conv_of<sum>());

    static constexpr std::string_view argument_error() {
        return sum.kind != FoldablePath::Kind::unknown
                   ? ""
                   : "its paths are convolutions of one kind, stride and number of groups without dilation, each with "
                     "or without a BatchNorm2d behind it, and beside them BatchNorm2d or Identity";
    }
    static constexpr Misfit misfit(Shape input) {
        if (const Misfit found = Trained::misfit(input)) return found;
        if (const Shape folded = Deployed::output_shape(input); folded != Trained::output_shape(input))
            return does_not_fit("the paths' paddings let no convolution give their sum", folded,
                                Trained::output_shape(input));
        return {};
    }
    /// The parameters that folding removes.
    template <Shape Input>
    static constexpr Index folded_parameters =
        parameter_count<Part<Trained, Input>> - parameter_count<Part<Deployed, Input>>;
};

}  // namespace bantam
