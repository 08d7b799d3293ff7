// SPDX-License-Identifier: MIT
// Laws of whole networks: fused equals unfused, threads and batches do not change the bits, gradients
// compose.
#define BOOST_TEST_MODULE cpu_model
#include "cpu/compare_models.hpp"

#include <bantam/bantam.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace bantam;

namespace {

/// A small network with most kinds of layers.
using Mixed = Network<Image<12, 10, 3>, Conv2d<9, 3, 2, ConvOptions{.bias = false}>, BatchNorm2d, ReLU6,
                      DepthwiseSeparable<11>, InvertedResidual<11, 1, 2>, SqueezeExcite<4>,
                      Concatenate<Sequence<BatchNorm2d, SiLU>, Identity>, DepthwiseSeparable<12, 2, 3, HardSwish>,
                      LayerNorm, BatchNorm2d, GELU, Dropout<20>, GlobalAveragePool, Linear<5>>;

}  // namespace

BOOST_AUTO_TEST_CASE(fused_equals_unfused_in_double) {
    agree(run<Mixed, double, true>(6, 1), run<Mixed, double, false>(6, 1), 1e-10);
}

BOOST_AUTO_TEST_CASE(fused_equals_unfused_in_float) {
    agree(run<Mixed, float, true>(6, 1), run<Mixed, float, false>(6, 1), 2e-4);
}

BOOST_AUTO_TEST_CASE(float_agrees_with_double) {
    const Everything<double> wide = run<Mixed, double>(6, 1);
    const Everything<float> narrow = run<Mixed, float>(6, 1);
    const auto widened = [](const std::vector<float>& values) {
        return std::vector<double>(values.begin(), values.end());
    };
    BOOST_TEST(largest_difference(wide.output, widened(narrow.output)) <= 1e-3);
    BOOST_TEST(largest_difference(wide.inferred, widened(narrow.inferred)) <= 1e-3);
}

BOOST_AUTO_TEST_CASE(threads_do_not_change_the_bits) {
    for (const std::int64_t count : {1, 2, 7, 16, 19}) {
        const Everything<float> one = run<Mixed, float>(count, 1);
        for (const int threads : {2, 3, 5})
            BOOST_CHECK_MESSAGE((run<Mixed, float>(count, threads) == one),
                                threads << " threads differ from one for a batch of " << count);
    }
}

BOOST_AUTO_TEST_CASE(earlier_batches_do_not_change_the_bits) {
    cpu::Model<Mixed, float> used{2}, fresh{2};
    used.initialize(4);
    fresh.initialize(4);
    const std::vector<float> input = numbers<float>(9 * used.input_elements, 1);
    std::vector<float> many(9 * 5), a(3 * 5), b(3 * 5), gradient(used.parameters().size()), other(gradient.size());
    used.infer(input.data(), 9, many.data());
    used.forward(input.data(), 9, 1, many.data());
    used.backward(many.data(), gradient.data());
    std::copy(fresh.statistics().begin(), fresh.statistics().end(), used.statistics().begin());
    used.forward(input.data(), 3, 2, a.data());
    used.backward(a.data(), gradient.data());
    fresh.forward(input.data(), 3, 2, b.data());
    fresh.backward(b.data(), other.data());
    BOOST_TEST((a == b));
    BOOST_TEST((gradient == other));
}

BOOST_AUTO_TEST_CASE(inference_does_not_depend_on_the_batch) {
    cpu::Model<Mixed, float> model{3};
    model.initialize(8);
    const std::int64_t count = 11;
    const std::vector<float> input = numbers<float>(count * model.input_elements, 1);
    std::vector<float> together(static_cast<std::size_t>(count * 5)), single(5);
    model.infer(input.data(), count, together.data());
    for (std::int64_t n = 0; n < count; ++n) {
        model.infer(input.data() + n * model.input_elements, 1, single.data());
        BOOST_TEST(std::equal(single.begin(), single.end(), together.begin() + n * 5));
    }
}

BOOST_AUTO_TEST_CASE(parameter_gradients_do_not_need_the_input_gradient) {
    cpu::Model<Mixed, float> model{2};
    model.initialize(8);
    const std::vector<float> input = numbers<float>(4 * model.input_elements, 1);
    std::vector<float> output(4 * 5), with(model.parameters().size()), without(with.size()),
        input_gradient(input.size());
    model.forward(input.data(), 4, 1, output.data());
    model.backward(output.data(), with.data(), input_gradient.data());
    model.backward(output.data(), without.data(), nullptr);
    BOOST_TEST((with == without));
}

