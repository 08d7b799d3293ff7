// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/train/optimizers/rule_optimizer.hpp>
#include <bantam/train/optimizers/update.hpp>

#include <array>

namespace bantam {

struct SgdOptions {
    double momentum = 0.9;
    double weight_decay = 5e-4;  ///< added to the gradient (coupled), on decayed ranges only
    bool nesterov = true;
};

/// Stochastic gradient descent with momentum, the rule of torch.optim.SGD with dampening 0. One parameter's
/// step, on any device:
///
///   d = scale · gradient + weight_decay · parameter
///   momentum buffer = momentum · buffer + d
///   parameter −= learning_rate · (nesterov ? d + momentum · buffer : buffer)
///
/// (Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013).
template <class S>
struct SgdRule {
    using Scalar = S;
    using Options = SgdOptions;
    static constexpr std::array<const char*, 1> state_names{"momentum"};

    S scale, decay, momentum, rate;
    // step = d_weight · d + buffer_weight · buffer, for plain and Nesterov momentum alike.
    S d_weight, buffer_weight;

    SgdRule() = default;
    SgdRule(const SgdOptions& options, const Update& update, bool decayed, Index /*step*/)
        : scale{static_cast<S>(update.gradient_scale)},
          decay{static_cast<S>(decayed ? options.weight_decay : 0.0)},
          momentum{static_cast<S>(options.momentum)},
          rate{static_cast<S>(update.learning_rate)},
          d_weight{options.nesterov ? S{1} : S{0}},
          buffer_weight{options.nesterov ? momentum : S{1}} {}

    /// The parameter's next value; updates its momentum buffer.
    BANTAM_HOST_DEVICE S operator()(S gradient, S parameter, S& buffer) const {
        const S d = scale * gradient + decay * parameter;
        buffer = momentum * buffer + d;
        return parameter - rate * (d_weight * d + buffer_weight * buffer);
    }
};

template <class Scalar>
using Sgd = RuleOptimizer<SgdRule<Scalar>>;

}  // namespace bantam
