// SPDX-License-Identifier: MIT
#pragma once

#include "network_timing.hpp"

#include <bantam/base/random.hpp>
#include <bantam/cpu/model.hpp>
#include <bantam/deploy/batch_classifier.hpp>
#include <bantam/deploy/calibration.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/prepare.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace bantam::bench {

template <class Net>
std::vector<std::uint8_t> random_pictures(Index count) {
    Random random{0, 0};
    std::vector<std::uint8_t> pictures(static_cast<std::size_t>(count * element_count(input_shape<Net>)));
    for (std::uint8_t& byte : pictures) byte = static_cast<std::uint8_t>(random.below(256));
    return pictures;
}

/// float32 inference of deploy::Classifier from the bytes of random pictures, one after the other, with random weights.
template <class Net>
Timing time_deployed_inference(const TimingOptions& options) {
    const std::vector<std::uint8_t> pictures = random_pictures<Net>(options.batch);
    cpu::Model<Net> model;
    model.initialize(0);
    const auto weights = deploy::prepare_float32<Net>(model.parameters(), model.statistics());
    const auto classifier = std::make_unique<deploy::Classifier<Net, deploy::Float32>>(*weights);
    Timing timing;
    timing.multiply_adds = multiply_adds<Net>;
    timing.calls = time_calls(options, [&] {
        const std::uint8_t* picture = pictures.data();
        for (Index i = 0; i < options.batch; ++i, picture += element_count(input_shape<Net>))
            classifier->classify(picture);
    });
    return timing;
}

/// int8 inference from the bytes of random pictures, with random weights.
template <class Net>
Timing time_int8_inference(const TimingOptions& options) {
    const std::vector<std::uint8_t> pictures = random_pictures<Net>(options.batch);
    cpu::Model<Net> model;
    model.initialize(0);
    const auto float32 = deploy::prepare_float32<Net>(model.parameters(), model.statistics());
    deploy::Calibration<Net> calibration{*float32};
    calibration.add(pictures.data());
    const auto weights = deploy::prepare_int8<Net>(model.parameters(), model.statistics(), calibration);
    deploy::BatchClassifier<Net> classifier{*weights, options.threads};
    std::vector<std::int32_t> logits(static_cast<std::size_t>(options.batch * class_count<Net>));
    Timing timing;
    timing.multiply_adds = multiply_adds<Net>;
    timing.calls = time_calls(options, [&] { classifier.infer(pictures.data(), options.batch, logits.data()); });
    return timing;
}

}  // namespace bantam::bench
