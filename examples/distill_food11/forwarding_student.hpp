// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/budget.hpp>

#include "student.hpp"

#include <string>

namespace distill_food11 {

namespace detail {

template <class Net>
struct WithLimit {
    using type = bantam::Student<Net>;
};
template <class Net, auto Limit>
struct WithLimit<bantam::Student<Net, Limit>> {
    using type = bantam::Student<Net, Limit>;
};

}  // namespace detail

/// The network with its limit of parameters, which the compiler checks: the homework's, unless its header states one,
/// `Student<Network<...>, 300'000>`, as for a wide network that is trained to be pruned.
template <class Net>
using WithLimit = typename detail::WithLimit<Net>::type;

/// The members that a student on every device passes to its Trainer. `Base` is StudentTrainer or BatchTrainer.
template <class Base, class Trainer>
class ForwardingStudent : public Base {
public:
    explicit ForwardingStudent(const TrainingOptions& options) : trainer_{options} {}

    const TrainingOptions& options() const override { return trainer_.options(); }
    std::string backend() const override { return trainer_.backend(); }
    Index steps() const override { return trainer_.steps(); }
    std::span<const float> parameters() override { return trainer_.parameters(); }
    std::span<const float> statistics() override { return trainer_.statistics(); }
    void set_weights(std::span<const float> parameters, std::span<const float> statistics) override {
        trainer_.set_weights(parameters, statistics);
    }
    std::vector<TrainerState> state() override { return trainer_.state(); }
    void restored(Index steps) override { trainer_.restored(steps); }
    void set_communicator([[maybe_unused]] Communicator* communicator) override {
        if constexpr (requires { trainer_.set_communicator(communicator); }) trainer_.set_communicator(communicator);
    }

protected:
    Trainer trainer_;
};

}  // namespace distill_food11
