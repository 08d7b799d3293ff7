// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace bantam {

/// Parameters that a network has in two of its layers, as the student's are in NetAug. Offsets are those of
/// the flat parameter buffer. Without runs, every member does nothing.
class SharedParameters {
public:
    /// `count` parameters from `copy` on are those from `original` on.
    struct Run {
        Index original, copy, count;
    };

    explicit SharedParameters(std::vector<Run> runs) : runs_{std::move(runs)} {}

    /// Gives the copies the values of their originals.
    template <class Scalar>
    void update_copies(std::span<Scalar> parameters) const {
        for_each(parameters,
                 [](std::span<Scalar> original, std::span<Scalar> copy) { std::ranges::copy(original, copy.begin()); });
    }
    /// Gives the originals the values of their copies.
    template <class Scalar>
    void update_originals(std::span<Scalar> parameters) const {
        for_each(parameters,
                 [](std::span<Scalar> original, std::span<Scalar> copy) { std::ranges::copy(copy, original.begin()); });
    }
    /// Adds the gradients of the copies to those of their originals, and makes them 0.
    template <class Scalar>
    void gather_gradients(std::span<Scalar> gradient) const {
        for_each(gradient, [](std::span<Scalar> original, std::span<Scalar> copy) {
            for (std::size_t i = 0; i < copy.size(); ++i) original[i] += std::exchange(copy[i], Scalar{0});
        });
    }

private:
    template <class Scalar, class Use>
    void for_each(std::span<Scalar> values, const Use& use) const {
        const auto values_at = [&](Index begin, Index count) {
            return values.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
        };
        for (const Run& run : runs_) use(values_at(run.original, run.count), values_at(run.copy, run.count));
    }

    std::vector<Run> runs_;
};

namespace detail {

/// Appends the runs of a tensor whose elements are the first ones along each axis of another one. `before` are the
/// parameters that precede those of the network around it.
inline void append_shared_runs(const NamedTensor& inner, const NamedTensor& outer, Index before,
                               std::vector<SharedParameters::Run>& runs) {
    // Axes from the last one on that are equal, and the one before them, are a run.
    int axes = inner.tensor.rank;
    Index inner_run = 1, outer_run = 1;
    while (axes > 0 && inner_run == outer_run) {
        const auto axis = static_cast<std::size_t>(--axes);
        inner_run *= inner.tensor.extents[axis];
        outer_run *= outer.tensor.extents[axis];
    }
    for (Index index = 0; index < inner.tensor.element_count() / inner_run; ++index) {
        Index rest = index, place = 0, stride = 1;
        for (int left = axes; left > 0; --left) {
            const auto axis = static_cast<std::size_t>(left - 1);
            place += rest % inner.tensor.extents[axis] * stride;
            rest /= inner.tensor.extents[axis];
            stride *= outer.tensor.extents[axis];
        }
        runs.push_back({before + outer.offset + place * outer_run, inner.offset + index * inner_run, inner_run});
    }
}

/// Those of a network: where it names a network `Around` the one that is kept, as NetAug does, these.
template <class Net>
SharedParameters shared_parameters() {
    std::vector<SharedParameters::Run> runs;
    if constexpr (requires { typename Net::Around; }) {
        const auto& inner = tensor_table<typename Net::Kept>;
        for (std::size_t i = 0; i < inner.size(); ++i)
            if (inner[i].tensor.trainable)
                append_shared_runs(inner[i], tensor_table<typename Net::Around>[i],
                                   trainable_parameters<typename Net::Kept>, runs);
    }
    return SharedParameters{std::move(runs)};
}

}  // namespace detail

}  // namespace bantam
