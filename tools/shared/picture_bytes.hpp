// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/data/batch.hpp>
#include <bantam/data/evaluation_loader.hpp>
#include <bantam/data/picture_store.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bantam {

/// `count` pictures, evenly spread over the split, as bytes of a network's size, as a deployed network takes them.
class PictureBytes {
public:
    PictureBytes(const LabeledPictures& pictures, Shape input, Index count)
        : loader_{pictures, input, 1, Normalization{{0, 0, 0}, {1, 1, 1}}},
          elements_{static_cast<std::size_t>(element_count(input))},
          count_{std::min(count, loader_.sample_count())} {}

    Index count() const { return count_; }

    /// Calls `body(bytes, label)` for every picture.
    template <class Body>
    void for_each(Body&& body) const {
        Batch batch;
        std::vector<std::uint8_t> bytes(elements_);
        for (Index i = 0; i < count_; ++i) {
            loader_.assemble(i * loader_.sample_count() / count_, batch);
            std::transform(batch.pixels.begin(), batch.pixels.begin() + static_cast<std::ptrdiff_t>(bytes.size()),
                           bytes.begin(), [](float color) {
                               return static_cast<std::uint8_t>(std::lround(std::clamp(color, 0.0F, 1.0F) * 255));
                           });
            body(bytes.data(), batch.labels[0]);
        }
    }

private:
    EvaluationLoader loader_;
    std::size_t elements_;
    Index count_;
};

}  // namespace bantam
