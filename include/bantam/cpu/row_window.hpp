// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/shape.hpp>
#include <bantam/cpu/simd.hpp>

#include <algorithm>
#include <cstdint>

namespace bantam::cpu {

/// The latest `Capacity` rows of a chunk's maps with `Padding` zero positions on either side, for
/// kernels that slide down a map: what they read stays in the cache, and no tap tests for an edge.
template <Shape Map, std::int64_t Padding, std::int64_t Capacity, class S>
class RowWindow {
public:
    static constexpr std::int64_t row_size = (Map.width + 2 * Padding) * Map.channels;
    /// Scalars of memory it takes: the rows, one of zeros, and what a whole vector reads past the end.
    static constexpr std::int64_t size = (Capacity + 1) * row_size + lanes<S>;

    /// Starts in front of sample `first_sample`.
    RowWindow(S* memory, std::int64_t first_sample) : memory_{memory}, next_{first_sample * Map.height} {
        std::fill(memory, memory + size, S{0});
    }

    /// Fetches rows from `source` (see hooks.hpp) until row `y` of sample `n` is there, or the sample ends.
    template <class Source>
    void fill_to(const Source& source, std::int64_t n, std::int64_t y) {
        for (const std::int64_t end = n * Map.height + std::min(y + 1, Map.height); next_ < end; ++next_) {
            S* to = memory_ + next_ % Capacity * row_size + Padding * Map.channels;
            const S* from = source.rows(next_ * Map.width, Map.width, to);
            if (from != to) std::copy(from, from + Map.width * Map.channels, to);
        }
    }

    /// Row `y` of sample `n` from its padding on; zeros above and below the map.
    const S* row(std::int64_t n, std::int64_t y) const {
        const bool inside = y >= 0 && y < Map.height;
        return memory_ + (inside ? (n * Map.height + y) % Capacity : Capacity) * row_size;
    }

private:
    S* memory_;
    std::int64_t next_;
};

}  // namespace bantam::cpu
