// SPDX-License-Identifier: MIT
// Layer norm and sums over samples in blocks give what one thread a row gives, whatever the shapes, and do not
// depend on the order of the threads.
#define BOOST_TEST_MODULE cuda_row_blocks
#include "kernel_helpers.hpp"

#include <bantam/bantam.hpp>
#include <bantam/cuda/model.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using namespace bantam;
using bantam::cuda::Execution;
using bantam::cuda::max_slices;

namespace {

/// What layer norm computes of a batch.
template <class S>
struct Normalized {
    std::vector<S> output, statistics, input_gradient, gradient, gradient_alone;
};

/// A layer norm on the device with a batch of its own.
template <std::int64_t Channels, class S>
struct LayerNormCase {
    static constexpr Shape shape{1, 1, Channels};
    using Op = bantam::cuda::Operation<LayerNorm, shape, S>;

    Execution execution;
    std::int64_t rows;
    bantam::cuda::DeviceBuffer<double> sums = unset<double>(execution, max_slices* Op::sum_count);
    bantam::cuda::DeviceBuffer<S> parameters = on_device(execution, numbers<S>(2 * Channels, 1));
    bantam::cuda::DeviceBuffer<S> input, output_gradient = on_device(execution, numbers<S>(rows* Channels, 3));
    bantam::cuda::DeviceBuffer<S> output = unset<S>(execution, rows* Channels);
    bantam::cuda::DeviceBuffer<S> statistics = unset<S>(execution, 2 * rows);
    bantam::cuda::DeviceBuffer<S> input_gradient = unset<S>(execution, rows* Channels);
    bantam::cuda::DeviceBuffer<S> gradient = unset<S>(execution, 2 * Channels);
    bantam::cuda::DeviceBuffer<S> gradient_alone = unset<S>(execution, 2 * Channels);

    explicit LayerNormCase(std::int64_t count) : rows{count} {
        // Rows that lie far from zero: variances must not be found as differences of large numbers. Neighbors
        // lie apart, since what is divided by next to nothing would be rounding errors.
        std::vector<S> values = numbers<S>(rows * Channels, 2);
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = values[i] / S(2) + static_cast<S>(i / Channels % 3 * 4 + i % Channels % 2 * 2);
        input = on_device(execution, values);
    }

    bantam::cuda::Pass<S> pass() {
        bantam::cuda::Pass<S> made;
        made.count = rows;
        made.training = true;
        made.sums = sums.data();
        made.execution = &execution;
        return made;
    }
    Normalized<S> result() {
        return {on_host(execution, output), on_host(execution, statistics), on_host(execution, input_gradient),
                on_host(execution, gradient), on_host(execution, gradient_alone)};
    }

