// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/simd.hpp>

#include <Eigen/Core>

#include <array>
#include <cstddef>
#include <cstdint>

namespace bantam::cpu {

/// A register's worth (or the shorter end) of neighbouring scalars.
template <class S, int Width>
using Block = Eigen::Array<S, Width, 1>;

template <class S, int Width>
inline Block<S, Width> load_block(const S* from) {
    return Eigen::Map<const Block<S, Width>>(from);
}

template <class S, int Width>
inline void store_block(S* to, const Block<S, Width>& block) {
    Eigen::Map<Block<S, Width>>{to} = block;
}

/// `inside` where low < x < high, else `outside`. (Eigen's own select works scalar by scalar.)
template <class S, int Width>
inline Block<S, Width> where_between(const Block<S, Width>& x, S low, S high, const Block<S, Width>& inside,
                                     const Block<S, Width>& outside) {
    Block<S, Width> result;
    if constexpr (Width == lanes<S>) {
        const Vector<S> values = load(x.data());
        const auto between = (values > broadcast(low)) & (values < broadcast(high));
        store<S>(result.data(), between ? load(inside.data()) : load(outside.data()));
    } else {
        for (int i = 0; i < Width; ++i) result[i] = x[i] > low && x[i] < high ? inside[i] : outside[i];
    }
    return result;
}

/// Calls `body.template operator()<Width>(offset)` so that the blocks cover `Count` scalars.
template <class S, std::int64_t Count, class Body>
inline void for_each_block(Body&& body) {
    constexpr int width = lanes<S>;
    constexpr std::int64_t whole = Count / width * width;
    for (std::int64_t offset = 0; offset < whole; offset += width) body.template operator()<width>(offset);
    if constexpr (whole < Count) body.template operator()<static_cast<int>(Count - whole)>(whole);
}

/// Calls `body.template operator()<Width, Blocks>(offset)` so that groups of neighbouring blocks, whose
/// coefficients fit the registers together, cover `Count` scalars.
template <class S, std::int64_t Count, class Body>
inline void for_each_group(Body&& body) {
    constexpr int width = lanes<S>;
    constexpr int together = 4;
    constexpr std::int64_t groups = Count / (together * width);
    constexpr int left = static_cast<int>(Count / width % together);
    for (std::int64_t i = 0; i < groups; ++i) body.template operator()<width, together>(i * together * width);
    if constexpr (left > 0) body.template operator()<width, left>(groups * together * width);
    if constexpr (Count % width > 0)
        body.template operator()<static_cast<int>(Count % width), 1>(Count - Count % width);
}

/// The blocks of a group.
template <class S, int Width, int Blocks>
inline std::array<Block<S, Width>, Blocks> load_group(const S* from) {
    std::array<Block<S, Width>, Blocks> blocks;
    BANTAM_UNROLL(4)
    for (std::size_t i = 0; i < Blocks; ++i) blocks[i] = load_block<S, Width>(from + i * Width);
    return blocks;
}

/// Blocks that cover a count known at run time; the end goes scalar by scalar.
template <class S, class Body>
inline void for_each_block(std::int64_t count, Body&& body) {
    constexpr int width = lanes<S>;
    std::int64_t offset = 0;
    for (; offset + width <= count; offset += width) body.template operator()<width>(offset);
    for (; offset < count; ++offset) body.template operator()<1>(offset);
}

}  // namespace bantam::cpu
