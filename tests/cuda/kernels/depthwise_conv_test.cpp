// SPDX-License-Identifier: MIT
// What runs in blocks gives what one thread an element gives, whatever the shapes, and does not depend on the
// order of the threads.
#define BOOST_TEST_MODULE cuda_blocks
#include "kernel_helpers.hpp"

#include <bantam/bantam.hpp>
#include <bantam/cuda/model.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <vector>

using namespace bantam;
using bantam::cuda::DeviceBuffer;
using bantam::cuda::Execution;
using bantam::cuda::max_slices;

namespace {

constexpr ConvOptions no_bias{.bias = false};

#ifndef __CUDACC__

/// to[block][thread] = the block's number and that of the thread opposite.
struct Opposite {
    static constexpr int threads = 96;
    struct Shared {
        double values[threads];
    };
    double* to;
    template <class Block>
    void operator()(const Block& block, Shared& shared) const {
        auto kept = block.template per_thread<double>();
        block.for_each_thread([&](int thread) {
            kept[thread] += static_cast<double>(block.index());
            shared.values[thread] = thread;
        });
        block.for_each_thread([&](int thread) { kept[thread] += shared.values[threads - 1 - thread]; });
        block.for_each_thread([&](int thread) { to[block.index() * threads + thread] = kept[thread]; });
    }
};

#endif

template <class S>
struct Element {
    const S* values;
    std::int64_t size;
    BANTAM_HOST_DEVICE S operator()(std::int64_t row, std::int64_t index) const { return values[row * size + index]; }
};
template <class S>
struct ElementAndProduct {
    const S *values, *factors;
    std::int64_t size;
    BANTAM_HOST_DEVICE bantam::cuda::Values<S, 2> operator()(std::int64_t row, std::int64_t index) const {
        const S value = values[row * size + index];
        return {{value, value * factors[index]}};
    }
};

/// Sums in blocks, the same again, and element by element.
template <class Total, class Result, class Term>
void sums_agree(const Execution& execution, std::int64_t rows, std::int64_t size, std::int64_t values, const Term& term,
                double allowed) {
    const auto sums = [&](bool in_blocks) {
        auto partials = unset<Total>(execution, max_slices * values * size);
        auto result = unset<Result>(execution, values * size);
        if (in_blocks)
            bantam::cuda::sum_over_rows(execution, rows, size, term, partials.data(), result.data());
        else
            bantam::cuda::sum_over_rows_by_element(execution, rows, size, term, partials.data(), result.data());
        return on_host(execution, result);
    };
    const std::vector<Result> found = sums(true);
    BOOST_TEST(largest_difference(found, sums(false)) <= allowed, rows << " rows of " << size);
    BOOST_TEST((found == sums(true)), "a second run gives other bits");
}

template <class S>
void sums_agree() {
    const Execution execution;
    for (const std::int64_t size : {1, 2, 3, 8, 24, 31, 32, 33, 70, 257, 2048})
        for (const std::int64_t rows : {1, 2, 7, 63, 64, 65, 500, 2049, 5003}) {
            if (rows * size > 2'000'000) continue;
            const auto values = on_device(execution, numbers<S>(rows * size, 1));
            const auto factors = on_device(execution, numbers<S>(size, 2));
            const Element<S> element{values.data(), size};
            const ElementAndProduct<S> two{values.data(), factors.data(), size};
            sums_agree<double, double>(execution, rows, size, 1, element, 1e-12);
            sums_agree<double, S>(execution, rows, size, 2, two, tolerance<S>);
            sums_agree<S, S>(execution, rows, size, 2, two, 10 * tolerance<S>);
        }
}

template <class S>
struct Scaled {
    const S *values, *factors;
    std::int64_t size;
    struct Column {
        const S* values;
        S factor;
        std::int64_t size;
        BANTAM_HOST_DEVICE S operator()(std::int64_t row) const { return values[row * size] * factor; }
    };
    BANTAM_HOST_DEVICE Column operator()(std::int64_t index) const { return {values + index, factors[index], size}; }
};

/// A depthwise convolution in blocks and channel by channel, plain and with a norm and an activation on either side,
/// with the same bits in the opposite order.
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
    auto norm_of_input = on_device(execution, numbers<S>(6 * channels, 6));
    auto norm_of_output = on_device(execution, numbers<S>(6 * channels, 7));
    const bantam::cuda::NormCoefficients<S> before{norm_of_input.data(), channels},
        behind{norm_of_output.data(), channels};

