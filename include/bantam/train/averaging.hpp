// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace bantam {

/// The decay after `updates` earlier updates: min(decay, (1 + updates) / (10 + updates)), so that
/// an average of few updates soon forgets the random start.
constexpr double warmed_decay(double decay, Index updates) {
    const auto count = static_cast<double>(updates);
    return std::min(decay, (1.0 + count) / (10.0 + count));
}

/// One value of an exponential moving average after it has taken in `value` with the weight 1 − decay.
template <class Scalar>
BANTAM_HOST_DEVICE constexpr Scalar averaged(Scalar average, Scalar value, Scalar new_weight) {
    return average + new_weight * (value - average);
}

/// Exponential moving average of a network's parameters and statistics (running means and variances
/// of batch normalization), whose weights are usually better than the last ones (Polyak & Juditsky,
/// "Acceleration of stochastic approximation by averaging", 1992).
///
///     const double decay = average.advance();
///     optimizer.step({.learning_rate = …, .averaging_decay = decay}, gradient, parameters,
///                    average.parameters());         // parameters are averaged in the same pass
///     average.add_statistics(decay, statistics);
template <class Scalar>
class WeightAverage {
public:
    /// Starts at the given values. With a decay of 0 averaging is off and both buffers stay empty.
    WeightAverage(double decay, std::span<const Scalar> parameters, std::span<const Scalar> statistics)
        : decay_{decay} {
        if (!active()) return;
        parameters_.assign(parameters.begin(), parameters.end());
        statistics_.assign(statistics.begin(), statistics.end());
    }

    bool active() const { return decay_ > 0.0; }

    /// Begins an update and returns its decay.
    double advance() { return warmed_decay(decay_, updates_++); }

    /// statistics average = decay · average + (1 − decay) · statistics. Throws Error on another size.
    void add_statistics(double decay, std::span<const Scalar> statistics) {
        if (!active()) return;
        if (statistics.size() != statistics_.size()) {
            throw Error("averaging: the statistics buffer has " + std::to_string(statistics.size()) +
                        " elements, expected " + std::to_string(statistics_.size()) + "; average one network only");
        }
        const auto new_weight = static_cast<Scalar>(1.0 - decay);
        for (std::size_t index = 0; index < statistics.size(); ++index) {
            statistics_[index] = averaged(statistics_[index], statistics[index], new_weight);
        }
    }

    /// The averaged buffers, writable so that optimizers update and checkpoints restore them.
    std::span<Scalar> parameters() { return parameters_; }
    std::span<const Scalar> parameters() const { return parameters_; }
    std::span<Scalar> statistics() { return statistics_; }
    std::span<const Scalar> statistics() const { return statistics_; }

    Index updates() const { return updates_; }
    void set_updates(Index updates) { updates_ = updates; }

private:
    double decay_;
    std::vector<Scalar> parameters_;
    std::vector<Scalar> statistics_;
    Index updates_ = 0;
};

}  // namespace bantam
