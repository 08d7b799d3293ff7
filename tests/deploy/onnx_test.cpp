// SPDX-License-Identifier: MIT
// Every layer as an ONNX model: the format's own checker and shape inference accept it, and its tensors have the names
// of checkpoints. With $BANTAM_EXPORT_FOLDER set, the models are written there, and the networks as PyTorch modules
// with their checkpoints, beside inputs and expected logits: other_runtimes_test.py compares ONNX Runtime and PyTorch.
#define BOOST_TEST_MODULE deploy_onnx
#include <boost/test/unit_test.hpp>

#include "deployed_nets.hpp"
#include "layer_cases.hpp"

#include <bantam/cpu/model.hpp>
#include <bantam/deploy/onnx.hpp>
#include <bantam/deploy/onnx_int8.hpp>
#include <bantam/deploy/pytorch.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/models/ensemble.hpp>

#undef MAP_TYPE  // a macro of <sys/mman.h>, and a name in ONNX's headers
#include <onnx/checker.h>
#include <onnx/shape_inference/implementation.h>

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <vector>

using namespace bantam;

namespace {

void write(const std::string& path, const void* bytes, std::size_t count) {
    std::ofstream file{path, std::ios::binary};
    file.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(count));
    BOOST_REQUIRE(file.good());
}

/// Pictures as [N][C][H][W], of which the model takes some below and above zero.
template <class Net>
void write_case(const std::string& path, const std::string& model, const cpu::Model<Net>& network) {
    constexpr Shape shape = input_shape<Net>;
    constexpr Index count = 2;
    std::vector<float> maps(static_cast<std::size_t>(count * element_count(shape))), planes(maps.size());
    std::vector<float> logits(static_cast<std::size_t>(count * class_count<Net>));
    std::size_t at = 0;
    for (Index n = 0; n < count; ++n)
        for (Index c = 0; c < shape.channels; ++c)
            for (Index y = 0; y < shape.height; ++y)
                for (Index x = 0; x < shape.width; ++x, ++at) {
                    planes[at] = 4 * std::sin(static_cast<float>(at) * 1.7F);
                    maps[static_cast<std::size_t>(((n * shape.height + y) * shape.width + x) * shape.channels + c)] =
                        planes[at];
                }
    network.infer(maps.data(), count, logits.data());
    write(path + ".onnx", model.data(), model.size());
    const std::string module = deploy::pytorch_source<Net>("Comment.\n");
    write(path + ".py", module.data(), module.size());
    write_network<Net>(path + ".safetensors", network.parameters(), network.statistics());
    write(path + ".input", planes.data(), planes.size() * sizeof(float));
    write(path + ".logits", logits.data(), logits.size() * sizeof(float));
}

/// The model in the format's own classes, after its checker and shape inference have accepted it.
onnx::ModelProto require_sound(const std::string& bytes, Index classes) {
    onnx::ModelProto model;
    BOOST_REQUIRE(model.ParseFromString(bytes));
    BOOST_CHECK_NO_THROW(onnx::checker::check_model(model));
    onnx::ModelProto inferred = model;
    inferred.mutable_graph()->mutable_output(0)->mutable_type()->mutable_tensor_type()->clear_shape();
    BOOST_CHECK_NO_THROW(onnx::shape_inference::InferShapes(inferred, onnx::OpSchemaRegistry::Instance(),
                                                            onnx::ShapeInferenceOptions{true, 1, true}));
    const auto& shape = inferred.graph().output(0).type().tensor_type().shape();
    BOOST_REQUIRE(shape.dim_size() == 2);
    BOOST_TEST(shape.dim(1).dim_value() == classes);
    return model;
}

/// Checks the ONNX model of a network with random weights and statistics.
template <class Net>
void check_model(std::string_view name) {
    BOOST_TEST_CONTEXT(name) {
        cpu::Model<Net> network;
        network.initialize(3);
        network.update([](std::span<float> parameters, std::span<float> statistics) {
            for (std::size_t i = 0; i < parameters.size(); ++i)
                parameters[i] += 0.1F * std::sin(static_cast<float>(3 * i + 1));
            for (std::size_t i = 0; i < statistics.size(); ++i)
                statistics[i] = 1 + 0.5F * std::sin(static_cast<float>(5 * i));
        });
        const auto& trained = network;
        const std::string bytes =
            deploy::onnx_model<Net>(trained.parameters(), trained.statistics(), {.metadata = {{"classes", "[]"}}});
        const onnx::ModelProto model = require_sound(bytes, class_count<Net>);
        std::set<std::string> names;
        for (const auto& tensor : model.graph().initializer()) names.insert(tensor.name());
        for (const NamedTensor& tensor : tensor_table<Net>)
            BOOST_TEST(names.contains(std::string{tensor.name.view()}), tensor.name.view() << " is missing");
        if (const char* folder = std::getenv("BANTAM_EXPORT_FOLDER"))
            write_case<Net>(std::string{folder} + "/" + std::string{name}, bytes, trained);
    }
}

