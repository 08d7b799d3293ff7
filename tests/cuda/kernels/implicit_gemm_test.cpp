// SPDX-License-Identifier: MIT
// Products that take their neighbors along, in blocks and on tensor cores, give what one thread a column gives, and
// do not depend on the order of the threads.
#define BOOST_TEST_MODULE cuda_products
#include "kernel_helpers.hpp"

#include <bantam/bantam.hpp>
#include <bantam/cuda/kernels/pointwise_conv.hpp>
#include <bantam/cuda/layers/conv2d.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

using namespace bantam;
using namespace bantam::cuda;

namespace {

/// Small whole numbers, of which any sum is exact, in whatever precision.
template <class T>
std::vector<T> whole_numbers_of(std::int64_t size, std::uint64_t stream) {
    Random random{5, stream};
    std::vector<T> values(static_cast<std::size_t>(size));
    for (T& value : values)
        value = static_cast<T>(static_cast<Compute<T>>(static_cast<int>(random.uniform(0, 6.999)) - 3));
    return values;
}
template <class T>
std::vector<T> any_numbers(std::int64_t size, std::uint64_t stream) {
    std::vector<T> values;
    for (const double value : numbers<double>(size, stream))
        values.push_back(static_cast<T>(static_cast<Compute<T>>(value)));
    return values;
}

template <class T>
constexpr double rounding = tolerance<T>;
template <>
constexpr double rounding<Tf32> = 2e-3;
template <>
constexpr double rounding<Bfloat16> = 2e-2;

/// What a kernel writes and sums up, as numbers.
struct Written {
    std::vector<double> map, sums;
    bool operator==(const Written&) const = default;
};

/// Maps and norms around a convolution of `Kernel`, and what its products make of them.
template <class Kernel, class S>
class Around {
public:
    using Number = Compute<S>;
    static constexpr std::int64_t in = Kernel::input.channels, out = Kernel::output.channels;

    Around(std::int64_t count, bool whole)
        : inputs_{count * element_count(Kernel::input)},
          outputs_{count * element_count(Kernel::output)},
          input_{make<S>(inputs_, 1, whole)},
          gradient_{make<S>(outputs_, 2, whole)},
          output_{make<S>(outputs_, 3, whole)},
          weights_{make<Number>(Kernel::weight_count, 4, whole)},
          bias_{make<Number>(out, 5, whole)},
          norm_of_input_{make<Number>(6 * in, 6, whole)},
          norm_of_output_{make<Number>(6 * out, 7, whole)},
          sums_{unset<double>(execution, max_slices * 2 * std::max(in, out))},
          partials_{unset<Number>(execution, max_slices * Kernel::partial_size)},
          scratch_{unset<S>(execution, Kernel::scratch_size)} {
        pass.count = count;
        pass.sums = sums_.data();
        pass.partials = partials_.data();
        pass.scratch = scratch_.data();
        pass.execution = &execution;
    }

    MemorySource<in, S> plain() const { return {input_.data()}; }
    MemorySource<out, S> plain_gradient() const { return {gradient_.data()}; }
    NormCoefficients<S> before() { return {norm_of_input_.data(), in}; }
    NormCoefficients<S> behind() { return {norm_of_output_.data(), out}; }
    NormActSource<ReLU6, in, S> activated() { return {input_.data(), before()}; }
    NormGradientSource<ReLU6, out, S> norm_gradient() { return {gradient_.data(), output_.data(), behind()}; }
    auto plain_sink() {
        return [this](S* to) { return PlainSink<true, out, S>{to, bias_.data()}; };
    }
    auto moments() {
        return [this](S* to) { return MomentsEpilogue<true, out, S>{to, bias_.data(), behind().mean()}; };
    }
    auto finish() {
        return [this](S* to) { return NormActEpilogue<SiLU, true, out, S>{to, bias_.data(), behind()}; };
    }
    auto plain_input() {
        return [](S* to) { return PlainSink<false, in, S>{to}; };
    }
    auto stage() {
        return [this](S* to) { return ActBackwardEpilogue<ReLU6, in, S>{to, input_.data(), before()}; };
    }
    const Number* weights() const { return weights_.data(); }

