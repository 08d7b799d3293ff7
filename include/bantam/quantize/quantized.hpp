// SPDX-License-Identifier: MIT
// Quantization-aware training: a network that is trained as it will run in int8.
#pragma once

#include <bantam/base/communicator.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/cpu/model.hpp>
#include <bantam/deploy/calibration.hpp>
#include <bantam/exec/initialize.hpp>
#include <bantam/quantize/simulated_network.hpp>
#include <bantam/quantize/simulated_tensors.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bantam {

/// `Net` as a network that is trained for deploy::Int8: `Trainer<Quantized<Net>>`. Its passes see weights and maps
/// rounded as deploy::Classifier<Net, deploy::Int8> rounds them, its parameters are those of `Net` in float. Batch norm
/// keeps the running statistics with which training starts, since deploy folds them into the weights; with the batch's
/// own statistics the weights would be rounded differently in training than on the device. So training starts from a
/// trained network (`quantized_statistics`), and dropout is left out.
template <class Net>
struct Quantized : Net {};

/// Behind the statistics of `Net` lie the ranges of its maps.
template <class Net>
inline constexpr Index non_trainable_parameters<Quantized<Net>> =
    non_trainable_parameters<Net> + static_cast<Index>(deploy::map_count<Net>);

/// The statistics of `Quantized<Net>`: those of a trained `Net`, and the largest magnitudes of its maps, as
/// deploy::Calibration finds them on training pictures. Throws Error where they belong to another network.
template <class Net>
std::vector<float> quantized_statistics(std::span<const float> statistics, std::span<const float> ranges) {
    deploy::detail::check_ranges<Net>(ranges);
    if (static_cast<Index>(statistics.size()) != non_trainable_parameters<Net>)
        throw Error{"the network has " + std::to_string(non_trainable_parameters<Net>) + " statistics, given are " +
                    std::to_string(statistics.size()) + "; are they another network's?"};
    std::vector<float> all{statistics.begin(), statistics.end()};
    all.insert(all.end(), ranges.begin(), ranges.end());
    return all;
}

namespace cpu {

/// As Model of another network. The statistics of its norms do not change.
template <class Net, class S, bool Fused>
class Model<Quantized<Net>, S, Fused> {
    using Simulated = Model<quantize::SimulatedNetwork<Net>, S, Fused>;

public:
    using Scalar = S;
    static constexpr Shape image = input_shape<Net>;
    static constexpr Index classes = class_count<Net>;

    explicit Model(int threads = 1)
        : parameters_(static_cast<std::size_t>(trainable_parameters<Net>)),
          statistics_(static_cast<std::size_t>(non_trainable_parameters<Quantized<Net>>)),
          simulated_{threads} {}

    std::span<const S> parameters() const { return parameters_; }
    std::span<S> statistics() { return statistics_; }
    std::span<const S> statistics() const { return statistics_; }
    int threads() const { return simulated_.threads(); }
    void set_communicator(Communicator* communicator) { simulated_.set_communicator(communicator); }

    void initialize(std::uint64_t seed, const InitializeOptions& options = {}) {
        update([&](std::span<S> parameters, std::span<S> statistics) {
            initialize_tensors<Net, S>(seed, parameters, statistics, options);
        });
    }

    /// Replaces the weights; the statistics are those that `quantized_statistics` gives. Throws Error on sizes that are
    /// not those of the network.
    void set_weights(std::span<const S> parameters, std::span<const S> statistics) {
        bantam::detail::require_weights<Quantized<Net>>(parameters.size(), statistics.size());
        update([&](std::span<S> to_parameters, std::span<S> to_statistics) {
            std::ranges::copy(parameters, to_parameters.begin());
            std::ranges::copy(statistics, to_statistics.begin());
        });
    }

    /// Calls `change(parameters, statistics)`, which may write to both spans until it returns.
    template <class Change>
    void update(Change&& change) {
        change(std::span<S>{parameters_}, std::span<S>{statistics_});
        const std::span<const S> found = std::span<const S>{statistics_}.last(deploy::map_count<Net>);
        if (!std::ranges::equal(found, ranges_) || plan_.steps.empty()) {
            ranges_.assign(found.begin(), found.end());
            plan_ = quantize::simulation_plan<Net>(std::vector<float>(found.begin(), found.end()));
        }
        folded_.resize(static_cast<std::size_t>(simulated_count));
        simulated_gradient_.resize(folded_.size());
        quantize::fold_tensors(plan_, parameters_.data(), statistics_.data(), folded_.data());
        simulated_.update([&](std::span<S> parameters, std::span<S> scales) {
            quantize::round_tensors(plan_, folded_.data(), parameters.data());
            std::ranges::transform(plan_.map_scales, scales.begin(),
                                   [](double scale) { return static_cast<S>(scale); });
        });
    }

    void forward(const S* input, Index count, std::uint64_t seed, S* logits) {
        simulated_.forward(input, count, seed, logits);
    }
    void backward(const S* logits_gradient, S* parameter_gradient) {
        backward(logits_gradient, parameter_gradient, nullptr);
    }
    void backward(const S* logits_gradient, S* parameter_gradient, S* input_gradient) {
        simulated_.backward(logits_gradient, simulated_gradient_.data(), input_gradient);
        quantize::fold_gradient(plan_, parameters_.data(), statistics_.data(), simulated_gradient_.data(),
                                parameter_gradient);
    }
    void infer(const S* input, Index count, S* logits) const { simulated_.infer(input, count, logits); }

private:
    static constexpr Index simulated_count = trainable_parameters<quantize::SimulatedNetwork<Net>>;

    std::vector<S> parameters_, statistics_;
    std::vector<S> ranges_;  ///< those of `plan_`
    quantize::SimulationPlan plan_;
    std::vector<double> folded_;
    std::vector<S> simulated_gradient_;
    Simulated simulated_;
};

}  // namespace cpu
}  // namespace bantam