    /// What `run` writes to memory of its own, its sink's sums and its weight's gradient.
    const auto results = [&](std::int64_t size, int sink_sums, const auto& run) {
        auto to = unset<S>(execution, size);
        auto weight_gradient = unset<S>(execution, channels * taps);
        const std::int64_t parts = run(to.data(), weight_gradient.data());
        auto totals = unset<double>(execution, sink_sums * channels);
        if (sink_sums > 0) {
            BOOST_TEST(parts <= max_slices);
            bantam::cuda::sum_slices(execution, parts, sink_sums * channels, sums.data(), totals.data());
        }
        return std::tuple{on_host(execution, to), on_host(execution, totals), on_host(execution, weight_gradient)};
    };
    const auto forward_agrees = [&](const auto& source, const auto& sink_on) {
        using Sink = decltype(sink_on(nullptr));
        using Source = std::remove_cvref_t<decltype(source)>;
        using InBlocks = typename Kernel::template ForwardInBlocks<Source, Sink>;
        const auto found = results(outputs, Sink::sum_count, [&](S* to, S*) {
            return Kernel::forward(pass, weights.data(), source, sink_on(to));
        });
        const auto expected = results(outputs, Sink::sum_count, [&](S* to, S*) {
            return Kernel::forward_by_channel(pass, weights.data(), source, sink_on(to));
        });
        BOOST_TEST(largest_difference(std::get<0>(found), std::get<0>(expected)) <= tolerance<S>);
        BOOST_TEST(largest_difference(std::get<1>(found), std::get<1>(expected)) <= 10 * tolerance<S>);
#ifndef __CUDACC__
        if constexpr (InBlocks::fit) {
            const auto backwards = results(outputs, Sink::sum_count, [&](S* to, S*) {
                const auto parts =
                    bantam::cuda::detail::TileParts<typename InBlocks::Tiles>::of(count, Sink::sum_count > 0);
                run_backwards(parts.blocks(), InBlocks{source, sink_on(to), weights.data(), parts, sums.data()});
                return parts.count();
            });
            BOOST_TEST((std::get<0>(found) == std::get<0>(backwards)));
            BOOST_TEST((std::get<1>(found) == std::get<1>(backwards)));
        }
#endif
    };
    const auto backward_agrees = [&](const auto& gradient, const auto& source, const auto& sink_on) {
        using Sink = decltype(sink_on(nullptr));
        const auto found = results(inputs, Sink::sum_count, [&](S* to, S* weight_gradient) {
            return Kernel::backward(pass, weights.data(), gradient, source, sink_on(to), weight_gradient);
        });
        const auto expected = results(inputs, Sink::sum_count, [&](S* to, S* weight_gradient) {
            return Kernel::backward_by_channel(pass, weights.data(), gradient, source, sink_on(to), weight_gradient);
        });
        if constexpr (!bantam::cuda::is_null_sink<Sink>)
            BOOST_TEST(largest_difference(std::get<0>(found), std::get<0>(expected)) <= tolerance<S>);
        BOOST_TEST(largest_difference(std::get<1>(found), std::get<1>(expected)) <= 10 * tolerance<S>);
        BOOST_TEST(largest_difference(std::get<2>(found), std::get<2>(expected)) <= 10 * tolerance<S>);
#ifndef __CUDACC__
        using InBlocks = typename Kernel::template BackwardInBlocks<std::remove_cvref_t<decltype(gradient)>,
                                                                    std::remove_cvref_t<decltype(source)>, Sink>;
        if constexpr (InBlocks::fit) {
            const auto backwards = results(inputs, Sink::sum_count, [&](S* to, S* weight_gradient) {
                const auto parts = bantam::cuda::detail::TileParts<typename InBlocks::Tiles>::of(count, true);
                run_backwards(parts.blocks(), InBlocks{gradient, source, sink_on(to), weights.data(), parts,
                                                       partials.data(), sums.data()});
                bantam::cuda::sum_slices(execution, parts.count(), channels * taps, partials.data(), weight_gradient);
                return parts.count();
            });
            if constexpr (!bantam::cuda::is_null_sink<Sink>) BOOST_TEST((std::get<0>(found) == std::get<0>(backwards)));
            BOOST_TEST((std::get<1>(found) == std::get<1>(backwards)));
            BOOST_TEST((std::get<2>(found) == std::get<2>(backwards)));
        }
#endif
    };

