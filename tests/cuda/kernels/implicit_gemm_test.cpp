// SPDX-License-Identifier: MIT
// The matrix products of convolutions (implicit GEMM, weight gradient and the combined pointwise backward pass), by
// multiply-adds and on tensor cores, give what one thread per result gives, and do not depend on the order of threads.
#define BOOST_TEST_MODULE cuda_kernels_implicit_gemm
#include "kernel_helpers.hpp"
#include "reference_kernels.hpp"

#include <bantam/cuda/kernels/dense_conv.hpp>
#include <bantam/cuda/kernels/pointwise_conv.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/conv2d.hpp>

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

/// Small integers, whose sums are exact in any precision and order.
template <class T>
std::vector<T> integers(std::int64_t size, std::uint64_t stream) {
    Random random{5, stream};
    std::vector<T> values(static_cast<std::size_t>(size));
    for (T& value : values)
        value = static_cast<T>(static_cast<Compute<T>>(static_cast<int>(random.uniform(0, 6.999)) - 3));
    return values;
}
template <class T>
std::vector<T> rounded_numbers(std::int64_t size, std::uint64_t stream) {
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

/// What an epilogue stores.
struct Stored {
    std::vector<double> map, sums;
    bool operator==(const Stored&) const = default;
};

/// Maps and norms around a convolution, and the products of its passes.
template <class Kernel, class S>
class ConvCase {
public:
    using ComputeType = Compute<S>;
    static constexpr std::int64_t in = Kernel::input.channels, out = Kernel::output.channels;

    ConvCase(std::int64_t count, bool exact)
        : inputs_{count * element_count(Kernel::input)},
          outputs_{count * element_count(Kernel::output)},
          input_{make<S>(inputs_, 1, exact)},
          gradient_{make<S>(outputs_, 2, exact)},
          output_{make<S>(outputs_, 3, exact)},
          weights_{make<ComputeType>(Kernel::weight_count, 4, exact)},
          bias_{make<ComputeType>(out, 5, exact)},
          norm_in_front_{make<ComputeType>(6 * in, 6, exact)},
          norm_behind_{make<ComputeType>(6 * out, 7, exact)},
          sums_{unset<double>(execution, max_slices * 2 * std::max(in, out))},
          partials_{unset<ComputeType>(execution, max_slices * Kernel::partial_size)},
          scratch_{unset<S>(execution, Kernel::scratch_size)} {
        pass.count = count;
        pass.sums = sums_.data();
        pass.partials = partials_.data();
        pass.scratch = scratch_.data();
        pass.execution = &execution;
    }

    MemorySource<in, S> plain() const { return {input_.data()}; }
    MemorySource<out, S> plain_gradient() const { return {gradient_.data()}; }
    NormCoefficients<S> in_front() { return {norm_in_front_.data(), in}; }
    NormCoefficients<S> behind() { return {norm_behind_.data(), out}; }
    NormActSource<ReLU6, in, S> activated() { return {input_.data(), in_front()}; }
    NormBackwardSource<ReLU6, out, S> norm_gradient() { return {gradient_.data(), output_.data(), behind()}; }
    auto bias_epilogue() {
        return [this](S* to) { return BiasEpilogue<out, S>{to, bias_.data()}; };
    }
    auto moments_epilogue() {
        return [this](S* to) { return MomentsEpilogue<true, out, S>{to, bias_.data(), behind().mean()}; };
    }
    auto norm_act_epilogue() {
        return [this](S* to) { return NormActEpilogue<SiLU, true, out, S>{to, bias_.data(), behind()}; };
    }
    auto identity_epilogue() {
        return [](S* to) { return IdentityEpilogue<in, S>{to}; };
    }
    auto act_backward_epilogue() {
        return [this](S* to) { return ActBackwardEpilogue<ReLU6, in, S>{to, input_.data(), in_front()}; };
    }
    const ComputeType* weights() const { return weights_.data(); }

    /// The product of kernel `P` in slices of `rows_per_slice`; `backwards`: with the threads in the opposite order.
    template <class P, class A, class B, class EpilogueOn>
    Stored rows_of(const A& a, const B& b, const EpilogueOn& epilogue_on, std::int64_t rows,
                   std::int64_t rows_per_slice, bool backwards = false) {
        constexpr int sums = P::Epilogue::sum_count;
        const std::int64_t size = rows * P::Epilogue::channels, slices = ceil_div(rows, rows_per_slice);
        auto to = unset<S>(execution, size);
        auto found = unset<double>(execution, slices * sums * P::Epilogue::channels);
        const P kernel{{a, b, epilogue_on(to.data()), BatchSlices::of_rows(rows, rows_per_slice), found.data()}};
        run_kernel(kernel.blocks(), kernel, backwards);
        return {as_numbers(to), as_numbers(found)};
    }
    template <int Size, int Groups, class A, class B, class EpilogueOn>
    Stored rows_by_column(const A& a, const B& b, const EpilogueOn& epilogue_on, std::int64_t rows,
                          std::int64_t rows_per_slice) {
        using Epilogue = decltype(epilogue_on(nullptr));
        const std::int64_t slices = ceil_div(rows, rows_per_slice);
        auto to = unset<S>(execution, rows * Epilogue::channels);
        auto found = unset<double>(execution, slices * Epilogue::sum_count * Epilogue::channels);
        for_each_index(execution, slices * Epilogue::channels,
                       reference::ImplicitGemmByColumn<A, B, Epilogue, Size, Groups>{a, b, epilogue_on(to.data()), rows,
                                                                                     rows_per_slice, found.data()});
        return {as_numbers(to), as_numbers(found)};
    }
    template <class P, class Gradient, class A>
    std::vector<double> weights_of(const Gradient& gradient, const A& a, std::int64_t rows, std::int64_t rows_per_slice,
                                   bool backwards = false) {
        auto found = unset<ComputeType>(execution, ceil_div(rows, rows_per_slice) * Kernel::weight_count);
        const P kernel{{gradient, a, BatchSlices::of_rows(rows, rows_per_slice), found.data()}};
        run_kernel(kernel.blocks(), kernel, backwards);
        return as_numbers(found);
    }
    template <class P, class Gradient, class Source, class EpilogueOn>
    std::pair<Stored, std::vector<double>> combined_of(const Gradient& gradient, const Source& source,
                                                       const EpilogueOn& epilogue_on, std::int64_t rows,
                                                       std::int64_t rows_per_slice, bool backwards = false) {
        const std::int64_t slices = ceil_div(rows, rows_per_slice);
        auto to = unset<S>(execution, rows * in);
        auto weight_partials = unset<ComputeType>(execution, slices * Kernel::weight_count);
        const auto epilogue = epilogue_on(to.data());
        auto sums = unset<double>(execution, slices * epilogue.sum_count * in);
        const P kernel{
            gradient,   source, epilogue, weights(), BatchSlices::of_rows(rows, rows_per_slice), weight_partials.data(),
            sums.data()};
        run_kernel(slices, kernel, backwards);
        return {{as_numbers(to), as_numbers(sums)}, as_numbers(weight_partials)};
    }
    template <int Size, int Groups, class Gradient, class A>
    std::vector<double> weights_by_element(const Gradient& gradient, const A& a, std::int64_t rows,
                                           std::int64_t rows_per_slice) {
        const std::int64_t size = ceil_div(rows, rows_per_slice) * Kernel::weight_count;
        auto found = unset<ComputeType>(execution, size);
        for_each_index(execution, size,
                       reference::WeightGradientByElement<Gradient, A, Size, Groups>{gradient, a, rows, rows_per_slice,
                                                                                     found.data()});
        return as_numbers(found);
    }

    const Execution execution;
    Pass<S> pass;

private:
    template <class T>
    DeviceBuffer<T> make(std::int64_t size, std::uint64_t stream, bool exact) const {
        return on_device(execution, exact ? integers<T>(size, stream) : rounded_numbers<T>(size, stream));
    }
    template <class T>
    std::vector<double> as_numbers(const DeviceBuffer<T>& buffer) const {
        std::vector<double> values;
        for (const T value : on_host(execution, buffer)) values.push_back(static_cast<double>(value));
        return values;
    }
    template <class P>
    void run_kernel(std::int64_t blocks, const P& kernel, [[maybe_unused]] bool backwards) const {
#ifndef __CUDACC__
        if (backwards) return run_backwards(blocks, kernel);
#endif
        run_blocks(execution, blocks, kernel);
    }

    std::int64_t inputs_, outputs_;
    DeviceBuffer<S> input_, gradient_, output_;
    DeviceBuffer<ComputeType> weights_, bias_, norm_in_front_, norm_behind_;
    DeviceBuffer<double> sums_;
    DeviceBuffer<ComputeType> partials_;
    DeviceBuffer<S> scratch_;
};

/// Calls body<T>() for every type that operands stored as S may be rounded to; S itself stands for no rounding.
template <class S, class Body>
void for_each_precision(const Body& body) {
    body.template operator()<S>();
    if constexpr (std::is_same_v<S, float>) body.template operator()<Tf32>();
}
template <class T, class S, class A, class B, class Epilogue, int Size, int Groups>
using GemmIn = std::conditional_t<
    std::is_same_v<T, S> && !std::is_same_v<S, Bfloat16>, ImplicitGemm<A, B, Epilogue, Size, Groups>,
    TensorCoreImplicitGemm<std::conditional_t<std::is_same_v<S, Bfloat16>, S, Tf32>, A, B, Epilogue, Size, Groups>>;
template <class T, class S, class Gradient, class A, int Size, int Groups>
using WeightGradientIn = std::conditional_t<
    std::is_same_v<T, S> && !std::is_same_v<S, Bfloat16>, WeightGradient<Gradient, A, Size, Groups>,
    TensorCoreWeightGradient<std::conditional_t<std::is_same_v<S, Bfloat16>, S, Tf32>, Gradient, A, Size, Groups>>;

template <int Size, int Groups, class S, class Case, class A, class B, class EpilogueOn>
void rows_agree(Case& conv, const A& a, const B& b, const EpilogueOn& epilogue_on, std::int64_t rows, bool exact) {
    using Epilogue = decltype(epilogue_on(nullptr));
    for_each_precision<S>([&]<class T>() {
        using P = GemmIn<T, S, A, B, Epilogue, Size, Groups>;
        for (const std::int64_t tiles : test_sizes({1, 3}, {3})) {
            const std::int64_t rows_per_slice = tiles * P::tile_rows;
            const Stored found = conv.template rows_of<P>(a, b, epilogue_on, rows, rows_per_slice);
            const Stored expected = conv.template rows_by_column<Size, Groups>(a, b, epilogue_on, rows, rows_per_slice);
            const double allowed = exact ? 0 : rounding<T>;
            BOOST_TEST(largest_difference(found.map, expected.map) <= allowed);
            BOOST_TEST(largest_difference(found.sums, expected.sums) <= 10 * allowed);
            BOOST_TEST((found == conv.template rows_of<P>(a, b, epilogue_on, rows, rows_per_slice, true)));
        }
    });
}
template <int Size, int Groups, class S, class Case, class Gradient, class A>
void weights_agree(Case& conv, const Gradient& gradient, const A& a, std::int64_t rows, bool exact) {
    for_each_precision<S>([&]<class T>() {
        using P = WeightGradientIn<T, S, Gradient, A, Size, Groups>;
        for (const std::int64_t tiles : test_sizes({1, 3}, {3})) {
            const std::int64_t rows_per_slice = tiles * P::tile_rows;
            const auto found = conv.template weights_of<P>(gradient, a, rows, rows_per_slice);
            const auto expected = conv.template weights_by_element<Size, Groups>(gradient, a, rows, rows_per_slice);
            BOOST_TEST(largest_difference(found, expected) <= (exact ? 0 : rounding<T>));
            BOOST_TEST((found == conv.template weights_of<P>(gradient, a, rows, rows_per_slice, true)));
        }
    });
}

/// The combined backward pass.
template <int In, int Out, class S, class Case, class Gradient, class Source, class EpilogueOn>
void combined_agrees(Case& conv, const Gradient& gradient, const Source& source, const EpilogueOn& epilogue_on,
                     std::int64_t rows, bool exact) {
    using ComputeType = Compute<S>;
    using Epilogue = decltype(epilogue_on(nullptr));
    for_each_precision<S>([&]<class T>() {
        if constexpr (std::is_same_v<T, Tf32> || std::is_same_v<T, Bfloat16>) {
            using P = TensorCorePointwiseBackward<T, Gradient, Source, Epilogue, Out, In>;
            if constexpr (P::fit) {
                const double allowed = exact ? 0 : rounding<T>;
                for (const std::int64_t tiles : test_sizes({1, 3}, {3})) {
                    const std::int64_t rows_per_slice = tiles * P::tile_rows;
                    const auto combined = [&](bool backwards) {
                        return conv.template combined_of<P>(gradient, source, epilogue_on, rows, rows_per_slice,
                                                            backwards);
                    };
                    const std::pair<Stored, std::vector<double>> found = combined(false);
                    const Stored expected = conv.template rows_by_column<In, 1>(
                        PointwiseOperand<Gradient>{gradient}, WeightOperand<ComputeType, false>{conv.weights(), In},
                        epilogue_on, rows, rows_per_slice);
                    const std::vector<double> expected_weights = conv.template weights_by_element<Out, 1>(
                        gradient, PointwiseOperand<Source>{source}, rows, rows_per_slice);
                    BOOST_TEST(largest_difference(found.first.map, expected.map) <= allowed);
                    BOOST_TEST(largest_difference(found.first.sums, expected.sums) <= 10 * allowed);
                    BOOST_TEST(largest_difference(found.second, expected_weights) <= allowed);
                    BOOST_TEST((found == combined(true)));
                }
            }
        }
    });
}

template <class T, class S, int Out, int In>
constexpr bool is_combined =
    TensorCorePointwiseBackward<T, MemorySource<Out, S>, MemorySource<In, S>, IdentityEpilogue<In, S>, Out, In>::fit;

/// All products of a pointwise convolution, exact with integers as long as source and epilogue do not round.
template <int In, int Out, int Pixels, class S>
void pointwise_agrees(std::int64_t count) {
    using Kernel = PointwiseKernel<Shape{1, Pixels, In}, Out, true, S>;
    using ComputeType = Compute<S>;
    const std::int64_t rows = count * Pixels;
    for (const bool exact : {true, false}) {
        ConvCase<Kernel, S> conv{count, exact};
        const WeightOperand<ComputeType, true> forward_weights{conv.weights(), In};
        const WeightOperand<ComputeType, false> backward_weights{conv.weights(), In};
        const auto forward = [&](const auto& source, const auto& epilogue) {
            rows_agree<Out, 1, S>(conv, PointwiseOperand<std::remove_cvref_t<decltype(source)>>{source},
                                  forward_weights, epilogue, rows, exact);
        };
        const auto backward = [&](const auto& gradient, const auto& source, const auto& epilogue) {
            rows_agree<In, 1, S>(conv, PointwiseOperand<std::remove_cvref_t<decltype(gradient)>>{gradient},
                                 backward_weights, epilogue, rows, exact);
            weights_agree<Out, 1, S>(conv, gradient, PointwiseOperand<std::remove_cvref_t<decltype(source)>>{source},
                                     rows, exact);
            combined_agrees<In, Out, S>(conv, gradient, source, epilogue, rows, exact);
        };
        forward(conv.plain(), conv.bias_epilogue());
        backward(conv.plain_gradient(), conv.plain(), conv.identity_epilogue());
        if (exact) continue;
        forward(conv.activated(), conv.moments_epilogue());
        forward(conv.plain(), conv.norm_act_epilogue());
        backward(conv.norm_gradient(), conv.activated(), conv.act_backward_epilogue());
    }
}
template <int In, int Out, int Pixels, class... Scalars>
void pointwise_agree() {
    for (const std::int64_t count : test_sizes({1, 3}, {2}))
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
        ConvCase<Kernel, S> conv{count, exact};
        const auto windows = [&]<bool Backward, int GroupChannels>(const auto& source) {
            return Im2colOperand<std::remove_cvref_t<decltype(source)>, typename Kernel::Geometry, Backward,
                                 GroupChannels>{source};
        };
        const auto forward = [&](const auto& source, const auto& epilogue) {
            const WeightOperand<S, true> weights{
                Kernel::template reorder_weights<Kernel::Order::by_output>(conv.pass, conv.weights()), Kernel::window,
                std::int64_t{out} * Kernel::window};
            rows_agree<out, groups, S>(conv, windows.template operator()<false, in>(source), weights, epilogue,
                                       count * pixel_count(Kernel::output), exact);
        };
        const auto backward = [&](const auto& gradient, const auto& source, const auto& epilogue) {
            const WeightOperand<S, false> weights{
                Kernel::template reorder_weights<Kernel::Order::by_tap>(conv.pass, conv.weights()), in,
                std::int64_t{out} * Kernel::window};
            rows_agree<in, groups, S>(conv, windows.template operator()<true, out>(gradient), weights, epilogue,
                                      count * pixel_count(Input), exact);
            weights_agree<out, groups, S>(conv, gradient, windows.template operator()<false, in>(source),
                                          count * pixel_count(Kernel::output), exact);
        };
        forward(conv.plain(), conv.bias_epilogue());
        backward(conv.plain_gradient(), conv.plain(), conv.identity_epilogue());
        if (exact) continue;
        forward(conv.activated(), conv.moments_epilogue());
        backward(conv.norm_gradient(), conv.activated(), conv.act_backward_epilogue());
    }
}
template <class Conv, int Height, int Width, int Channels, class... Scalars>
void dense_agree() {
    BOOST_TEST_CONTEXT(Conv::kernel_size.width << " taps wide, stride " << Conv::stride.width << ", on " << Height
                                               << 'x' << Width << 'x' << Channels) {
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

BOOST_AUTO_TEST_CASE(backward_products_are_combined_where_they_fit) {
    static_assert(is_combined<Bfloat16, Bfloat16, 32, 16> && is_combined<Bfloat16, Bfloat16, 128, 64>);
    static_assert(is_combined<Bfloat16, Bfloat16, 64, 64> && is_combined<Tf32, float, 32, 16>);
    static_assert(!is_combined<Tf32, float, 64, 64> && !is_combined<Bfloat16, Bfloat16, 176, 64>);
}

BOOST_AUTO_TEST_CASE(pointwise_products_equal_the_reference) {
    pointwise_agree<16, 32, 180, float, Bfloat16>();
    pointwise_agree<64, 128, 70, Bfloat16>();
    pointwise_agree<150, 176, 50, float>();
}

BOOST_AUTO_TEST_CASE(pointwise_products_of_odd_channels_equal_the_reference) {
    pointwise_agree<1, 1, 7, double>();
    pointwise_agree<3, 11, 40, float, Bfloat16>();
    pointwise_agree<19, 5, 33, double>();
    pointwise_agree<34, 70, 90, float>();
    pointwise_agree<64, 64, 90, Bfloat16>();
}

BOOST_AUTO_TEST_CASE(dense_products_equal_the_reference) {
    dense_agree<Conv2d<16, 3, 2>, 12, 9, 3, float, Bfloat16>();
    dense_agree<Conv2d<8, 3>, 7, 6, 16, double, Bfloat16>();
    dense_agree<Conv2d<6, 3, 1, ConvOptions{.padding = 0, .dilation = 2}>, 7, 9, 2, double>();
    dense_agree<Conv2d<20, 4, 2, ConvOptions{.padding = 1, .groups = 4}>, 8, 6, 12, float>();
    dense_agree<Conv2d<70, 1, 2>, 5, 4, 36, double>();
}

BOOST_AUTO_TEST_CASE(a_large_batch_is_split_into_at_most_max_slices) {
    using Kernel = PointwiseKernel<Shape{30, 30, 8}, 24, true, float>;
    ConvCase<Kernel, float> conv{100, true};
    auto to = unset<float>(conv.execution, 100 * 900 * 24), gradient = unset<float>(conv.execution, 8 * 24);
    const std::int64_t slices =
        Kernel::forward(conv.pass, conv.weights(), conv.plain(), conv.moments_epilogue()(to.data()));
    BOOST_TEST((slices > 1 && slices <= max_slices));
    auto back = unset<float>(conv.execution, 100 * 900 * 8);
    Kernel::backward(conv.pass, conv.weights(), conv.plain_gradient(), conv.plain(),
                     conv.identity_epilogue()(back.data()), gradient.data());
    const PointwiseOperand<MemorySource<8, float>> a{conv.plain()};
    const auto expected = conv.weights_by_element<24, 1>(conv.plain_gradient(), a, 90'000, 90'000);
    const auto found = on_host(conv.execution, gradient);
    for (std::size_t i = 0; i < found.size(); ++i) BOOST_TEST(static_cast<double>(found[i]) == expected[i]);
}

// The stride leaves few enough outputs here, but too many inputs.
BOOST_AUTO_TEST_CASE(a_batch_of_more_positions_than_32_bits_count_is_refused) {
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
    BOOST_CHECK_THROW(Kernel::forward(pass, weights.data(), source, IdentityEpilogue<4, float>{nullptr}), Error);
    BOOST_CHECK_THROW(Kernel::backward(pass, weights.data(), gradient, source, NullSink<3, float>{}, nullptr), Error);
}
