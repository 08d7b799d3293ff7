// SPDX-License-Identifier: MIT
#pragma once

#include "network_timing.hpp"

#include <bantam/base/random.hpp>
#include <bantam/cpu/model.hpp>
#include <bantam/deploy/batch_classifier.hpp>
#include <bantam/deploy/calibration.hpp>
#include <bantam/deploy/prepare.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bantam::bench {

/// int8 inference from the bytes of random pictures, with random weights.
template <class Net>
Timing time_int8_inference(const TimingOptions& options) {
    constexpr auto picture_bytes = static_cast<std::size_t>(element_count(input_shape<Net>));
    Random random{0, 0};
    std::vector<std::uint8_t> pictures(static_cast<std::size_t>(options.batch) * picture_bytes);
    for (std::uint8_t& byte : pictures) byte = static_cast<std::uint8_t>(random.below(256));
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
