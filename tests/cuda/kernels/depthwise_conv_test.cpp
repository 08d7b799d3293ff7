// SPDX-License-Identifier: MIT
// Tiled depthwise convolutions give what one thread per channel gives, and do not depend on the order of the threads.
#define BOOST_TEST_MODULE cuda_kernels_depthwise_conv
#include "kernel_helpers.hpp"

#include <bantam/cuda/kernels/depthwise_conv.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>

#include <cstdint>
#include <tuple>
#include <type_traits>
#include <vector>

using namespace bantam;
using bantam::cuda::Execution;
using bantam::cuda::max_slices;

namespace {

constexpr ConvOptions no_bias{.bias = false};

/// Compares a tiled depthwise convolution with one thread per channel, alone and with a norm and an activation on
/// either side, and its bits with those of the opposite order of threads.
template <class Conv, Shape Input, class S>
void depthwise_agrees(std::int64_t count) {
    using Kernel = bantam::cuda::DepthwiseKernel<Conv, Input, S>;
    constexpr std::int64_t channels = Input.channels, taps = Kernel::taps;
    const std::int64_t inputs = count * element_count(Input), outputs = count * element_count(Kernel::output);
    const Execution execution;
    auto sums = unset<double>(execution, max_slices * 2 * channels);
    auto partials = unset<S>(execution, max_slices * Kernel::partial_size);
    bantam::cuda::Pass<S> pass;
    pass.count = count;
    pass.sums = sums.data();
    pass.partials = partials.data();
    pass.execution = &execution;
    const auto weights = on_device(execution, numbers<S>(channels * taps, 1));
    const auto bias = on_device(execution, numbers<S>(channels, 2));
    const auto input = on_device(execution, numbers<S>(inputs, 3));
    const auto output_gradient = on_device(execution, numbers<S>(outputs, 4));
    const auto output = on_device(execution, numbers<S>(outputs, 5));
    auto norm_in_front = on_device(execution, numbers<S>(6 * channels, 6));
    auto norm_behind = on_device(execution, numbers<S>(6 * channels, 7));
    const bantam::cuda::NormCoefficients<S> in_front{norm_in_front.data(), channels},
        behind{norm_behind.data(), channels};

    /// The map, the epilogue's sums and the weight gradient that `run` computes.
    const auto results = [&](std::int64_t size, int sum_count, const auto& run) {
        auto to = unset<S>(execution, size);
        auto weight_gradient = unset<S>(execution, channels * taps);
        const std::int64_t slices = run(to.data(), weight_gradient.data());
        auto totals = unset<double>(execution, sum_count * channels);
        if (sum_count > 0) {
            BOOST_TEST(slices <= max_slices);
            const std::int64_t columns = sum_count * channels;
            bantam::cuda::reduce_slices<1>(pass, slices, columns, sums.data(),
                                           bantam::cuda::detail::StoreSums<1, double>{totals.data(), columns});
        }
        return std::tuple{on_host(execution, to), on_host(execution, totals), on_host(execution, weight_gradient)};
    };
    const auto forward_agrees = [&](const auto& source, const auto& epilogue_on) {
        using Epilogue = decltype(epilogue_on(nullptr));
        using Source = std::remove_cvref_t<decltype(source)>;
        using Tiled = typename Kernel::template TiledForward<Source, Epilogue>;
        const auto found = results(outputs, Epilogue::sum_count, [&](S* to, S*) {
            return Kernel::forward(pass, weights.data(), source, epilogue_on(to));
        });
        const auto expected = results(outputs, Epilogue::sum_count, [&](S* to, S*) {
            return Kernel::forward_by_channel(pass, weights.data(), source, epilogue_on(to));
        });
        BOOST_TEST(largest_difference(std::get<0>(found), std::get<0>(expected)) <= tolerance<S>);
        BOOST_TEST(largest_difference(std::get<1>(found), std::get<1>(expected)) <= 10 * tolerance<S>);
#ifndef __CUDACC__
        if constexpr (Tiled::fit) {
            const auto backwards = results(outputs, Epilogue::sum_count, [&](S* to, S*) {
                const auto slices = bantam::cuda::TileSlices<typename Tiled::Tiles>::of(pass, Epilogue::sum_count > 0);
                run_backwards(slices.blocks(), Tiled{source, epilogue_on(to), weights.data(), slices, sums.data()});
                return slices.count();
            });
            BOOST_TEST((std::get<0>(found) == std::get<0>(backwards)));
            BOOST_TEST((std::get<1>(found) == std::get<1>(backwards)));
        }
#endif
    };
    const auto backward_agrees = [&](const auto& gradient, const auto& source, const auto& epilogue_on) {
        using Epilogue = decltype(epilogue_on(nullptr));
        const auto found = results(inputs, Epilogue::sum_count, [&](S* to, S* weight_gradient) {
            return Kernel::backward(pass, weights.data(), gradient, source, epilogue_on(to), weight_gradient);
        });
        const auto expected = results(inputs, Epilogue::sum_count, [&](S* to, S* weight_gradient) {
            return Kernel::backward_by_channel(pass, weights.data(), gradient, source, epilogue_on(to),
                                               weight_gradient);
        });
        if constexpr (!bantam::cuda::is_null_sink<Epilogue>)
            BOOST_TEST(largest_difference(std::get<0>(found), std::get<0>(expected)) <= tolerance<S>);
        BOOST_TEST(largest_difference(std::get<1>(found), std::get<1>(expected)) <= 10 * tolerance<S>);
        BOOST_TEST(largest_difference(std::get<2>(found), std::get<2>(expected)) <= 10 * tolerance<S>);
#ifndef __CUDACC__
        using Tiled = typename Kernel::template TiledBackward<std::remove_cvref_t<decltype(gradient)>,
                                                              std::remove_cvref_t<decltype(source)>, Epilogue>;
        if constexpr (Tiled::fit) {
            const auto backwards = results(inputs, Epilogue::sum_count, [&](S* to, S* weight_gradient) {
                const auto slices = bantam::cuda::TileSlices<typename Tiled::Tiles>::of(pass, true);
                run_backwards(slices.blocks(), Tiled{gradient, source, epilogue_on(to), weights.data(), slices,
                                                     partials.data(), sums.data()});
                bantam::cuda::sum_slices(pass, slices.count(), channels * taps, partials.data(), weight_gradient);
                return slices.count();
            });
            if constexpr (!bantam::cuda::is_null_sink<Epilogue>)
                BOOST_TEST((std::get<0>(found) == std::get<0>(backwards)));
            BOOST_TEST((std::get<1>(found) == std::get<1>(backwards)));
            BOOST_TEST((std::get<2>(found) == std::get<2>(backwards)));
        }
#endif
    };

    using namespace bantam::cuda;
    const MemorySource<channels, S> plain{input.data()}, plain_gradient{output_gradient.data()};
    const NormActSource<SiLU, channels, S> activated{input.data(), in_front};
    const NormBackwardSource<Identity, channels, S> norm_gradient{output_gradient.data(), output.data(), behind};
    forward_agrees(plain, [&](S* to) { return BiasEpilogue<channels, S>{to, bias.data()}; });
    forward_agrees(activated, [&](S* to) { return MomentsEpilogue<false, channels, S>{to, nullptr, bias.data()}; });
    backward_agrees(plain_gradient, plain, [&](S* to) { return IdentityEpilogue<channels, S>{to}; });
    backward_agrees(plain_gradient, plain, [&](S*) { return NullSink<channels, S>{}; });
    backward_agrees(norm_gradient, activated,
                    [&](S* to) { return ActBackwardEpilogue<SiLU, channels, S>{to, input.data(), in_front}; });
}

template <class Conv, int Height, int Width, int Channels>
void depthwise_agrees() {
    constexpr Shape input{Height, Width, Channels};
    for (const std::int64_t count : test_sizes({1, 5}, {2}))
        BOOST_TEST_CONTEXT(Conv::kernel_size.width << " taps wide, stride " << Conv::stride.width << ", on " << count
                                                   << 'x' << Height << 'x' << Width << 'x' << Channels) {
            depthwise_agrees<Conv, input, double>(count);
            depthwise_agrees<Conv, input, float>(count);
        }
}

/// Whether a depthwise convolution is tiled, forward and backward.
template <class Conv, int Height, int Width, int Channels>
struct IsTiled {
    using Kernel = bantam::cuda::DepthwiseKernel<Conv, Shape{Height, Width, Channels}, float>;
    using Source = bantam::cuda::MemorySource<Channels, float>;
    using Epilogue = bantam::cuda::IdentityEpilogue<Channels, float>;
    static constexpr bool forward = Kernel::template TiledForward<Source, Epilogue>::fit;
    static constexpr bool backward = Kernel::template TiledBackward<Source, Source, Epilogue>::fit;
};

}  // namespace

