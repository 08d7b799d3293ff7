// SPDX-License-Identifier: MIT
// check_layer accepts a correct layer of a user and reports every kind of mistake.
#define BOOST_TEST_MODULE cpu_check_layer
#include <boost/test/unit_test.hpp>

#include <bantam/cpu/check_layer.hpp>
#include <bantam/cpu/model.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

using bantam::Shape;

namespace {

enum class Mistake {
    none,
    input_gradient,
    parameter_gradient,
    writes_outside,
    leaves_a_hole,
    adds_to_gradient,
    changes_input,
    needs_more_scratch,
    mixes_samples,
    imprecise_in_float,
};

/// y = scale · x², with one learned scale per channel.
template <Mistake M>
struct Square : bantam::Layer {
    static constexpr std::string_view name = "Square";
    static constexpr bantam::TensorList tensors(Shape input) {
        bantam::TensorList list;
        list.add(bantam::channel_tensor("scale", input.channels, bantam::constant(1)));
        return list;
    }
};

/// x · |x|, an activation defined by a user.
struct SignedSquare : bantam::Activation {
    static constexpr std::string_view name = "SignedSquare";
};

}  // namespace

template <>
struct bantam::exec::ActivationFunction<SignedSquare> {
    [[maybe_unused]] static constexpr bool cheap = true;
    template <class A>
    BANTAM_HOST_DEVICE static A value(const A& x) {
        return x * Math<A>::max(x, A(-x));
    }
    template <class A>
    BANTAM_HOST_DEVICE static A derivative(const A& x) {
        return Math<A>::max(x, A(-x)) * typename Math<A>::Scalar(2);
    }
};

namespace bantam::cpu {

template <Mistake M, Shape Input, class S>
struct Operation<Square<M>, Input, S> : OperationSizes {
    static constexpr bantam::Index channels = Input.channels;
    static constexpr bantam::Index partial_size = channels;
    static constexpr bantam::Index scratch_size = 1;

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        for_each_chunk(pass, [&](Chunk chunk, S* scratch) {
            const bantam::Index first = chunk.first * element_count(Input);
            const bantam::Index end = first + chunk.count * element_count(Input);
            for (bantam::Index i = first; i < end; ++i) {
                if (M == Mistake::leaves_a_hole && i == 5) continue;
                output[i] = weights.parameters[i % channels] * input[i] * input[i];
                if (M == Mistake::imprecise_in_float && sizeof(S) == 4) output[i] *= S(1.01);
            }
            if (M == Mistake::needs_more_scratch) scratch[pass.scratch_stride] = 0;
        });
        const bantam::Index all = pass.count * element_count(Input);
        if (M == Mistake::writes_outside) output[all] = 0;
        if (M == Mistake::changes_input) const_cast<S*>(input)[0] = 7;
        if (M == Mistake::mixes_samples && !pass.training) output[0] += input[all - 1];
    }
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            S* partial = pass.partials + chunk.index * partial_size;
            std::fill(partial, partial + partial_size, S{0});
            const bantam::Index first = chunk.first * element_count(Input);
            const bantam::Index end = first + chunk.count * element_count(Input);
            for (bantam::Index i = first; i < end; ++i) {
                const S factor = M == Mistake::input_gradient && i % channels == 1 ? S(1.9) : S(2);
                if (input_gradient) {
                    const S gradient = factor * weights.parameters[i % channels] * input[i] * output_gradient[i];
                    input_gradient[i] = M == Mistake::adds_to_gradient ? input_gradient[i] + gradient : gradient;
                }
                partial[i % channels] += input[i] * input[i] * output_gradient[i];
            }
        });
        add_partials(pass, pass.partials, partial_size, partial_size, parameter_gradient);
        if (M == Mistake::parameter_gradient) parameter_gradient[channels - 1] *= S(1.001);
    }
};

}  // namespace bantam::cpu

namespace {

template <Mistake M>
bantam::cpu::LayerCheck check() {
    return bantam::cpu::check_layer<Square<M>, Shape{3, 2, 5}>();
}

template <Mistake M>
void expect(const std::string& part) {
    const bantam::cpu::LayerCheck report = check<M>();
    BOOST_TEST(!report.ok);
    BOOST_TEST(report.message.find(part) != std::string::npos, report.message);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_correct_user_layer_passes) {
    const bantam::cpu::LayerCheck report = check<Mistake::none>();
    BOOST_TEST(report.ok, report.message);
    BOOST_TEST(report.message == "ok");
    BOOST_TEST(report.input_error < 1e-8);
    BOOST_TEST(report.parameter_error < 1e-8);
    BOOST_TEST(report.worst_parameter == "0.scale");
    BOOST_TEST(report.float_error < 1e-5);
}

BOOST_AUTO_TEST_CASE(a_wrong_gradient_is_reported_with_its_tensor) {
    expect<Mistake::input_gradient>("the gradient of the input is off by 0.0");
    expect<Mistake::parameter_gradient>("the gradient of 0.scale is off by");
}

BOOST_AUTO_TEST_CASE(writes_beyond_the_stated_sizes_are_reported) {
    expect<Mistake::writes_outside>("wrote outside the 90 elements of the output");
    expect<Mistake::needs_more_scratch>("wrote outside the 1 elements of the scratch of all threads");
}

BOOST_AUTO_TEST_CASE(missing_writes_are_reported) {
    expect<Mistake::leaves_a_hole>("forward left element 5 of the output unwritten");
    expect<Mistake::adds_to_gradient>("backward left element 0 of the input gradient unwritten");
}

BOOST_AUTO_TEST_CASE(a_changed_input_is_reported) { expect<Mistake::changes_input>("the layer changed its input"); }

BOOST_AUTO_TEST_CASE(inference_that_mixes_samples_is_reported) {
    expect<Mistake::mixes_samples>("inference of sample 0 depends on the other samples");
}

BOOST_AUTO_TEST_CASE(a_difference_between_float_and_double_is_reported) {
    expect<Mistake::imprecise_in_float>("float compared with double is off by 0.01");
}

BOOST_AUTO_TEST_CASE(a_user_layer_works_in_a_network) {
    using Net = bantam::Network<bantam::Image<2, 2, 1>, Square<Mistake::none>>;
    bantam::cpu::Model<Net> model;
    model.initialize(1);
    const float input[] = {1, 2, 3, -4};
    float output[4] = {};
    model.infer(input, 1, output);
    BOOST_TEST(output[3] == 16.0f);
}

BOOST_AUTO_TEST_CASE(a_user_activation_passes_alone_and_fused_with_batch_norm) {
    const auto alone = bantam::cpu::check_layer<SignedSquare, Shape{3, 2, 5}>();
    BOOST_TEST(alone.ok, alone.message);
    const auto fused = bantam::cpu::check_layer<bantam::Sequence<bantam::BatchNorm2d, SignedSquare>, Shape{3, 2, 5}>();
    BOOST_TEST(fused.ok, fused.message);
}
