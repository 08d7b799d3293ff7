// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/communicator.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/core/network.hpp>
#include <bantam/train/options.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace bantam::bench {

struct TimingOptions {
    std::string net = "mobile-98k";
    std::string mode = "training";
    Index batch = 64;
    int threads = 1;
    int warmup = 3;
    int repeats = 20;
    double seconds = 20;
    Communicator* communicator = nullptr;  ///< of several ranks that share each training step; null: of one
};

inline double median(std::vector<double> values) {
    std::ranges::sort(values);
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// Throws Error in a program that was compiled without optimization, whose times say nothing.
inline void require_optimization() {
#ifndef __OPTIMIZE__
    throw Error("compiled without optimization; build with cmake --preset release && cmake --build --preset release");
#endif
}

/// The milliseconds of each call: at most `repeats` calls for at most `seconds`, but at least three.
inline std::vector<double> time_calls(const TimingOptions& options, const std::function<void()>& call) {
    require_optimization();
    using Clock = std::chrono::steady_clock;
    for (int i = 0; i < std::max(options.warmup, 1); ++i) call();
    std::vector<double> times;
    double total = 0;
    const auto goes_on = [&] {
        const bool ends =
            static_cast<int>(times.size()) >= options.repeats || (times.size() >= 3 && total >= 1000 * options.seconds);
        return options.communicator ? largest(*options.communicator, ends) == 0 : !ends;
    };
    while (goes_on()) {
        const auto before = Clock::now();
        call();
        times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - before).count());
        total += times.back();
    }
    return times;
}

/// The timed training step: forward, cross-entropy, backward and SGD with Nesterov momentum.
inline TrainingOptions timed_training() {
    TrainingOptions training;
    training.learning_rate = 0.01;
    training.weight_decay = 1e-4;
    training.warmup_epochs = 0;
    training.clip_norm = 0;
    training.averaging_decay = 0;
    return training;
}

/// A batch as a data loader makes it.
struct RandomBatch {
    Index count;
    std::vector<float> pixels;
    std::vector<int> labels;
    std::vector<float> teacher_logits;
    std::vector<std::uint8_t> has_teacher;
};

template <class Net>
RandomBatch random_batch(Index count) {
    RandomBatch batch{count, {}, {}, {}, {}};
    Random random{0, 0};
    batch.pixels.resize(static_cast<std::size_t>(count * element_count(input_shape<Net>)));
    for (float& value : batch.pixels) value = static_cast<float>(random.normal());
    for (Index i = 0; i < count; ++i)
        batch.labels.push_back(static_cast<int>(random.below(static_cast<std::uint64_t>(class_count<Net>))));
    return batch;
}

}  // namespace bantam::bench