    Normalized<S> in_blocks() {
        const bantam::cuda::Weights<S> weights{parameters.data()};
        Op::forward(pass(), weights, input.data(), output.data(), statistics.data());
        Op::backward(pass(), weights, input.data(), statistics.data(), output_gradient.data(), input_gradient.data(),
                     gradient.data());
        Op::backward(pass(), weights, input.data(), statistics.data(), output_gradient.data(), nullptr,
                     gradient_alone.data());
        return result();
    }
    Normalized<S> by_element() {
        Op::forward_by_element(pass(), parameters.data(), input.data(), output.data(), statistics.data());
        Op::input_gradient_by_element(pass(), parameters.data(), input.data(), statistics.data(),
                                      output_gradient.data(), input_gradient.data());
        Op::parameter_gradient_by_element(pass(), input.data(), statistics.data(), output_gradient.data(),
                                          gradient.data());
        Op::parameter_gradient_by_element(pass(), input.data(), statistics.data(), output_gradient.data(),
                                          gradient_alone.data());
        return result();
    }
#ifndef __CUDACC__
    Normalized<S> backwards() {
        const typename Op::ForwardInBlocks there{input.data(), parameters.data(), output.data(), statistics.data(),
                                                 rows};
        run_backwards(there.blocks(), there);
        for (const bool wanted : {true, false}) {
            const auto back =
                Op::BackwardInBlocks::of(rows, input.data(), output_gradient.data(), parameters.data(),
                                         statistics.data(), wanted ? input_gradient.data() : nullptr, sums.data());
            BOOST_TEST(back.parts() <= max_slices);
            run_backwards(back.parts(), back);
            bantam::cuda::sum_slices(execution, back.parts(), 2 * Channels, sums.data(),
                                     wanted ? gradient.data() : gradient_alone.data());
        }
        return result();
    }
#endif
    std::vector<S> inferred() {
        bantam::cuda::Pass<S> inference = pass();
        inference.training = false;
        auto only_output = unset<S>(execution, rows * Channels);
        auto saved = unset<S>(execution, rows * Op::saved_per_sample(false));
        Op::forward(inference, {parameters.data()}, input.data(), only_output.data(), saved.data());
        return on_host(execution, only_output);
    }
};

template <class S>
void agree(const Normalized<S>& found, const Normalized<S>& expected) {
    BOOST_TEST(largest_difference(found.output, expected.output) <= tolerance<S>);
    BOOST_TEST(largest_difference(found.statistics, expected.statistics) <= tolerance<S>);
    BOOST_TEST(largest_difference(found.input_gradient, expected.input_gradient) <= tolerance<S>);
    BOOST_TEST(largest_difference(found.gradient, expected.gradient) <= tolerance<S>);
    BOOST_TEST((found.gradient == found.gradient_alone));
}
template <class S>
bool same_bits(const Normalized<S>& a, const Normalized<S>& b) {
    return a.output == b.output && a.statistics == b.statistics && a.input_gradient == b.input_gradient &&
           a.gradient == b.gradient && a.gradient_alone == b.gradient_alone;
}

template <std::int64_t Channels, class S>
void layer_norm_agrees(std::int64_t rows) {
    BOOST_TEST_CONTEXT(rows << " rows of " << Channels) {
        LayerNormCase<Channels, S> blocks{rows}, again{rows}, twin{rows};
        const Normalized<S> found = blocks.in_blocks();
        agree(found, twin.by_element());
        BOOST_TEST(same_bits(found, again.in_blocks()), "a second run gives other bits");
        BOOST_TEST((blocks.inferred() == found.output));
#ifndef __CUDACC__
        if constexpr (LayerNormCase<Channels, S>::Op::in_blocks) {
            LayerNormCase<Channels, S> backwards{rows};
            BOOST_TEST(same_bits(found, backwards.backwards()), "the order of threads changes bits");
        }
#endif
    }
}

template <std::int64_t Channels>
void layer_norm_agrees() {
    for (const std::int64_t rows : {1, 2, 31, 160, 161, 1000, 40'001}) {
        if (rows > 1 && rows * Channels > 400'000) continue;
        layer_norm_agrees<Channels, double>(rows);
        // Of two channels the gradient of the input is zero but for rounding errors.
        if constexpr (Channels != 2) layer_norm_agrees<Channels, float>(rows);
    }
}

/// Sums over the pixels of samples, of elements and of products.
template <Shape Map, class S>
void sample_sums_agree(std::int64_t count) {
    using Element = bantam::cuda::detail::MapElement<Map.channels, S>;
    using Product = bantam::cuda::detail::MapProduct<Map.channels, S>;
    const Execution execution;
    bantam::cuda::Pass<S> pass;
    pass.count = count;
    pass.execution = &execution;
    const auto a = on_device(execution, numbers<S>(count * element_count(Map), 1));
    const auto b = on_device(execution, numbers<S>(count * element_count(Map), 2));
    const auto epilogue_sums = [&]<class Term>(const Term& term) {
        auto output = unset<S>(execution, count * Map.channels), again = unset<S>(execution, count * Map.channels);
        auto twin = unset<S>(execution, count * Map.channels);
        bantam::cuda::sum_samples<Map>(pass, term, S(0.75), output.data());
        bantam::cuda::sum_samples<Map>(pass, term, S(0.75), again.data());
        bantam::cuda::sum_samples_by_element<Map>(pass, term, S(0.75), twin.data());
        const std::vector<S> found = on_host(execution, output);
        BOOST_TEST(largest_difference(found, on_host(execution, twin)) <= tolerance<S>);
        BOOST_TEST((found == on_host(execution, again)), "a second run gives other bits");
#ifndef __CUDACC__
        using Kernel = bantam::cuda::detail::SumSamples<Map, Term, S>;
        run_backwards(Kernel::blocks(count), Kernel{term, S(0.75), twin.data()});
        BOOST_TEST((found == on_host(execution, twin)), "the order of threads changes bits");
#endif
    };
    epilogue_sums(Element{a.data()});
    epilogue_sums(Product{a.data(), b.data()});
}
template <int Height, int Width, int Channels>
void sample_sums_agree() {
    for (const std::int64_t count : {1, 5})
        BOOST_TEST_CONTEXT(count << 'x' << Height << 'x' << Width << 'x' << Channels) {
            sample_sums_agree<Shape{Height, Width, Channels}, double>(count);
            sample_sums_agree<Shape{Height, Width, Channels}, float>(count);
        }
}

template <std::int64_t Size>
void splits() {
    for (const std::int64_t i : {std::int64_t{0}, Size - 1, Size, 7 * Size + 1, (std::int64_t{1} << 31) - 1,
                                 std::int64_t{1} << 31, (std::int64_t{1} << 40) + 5}) {
        const bantam::cuda::SplitIndex<Size> split{i};
        BOOST_TEST(split.whole == i / Size);
        BOOST_TEST(split.rest == i % Size);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(layer_norm_in_blocks_equals_that_by_element) {
    layer_norm_agrees<1>();
    layer_norm_agrees<2>();
    layer_norm_agrees<3>();
    layer_norm_agrees<7>();
    layer_norm_agrees<8>();
    layer_norm_agrees<24>();
    layer_norm_agrees<33>();
    layer_norm_agrees<48>();
    layer_norm_agrees<80>();
    layer_norm_agrees<176>();
    layer_norm_agrees<256>();
}

BOOST_AUTO_TEST_CASE(layer_norm_of_rows_wider_than_a_warp_agrees) {
    layer_norm_agrees<257>();
    layer_norm_agrees<512>();
    layer_norm_agrees<1030>();
    layer_norm_agrees<2049>();
    layer_norm_agrees<4096>();
}

// What does not fit a block still has a way.
BOOST_AUTO_TEST_CASE(layer_norm_of_rows_too_long_for_a_block_agrees) {
    static_assert(bantam::cuda::Operation<LayerNorm, Shape{1, 1, 4096}, float>::in_blocks);
    static_assert(!bantam::cuda::Operation<LayerNorm, Shape{1, 1, 4097}, float>::in_blocks);
    layer_norm_agrees<4097>();
}

BOOST_AUTO_TEST_CASE(groups_of_threads_leave_few_without_a_channel) {
    using bantam::cuda::detail::RowGroups;
    static_assert(RowGroups<48>::width == 16 && RowGroups<48>::held == 3);
    static_assert(RowGroups<80>::width == 16 && RowGroups<80>::held == 5);
    static_assert(RowGroups<24>::width == 8 && RowGroups<96>::width == 32 && RowGroups<3>::width == 2);
    static_assert(RowGroups<512>::width == 64 && RowGroups<2048>::width == 256 && RowGroups<2048>::held == 8);
}

BOOST_AUTO_TEST_CASE(a_layer_norm_of_nothing_has_gradients_of_zero) {
    LayerNormCase<5, float> nothing{0};
    BOOST_TEST(nothing.in_blocks().gradient == std::vector<float>(10, 0.0F));
}

// A NaN must not be hidden, nor reach other rows.
BOOST_AUTO_TEST_CASE(nan_stays_in_its_row_of_a_layer_norm) {
    LayerNormCase<33, float> blocks{70};
    std::vector<float> values = on_host(blocks.execution, blocks.input);
    values[12 * 33 + 32] = std::numeric_limits<float>::quiet_NaN();
    bantam::cuda::copy_to_device(blocks.execution, values.data(), std::ssize(values), blocks.input.data());
    const Normalized<float> found = blocks.in_blocks();
    for (std::size_t i = 0; i < values.size(); ++i) {
        BOOST_TEST(std::isnan(found.output[i]) == (i / 33 == 12));
        BOOST_TEST(std::isnan(found.input_gradient[i]) == (i / 33 == 12));
    }
}

BOOST_AUTO_TEST_CASE(sums_over_samples_equal_those_by_element) {
    sample_sums_agree<1, 1, 1>();
    sample_sums_agree<1, 1, 80>();
    sample_sums_agree<3, 5, 3>();
    sample_sums_agree<16, 16, 80>();
    sample_sums_agree<7, 7, 512>();
    sample_sums_agree<4, 4, 176>();
    sample_sums_agree<13, 11, 33>();
    sample_sums_agree<64, 63, 24>();
    sample_sums_agree<50, 81, 2>();
    sample_sums_agree<Shape{150, 141, 2}, double>(1);
    sample_sums_agree<5, 3, 2049>();
}

BOOST_AUTO_TEST_CASE(indices_are_split_whatever_their_size) {
    splits<1>();
    splits<3>();
    splits<80>();
    splits<1'000'003>();
    splits<(std::int64_t{1} << 33) + 1>();
}