    using namespace bantam::cuda;
    const MemorySource<channels, S> plain{input.data()}, plain_gradient{output_gradient.data()};
    const NormActSource<SiLU, channels, S> activated{input.data(), before};
    const NormGradientSource<Identity, channels, S> norm_gradient{output_gradient.data(), output.data(), behind};
    forward_agrees(plain, [&](S* to) { return PlainSink<true, channels, S>{to, bias.data()}; });
    forward_agrees(activated, [&](S* to) { return MomentsEpilogue<false, channels, S>{to, nullptr, bias.data()}; });
    backward_agrees(plain_gradient, plain, [&](S* to) { return PlainSink<false, channels, S>{to}; });
    backward_agrees(plain_gradient, plain, [&](S*) { return NullSink<channels, S>{}; });
    backward_agrees(norm_gradient, activated,
                    [&](S* to) { return ActBackwardEpilogue<SiLU, channels, S>{to, input.data(), before}; });
}

template <class Conv, int Height, int Width, int Channels>
void depthwise_agrees() {
    constexpr Shape input{Height, Width, Channels};
    for (const std::int64_t count : {1, 5})
        BOOST_TEST_CONTEXT(Conv::kernel_size << " taps wide, stride " << Conv::stride << ", on " << count << 'x' << Height
                                        << 'x' << Width << 'x' << Channels) {
            depthwise_agrees<Conv, input, double>(count);
            depthwise_agrees<Conv, input, float>(count);
        }
}

/// Whether blocks serve a plain depthwise convolution, there and back.
template <class Conv, int Height, int Width, int Channels>
struct InBlocks {
    using Kernel = bantam::cuda::DepthwiseKernel<Conv, Shape{Height, Width, Channels}, float>;
    using Source = bantam::cuda::MemorySource<Channels, float>;
    using Sink = bantam::cuda::PlainSink<false, Channels, float>;
    static constexpr bool there = Kernel::template ForwardInBlocks<Source, Sink>::fit;
    static constexpr bool back = Kernel::template BackwardInBlocks<Source, Source, Sink>::fit;
};

/// All that a chain computes of a batch in training.
template <class Chain, class S>
std::vector<std::vector<S>> run_chain(std::int64_t count, std::int64_t inputs, std::int64_t outputs,
                                      std::int64_t trainable, std::int64_t non_trainable, bool training) {
    const Execution execution;
    auto parameters = on_device(execution, numbers<S>(trainable, 1));
    std::vector<S> positive = numbers<S>(non_trainable, 2);
    for (S& value : positive) value = std::abs(value) + S(0.5);
    auto statistics = on_device(execution, positive);
    const auto input = on_device(execution, numbers<S>(count * inputs, 3));
    const auto output_gradient = on_device(execution, numbers<S>(count * outputs, 4));
    auto output = unset<S>(execution, count * outputs), input_gradient = unset<S>(execution, count * inputs);
    auto gradient = unset<S>(execution, trainable);
    auto saved = unset<S>(execution, count * Chain::saved_per_sample(training) + Chain::saved_fixed(training));
    auto sums = unset<double>(execution, max_slices * Chain::sum_count);
    auto partials = unset<S>(execution, max_slices * Chain::partial_size);
    auto scratch = unset<S>(execution, Chain::scratch_size);
    const auto seed = on_device(execution, std::vector<std::uint64_t>{7});
    bantam::cuda::Pass<S> pass;
    pass.count = count;
    pass.training = training;
    pass.seed = seed.data();
    pass.sums = sums.data();
    pass.partials = partials.data();
    pass.scratch = scratch.data();
    pass.execution = &execution;
    const bantam::cuda::Weights<S> weights{parameters.data(), statistics.data()};
    Chain::forward(pass, weights, input.data(), output.data(), saved.data());
    if (!training) return {on_host(execution, output)};
    Chain::backward(pass, weights, input.data(), saved.data(), output_gradient.data(), input_gradient.data(),
                    gradient.data());
    return {on_host(execution, output), on_host(execution, input_gradient), on_host(execution, gradient),
            on_host(execution, statistics)};
}

