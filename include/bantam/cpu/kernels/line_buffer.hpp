// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cpu/runtime/simd.hpp>

#include <algorithm>

namespace bantam::cpu {

/// The latest `Capacity` rows of a chunk's maps with `Padding` zero positions on either side, for
/// kernels that slide down a map: what they read stays in the cache, and no tap tests for an edge.
/// `Batch` rows are fetched at once; without padding they lie one behind the other and go where they
/// belong, with padding they take a copy, which is worth it where a source is better asked for many.
template <Shape Map, Index Padding, Index Capacity, class S, Index Batch = 1>
class LineBuffer {
public:
    static constexpr Index row_size = (Map.width + 2 * Padding) * Map.channels;
    /// Scalars of memory it takes: the rows, one of zeros, what a whole vector reads past the end, and a
    /// batch on its way.
    static constexpr Index size =
        (Capacity + 1) * row_size + lanes<S> + (Batch > 1 && Padding > 0 ? Batch * Map.width * Map.channels : 0);

    /// Starts in front of sample `first_sample`.
    LineBuffer(S* memory, Index first_sample) : memory_{memory}, next_{first_sample * Map.height} {
        constexpr Index side = Padding * Map.channels;
        for (Index row = 0; Padding > 0 && row < Capacity; ++row) {
            std::fill_n(memory + row * row_size, side, S{0});
            std::fill_n(memory + (row + 1) * row_size - side, side, S{0});
        }
        std::fill_n(memory + Capacity * row_size, row_size + lanes<S>, S{0});
    }

    /// Fetches rows from `source` (see hooks.hpp) until row `y` of sample `n` is there, or the sample ends.
    template <class Source>
    void fill_to(const Source& source, Index n, Index y) {
        const Index end = n * Map.height + std::min(y + 1, Map.height);
        while (next_ < end) {
            if constexpr (Batch == 1 || Padding == 0) {
                const Index count = std::min({Batch, Map.height - next_ % Map.height, Capacity - next_ % Capacity});
                S* to = slot(next_);
                copy(source.rows(next_ * Map.width, count * Map.width, to), count, to);
                next_ += count;
            } else {
                const Index count = std::min(Batch, Map.height - next_ % Map.height);
                const S* from =
                    source.rows(next_ * Map.width, count * Map.width, memory_ + (Capacity + 1) * row_size + lanes<S>);
                for (Index i = 0; i < count; ++i, ++next_) copy(from + i * Map.width * Map.channels, 1, slot(next_));
            }
        }
    }

    /// Row `y` of sample `n` from its padding on; zeros above and below the map.
    const S* row(Index n, Index y) const {
        const bool inside = y >= 0 && y < Map.height;
        return memory_ + (inside ? (n * Map.height + y) % Capacity : Capacity) * row_size;
    }

private:
    S* slot(Index row) { return memory_ + row % Capacity * row_size + Padding * Map.channels; }
    static void copy(const S* from, Index rows, S* to) {
        if (from != to) std::copy(from, from + rows * Map.width * Map.channels, to);
    }

    S* memory_;
    Index next_;
};

/// Rows of a map of this width that make a product worth its while.
constexpr Index rows_worthwhile(Shape map) { return std::clamp<Index>(128 / map.width, 1, map.height); }

}  // namespace bantam::cpu