    /// Rows of a product as `P` makes them, in parts of so many; in the opposite order where asked.
    template <class P, class Left, class Right, class SinkOn>
    Written rows_of(const Left& left, const Right& right, const SinkOn& sink_on, std::int64_t rows,
                    std::int64_t rows_per_slice, bool backwards = false) {
        constexpr int sums = P::Sink::sum_count;
        const std::int64_t size = rows * P::Sink::channels, parts = ceil_div(rows, rows_per_slice);
        auto to = unset<S>(execution, size);
        auto found = unset<double>(execution, parts * sums * P::Sink::channels);
        const P product{{left, right, sink_on(to.data()), rows, rows_per_slice, found.data()}};
        run_kernel(product.blocks(), product, backwards);
        return {as_numbers(to), as_numbers(found)};
    }
    template <int Size, int Groups, class Left, class Right, class SinkOn>
    Written rows_by_column(const Left& left, const Right& right, const SinkOn& sink_on, std::int64_t rows,
                           std::int64_t rows_per_slice) {
        using Sink = decltype(sink_on(nullptr));
        const std::int64_t parts = ceil_div(rows, rows_per_slice);
        auto to = unset<S>(execution, rows * Sink::channels);
        auto found = unset<double>(execution, parts * Sink::sum_count * Sink::channels);
        for_each_index(execution, parts * Sink::channels,
                       ImplicitGemmByColumn<Left, Right, Sink, Size, Groups>{left, right, sink_on(to.data()), rows,
                                                                             rows_per_slice, found.data()});
        return {as_numbers(to), as_numbers(found)};
    }
    template <class P, class Gradient, class Left>
    std::vector<double> weights_of(const Gradient& gradient, const Left& left, std::int64_t rows,
                                   std::int64_t rows_per_slice, bool backwards = false) {
        auto found = unset<Number>(execution, ceil_div(rows, rows_per_slice) * Kernel::weight_count);
        const P product{{gradient, left, rows, rows_per_slice, found.data()}};
        run_kernel(product.blocks(), product, backwards);
        return as_numbers(found);
    }
    template <class P, class Gradient, class Source, class SinkOn>
    std::pair<Written, std::vector<double>> both_of(const Gradient& gradient, const Source& source,
                                                    const SinkOn& sink_on, std::int64_t rows,
                                                    std::int64_t rows_per_slice, bool backwards = false) {
        const std::int64_t parts = ceil_div(rows, rows_per_slice);
        auto to = unset<S>(execution, rows * in);
        auto weight_parts_found = unset<Number>(execution, parts * Kernel::weight_count);
        const auto sink = sink_on(to.data());
        auto sums = unset<double>(execution, parts * sink.sum_count * in);
        const P both{gradient, source, sink, weights(), rows, rows_per_slice, weight_parts_found.data(), sums.data()};
        run_kernel(both.parts(), both, backwards);
        return {{as_numbers(to), as_numbers(sums)}, as_numbers(weight_parts_found)};
    }
    template <int Size, int Groups, class Gradient, class Left>
    std::vector<double> weights_by_element(const Gradient& gradient, const Left& left, std::int64_t rows,
                                           std::int64_t rows_per_slice) {
        const std::int64_t size = ceil_div(rows, rows_per_slice) * Kernel::weight_count;
        auto found = unset<Number>(execution, size);
        for_each_index(
            execution, size,
            WeightGradientByElement<Gradient, Left, Size, Groups>{gradient, left, rows, rows_per_slice, found.data()});
        return as_numbers(found);
    }