/// A chain with fused stages gives what its layers give one by one.
template <class S, Shape Input, class... Ls>
void fused_agrees() {
    using L = Sequence<Ls...>;
    using Fused = bantam::cuda::Chain<L, Input, S>;
    using Unfused = bantam::cuda::Chain<L, Input, S, false>;
    static_assert(Fused::size < Unfused::size);
    static_assert(Fused::saved_per_sample(true) < Unfused::saved_per_sample(true));
    constexpr Shape output = L::output_shape(Input);
    for (const std::int64_t count : {1, 5})
        for (const bool training : {true, false}) {
            const auto run = [&]<class Chain>() {
                return run_chain<Chain, S>(count, element_count(Input), element_count(output),
                                           trainable_parameters<Part<L, Input>>,
                                           non_trainable_parameters<Part<L, Input>>, training);
            };
            const auto fused = run.template operator()<Fused>();
            const auto apart = run.template operator()<Unfused>();
            for (std::size_t i = 0; i < fused.size(); ++i)
                BOOST_TEST(largest_difference(fused[i], apart[i]) <= 10 * tolerance<S>,
                           count << 'x' << Input.channels << " channels, tensor " << i);
            BOOST_TEST((fused == run.template operator()<Fused>()), "a second run gives other bits");
        }
}
template <Shape Input, class... Ls>
void runs_agree() {
    fused_agrees<double, Input, Ls...>();
    fused_agrees<float, Input, Ls...>();
}
template <class Act, int Channels>
void norm_and_activation_agree() {
    BOOST_TEST_CONTEXT(Act::name) {
        fused_agrees<double, Shape{5, 7, Channels}, BatchNorm2d, Act>();
        fused_agrees<float, Shape{5, 7, Channels}, BatchNorm2d, Act>();
    }
}

}  // namespace

#ifndef __CUDACC__
BOOST_AUTO_TEST_CASE(phases_follow_one_another_and_threads_keep_what_is_theirs) {
    const Execution execution;
    std::vector<double> result(5 * Opposite::threads);
    bantam::cuda::run_blocks(execution, 5, Opposite{result.data()});
    for (std::size_t i = 0; i < result.size(); ++i) {
        const std::size_t block = i / Opposite::threads, thread = i % Opposite::threads;
        BOOST_TEST(result[i] == static_cast<double>(block + Opposite::threads - 1 - thread));
    }
    std::vector<double> backwards(result.size());
    run_backwards(5, Opposite{backwards.data()});
    BOOST_TEST(result == backwards);
}

BOOST_AUTO_TEST_CASE(sums_over_rows_do_not_depend_on_the_order_of_threads) {
    const std::int64_t rows = 700, size = 70, parts = 5;
    const std::vector<float> values = numbers<float>(rows * size, 1), factors = numbers<float>(size, 2);
    using Kernel =
        bantam::cuda::detail::SumRows<double, ElementAndProduct<float>, bantam::cuda::detail::StoreSums<2, double>>;
    std::vector<double> forwards(2 * parts * size), backwards(forwards.size());
    const auto kernel = [&](std::vector<double>& to) {
        return Kernel{{values.data(), factors.data(), size},
                      rows,
                      rows / parts,
                      bantam::cuda::detail::ColumnPieces::of(size),
                      {to.data(), size}};
    };
    bantam::cuda::run_blocks(Execution{}, parts * kernel(forwards).columns.pieces, kernel(forwards));
    run_backwards(parts * kernel(backwards).columns.pieces, kernel(backwards));
    BOOST_TEST(forwards == backwards);
}
#endif

BOOST_AUTO_TEST_CASE(sums_over_rows_equal_those_by_element) {
    sums_agree<double>();
    sums_agree<float>();
}

BOOST_AUTO_TEST_CASE(a_sum_over_no_rows_is_zero) {
    const Execution execution;
    auto partials = unset<double>(execution, max_slices * 3);
    auto result = unset<double>(execution, 3);
    bantam::cuda::sum_over_rows(execution, 0, 3, Element<double>{nullptr, 3}, partials.data(), result.data());
    BOOST_TEST(on_host(execution, result) == std::vector<double>(3, 0.0));
}

BOOST_AUTO_TEST_CASE(rows_are_written_column_by_column) {
    const Execution execution;
    for (const std::int64_t size : {1, 3, 24, 33, 70})
        for (const std::int64_t rows : {1, 5, 31, 400}) {
            const std::vector<float> values = numbers<float>(rows * size, 1), factors = numbers<float>(size, 2);
            const auto values_there = on_device(execution, values), factors_there = on_device(execution, factors);
            auto output = unset<float>(execution, rows * size);
            const Scaled<float> scaled{values_there.data(), factors_there.data(), size};
            bantam::cuda::write_rows(execution, rows, size, scaled, output.data());
            std::vector<float> expected = values;
            for (std::size_t i = 0; i < expected.size(); ++i) expected[i] *= factors[i % factors.size()];
            BOOST_TEST(on_host(execution, output) == expected);
        }
}

