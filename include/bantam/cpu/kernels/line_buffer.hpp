// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cpu/kernels/source.hpp>
#include <bantam/cpu/runtime/simd.hpp>

#include <algorithm>

namespace bantam::cpu {

/// A ring of the latest `Capacity` lines of a chunk's maps, with `Padding` zero positions at both ends of each
/// line, for kernels whose window slides down a map: the lines that they read stay in the cache, and no tap has
/// to test for an edge. `LinesPerFetch` lines are requested from the source in one call. Without padding they go
/// directly into the ring; with padding they are copied, which is worth it for sources that are faster on many
/// rows.
template <Shape Map, Index Padding, Index Capacity, class S, Index LinesPerFetch = 1>
class LineBuffer {
public:
    static constexpr Index line_size = (Map.width + 2 * Padding) * Map.channels;
    /// Scalars of memory: the lines, one line of zeros, a vector that may be read past the end, and the lines of
    /// one fetch before they are copied.
    static constexpr Index size = (Capacity + 1) * line_size + lanes<S> +
                                  (LinesPerFetch > 1 && Padding > 0 ? LinesPerFetch * Map.width * Map.channels : 0);

    /// Starts at the first line of sample `first_sample`.
    LineBuffer(S* memory, Index first_sample) : memory_{memory}, next_{first_sample * Map.height} {
        constexpr Index side = Padding * Map.channels;
        for (Index line = 0; Padding > 0 && line < Capacity; ++line) {
            std::fill_n(memory + line * line_size, side, S{0});
            std::fill_n(memory + (line + 1) * line_size - side, side, S{0});
        }
        std::fill_n(memory + Capacity * line_size, line_size + lanes<S>, S{0});
    }

    /// Fetches lines from `source` up to line `y` of sample `n`, or up to the end of that sample.
    template <RowSource Source>
    void fill_to(const Source& source, Index n, Index y) {
        const Index end = n * Map.height + std::min(y + 1, Map.height);
        while (next_ < end) {
            if constexpr (LinesPerFetch == 1 || Padding == 0) {
                const Index count =
                    std::min({LinesPerFetch, Map.height - next_ % Map.height, Capacity - next_ % Capacity});
                S* to = slot(next_);
                copy(source.rows(next_ * Map.width, count * Map.width, to), count, to);
                next_ += count;
            } else {
                const Index count = std::min(LinesPerFetch, Map.height - next_ % Map.height);
                const S* from =
                    source.rows(next_ * Map.width, count * Map.width, memory_ + (Capacity + 1) * line_size + lanes<S>);
                for (Index i = 0; i < count; ++i, ++next_) copy(from + i * Map.width * Map.channels, 1, slot(next_));
            }
        }
    }

    /// Line `y` of sample `n`, starting with its padding; zeros for lines above and below the map.
    const S* line(Index n, Index y) const {
        const bool inside = y >= 0 && y < Map.height;
        return memory_ + (inside ? (n * Map.height + y) % Capacity : Capacity) * line_size;
    }

private:
    S* slot(Index line) { return memory_ + line % Capacity * line_size + Padding * Map.channels; }
    static void copy(const S* from, Index lines, S* to) {
        if (from != to) std::copy(from, from + lines * Map.width * Map.channels, to);
    }

    S* memory_;
    Index next_;
};

/// Lines of a map that together have enough rows, about 128, for an efficient matrix product.
constexpr Index lines_per_fetch(Shape map) { return std::clamp<Index>(128 / map.width, 1, map.height); }

}  // namespace bantam::cpu