BOOST_AUTO_TEST_CASE(gradients_compose) {
    using First = Network<Image<6, 5, 3>, Conv2d<7, 3>, BatchNorm2d, SiLU>;
    using Second = Network<Image<6, 5, 7>, Residual<DepthwiseConv2d<3>, ReLU>, GlobalAveragePool, Linear<4>>;
    using Both = Network<Image<6, 5, 3>, Conv2d<7, 3>, BatchNorm2d, SiLU, Residual<DepthwiseConv2d<3>, ReLU>,
                         GlobalAveragePool, Linear<4>>;
    static_assert(trainable_parameters<First> + trainable_parameters<Second> == trainable_parameters<Both>);
    cpu::Model<First, double> first;
    cpu::Model<Second, double> second;
    cpu::Model<Both, double> both;
    first.initialize(1);
    second.initialize(2);
    both.initialize(3);
    std::copy(first.parameters().begin(), first.parameters().end(), both.parameters().begin());
    std::copy(second.parameters().begin(), second.parameters().end(),
              both.parameters().begin() + trainable_parameters<First>);

    const std::int64_t count = 3;
    const std::vector<double> input = numbers<double>(count * first.input_elements, 1);
    const std::vector<double> output_gradient = numbers<double>(count * 4, 2);
    std::vector<double> between(static_cast<std::size_t>(count * first.output_elements)),
        between_gradient(between.size());
    std::vector<double> composed(count * 4), whole(count * 4);
    std::vector<double> gradient(both.parameters().size()), whole_gradient(gradient.size());
    std::vector<double> input_gradient(input.size()), whole_input_gradient(input.size());
    first.forward(input.data(), count, 0, between.data());
    second.forward(between.data(), count, 0, composed.data());
    second.backward(output_gradient.data(), gradient.data() + trainable_parameters<First>, between_gradient.data());
    first.backward(between_gradient.data(), gradient.data(), input_gradient.data());
    both.forward(input.data(), count, 0, whole.data());
    both.backward(output_gradient.data(), whole_gradient.data(), whole_input_gradient.data());
    BOOST_TEST(largest_difference(composed, whole) <= 1e-12);
    BOOST_TEST(largest_difference(gradient, whole_gradient) <= 1e-12);
    BOOST_TEST(largest_difference(input_gradient, whole_input_gradient) <= 1e-12);
}

BOOST_AUTO_TEST_CASE(seeds_decide_the_weights) {
    cpu::Model<Mixed, float> a, b, c;
    a.initialize(1);
    b.initialize(1);
    c.initialize(2);
    BOOST_TEST(std::equal(a.parameters().begin(), a.parameters().end(), b.parameters().begin()));
    BOOST_TEST(!std::equal(a.parameters().begin(), a.parameters().end(), c.parameters().begin()));
}

BOOST_AUTO_TEST_CASE(options_change_depthwise_kernels_and_the_norms_that_end_residuals_alone) {
    using Net = Network<Image<8, 8, 4>, DepthwiseConv2d<3>, Residual<DepthwiseConv2d<5>, BatchNorm2d>,
                        Residual<PointwiseConv2d<4>, BatchNorm2d, ReLU>,
                        ProjectedResidual<Sequence<PointwiseConv2d<6>, BatchNorm2d>, PointwiseConv2d<6>, LayerNorm>,
                        Residual<Residual<Conv2d<6, 3>, BatchNorm2d>>, GlobalAveragePool, Linear<2>>;
    cpu::Model<Net, float> plain, changed;
    plain.initialize(3);
    changed.initialize(3, {.near_identity_depthwise = true, .zero_residual_norms = true});
    std::vector<std::string> at_zero;
    for (const bantam::NamedTensor& entry : bantam::tensor_table<Net>) {
        if (!entry.tensor.trainable) continue;
        const std::string name{entry.name.view()};
        const auto part = [&](auto& model) {
            return std::as_const(model).parameters().subspan(static_cast<std::size_t>(entry.offset),
                                                             static_cast<std::size_t>(entry.tensor.element_count()));
        };
        const auto before = part(plain), after = part(changed);
        if (std::ranges::equal(before, after)) continue;
        if (std::ranges::count(after, 0.0F) == std::ssize(after)) {
            at_zero.push_back(name);
            continue;
        }
        BOOST_TEST((name == "0.weight" || name == "1.0.weight"), name);
        const Index window = name == "0.weight" ? 9 : 25;
        for (Index i = 0; i < std::ssize(after); ++i) {
            const float expected = i % window == window / 2 ? 1.0F : 0.0F;
            BOOST_TEST(std::abs(after[std::size_t(i)] - before[std::size_t(i)] - expected) < 1e-6F, name << ' ' << i);
        }
    }
    const std::vector<std::string> expected{"1.1.weight", "3.1.weight", "4.0.1.weight"};
    BOOST_TEST(at_zero == expected, boost::test_tools::per_element());
    // A residual whose body ends in zeros is its shortcut.
    using Block = Network<Image<4, 4, 3>, Residual<Conv2d<3, 3>, BatchNorm2d>>;
    cpu::Model<Block, float> block;
    block.initialize(1, {.zero_residual_norms = true});
    const std::vector<float> input = numbers<float>(block.input_elements, 1);
    BOOST_TEST((block.infer(input) == input));
}

