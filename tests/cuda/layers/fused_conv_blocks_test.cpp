// SPDX-License-Identifier: MIT
// A chain with fused stages gives what its layers give one by one.
#define BOOST_TEST_MODULE cuda_layers_fused_conv_blocks
#include "cuda/kernels/kernel_helpers.hpp"

#include <bantam/bantam.hpp>
#include <bantam/cuda/chain.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

using namespace bantam;
using bantam::cuda::Execution;
using bantam::cuda::max_slices;

namespace {

constexpr ConvOptions no_bias{.bias = false};

constexpr std::array<std::string_view, 4> result_names{"output", "input gradient", "parameter gradient", "statistics"};

/// The same numbers for float and double.
template <class S>
std::vector<S> float_numbers(std::int64_t size, std::uint64_t stream) {
    const std::vector<float> values = numbers<float>(size, stream);
    return {values.begin(), values.end()};
}

/// The results of a chain, in this order; in inference the output alone.
template <class Chain, class S>
std::vector<std::vector<S>> run_chain(std::int64_t count, std::int64_t inputs, std::int64_t outputs,
                                      std::int64_t trainable, const std::vector<float>& running, bool training) {
    const Execution execution;
    auto parameters = on_device(execution, float_numbers<S>(trainable, 1));
    auto statistics = on_device(execution, std::vector<S>(running.begin(), running.end()));
    const auto input = on_device(execution, float_numbers<S>(count * inputs, 3));
    const auto output_gradient = on_device(execution, float_numbers<S>(count * outputs, 4));
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

/// Running statistics near the batch's, as after many steps, from one step of a chain in double. Fused blocks take the
/// running means as the origins of their moments. Origins many deviations away from the batch's means cost precision,
/// which unfused layers do not lose: their origin is a value of the batch.
template <class Step>
std::vector<float> converged_statistics(std::int64_t count, const Step& step) {
    std::vector<float> statistics(static_cast<std::size_t>(count), 1.0F);
    const std::vector<double> after = step(statistics);
    for (std::size_t i = 0; i < statistics.size(); ++i)
        statistics[i] = static_cast<float>((1 + (after[i] - 1) / BatchNorm2d::momentum) * 1.01);
    return statistics;
}

/// Compares the fused chain with the unfused one in double. Where the unfused chain in float is off by more than the
/// tolerance, the fused one may be off by four times as much.
template <class S, Shape Input, class... Ls>
void fused_agrees(std::string_view name) {
    using L = Sequence<Ls...>;
    using Fused = bantam::cuda::Chain<L, Input, S>;
    using Unfused = bantam::cuda::Chain<L, Input, S, false>;
    static_assert(Fused::size < Unfused::size);
    static_assert(Fused::saved_per_sample(true) < Unfused::saved_per_sample(true));
    constexpr Shape output = L::output_shape(Input);
    using Exact = bantam::cuda::Chain<L, Input, double, false>;
    for (const std::int64_t count : test_sizes({1, 5}, {2})) {
        const auto run_with = [&]<class Chain, class T>(const std::vector<float>& running, bool training) {
            return run_chain<Chain, T>(count, element_count(Input), element_count(output),
                                       trainable_parameters<Part<L, Input>>, running, training);
        };
        const std::vector<float> statistics =
            converged_statistics(non_trainable_parameters<Part<L, Input>>, [&](const std::vector<float>& running) {
                return run_with.template operator()<Exact, double>(running, true).back();
            });
        for (const bool training : {true, false}) {
            const auto run = [&]<class Chain, class T>() {
                return run_with.template operator()<Chain, T>(statistics, training);
            };
            const auto fused = run.template operator()<Fused, S>();
            const auto unfused = run.template operator()<Unfused, S>();
            const auto exact = run.template operator()<Exact, double>();
            for (std::size_t i = 0; i < fused.size(); ++i) {
                const double difference = largest_difference(exact[i], fused[i]);
                const double unfused_difference = largest_difference(exact[i], unfused[i]);
                const double allowed = std::max(10 * tolerance<S>, 4 * unfused_difference);
                BOOST_TEST(difference <= allowed,
                           name << " in " << (sizeof(S) == 8 ? "double" : "float") << ", batch of " << count
                                << (training ? ", training, " : ", inference, ") << result_names[i] << ": off by "
                                << difference << " of the largest value, unfused by " << unfused_difference
                                << ", allowed are " << allowed);
            }
            BOOST_TEST((fused == run.template operator()<Fused, S>()), name << ": a second run gives other bits");
        }
    }
}
template <Shape Input, class... Ls>
void blocks_agree(std::string_view name) {
    fused_agrees<double, Input, Ls...>(name);
    fused_agrees<float, Input, Ls...>(name);
}
template <class Act, int Channels>
void norm_and_activation_agree() {
    blocks_agree<Shape{5, 7, Channels}, BatchNorm2d, Act>(Act::name);
}

}  // namespace

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
                 Dropout<20>, BatchNorm2d>("dropouts between fused stages");
}

BOOST_AUTO_TEST_CASE(fused_blocks_equal_their_layers_one_by_one) {
    blocks_agree<Shape{6, 5, 3}, Conv2d<7, 3>, BatchNorm2d, ReLU6>("one block");
    blocks_agree<Shape{7, 9, 4}, PointwiseConv2d<12>, BatchNorm2d, SiLU, DepthwiseConv2d<3, 2>, BatchNorm2d, ReLU,
                 Conv2d<5, 1, 1, no_bias>, BatchNorm2d>("pointwise, depthwise, pointwise");
    blocks_agree<Shape{9, 8, 3}, ReLU, Conv2d<8, 3, 2, no_bias>, BatchNorm2d, HardSwish,
                 Conv2d<6, 3, 1, ConvOptions{.groups = 2}>, BatchNorm2d, GlobalAveragePool, Linear<4>>(
        "dense blocks into a global average");
    blocks_agree<Shape{8, 8, 4}, DepthwiseConv2d<9>, BatchNorm2d, ReLU6, DepthwiseConv2d<5, 1, no_bias>, BatchNorm2d,
                 Sigmoid, Dropout<20>>("large depthwise windows");
    blocks_agree<Shape{6, 6, 4}, Residual<Conv2d<4, 3, 1, no_bias>, BatchNorm2d, ReLU, PointwiseConv2d<4>, BatchNorm2d>,
                 DepthwiseSeparable<16, 2>, DepthwiseSeparable<20>, GlobalAveragePool>("a residual in front of blocks");
}
