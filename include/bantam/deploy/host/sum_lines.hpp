// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/deploy/host/lanes.hpp>
#include <bantam/deploy/host/map_layout.hpp>
#include <bantam/deploy/stages/product.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace bantam::deploy::host {

/// The sum of `Paths` lines: saturate(⌊(rounding + Σ element · multiplier) / 2^shift⌋). A multiplier has 25 bits; it is
/// `high` · 2¹² + `low`, so that all products fit 32 bits: what 2¹² divides is added to the other sum, rounded down,
/// and the result is that of 64 bits. Multipliers of two paths lie in one word, as dot_pairs takes them.
template <int Paths>
struct LineSum {
    static constexpr int low_bits = 12;
    static constexpr int pairs = (Paths + 1) / 2;

    bool exact;  ///< whether it gives that result; where not, the lines must be added one element at a time
    int shift;   ///< of the high sum
    std::uint32_t high_start, low_start;
    std::array<std::uint32_t, std::size_t{pairs}> high, low;

    /// `offsets` are the paths' stored offsets.
    static LineSum of(int whole_shift, const std::array<std::int32_t, std::size_t{Paths}>& multipliers,
                      const std::array<int, std::size_t{Paths}>& offsets) {
        LineSum sum{};
        sum.shift = whole_shift - low_bits;
        std::int64_t start = std::int64_t{1} << (whole_shift - 1);
        std::int64_t largest = 0;
        for (std::size_t path = 0; path < Paths; ++path) {
            const std::int32_t multiplier = multipliers[path];
            start -= std::int64_t{multiplier} * offsets[path];
            largest += 256 * ((multiplier < 0 ? -std::int64_t{multiplier} : multiplier) + (1 << low_bits));
            const auto half = [path](std::int32_t bits) {
                return (static_cast<std::uint32_t>(bits) & 0xffff) << 16 * (path % 2);
            };
            sum.high[path / 2] |= half(multiplier >> low_bits);
            sum.low[path / 2] |= half(multiplier & ((1 << low_bits) - 1));
        }
        largest += start < 0 ? -start : start;
        sum.high_start = static_cast<std::uint32_t>(start >> low_bits);
        sum.low_start = static_cast<std::uint32_t>(start) & ((1 << low_bits) - 1);
        sum.exact = sum.shift >= 0 && sum.shift < 32 && largest >> low_bits < (std::int64_t{1} << 31) - 1;
        return sum;
    }
};

/// Adds lines of `blocks` blocks of channels, each at its first quad, and writes them with words of one kind to the
/// other where `transposed`.
template <int Paths, class Out, bool transposed>
[[gnu::noinline]] void add_lines(const LineSum<Paths>& sum,
                                 const std::array<const std::uint8_t*, std::size_t{Paths}>& lines,
                                 const std::array<int, std::size_t{Paths}>& block_bytes, int blocks, int quads,
                                 std::uint8_t* out, int output_block_bytes) {
    constexpr int quad_bytes = 4 * lanes;
    const Lanes high_start = Lanes{} + sum.high_start, low_start = Lanes{} + sum.low_start;
    for (int block = 0; block < blocks; ++block) {
        const auto at = [&](int path, int quad) __attribute__((always_inline)) {
            const auto p = static_cast<std::size_t>(path < Paths ? path : 0);
            return load(lines[p] + block * block_bytes[p] + quad * quad_bytes);
        };
        for (int quad = 0; quad < quads; ++quad) {
            Lanes high[4] = {high_start, high_start, high_start, high_start};
            Lanes low[4] = {low_start, low_start, low_start, low_start};
            unroll<LineSum<Paths>::pairs>([&](auto pair) __attribute__((always_inline)) {
                Lanes elements[4];
                interleave(at(2 * pair, quad), at(2 * pair + 1, quad), elements);
                unroll<4>([&](auto i) __attribute__((always_inline)) {
                    high[i] = dot_pairs(high[i], elements[i], Lanes{} + sum.high[pair]);
                    low[i] = dot_pairs(low[i], elements[i], Lanes{} + sum.low[pair]);
                });
            });
            unroll<4>([&](auto i) __attribute__((always_inline)) {
                high[i] = shift_right(high[i] + shift_right(low[i], LineSum<Paths>::low_bits), sum.shift);
            });
            store_elements<Out, transposed>(high, out + block * output_block_bytes + quad * quad_bytes);
        }
    }
}

}  // namespace bantam::deploy::host
