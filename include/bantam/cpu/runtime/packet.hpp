// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/simd.hpp>

#include <Eigen/Core>

#include <array>
#include <cstddef>

namespace bantam::cpu {

/// Contiguous scalars that fill one vector register, or the fewer scalars at the end of an array.
template <class S, int Width>
using Packet = Eigen::Array<S, Width, 1>;

template <class S, int Width>
inline Packet<S, Width> load_packet(const S* from) {
    return Eigen::Map<const Packet<S, Width>>(from);
}

template <class S, int Width>
inline void store_packet(S* to, const Packet<S, Width>& packet) {
    Eigen::Map<Packet<S, Width>>{to} = packet;
}

/// Calls `body.template operator()<Width>(offset)` for packets that cover `Count` scalars.
template <class S, Index Count, class Body>
inline void for_each_packet(Body&& body) {
    constexpr int width = lanes<S>;
    constexpr Index whole = Count / width * width;
    for (Index offset = 0; offset < whole; offset += width) body.template operator()<width>(offset);
    if constexpr (whole < Count) body.template operator()<static_cast<int>(Count - whole)>(whole);
}

/// Calls `body.template operator()<Width, Packets>(offset)` for groups of up to four neighboring packets that
/// cover `Count` scalars. A group is small enough that its coefficients stay in registers.
template <class S, Index Count, class Body>
inline void for_each_packet_group(Body&& body) {
    constexpr int width = lanes<S>;
    constexpr int group_size = 4;
    constexpr Index groups = Count / (group_size * width);
    constexpr int rest = static_cast<int>(Count / width % group_size);
    for (Index i = 0; i < groups; ++i) body.template operator()<width, group_size>(i * group_size * width);
    if constexpr (rest > 0) body.template operator()<width, rest>(groups * group_size * width);
    if constexpr (Count % width > 0)
        body.template operator()<static_cast<int>(Count % width), 1>(Count - Count % width);
}

/// Loads the packets of a group.
template <class S, int Width, int Packets>
inline std::array<Packet<S, Width>, std::size_t{Packets}> load_packets(const S* from) {
    std::array<Packet<S, Width>, std::size_t{Packets}> packets;
    BANTAM_UNROLL(4)
    for (std::size_t i = 0; i < Packets; ++i) packets[i] = load_packet<S, Width>(from + i * Width);
    return packets;
}

/// The same for a count known at run time; scalars that do not fill a packet are visited one by one.
template <class S, class Body>
inline void for_each_packet(Index count, Body&& body) {
    constexpr int width = lanes<S>;
    const Index full = count - count % width;
    for (Index offset = 0; offset < full; offset += width) body.template operator()<width>(offset);
    for (Index offset = full; offset < count; ++offset) body.template operator()<1>(offset);
}

}  // namespace bantam::cpu