/// Checks the int8 model of a network. Written with it are pictures and the logits of the classifier in int8.
template <class Net>
void check_int8_model(std::string_view name) {
    BOOST_TEST_CONTEXT(name) {
        constexpr auto channels = static_cast<std::size_t>(input_shape<Net>.channels);
        constexpr std::uint64_t count = 32;
        cpu::Model<Net> trained = deployed::random_model<Net>(11);
        const auto float32 = deploy::prepare_float32<Net>(trained.parameters(), trained.statistics());
        deploy::Calibration<Net> calibration{*float32};
        for (std::uint64_t n = 0; n < count; ++n) calibration.add(deployed::random_picture<Net>(n).data());
        const auto weights = deploy::prepare_int8<Net>(trained.parameters(), trained.statistics(), calibration);
        const auto classifier = std::make_unique<deploy::Classifier<Net, deploy::Int8>>(*weights);
        std::vector<float> planes, logits;
        for (std::uint64_t n = 0; n < count; ++n) {
            const std::vector<std::uint8_t> picture = deployed::random_picture<Net>(n);
            classifier->classify(picture.data());
            for (Index i = 0; i < class_count<Net>; ++i)
                logits.push_back(static_cast<float>(classifier->logits()[i]) / deploy::Int8::logit_unit);
            const std::vector<float> pixels = deployed::normalized<Net>(picture);
            for (std::size_t c = 0; c < channels; ++c)
                for (std::size_t i = c; i < pixels.size(); i += channels) planes.push_back(pixels[i]);
        }
        const std::string bytes = deploy::onnx_int8_model<Net>(trained.parameters(), trained.statistics(), calibration);
        require_sound(bytes, class_count<Net>);
        if (const char* folder = std::getenv("BANTAM_EXPORT_FOLDER")) {
            const std::string path = std::string{folder} + "/" + std::string{name} + ".int8";
            write(path + ".onnx", bytes.data(), bytes.size());
            write(path + ".input", planes.data(), planes.size() * sizeof(float));
            write(path + ".logits", logits.data(), logits.size() * sizeof(float));
        }
    }
}

template <class L, Shape Input>
using Alone = Network<Image<Input.height, Input.width, Input.channels>, L>;

const auto check_case = []<class L, Shape Input>(const layer_cases::Case<L, Input>& test) {
    check_model<Alone<L, Input>>(test.name);
};

}  // namespace

BOOST_AUTO_TEST_CASE(every_layer_is_a_sound_model) { layer_cases::for_each_layer(check_case); }
BOOST_AUTO_TEST_CASE(every_block_is_a_sound_model) { layer_cases::for_each_block(check_case); }
BOOST_AUTO_TEST_CASE(whole_networks_are_sound_models) {
    layer_cases::for_each_network(check_case);
    check_model<Network<Image<6, 5, 2>, Conv2d<3, 3>, Flatten, Dropout<10>, Linear<4>, ReLU, Linear<3>>>("flattened");
    using Member = Network<Image<6, 5, 2>, Conv2d<4, 3>, LayerNorm, GELU, GlobalAveragePool, Linear<3>>;
    check_model<Ensemble<Member, Member>>("ensemble");
    check_model<Network<Image<6, 5, 2>, GlobalAveragePool, Residual<Linear<2>>, LayerNorm,
                        ScaledResidual<Scale::body, Linear<2>>, PointwiseConv2d<3>>>("pixels");
}

BOOST_AUTO_TEST_CASE(every_stage_in_int8_is_a_sound_model) {
    check_int8_model<deployed::ResidualNet>("residuals");
    check_int8_model<deployed::BranchingNet>("branches");
    check_int8_model<deployed::GatedNet>("channel_gates");
    check_int8_model<deployed::SmallEnsemble>("ensemble_of_two");
    check_int8_model<deployed::PooledNet>("pooled");
    check_int8_model<deployed::GoldenNet>("golden");
}

BOOST_AUTO_TEST_CASE(tensors_of_another_network_are_refused) {
    const std::vector<float> few(10);
    using Net = Network<Image<6, 5, 2>, GlobalAveragePool, Linear<3>>;
    BOOST_CHECK_EXCEPTION(deploy::onnx_model<Net>(few, {}), Error, [](const Error& error) {
        return std::string{error.what()}.find("given are 10 and 0; are they another network's?") != std::string::npos;
    });
}
