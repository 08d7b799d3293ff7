// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>

#include <functional>

namespace bantam {

/// A teacher that answers, while a batch is assembled, what its samples show. Equal pixels give equal logits.
struct OnlineTeacher {
    Shape input;
    Index classes = 0;
    /// Writes the logits [count][classes] of normalized pixels [count][height][width][3]. Loaders call it from a thread
    /// of their own, one call at a time.
    std::function<void(const float* pixels, Index count, float* logits)> infer;
};

}  // namespace bantam