BOOST_AUTO_TEST_CASE(depthwise_convolutions_in_blocks_equal_those_by_element) {
    depthwise_agrees<DepthwiseConv2d<3>, 16, 16, 24>();
    depthwise_agrees<DepthwiseConv2d<3>, 9, 11, 33>();
    depthwise_agrees<DepthwiseConv2d<3, 2, no_bias>, 17, 14, 70>();
    depthwise_agrees<DepthwiseConv2d<3, 2>, 32, 30, 3>();
    depthwise_agrees<DepthwiseConv2d<5>, 13, 9, 1>();
    depthwise_agrees<DepthwiseConv2d<5, 2>, 15, 16, 33>();
    depthwise_agrees<DepthwiseConv2d<7>, 10, 10, 24>();
    depthwise_agrees<DepthwiseConv2d<7, 1, ConvOptions{.dilation = 3}>, 9, 8, 4>();
}

BOOST_AUTO_TEST_CASE(depthwise_convolutions_of_odd_windows_agree) {
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

// What is not worth a block, or does not fit one, still has a way.
BOOST_AUTO_TEST_CASE(blocks_are_chosen_where_they_serve) {
    using Usual = InBlocks<DepthwiseConv2d<3>, 32, 32, 24>;
    static_assert(Usual::there && Usual::back);
    using Halving = InBlocks<DepthwiseConv2d<3, 2>, 32, 32, 64>;
    static_assert(Halving::there && Halving::back);
    using Wide = InBlocks<DepthwiseConv2d<7>, 14, 14, 512>;
    static_assert(Wide::there && Wide::back);

    using Sparse = InBlocks<DepthwiseConv2d<1, 3>, 32, 32, 24>;
    static_assert(!Sparse::there);
    using FarApart = InBlocks<DepthwiseConv2d<3, 1, ConvOptions{.dilation = 40}>, 90, 90, 32>;
    static_assert(!FarApart::there && !FarApart::back);
    using ManyTaps = InBlocks<DepthwiseConv2d<9>, 16, 16, 24>;
    static_assert(ManyTaps::there && !ManyTaps::back);
    depthwise_agrees<DepthwiseConv2d<3, 1, ConvOptions{.dilation = 9}>, 20, 19, 3>();
}

BOOST_AUTO_TEST_CASE(a_norm_and_its_activation_equal_the_two_one_by_one) {
    norm_and_activation_agree<Sigmoid, 1>();
    norm_and_activation_agree<ReLU, 3>();
    norm_and_activation_agree<ReLU6, 24>();
    norm_and_activation_agree<HardSwish, 33>();
    norm_and_activation_agree<SiLU, 70>();
    norm_and_activation_agree<TanhExp, 24>();
}

BOOST_AUTO_TEST_CASE(fusing_changes_no_layers_randomness) {
    fused_agrees<double, Shape{4, 6, 5}, BatchNorm2d, ReLU, Dropout<30>, DepthwiseConv2d<3>, BatchNorm2d, GELU,
                 Dropout<20>, BatchNorm2d>();
}

BOOST_AUTO_TEST_CASE(runs_of_convolutions_equal_their_layers_one_by_one) {
    // One stage; biases; odd channels; a map that is read by what follows.
    runs_agree<Shape{6, 5, 3}, Conv2d<7, 3>, BatchNorm2d, ReLU6>();
    runs_agree<Shape{7, 9, 4}, PointwiseConv2d<12>, BatchNorm2d, SiLU, DepthwiseConv2d<3, 2>, BatchNorm2d, ReLU,
               Conv2d<5, 1, 1, no_bias>, BatchNorm2d>();
    // Into a global average, and with what cannot join a run around it.
    runs_agree<Shape{9, 8, 3}, ReLU, Conv2d<8, 3, 2, no_bias>, BatchNorm2d, HardSwish,
               Conv2d<6, 3, 1, ConvOptions{.groups = 2}>, BatchNorm2d, GlobalAveragePool, Linear<4>>();
    runs_agree<Shape{8, 8, 4}, DepthwiseConv2d<9>, BatchNorm2d, ReLU6, DepthwiseConv2d<5, 1, no_bias>, BatchNorm2d,
               Sigmoid, Dropout<20>>();
    runs_agree<Shape{6, 6, 4}, Residual<Conv2d<4, 3, 1, no_bias>, BatchNorm2d, ReLU, PointwiseConv2d<4>, BatchNorm2d>,
               DepthwiseSeparable<16, 2>, DepthwiseSeparable<20>, GlobalAveragePool>();
}