    const Execution execution;
    Pass<S> pass;

private:
    template <class T>
    DeviceBuffer<T> make(std::int64_t size, std::uint64_t stream, bool whole) const {
        return on_device(execution, whole ? whole_numbers_of<T>(size, stream) : any_numbers<T>(size, stream));
    }
    template <class T>
    std::vector<double> as_numbers(const DeviceBuffer<T>& buffer) const {
        std::vector<double> values;
        for (const T value : on_host(execution, buffer)) values.push_back(static_cast<double>(value));
        return values;
    }
    template <class P>
    void run_kernel(std::int64_t blocks, const P& product, [[maybe_unused]] bool backwards) const {
#ifndef __CUDACC__
        if (backwards) return run_backwards(blocks, product);
#endif
        run_blocks(execution, blocks, product);
    }

    std::int64_t inputs_, outputs_;
    DeviceBuffer<S> input_, gradient_, output_;
    DeviceBuffer<Number> weights_, bias_, norm_of_input_, norm_of_output_;
    DeviceBuffer<double> sums_;
    DeviceBuffer<Number> partials_;
    DeviceBuffer<S> scratch_;
};

/// Calls body<T>() for every T that maps of S may be rounded to on their way into a product; S itself where they are
/// not.
template <class S, class Body>
void for_each_precision(const Body& body) {
    body.template operator()<S>();
    if constexpr (std::is_same_v<S, float>) body.template operator()<Tf32>();
}
template <class T, class S, class Left, class Right, class Sink, int Size, int Groups>
using ProductIn = std::conditional_t<
    std::is_same_v<T, S> && !std::is_same_v<S, Bfloat16>, ImplicitGemm<Left, Right, Sink, Size, Groups>,
    TensorCoreImplicitGemm<std::conditional_t<std::is_same_v<S, Bfloat16>, S, Tf32>, Left, Right, Sink, Size, Groups>>;
template <class T, class S, class Gradient, class Left, int Size, int Groups>
using GradientIn = std::conditional_t<
    std::is_same_v<T, S> && !std::is_same_v<S, Bfloat16>, WeightGradient<Gradient, Left, Size, Groups>,
    TensorCoreWeightGradient<std::conditional_t<std::is_same_v<S, Bfloat16>, S, Tf32>, Gradient, Left, Size, Groups>>;

template <int Size, int Groups, class S, class Around, class Left, class Right, class SinkOn>
void rows_agree(Around& around, const Left& left, const Right& right, const SinkOn& sink_on, std::int64_t rows,
                bool exact) {
    using Sink = decltype(sink_on(nullptr));
    for_each_precision<S>([&]<class T>() {
        using P = ProductIn<T, S, Left, Right, Sink, Size, Groups>;
        for (const std::int64_t tiles : {1, 3}) {
            const std::int64_t rows_per_slice = tiles * P::height;
            const Written found = around.template rows_of<P>(left, right, sink_on, rows, rows_per_slice);
            const Written expected =
                around.template rows_by_column<Size, Groups>(left, right, sink_on, rows, rows_per_slice);
            const double allowed = exact ? 0 : rounding<T>;
            BOOST_TEST(largest_difference(found.map, expected.map) <= allowed);
            BOOST_TEST(largest_difference(found.sums, expected.sums) <= 10 * allowed);
            BOOST_TEST((found == around.template rows_of<P>(left, right, sink_on, rows, rows_per_slice, true)));
        }
    });
}
template <int Size, int Groups, class S, class Around, class Gradient, class Left>
void weights_agree(Around& around, const Gradient& gradient, const Left& left, std::int64_t rows, bool exact) {
    for_each_precision<S>([&]<class T>() {
        using P = GradientIn<T, S, Gradient, Left, Size, Groups>;
        for (const std::int64_t tiles : {1, 3}) {
            const std::int64_t rows_per_slice = tiles * P::height;
            const auto found = around.template weights_of<P>(gradient, left, rows, rows_per_slice);
            const auto expected =
                around.template weights_by_element<Size, Groups>(gradient, left, rows, rows_per_slice);
            BOOST_TEST(largest_difference(found, expected) <= (exact ? 0 : rounding<T>));
            BOOST_TEST((found == around.template weights_of<P>(gradient, left, rows, rows_per_slice, true)));
        }
    });
}

/// Both products of the way back, made in one go.
template <int In, int Out, class S, class Around, class Gradient, class Source, class SinkOn>
void both_agree(Around& around, const Gradient& gradient, const Source& source, const SinkOn& sink_on,
                std::int64_t rows, bool exact) {
    using Number = Compute<S>;
    using Sink = decltype(sink_on(nullptr));
    for_each_precision<S>([&]<class T>() {
        if constexpr (std::is_same_v<T, Tf32> || std::is_same_v<T, Bfloat16>) {
            using P = TensorCorePointwiseBackward<T, Gradient, Source, Sink, Out, In>;
            if constexpr (P::fit) {
                const double allowed = exact ? 0 : rounding<T>;
                for (const std::int64_t tiles : {1, 3}) {
                    const std::int64_t rows_per_slice = tiles * P::height;
                    const auto both = [&](bool backwards) {
                        return around.template both_of<P>(gradient, source, sink_on, rows, rows_per_slice, backwards);
                    };
                    const std::pair<Written, std::vector<double>> found = both(false);
                    const Written expected = around.template rows_by_column<In, 1>(
                        PointwiseOperand<Gradient>{gradient}, WeightOperand<Number, false>{around.weights(), In},
                        sink_on, rows, rows_per_slice);
                    const std::vector<double> expected_weights = around.template weights_by_element<Out, 1>(
                        gradient, PointwiseOperand<Source>{source}, rows, rows_per_slice);
                    BOOST_TEST(largest_difference(found.first.map, expected.map) <= allowed);
                    BOOST_TEST(largest_difference(found.first.sums, expected.sums) <= 10 * allowed);
                    BOOST_TEST(largest_difference(found.second, expected_weights) <= allowed);
                    BOOST_TEST((found == both(true)));
                }
            }
        }
    });
}

template <class T, class S, int Out, int In>
constexpr bool made_at_once =
    TensorCorePointwiseBackward<T, MemorySource<Out, S>, MemorySource<In, S>, PlainSink<false, In, S>, Out, In>::fit;

/// All products of a pointwise convolution. Whole numbers pass through plain hooks unrounded.
template <int In, int Out, int Pixels, class S>
void pointwise_agrees(std::int64_t count) {
    using Kernel = PointwiseKernel<Shape{1, Pixels, In}, Out, true, S>;
    using Number = Compute<S>;
    const std::int64_t rows = count * Pixels;
    for (const bool exact : {true, false}) {
        Around<Kernel, S> around{count, exact};
        const WeightOperand<Number, true> there{around.weights(), In};
        const WeightOperand<Number, false> back{around.weights(), In};
        const auto forward = [&](const auto& source, const auto& sink) {
            rows_agree<Out, 1, S>(around, PointwiseOperand<std::remove_cvref_t<decltype(source)>>{source}, there, sink,
                                  rows, exact);
        };
        const auto backward = [&](const auto& gradient, const auto& source, const auto& sink) {
            rows_agree<In, 1, S>(around, PointwiseOperand<std::remove_cvref_t<decltype(gradient)>>{gradient}, back,
                                 sink, rows, exact);
            weights_agree<Out, 1, S>(around, gradient, PointwiseOperand<std::remove_cvref_t<decltype(source)>>{source},
                                     rows, exact);
            both_agree<In, Out, S>(around, gradient, source, sink, rows, exact);
        };
        forward(around.plain(), around.plain_sink());
        backward(around.plain_gradient(), around.plain(), around.plain_input());
        if (exact) continue;
        forward(around.activated(), around.moments());
        forward(around.plain(), around.finish());
        backward(around.norm_gradient(), around.activated(), around.stage());
    }
}
template <int In, int Out, int Pixels, class... Scalars>
void pointwise_agree() {
    for (const std::int64_t count : {1, 3})
        BOOST_TEST_CONTEXT(In << " to " << Out << " channels at " << count << " times " << Pixels << " positions") {
            (pointwise_agrees<In, Out, Pixels, Scalars>(count), ...);
        }
}

/// All products of a dense convolution.
template <class Conv, Shape Input, class S>
void dense_agrees() {
    using Kernel = DenseKernel<Conv, Input, S>;
    constexpr int in = Kernel::in, out = Kernel::out, groups = Kernel::groups;
    constexpr std::int64_t count = 2;
    for (const bool exact : {true, false}) {
        Around<Kernel, S> around{count, exact};
        const auto windows = [&]<bool Back, int Own>(const auto& source) {
            return Im2colOperand<std::remove_cvref_t<decltype(source)>, typename Kernel::Geometry, Back, Own>{source};
        };
        const auto forward = [&](const auto& source, const auto& sink) {
            const WeightOperand<S, true> ordered{
                Kernel::template order<Kernel::Order::by_output>(around.pass, around.weights()), Kernel::window,
                std::int64_t{out} * Kernel::window};
            rows_agree<out, groups, S>(around, windows.template operator()<false, in>(source), ordered, sink,
                                       count * pixel_count(Kernel::output), exact);
        };
        const auto backward = [&](const auto& gradient, const auto& source, const auto& sink) {
            const WeightOperand<S, false> ordered{
                Kernel::template order<Kernel::Order::by_tap>(around.pass, around.weights()), in,
                std::int64_t{out} * Kernel::window};
            rows_agree<in, groups, S>(around, windows.template operator()<true, out>(gradient), ordered, sink,
                                      count * pixel_count(Input), exact);
            weights_agree<out, groups, S>(around, gradient, windows.template operator()<false, in>(source),
                                          count * pixel_count(Kernel::output), exact);
        };
        forward(around.plain(), around.plain_sink());
        backward(around.plain_gradient(), around.plain(), around.plain_input());
        if (exact) continue;
        forward(around.activated(), around.moments());
        backward(around.norm_gradient(), around.activated(), around.stage());
    }
}
template <class Conv, int Height, int Width, int Channels, class... Scalars>
void dense_agree() {
    BOOST_TEST_CONTEXT(Conv::kernel_size << " taps wide, stride " << Conv::stride << ", on " << Height << 'x' << Width << 'x'
                                    << Channels) {
        (dense_agrees<Conv, Shape{Height, Width, Channels}, Scalars>(), ...);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(tf32_has_ten_bits_of_mantissa) {
    BOOST_TEST(float{Tf32{1.0f}} == 1.0f);
    BOOST_TEST(float{Tf32{1.0f + 0x1p-10f}} == 1.0f + 0x1p-10f);
    BOOST_TEST(float{Tf32{1.0f + 0x1p-11f}} == 1.0f + 0x1p-10f);
    BOOST_TEST(float{Tf32{-1.0f - 0x1p-11f}} == -1.0f - 0x1p-10f);
    BOOST_TEST(float{Tf32{1.0f + 0x1.fp-12f}} == 1.0f);
    BOOST_TEST(float{Tf32{std::numeric_limits<float>::infinity()}} == std::numeric_limits<float>::infinity());
    BOOST_TEST(std::isnan(float{Tf32{std::numeric_limits<float>::quiet_NaN()}}));
}

// What the products at positions are compared for below: not all have both products of the way back at once.
BOOST_AUTO_TEST_CASE(both_products_are_made_at_once_where_they_fit) {
    static_assert(made_at_once<Bfloat16, Bfloat16, 32, 16> && made_at_once<Bfloat16, Bfloat16, 128, 64>);
    static_assert(made_at_once<Bfloat16, Bfloat16, 64, 64> && made_at_once<Tf32, float, 32, 16>);
    static_assert(!made_at_once<Tf32, float, 64, 64> && !made_at_once<Bfloat16, Bfloat16, 176, 64>);
}

BOOST_AUTO_TEST_CASE(products_at_positions_equal_those_by_column) {
    pointwise_agree<16, 32, 180, float, Bfloat16>();
    pointwise_agree<64, 128, 70, Bfloat16>();
    pointwise_agree<150, 176, 50, float>();
}

BOOST_AUTO_TEST_CASE(products_of_odd_channels_equal_those_by_column) {
    pointwise_agree<1, 1, 7, double>();
    pointwise_agree<3, 11, 40, float, Bfloat16>();
    pointwise_agree<19, 5, 33, double>();
    pointwise_agree<34, 70, 90, float>();
    pointwise_agree<64, 64, 90, Bfloat16>();
}

BOOST_AUTO_TEST_CASE(products_in_windows_equal_those_by_column) {
    dense_agree<Conv2d<16, 3, 2>, 12, 9, 3, float, Bfloat16>();
    dense_agree<Conv2d<8, 3>, 7, 6, 16, double, Bfloat16>();
    dense_agree<Conv2d<6, 3, 1, ConvOptions{.padding = 0, .dilation = 2}>, 7, 9, 2, double>();
    dense_agree<Conv2d<20, 4, 2, ConvOptions{.padding = 1, .groups = 4}>, 8, 6, 12, float>();
    dense_agree<Conv2d<70, 1, 2>, 5, 4, 36, double>();
}

// What a network asks for as a whole, with the parts that are chosen for it.
BOOST_AUTO_TEST_CASE(parts_of_a_products_sums_and_gradients_are_bounded) {
    using Kernel = PointwiseKernel<Shape{30, 30, 8}, 24, true, float>;
    Around<Kernel, float> around{100, true};
    auto to = unset<float>(around.execution, 100 * 900 * 24), gradient = unset<float>(around.execution, 8 * 24);
    const std::int64_t parts =
        Kernel::forward(around.pass, around.weights(), around.plain(), around.moments()(to.data()));
    BOOST_TEST((parts > 1 && parts <= max_slices));
    auto back = unset<float>(around.execution, 100 * 900 * 8);
    Kernel::backward(around.pass, around.weights(), around.plain_gradient(), around.plain(),
                     around.plain_input()(back.data()), gradient.data());
    const PointwiseOperand<MemorySource<8, float>> left{around.plain()};
    const auto expected = around.weights_by_element<24, 1>(around.plain_gradient(), left, 90'000, 90'000);
    const auto found = on_host(around.execution, gradient);
    for (std::size_t i = 0; i < found.size(); ++i) BOOST_TEST(static_cast<double>(found[i]) == expected[i]);
}

// Where strides leave the outputs few enough, the windows' inputs may still be too many.
BOOST_AUTO_TEST_CASE(more_positions_than_are_counted_are_refused) {
    using Kernel = DenseKernel<Conv2d<4, 3, 2>, Shape{64, 64, 3}, float>;
    const Execution execution;
    const auto weights = unset<float>(execution, Kernel::weight_count);
    auto scratch = unset<float>(execution, Kernel::scratch_size);
    bantam::cuda::Pass<float> pass;
    pass.count = (std::int64_t{1} << 19) + 1;
    pass.scratch = scratch.data();
    pass.execution = &execution;
    const MemorySource<3, float> source{nullptr};
    const MemorySource<4, float> gradient{nullptr};
    BOOST_CHECK_THROW(Kernel::forward(pass, weights.data(), source, PlainSink<false, 4, float>{nullptr}), Error);
    BOOST_CHECK_THROW(Kernel::backward(pass, weights.data(), gradient, source, NullSink<3, float>{}, nullptr), Error);
}
