// SPDX-License-Identifier: MIT
// Each layer computes on the device what it computes on the CPU: forward, backward and inference.
#define BOOST_TEST_MODULE cuda_layers
#include "cuda/compare_devices.hpp"
#include "layer_cases.hpp"

#include <bantam/bantam.hpp>

#include <thrust/system_error.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

using namespace bantam;

namespace bantam {

/// A layer whose operation throws.
struct Throwing : Layer {
    static constexpr std::string_view name = "Throwing";
};
/// A layer whose operation fails in Thrust.
struct ThrustFailing : Layer {
    static constexpr std::string_view name = "ThrustFailing";
    static inline int line = 0;
};

namespace cuda {

template <Shape Input, class S>
struct Operation<Throwing, Input, S> : OperationSizes {
    static void forward(const Pass<S>&, const Weights<S>&, const S*, S*, S*) { throw Error("not possible"); }
};
template <Shape Input, class S>
struct Operation<ThrustFailing, Input, S> : OperationSizes {
    static void forward(const Pass<S>& pass, const Weights<S>&, const S*, S*, S*) {
        const auto fail = [] { throw thrust::system_error(5, thrust::generic_category(), "for_each"); };
        ThrustFailing::line = __LINE__ + 1;
        pass.execution->perform(fail);
    }
};

}  // namespace cuda
}  // namespace bantam

namespace {

template <class L, int Height, int Width, int Channels>
void layer_agrees() {
    BOOST_TEST_CONTEXT(L::name << " on " << Height << 'x' << Width << 'x' << Channels)
    devices_agree<Network<Image<Height, Width, Channels>, L>>();
}

constexpr ConvOptions no_bias{.bias = false};

}  // namespace

BOOST_AUTO_TEST_CASE(the_table_of_layers_agrees) {
    layer_cases::for_each_layer([]<class L, Shape Input>(const layer_cases::Case<L, Input>& test) {
        if (test.mode == layer_cases::Mode::training) layer_agrees<L, Input.height, Input.width, Input.channels>();
    });
}

// Shapes at which the device's kernels take other paths than in the table.

BOOST_AUTO_TEST_CASE(more_convolutions_agree) {
    layer_agrees<Conv2d<4, 2, 2, ConvOptions{.padding = 0}>, 5, 5, 3>();
    layer_agrees<Conv2d<3, 1, 2>, 5, 4, 4>();
    layer_agrees<Conv2d<2, 3, 3, ConvOptions{.padding = 3}>, 4, 3, 2>();
    layer_agrees<Conv2d<3, 1, 1, no_bias>, 4, 2, 19>();
    layer_agrees<Linear<3, Bias::without>, 1, 1, 20>();
}

BOOST_AUTO_TEST_CASE(more_depthwise_convolutions_agree) {
    layer_agrees<DepthwiseConv2d<3, 2, no_bias>, 7, 6, 17>();
    layer_agrees<DepthwiseConv2d<3, 3, ConvOptions{.padding = 0}>, 8, 7, 3>();
    layer_agrees<DepthwiseConv2d<2, 2, ConvOptions{.padding = 1}>, 5, 5, 3>();
    layer_agrees<DepthwiseConv2d<7>, 2, 3, 3>();
}

BOOST_AUTO_TEST_CASE(more_norms_and_pooling_agree) {
    layer_agrees<BatchNorm2d, 3, 3, 19>();
    layer_agrees<LayerNorm, 1, 1, 20>();
    layer_agrees<MaxPool2d<3, 2, 1>, 7, 6, 5>();
    layer_agrees<GlobalAveragePool, 5, 4, 7>();
}

BOOST_AUTO_TEST_CASE(layers_without_arithmetic_agree) {
    layer_agrees<Flatten, 3, 2, 4>();
    layer_agrees<Dropout<30>, 5, 4, 6>();
    layer_agrees<Gate<SiLU>, 2, 3, 34>();
}

