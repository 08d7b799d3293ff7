// SPDX-License-Identifier: MIT
// Models, pictures and weights that the tests of deployed networks share.
#pragma once

#include <bantam/bantam.hpp>
#include <bantam/base/random.hpp>
#include <bantam/deploy/calibration.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/prepare.hpp>
#include <bantam/models/sample.hpp>
#include <bantam/models/tiniest.hpp>

#include "nets.hpp"

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

namespace deployed {

using namespace bantam;

/// A network with weights as after some training: norms and statistics that are not those of the start.
template <class Net>
cpu::Model<Net> random_model(std::uint64_t seed) {
    cpu::Model<Net> model;
    model.initialize(seed);
    Random random{seed, 1};
    for (const NamedTensor& entry : tensor_table<Net>) {
        if (entry.tensor.rank != 1) continue;
        const bool variance = entry.name.view().ends_with("running_var");
        auto values = (entry.tensor.trainable ? model.parameters() : model.statistics())
                          .subspan(static_cast<std::size_t>(entry.offset),
                                   static_cast<std::size_t>(entry.tensor.element_count()));
        for (float& value : values)
            value += static_cast<float>(variance ? random.uniform(0.0, 1.0) : random.uniform(-0.3, 0.3));
    }
    return model;
}

/// Pictures with areas of different color and some noise.
template <class Net>
std::vector<std::uint8_t> random_picture(std::uint64_t seed) {
    Random random{seed, 2};
    constexpr Shape shape = input_shape<Net>;
    std::vector<std::uint8_t> picture;
    const double slope = random.uniform(-0.9, 0.9);
    for (Index y = 0; y < shape.height; ++y)
        for (Index x = 0; x < shape.width; ++x)
            for (Index c = 0; c < shape.channels; ++c) {
                const double wave = std::sin(0.4 * static_cast<double>(c + 1) *
                                                 (static_cast<double>(x) + slope * static_cast<double>(y)) +
                                             static_cast<double>(seed));
                picture.push_back(static_cast<std::uint8_t>(100 + 80 * wave + random.uniform(0.0, 60.0)));
            }
    return picture;
}

/// The picture as the network in training sees it.
template <class Net>
std::vector<float> normalized(const std::vector<std::uint8_t>& picture) {
    const deploy::PixelScaling scaling;
    std::vector<float> result;
    for (std::size_t i = 0; i < picture.size(); ++i) {
        const std::size_t color = i % static_cast<std::size_t>(input_shape<Net>.channels);
        result.push_back((static_cast<float>(picture[i]) / 255 - scaling.mean[color]) / scaling.deviation[color]);
    }
    return result;
}

/// The ranges of a model's maps on some pictures.
template <class Net>
std::vector<float> calibrated_ranges(const cpu::Model<Net>& model, int pictures = 8) {
    const auto weights = deploy::prepare_float32<Net>(model.parameters(), model.statistics());
    deploy::Calibration<Net> calibration{*weights};
    for (int i = 0; i < pictures; ++i)
        calibration.add(random_picture<Net>(1000 + static_cast<std::uint64_t>(i)).data());
    return calibration.largest();
}

template <class Net>
std::unique_ptr<deploy::Weights<Net, deploy::Int8>> int8_weights(const cpu::Model<Net>& model, int pictures = 8) {
    return deploy::prepare_int8<Net>(model.parameters(), model.statistics(), calibrated_ranges(model, pictures));
}

}  // namespace deployed