BOOST_AUTO_TEST_CASE(tiled_convolutions_equal_those_by_channel) {
    depthwise_agrees<DepthwiseConv2d<3>, 16, 16, 24>();
    depthwise_agrees<DepthwiseConv2d<3>, 9, 11, 33>();
    depthwise_agrees<DepthwiseConv2d<3, 2, no_bias>, 17, 14, 70>();
    depthwise_agrees<DepthwiseConv2d<3, 2>, 32, 30, 3>();
    depthwise_agrees<DepthwiseConv2d<5>, 13, 9, 1>();
    depthwise_agrees<DepthwiseConv2d<5, 2>, 15, 16, 33>();
    depthwise_agrees<DepthwiseConv2d<7>, 10, 10, 24>();
    depthwise_agrees<DepthwiseConv2d<7, 1, ConvOptions{.dilation = 3}>, 9, 8, 4>();
}

BOOST_AUTO_TEST_CASE(tiled_convolutions_of_odd_windows_equal_those_by_channel) {
    depthwise_agrees<DepthwiseConv2d<1>, 6, 7, 3>();
    depthwise_agrees<DepthwiseConv2d<1, 3>, 7, 8, 5>();
    depthwise_agrees<DepthwiseConv2d<2, 2, ConvOptions{.padding = 1}>, 9, 12, 33>();
    depthwise_agrees<DepthwiseConv2d<2, 1, ConvOptions{.padding = 0}>, 2, 40, 3>();
    depthwise_agrees<DepthwiseConv2d<4, 3, ConvOptions{.padding = 5}>, 10, 7, 6>();
    depthwise_agrees<DepthwiseConv2d<3, 2, ConvOptions{.dilation = 2}>, 12, 13, 17>();
    depthwise_agrees<DepthwiseConv2d<3, 3, ConvOptions{.padding = 0, .dilation = 2}>, 11, 14, 8>();
    depthwise_agrees<DepthwiseConv2d<3, 5>, 6, 21, 2>();
    depthwise_agrees<DepthwiseConv2d<9, 1, no_bias>, 7, 6, 3>();
}

BOOST_AUTO_TEST_CASE(convolutions_are_tiled_where_it_fits_and_pays) {
    using Typical = IsTiled<DepthwiseConv2d<3>, 32, 32, 24>;
    static_assert(Typical::forward && Typical::backward);
    using Strided = IsTiled<DepthwiseConv2d<3, 2>, 32, 32, 64>;
    static_assert(Strided::forward && Strided::backward);
    using Wide = IsTiled<DepthwiseConv2d<7>, 14, 14, 512>;
    static_assert(Wide::forward && Wide::backward);

    using Sparse = IsTiled<DepthwiseConv2d<1, 3>, 32, 32, 24>;
    static_assert(!Sparse::forward);
    using FarApart = IsTiled<DepthwiseConv2d<3, 1, ConvOptions{.dilation = 40}>, 90, 90, 32>;
    static_assert(!FarApart::forward && !FarApart::backward);
    using ManyTaps = IsTiled<DepthwiseConv2d<9>, 16, 16, 24>;
    static_assert(ManyTaps::forward && !ManyTaps::backward);
    depthwise_agrees<DepthwiseConv2d<3, 1, ConvOptions{.dilation = 9}>, 20, 19, 3>();
}
