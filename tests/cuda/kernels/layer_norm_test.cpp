// SPDX-License-Identifier: MIT
// Layer norm by groups of threads gives what one thread per row gives, and does not depend on the order of the threads.
#define BOOST_TEST_MODULE cuda_kernels_layer_norm
#include "kernel_helpers.hpp"

#include <bantam/cuda/layers/layer_norm.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

using namespace bantam;
using bantam::cuda::Execution;
using bantam::cuda::max_slices;

namespace {

/// The results of a layer norm, `gradient_alone` without the input's gradient.
template <class S>
struct Normalized {
    std::vector<S> output, statistics, input_gradient, gradient, gradient_alone;
};

/// A layer norm on the device, with a batch.
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
        // Rows far from zero show a variance computed as a difference of large numbers. Neighboring values differ,
        // since a division by almost nothing would amplify rounding errors.
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

    Normalized<S> by_groups() {
        const bantam::cuda::Weights<S> weights{parameters.data()};
        Op::forward(pass(), weights, input.data(), output.data(), statistics.data());
        Op::backward(pass(), weights, input.data(), statistics.data(), output_gradient.data(), input_gradient.data(),
                     gradient.data());
        Op::backward(pass(), weights, input.data(), statistics.data(), output_gradient.data(), nullptr,
                     gradient_alone.data());
        return result();
    }
    Normalized<S> by_row() {
        Op::forward_by_row(pass(), parameters.data(), input.data(), output.data(), statistics.data());
        Op::input_gradient_by_row(pass(), parameters.data(), input.data(), statistics.data(), output_gradient.data(),
                                  input_gradient.data());
        Op::parameter_gradient_by_row(pass(), input.data(), statistics.data(), output_gradient.data(), gradient.data());
        Op::parameter_gradient_by_row(pass(), input.data(), statistics.data(), output_gradient.data(),
                                      gradient_alone.data());
        return result();
    }
#ifndef __CUDACC__
    Normalized<S> backwards() {
        const typename Op::GroupForward forward{input.data(), parameters.data(), output.data(), statistics.data(),
                                                rows};
        run_backwards(forward.blocks(), forward);
        for (const bool wanted : {true, false}) {
            using Backward = typename Op::GroupBackward;
            const auto slices = bantam::cuda::slices_of(pass(), rows, Backward::rows_per_step);
            BOOST_TEST(slices.count() <= max_slices);
            run_backwards(slices.count(),
                          Backward{input.data(), output_gradient.data(), parameters.data(), statistics.data(),
                                   wanted ? input_gradient.data() : nullptr, sums.data(), slices});
            bantam::cuda::sum_slices(pass(), slices.count(), 2 * Channels, sums.data(),
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
        LayerNormCase<Channels, S> groups{rows}, again{rows}, reference{rows};
        const Normalized<S> found = groups.by_groups();
        agree(found, reference.by_row());
        BOOST_TEST(same_bits(found, again.by_groups()), "a second run gives other bits");
        BOOST_TEST((groups.inferred() == found.output));
#ifndef __CUDACC__
        if constexpr (LayerNormCase<Channels, S>::Op::fit) {
            LayerNormCase<Channels, S> backwards{rows};
            BOOST_TEST(same_bits(found, backwards.backwards()), "the order of threads changes bits");
        }
#endif
    }
}

template <std::int64_t Channels>
void layer_norm_agrees() {
    for (const std::int64_t rows : test_sizes({1, 2, 31, 160, 161, 1000, 40'001}, {31, 161})) {
        if (rows > 1 && rows * Channels > 400'000) continue;
        layer_norm_agrees<Channels, double>(rows);
        // With two channels the input's gradient is zero except for rounding errors.
        if constexpr (Channels != 2) layer_norm_agrees<Channels, float>(rows);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(layer_norm_by_groups_equals_one_thread_per_row) {
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

BOOST_AUTO_TEST_CASE(groups_wider_than_a_warp_equal_one_thread_per_row) {
    layer_norm_agrees<257>();
    layer_norm_agrees<512>();
    layer_norm_agrees<1030>();
    layer_norm_agrees<2049>();
    layer_norm_agrees<4096>();
}

BOOST_AUTO_TEST_CASE(rows_too_long_for_a_thread_block_have_one_thread_each) {
    static_assert(bantam::cuda::Operation<LayerNorm, Shape{1, 1, 4096}, float>::fit);
    static_assert(!bantam::cuda::Operation<LayerNorm, Shape{1, 1, 4097}, float>::fit);
    layer_norm_agrees<4097>();
}

BOOST_AUTO_TEST_CASE(groups_of_threads_leave_few_without_a_channel) {
    using bantam::cuda::detail::RowGroups;
    static_assert(RowGroups<48>::width == 16 && RowGroups<48>::channels_per_thread == 3);
    static_assert(RowGroups<80>::width == 16 && RowGroups<80>::channels_per_thread == 5);
    static_assert(RowGroups<24>::width == 8 && RowGroups<96>::width == 32 && RowGroups<3>::width == 2);
    static_assert(RowGroups<512>::width == 64 && RowGroups<2048>::width == 256 &&
                  RowGroups<2048>::channels_per_thread == 8);
}

BOOST_AUTO_TEST_CASE(a_batch_without_rows_has_gradients_of_zero) {
    LayerNormCase<5, float> nothing{0};
    BOOST_TEST(nothing.by_groups().gradient == std::vector<float>(10, 0.0F));
}

BOOST_AUTO_TEST_CASE(a_nan_reaches_its_row_and_no_other) {
    LayerNormCase<33, float> groups{70};
    std::vector<float> values = on_host(groups.execution, groups.input);
    values[12 * 33 + 32] = std::numeric_limits<float>::quiet_NaN();
    bantam::cuda::copy_to_device(groups.execution, values.data(), std::ssize(values), groups.input.data());
    const Normalized<float> found = groups.by_groups();
    for (std::size_t i = 0; i < values.size(); ++i) {
        BOOST_TEST(std::isnan(found.output[i]) == (i / 33 == 12));
        BOOST_TEST(std::isnan(found.input_gradient[i]) == (i / 33 == 12));
    }
}