BOOST_AUTO_TEST_CASE(weights_written_at_any_time_are_those_of_the_next_pass) {
    cpu::Model<Mixed, float> model, expected;
    model.initialize(1);
    expected.initialize(2);
    const std::vector<float> input = numbers<float>(2 * model.input_elements, 1);
    const std::span<float> held = model.parameters();
    model.infer(input);
    std::ranges::copy(std::as_const(expected).parameters(), held.begin());
    BOOST_TEST((model.infer(input) == expected.infer(input)));
    std::ranges::fill(held, 0.0F);
    std::vector<float> found(2 * 5), wanted(2 * 5);
    std::ranges::copy(std::as_const(expected).parameters(), held.begin());
    model.forward(input.data(), 2, 1, found.data());
    expected.forward(input.data(), 2, 1, wanted.data());
    BOOST_TEST((found == wanted));
}

BOOST_AUTO_TEST_CASE(threads_share_one_model_for_inference) {
    cpu::Model<Mixed, float> packed, packs{2};
    packed.initialize(3);
    packs.set_weights(std::as_const(packed).parameters(), std::as_const(packed).statistics());
    static_cast<void>(packs.parameters());
    const std::vector<float> input = numbers<float>(6 * packed.input_elements, 1);
    const std::vector<float> expected = packed.infer(input);
    for (const cpu::Model<Mixed, float>* model : {&std::as_const(packed), &std::as_const(packs)}) {
        std::vector<std::vector<float>> found(4);
        std::vector<std::thread> threads;
        for (auto& logits : found)
            threads.emplace_back([&] {
                for (int i = 0; i < 5; ++i) logits = model->infer(input);
            });
        for (std::thread& thread : threads) thread.join();
        for (const auto& logits : found) BOOST_TEST((logits == expected));
    }
}

BOOST_AUTO_TEST_CASE(calls_that_cannot_be_answered_say_why) {
    using Net = Network<Image<2, 3, 1>, GlobalAveragePool, Linear<2>>;
    cpu::Model<Net> model;
    std::vector<float> input(12), logits(4), parameters(4), gradient(4);
    const auto error_of = [](const auto& call) {
        try {
            call();
        } catch (const Error& error) {
            return std::string{error.what()};
        }
        return std::string{"none"};
    };
    const std::string no_weights =
        "the model has no weights yet; call initialize or set_weights, or load them from a file";
    BOOST_TEST(error_of([&] { model.infer(input.data(), 2, logits.data()); }) == no_weights);
    BOOST_TEST(error_of([&] { model.forward(input.data(), 2, 0, logits.data()); }) == no_weights);
    BOOST_TEST(error_of([&] { model.set_weights(std::span{input}, {}); }) ==
               "12 trainable parameters were given, the network has 4; give those of the same network");
    BOOST_TEST(error_of([&] { model.set_weights(parameters, std::span{parameters}.first(1)); }) ==
               "1 statistics were given, the network has 0; give those of the same network");
    model.set_weights(parameters, {});
    BOOST_TEST(error_of([&] { model.backward(logits.data(), gradient.data()); }) ==
               "backward: there was no forward pass; call forward first");
    model.forward(input.data(), 2, 0, logits.data());
    BOOST_TEST(error_of([&] { model.backward(nullptr, gradient.data()); }) ==
               "backward: the gradients of logits and parameters are null; give memory for both");
    BOOST_TEST(error_of([&] { model.infer(std::span{input}.first(11)); }) ==
               "there are 11 pixel values, no multiple of the 6 of a picture of 2x3x1; give "
               "[count][height][width][channels]");
    BOOST_TEST(error_of([&] { model.infer(input.data(), 2, nullptr); }) ==
               "a pass over 2 samples needs their pixels and memory for logits");
    BOOST_TEST(error_of([&] { model.forward(nullptr, 2, 0, logits.data()); }) ==
               "a pass over 2 samples needs their pixels and memory for logits");
    BOOST_TEST(error_of([&] { model.infer(input.data(), -1, logits.data()); }).starts_with("a pass over -1 samples"));
    BOOST_TEST(model.infer(std::span<const float>{}).empty());
}
