// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/deploy/prepare.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

// The tensors of a network that simulates int8 come from those of the trained one: batch norm is folded into the
// weights and biases before it, which are then rounded as deploy/prepare.hpp rounds them.

namespace bantam::quantize {

/// Neighboring tensors of the simulating network and where they come from: the weights and biases of a convolution or
/// linear layer from those of the trained one and from its batch norm, or `copied` elements as they are.
struct TensorStep {
    Index outputs = 0;
    Index length = 0;      ///< weights per output
    bool weights = false;  ///< of the layer's; otherwise they are 1, as where a norm stands alone
    bool bias = false;
    bool norm = false;
    double in_scale = 1;  ///< of the map that the layer reads
    Index copied = 0;
};

/// How a network is simulated for the ranges of its maps.
struct SimulationPlan {
    std::vector<TensorStep> steps;
    std::vector<double> map_scales;  ///< of the FakeQuantize layers, in their order
};

namespace detail {

/// One output channel of a folded layer. Offsets count from the first tensor of the trained network.
template <class S>
struct FoldedChannel {
    const S* weights;                                                                 ///< null where they are 1
    double bias = 0;                                                                  ///< of the layer itself
    double weight = 1, norm_bias = 0, mean = 0, variance = 1 - BatchNorm2d::epsilon;  ///< of its norm

    double scale() const { return deploy::detail::norm_scale(weight, variance); }
    double weight_at(Index k) const { return weights ? static_cast<double>(weights[k]) : 1.0; }
};

/// Walks over the steps of a plan: `channel(folded, step, parameter offsets of the channel, simulated offsets)` and
/// `copied(parameter offset, simulated offset, count)`.
struct ChannelOffsets {
    Index weights, bias, norm_weight, norm_bias;  ///< in the trained network's parameters
    Index simulated_weights, simulated_bias;
};

template <class S, class OnChannel, class OnCopied>
void for_each_step(const SimulationPlan& plan, const S* parameters, const S* statistics, OnChannel&& on_channel,
                   OnCopied&& on_copied) {
    Index parameter = 0, statistic = 0, simulated = 0;
    for (const TensorStep& step : plan.steps) {
        if (step.copied > 0) {
            on_copied(parameter, simulated, step.copied);
            parameter += step.copied;
            simulated += step.copied;
            continue;
        }
        const Index bias = parameter + (step.weights ? step.outputs * step.length : 0);
        const Index norm = bias + (step.bias ? step.outputs : 0);
        const Index simulated_bias = simulated + step.outputs * step.length;
        for (Index m = 0; m < step.outputs; ++m) {
            const ChannelOffsets at{parameter + m * step.length, bias + m,          norm + m, norm + step.outputs + m,
                                    simulated + m * step.length, simulated_bias + m};
            FoldedChannel<S> channel{step.weights ? parameters + at.weights : nullptr};
            if (step.bias) channel.bias = static_cast<double>(parameters[at.bias]);
            if (step.norm) {
                channel.weight = static_cast<double>(parameters[at.norm_weight]);
                channel.norm_bias = static_cast<double>(parameters[at.norm_bias]);
                channel.mean = static_cast<double>(statistics[statistic + m]);
                channel.variance = static_cast<double>(statistics[statistic + step.outputs + m]);
            }
            on_channel(step, channel, at);
        }
        parameter = norm + (step.norm ? 2 * step.outputs : 0);
        statistic += step.norm ? 2 * step.outputs : 0;
        simulated = simulated_bias + step.outputs;
    }
}

}  // namespace detail

/// The trained network's tensors with the norms folded in, not rounded.
template <class S>
void fold_tensors(const SimulationPlan& plan, const S* parameters, const S* statistics, double* folded) {
    detail::for_each_step(
        plan, parameters, statistics,
        [&](const TensorStep& step, const detail::FoldedChannel<S>& channel, const detail::ChannelOffsets& at) {
            const double scale = step.norm ? channel.scale() : 1.0;
            for (Index k = 0; k < step.length; ++k) folded[at.simulated_weights + k] = channel.weight_at(k) * scale;
            folded[at.simulated_bias] =
                step.norm ? channel.norm_bias + (channel.bias - channel.mean) * scale : channel.bias;
        },
        [&](Index from, Index to, Index count) {
            for (Index i = 0; i < count; ++i) folded[to + i] = static_cast<double>(parameters[from + i]);
        });
}

/// Folded tensors rounded to what deploy::Int8 multiplies with.
template <class S>
void round_tensors(const SimulationPlan& plan, const double* folded, S* simulated) {
    for (const TensorStep& step : plan.steps) {
        const double* biases = folded + step.outputs * step.length;
        S* simulated_biases = simulated + step.outputs * step.length;
        for (Index m = 0; m < step.outputs; ++m) {
            const std::span<const double> weights{folded + m * step.length, static_cast<std::size_t>(step.length)};
            const double scale = deploy::detail::weight_scale(weights, biases[m], step.in_scale);
            S* to = simulated + m * step.length;
            for (const double weight : weights) *to++ = static_cast<S>(std::round(weight / scale) * scale);
            const double unit = step.in_scale * scale;
            simulated_biases[m] = static_cast<S>(std::round(biases[m] / unit) * unit);
        }
        const Index convolved = step.outputs * (step.length + 1);
        for (Index i = 0; i < step.copied; ++i) simulated[convolved + i] = static_cast<S>(folded[convolved + i]);
        folded += convolved + step.copied;
        simulated += convolved + step.copied;
    }
}

/// The gradient of the trained network's parameters from that of the simulating one's tensors. Rounding passes it as it
/// is: a channel's largest weight defines its scale, so that no weight is outside the range.
template <class S>
void fold_gradient(const SimulationPlan& plan, const S* parameters, const S* statistics, const S* simulated,
                   S* gradient) {
    detail::for_each_step(
        plan, parameters, statistics,
        [&](const TensorStep& step, const detail::FoldedChannel<S>& channel, const detail::ChannelOffsets& at) {
            const double scale = step.norm ? channel.scale() : 1.0;
            const double bias_gradient = static_cast<double>(simulated[at.simulated_bias]);
            double scale_gradient = bias_gradient * (channel.bias - channel.mean);
            for (Index k = 0; k < step.length; ++k) {
                const double slope = static_cast<double>(simulated[at.simulated_weights + k]);
                scale_gradient += slope * channel.weight_at(k);
                if (step.weights) gradient[at.weights + k] = static_cast<S>(slope * scale);
            }
            if (step.bias) gradient[at.bias] = static_cast<S>(bias_gradient * scale);
            if (step.norm) {
                gradient[at.norm_weight] = static_cast<S>(deploy::detail::norm_scale(scale_gradient, channel.variance));
                gradient[at.norm_bias] = static_cast<S>(bias_gradient);
            }
        },
        [&](Index from, Index to, Index count) {
            for (Index i = 0; i < count; ++i) gradient[from + i] = simulated[to + i];
        });
}

}  // namespace bantam::quantize
