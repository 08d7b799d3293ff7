// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/deploy/lower.hpp>
#include <bantam/deploy/precision.hpp>
#include <bantam/deploy/whole_maps.hpp>

#include <cstddef>
#include <cstdint>

namespace bantam::deploy {

/// A network's weights as the deployed network reads them, where they lie: a constant in flash. Made on a PC by
/// bantam/deploy/prepare.hpp; the arrays' sizes are the network's, so that another network's do not fit.
template <class Net, class P>
struct Weights {
    static constexpr Index weight_count = StageSizes<StagesOf<Net, P>>::weight_count;
    static constexpr Index constant_count = StageSizes<StagesOf<Net, P>>::constant_count;

    alignas(4) typename P::Weight weights[static_cast<std::size_t>(weight_count > 0 ? weight_count : 1)];
    typename P::Constant constants[static_cast<std::size_t>(constant_count)];
};

/// Bytes of flash that a network's weights take.
template <class Net, class P>
inline constexpr Index weight_bytes = static_cast<Index>(sizeof(Weights<Net, P>));

namespace detail {

template <class T>
int largest_at(const T* values, Index count) {
    int best = 0;
    for (int i = 1; i < static_cast<int>(count); ++i)
        if (values[i] > values[best]) best = i;
    return best;
}

}  // namespace detail

/// A network that classifies pictures without heap, exceptions or threads. All of its memory is in the object,
/// which wants to be a static one. Layer by layer: the arena holds the largest maps that live at one time.
template <class Net, class P>
class Classifier {
public:
    using Logit = typename P::Logit;
    static constexpr Index arena_bytes = WholeChain<StagesOf<Net, P>, std::uint8_t>::scratch_bytes;
    static constexpr Index weight_bytes = deploy::weight_bytes<Net, P>;
    static constexpr Index multiply_adds = bantam::multiply_adds<Net>;
    static constexpr Index class_count = bantam::class_count<Net>;

    /// Keeps a reference to the weights.
    constexpr explicit Classifier(const Weights<Net, P>& flash) : view_{flash.weights, flash.constants} {}

    /// The most likely class of a picture, [height][width][colors] bytes.
    int classify(const std::uint8_t* picture) {
        NoObserver observer;
        run(picture, observer);
        return detail::largest_at(logits_, class_count);
    }

    /// The last picture's logits; in int8 in units of 1 / Int8::logit_unit.
    const Logit* logits() const { return logits_; }

    /// Tells `observer` of the output of every stage.
    template <class Observer>
    void run(const std::uint8_t* picture, Observer& observer) {
        WholeChain<StagesOf<Net, P>, std::uint8_t>::run(picture, logits_, view_, arena_, observer);
    }

private:
    WeightView<P> view_;
    Logit logits_[static_cast<std::size_t>(class_count)]{};
    alignas(8) std::byte arena_[static_cast<std::size_t>(arena_bytes)];
};

}  // namespace bantam::deploy
