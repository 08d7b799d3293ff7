// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/lines.hpp>

#include <cstddef>
#include <cstdint>

namespace bantam::deploy {

/// A classifier that takes its picture line by line, as a camera gives it, and stores no map: of each layer's input
/// it keeps the lines that the next outputs see. Logits have the same bits as `Classifier`'s.
///
/// A layer that needs the whole of its input first, such as a channel gate, is refused when compiled.
template <class Net, class P>
class LineClassifier {
    using Chain = LineChain<StagesOf<Net, P>>;

public:
    using Logit = typename P::Logit;
    /// The lines that are kept, the line buffers and the sums.
    static constexpr Index arena_bytes =
        static_cast<Index>(sizeof(Chain)) + 2 * Chain::buffer_bytes + (Chain::scratch_bytes + 7) / 8 * 8;
    static constexpr Index weight_bytes = deploy::weight_bytes<Net, P>;
    static constexpr Index multiply_adds = bantam::multiply_adds<Net>;
    static constexpr Index class_count = bantam::class_count<Net>;

    /// Keeps a reference to the weights.
    constexpr explicit LineClassifier(const Weights<Net, P>& flash) : view_{flash.weights, flash.constants} {}

    /// Takes the picture's next line, [width][colors] bytes. True after the last one: the answer is there, and the
    /// next line begins another picture.
    bool push_line(const std::uint8_t* line) {
        bool done = false;
        auto finish = [&](const Logit* logits, int) {
            for (Index i = 0; i < class_count; ++i) logits_[i] = logits[i];
            done = true;
        };
        chain_.push(line, view_, LineBuffers{{buffers_, buffers_ + Chain::buffer_bytes}, scratch_}, 0, finish);
        return done;
    }

    /// Forgets the lines of a picture that will not be completed, as when a camera lost its frame: the next line is
    /// a picture's first.
    void restart() { chain_.restart(); }

    /// The most likely class of the last whole picture.
    int predicted_class() const { return detail::largest_at(logits_, class_count); }

    /// The last whole picture's logits; in int8 in units of 1 / Int8::logit_unit.
    const Logit* logits() const { return logits_; }

private:
    WeightView<P> view_;
    Logit logits_[static_cast<std::size_t>(class_count)]{};
    alignas(8) std::byte buffers_[static_cast<std::size_t>(2 * Chain::buffer_bytes)];
    alignas(8) std::byte scratch_[static_cast<std::size_t>((Chain::scratch_bytes + 15) / 8 * 8)];
    Chain chain_;
};

}  // namespace bantam::deploy