BOOST_AUTO_TEST_CASE(composites_agree) {
    layer_agrees<Residual<Conv2d<3, 3>, BatchNorm2d, ReLU>, 5, 4, 3>();
    layer_agrees<ProjectedResidual<PointwiseConv2d<5>, Conv2d<5, 3>, Dropout<20>>, 4, 4, 3>();
    layer_agrees<ScaledResidual<Scale::body, Conv2d<4, 3>, SiLU>, 4, 5, 4>();
    layer_agrees<ScaledResidual<Scale::shortcut, PointwiseConv2d<4>>, 4, 5, 4>();
    layer_agrees<Concatenate<Conv2d<5, 3>, DepthwiseConv2d<3>, Identity>, 4, 3, 3>();
    layer_agrees<SplitConcatenate<Identity, DepthwiseConv2d<3>, Sequence<PointwiseConv2d<5>, GELU>>, 3, 4, 9>();
    layer_agrees<Add<Conv2d<3, 3>, Identity, Sequence<DepthwiseConv2d<5>, SiLU>>, 4, 3, 3>();
    layer_agrees<SqueezeExcite<4>, 4, 3, 8>();
}

BOOST_AUTO_TEST_CASE(activations_and_pooling_keep_nan) {
    using Net = Network<Image<2, 2, 1>, ReLU6, MaxPool2d<2>, ReLU>;
    bantam::cuda::Model<Net> model;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> input{1, nan, 2, 3};
    bantam::cuda::DeviceBuffer<float> on_device, output;
    on_device.reserve(4);
    output.reserve(1);
    bantam::cuda::copy_to_device(model.execution(), input.data(), 4, on_device.data());
    model.infer(on_device.data(), 1, output.data());
    float result = 0;
    bantam::cuda::copy_to_host(model.execution(), output.data(), 1, &result);
    BOOST_TEST(std::isnan(result));
}

BOOST_AUTO_TEST_CASE(an_error_names_the_layers_it_occurred_in) {
    bantam::cuda::Model<Network<Image<2, 3, 1>, ReLU, Residual<PointwiseConv2d<1>, Throwing>>> model;
    model.initialize(1);
    bantam::cuda::DeviceBuffer<float> input, output;
    input.reserve(6);
    output.reserve(6);
    BOOST_CHECK_EXCEPTION(model.infer(input.data(), 1, output.data()), Error, [](const Error& error) {
        return std::string_view{error.what()} == "Residual on 2x3x1: Throwing on 2x3x1: not possible";
    });
}

BOOST_AUTO_TEST_CASE(an_error_of_thrust_has_its_place_and_layers) {
    bantam::cuda::Model<Network<Image<2, 3, 1>, ReLU, Residual<PointwiseConv2d<1>, ThrustFailing>>> model;
    model.initialize(1);
    bantam::cuda::DeviceBuffer<float> input, output;
    input.reserve(6);
    output.reserve(6);
    BOOST_CHECK_EXCEPTION(model.infer(input.data(), 1, output.data()), Error, [](const Error& error) {
        return std::string_view{error.what()}.starts_with("Residual on 2x3x1: ThrustFailing on 2x3x1: " __FILE__ ":" +
                                                          std::to_string(ThrustFailing::line) + ": Thrust: for_each");
    });
}

extern "C" [[gnu::weak]] void __asan_init();

BOOST_AUTO_TEST_CASE(too_large_a_batch_is_named) {
    if (__asan_init) return;  // AddressSanitizer aborts instead of throwing
    bantam::cuda::Model<Network<Image<2, 3, 1>, ReLU, ReLU>> model;
    constexpr std::int64_t batch = std::int64_t{1} << 46;  // more than the address space
    BOOST_CHECK_EXCEPTION(model.reserve(batch, true), Error, [](const Error& error) {
        return std::string_view{error.what()}.starts_with("the device's memory is too small for a batch of " +
                                                          std::to_string(batch));
    });
}
