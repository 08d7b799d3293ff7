// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/simd.hpp>

#include <Eigen/Core>

#include <array>
#include <cstddef>

namespace bantam::cpu {

/// A register's worth (or the shorter end) of neighboring scalars.
template <class S, int Width>
using Packet = Eigen::Array<S, Width, 1>;

template <class S, int Width>
inline Packet<S, Width> load_packet(const S* from) {
    return Eigen::Map<const Packet<S, Width>>(from);
}

template <class S, int Width>
inline void store_packet(S* to, const Packet<S, Width>& block) {
    Eigen::Map<Packet<S, Width>>{to} = block;
}

/// `inside` where low < x < high, else `outside`. (Eigen's own select works scalar by scalar.)
template <class S, int Width>
inline Packet<S, Width> where_between(const Packet<S, Width>& x, S low, S high, const Packet<S, Width>& inside,
                                      const Packet<S, Width>& outside) {
    Packet<S, Width> result;
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
template <class S, Index Count, class Body>
inline void for_each_packet(Body&& body) {
    constexpr int width = lanes<S>;
    constexpr Index whole = Count / width * width;
    for (Index offset = 0; offset < whole; offset += width) body.template operator()<width>(offset);
    if constexpr (whole < Count) body.template operator()<static_cast<int>(Count - whole)>(whole);
}

/// Calls `body.template operator()<Width, Blocks>(offset)` so that groups of neighboring blocks, whose
/// coefficients fit the registers together, cover `Count` scalars.
template <class S, Index Count, class Body>
inline void for_each_group(Body&& body) {
    constexpr int width = lanes<S>;
    constexpr int together = 4;
    constexpr Index groups = Count / (together * width);
    constexpr int left = static_cast<int>(Count / width % together);
    for (Index i = 0; i < groups; ++i) body.template operator()<width, together>(i * together * width);
    if constexpr (left > 0) body.template operator()<width, left>(groups * together * width);
    if constexpr (Count % width > 0)
        body.template operator()<static_cast<int>(Count % width), 1>(Count - Count % width);
}

/// The blocks of a group.
template <class S, int Width, int Blocks>
inline std::array<Packet<S, Width>, Blocks> load_group(const S* from) {
    std::array<Packet<S, Width>, Blocks> blocks;
    BANTAM_UNROLL(4)
    for (std::size_t i = 0; i < Blocks; ++i) blocks[i] = load_packet<S, Width>(from + i * Width);
    return blocks;
}

/// Blocks that cover a count known at run time; the end goes scalar by scalar.
template <class S, class Body>
inline void for_each_packet(Index count, Body&& body) {
    constexpr int width = lanes<S>;
    Index offset = 0;
    for (; offset + width <= count; offset += width) body.template operator()<width>(offset);
    for (; offset < count; ++offset) body.template operator()<1>(offset);
}

}  // namespace bantam::cpu
