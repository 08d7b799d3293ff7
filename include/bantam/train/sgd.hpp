// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/train/update.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <vector>

namespace bantam {

struct SgdOptions {
    double momentum = 0.9;
    double weight_decay = 5e-4;  ///< added to the gradient (coupled), on decayed ranges only
    bool nesterov = true;
};

/// One parameter's step, on any device: the rule that Sgd states.
template <class Scalar>
struct SgdRule {
    Scalar scale, decay, keep, rate;
    // step = fresh · d + carried · buffer, for plain and Nesterov momentum alike.
    Scalar fresh, carried;

    SgdRule() = default;
    SgdRule(const SgdOptions& options, const Update& update, bool decayed)
        : scale{static_cast<Scalar>(update.gradient_scale)},
          decay{static_cast<Scalar>(decayed ? options.weight_decay : 0.0)},
          keep{static_cast<Scalar>(options.momentum)},
          rate{static_cast<Scalar>(update.learning_rate)},
          fresh{options.nesterov ? Scalar{1} : Scalar{0}},
          carried{options.nesterov ? keep : Scalar{1}} {}

    /// The parameter's next value; moves its momentum.
    BANTAM_HOST_DEVICE Scalar operator()(Scalar gradient, Scalar parameter, Scalar& momentum) const {
        const Scalar d = scale * gradient + decay * parameter;
        momentum = keep * momentum + d;
        return parameter - rate * (fresh * d + carried * momentum);
    }
};

/// Stochastic gradient descent with momentum, the rule of torch.optim.SGD with dampening 0:
///
///   d = scale · gradient + weight_decay · parameter
///   momentum buffer = momentum · buffer + d
///   parameter −= learning_rate · (nesterov ? d + momentum · buffer : buffer)
///
/// (Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013).
template <class Scalar>
class Sgd {
public:
    /// `ranges` cover the parameter buffer [parameter_count]; throws Error where they do not.
    Sgd(const SgdOptions& options, std::span<const ParameterRange> ranges, Index parameter_count)
        : options_{options},
          ranges_{joined_ranges(ranges, parameter_count)},
          momentum_(static_cast<std::size_t>(parameter_count)) {}

    /// One step, in one pass over memory. `gradient`, `parameters` and `average` are
    /// [parameter_count]; an empty `average` keeps no moving average.
    void step(const Update& update, std::span<const Scalar> gradient, std::span<Scalar> parameters,
              std::span<Scalar> average = {}) {
        detail::require_same_size("gradient", gradient.size(), momentum_.size());
        detail::require_same_size("parameter", parameters.size(), momentum_.size());
        if (!average.empty()) {
            detail::require_same_size("average", average.size(), momentum_.size());
        }
        ++steps_;
        detail::for_each_block(ranges_, update.threads, [&](Index begin, Index end, bool decayed) {
            run(update, decayed, end - begin, gradient.data() + begin, momentum_.data() + begin,
                parameters.data() + begin, average.empty() ? nullptr : average.data() + begin);
        });
    }

    Index steps() const { return steps_; }
    void set_steps(Index steps) { steps_ = steps; }

    /// The memory a checkpoint keeps, besides steps().
    std::array<OptimizerState<Scalar>, 1> state() { return {{{"momentum", momentum_}}}; }

private:
    void run(const Update& update, bool decayed, Index count, const Scalar* __restrict gradient,
             Scalar* __restrict momentum, Scalar* __restrict parameters, Scalar* __restrict average) const {
        const auto toward = static_cast<Scalar>(1.0 - update.averaging_decay);
        const SgdRule<Scalar> rule{options_, update, decayed};
        const auto one = [=](Index index) {
            return parameters[index] = rule(gradient[index], parameters[index], momentum[index]);
        };
        if (average == nullptr) {
            for (Index index = 0; index < count; ++index) one(index);
        } else {
            for (Index index = 0; index < count; ++index) {
                average[index] += toward * (one(index) - average[index]);
            }
        }
    }

    SgdOptions options_;
    std::vector<ParameterRange> ranges_;
    std::vector<Scalar> momentum_;
    Index steps_ = 0;
};

}  // namespace bantam
