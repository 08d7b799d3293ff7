// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/simd.hpp>

#include <algorithm>
#include <cstdint>

namespace bantam::cpu {

// A network's products are tall and thin: many positions, tens of channels. One register tile serves
// them all: `Rows` rows times two vectors of columns, with free strides on the left factor, so that
// plain and transposed products differ only in the strides they pass.

/// Columns of a packed panel.
template <class S>
inline constexpr int panel_width = 2 * lanes<S>;

/// Rows of the register tile: accumulators, two columns and a broadcast fill the register file.
inline constexpr int tile_rows = vector_bytes == 64 ? 12 : 6;

/// Scalars that a K×N matrix takes when packed into panels (the last one padded with zeros).
template <class S>
constexpr std::int64_t packed_size(std::int64_t k, std::int64_t n) {
    return (n + panel_width<S> - 1) / panel_width<S> * panel_width<S> * k;
}

/// Packs a K×N matrix, element (k, n) at `matrix[k·k_stride + n·n_stride]`, into panels.
template <class S>
void pack_panels(std::int64_t k_count, std::int64_t n_count, const S* matrix, std::int64_t k_stride,
                 std::int64_t n_stride, S* packed) {
    for (std::int64_t n0 = 0; n0 < n_count; n0 += panel_width<S>) {
        const std::int64_t width = std::min<std::int64_t>(panel_width<S>, n_count - n0);
        for (std::int64_t k = 0; k < k_count; ++k, packed += panel_width<S>) {
            for (std::int64_t n = 0; n < width; ++n) packed[n] = matrix[k * k_stride + (n0 + n) * n_stride];
            std::fill(packed + width, packed + panel_width<S>, S{0});
        }
    }
}

namespace detail {

template <class S>
struct Left {
    const S* data;
    std::int64_t row_stride;
    std::int64_t k_stride;
};

/// One tile: C[Rows × width] = or += Σₖ left(row, k) · b[k·b_stride + column].
template <int Rows, bool Accumulate, class S>
inline void product_tile(std::int64_t k_count, Left<S> left, const S* b, std::int64_t b_stride, S* c,
                         std::int64_t c_stride, std::int64_t width) {
    Vector<S> sums[Rows][2];
    BANTAM_UNROLL(12)
    for (int row = 0; row < Rows; ++row) sums[row][0] = sums[row][1] = Vector<S>{};
    for (std::int64_t k = 0; k < k_count; ++k) {
        const Vector<S> b0 = load(b + k * b_stride);
        const Vector<S> b1 = load(b + k * b_stride + lanes<S>);
        const S* column = left.data + k * left.k_stride;
        BANTAM_UNROLL(12)
        for (int row = 0; row < Rows; ++row) {
            const Vector<S> a = broadcast(column[row * left.row_stride]);
            sums[row][0] += a * b0;
            sums[row][1] += a * b1;
        }
    }
    BANTAM_UNROLL(12)
    for (int row = 0; row < Rows; ++row) {
        S* out = c + row * c_stride;
        if (width == panel_width<S>) {
            if (Accumulate) {
                sums[row][0] += load(out);
                sums[row][1] += load(out + lanes<S>);
            }
            store(out, sums[row][0]);
            store(out + lanes<S>, sums[row][1]);
        } else {
            const std::int64_t first = std::min<std::int64_t>(width, lanes<S>);
            if (Accumulate) {
                sums[row][0] += load_some(out, first);
                sums[row][1] += load_some(out + first, width - first);
            }
            store_some(out, sums[row][0], first);
            store_some(out + first, sums[row][1], width - first);
        }
    }
}

template <bool Accumulate, class S>
inline void product_rows(std::int64_t rows, std::int64_t k_count, Left<S> left, const S* b,
                         std::int64_t b_stride, S* c, std::int64_t c_stride, std::int64_t width) {
    std::int64_t row = 0;
    const auto tile = [&]<int Rows>() {
        product_tile<Rows, Accumulate, S>(k_count, {left.data + row * left.row_stride, left.row_stride, left.k_stride},
                                          b, b_stride, c + row * c_stride, c_stride, width);
        row += Rows;
    };
    while (rows - row >= tile_rows) tile.template operator()<tile_rows>();
    while (rows - row >= 4) tile.template operator()<4>();
    while (rows - row >= 1) tile.template operator()<1>();
}

}  // namespace detail

/// C[M×N] = (or += where `Accumulate`) A[M×K] · B[K×N] with row-major A and C and packed B.
template <bool Accumulate, class S>
void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const S* a, std::int64_t a_stride,
              const S* packed_b, S* c, std::int64_t c_stride) {
    // A block of rows stays in the second-level cache while every panel passes over it.
    constexpr std::int64_t block = 16 * tile_rows;
    for (std::int64_t m0 = 0; m0 < m; m0 += block) {
        const std::int64_t rows = std::min(block, m - m0);
        for (std::int64_t n0 = 0; n0 < n; n0 += panel_width<S>)
            detail::product_rows<Accumulate, S>(rows, k, {a + m0 * a_stride, a_stride, 1}, packed_b + n0 * k,
                                                panel_width<S>, c + m0 * c_stride + n0, c_stride,
                                                std::min<std::int64_t>(panel_width<S>, n - n0));
    }
}

/// Scalars of scratch that `multiply_transposed` needs.
template <class S>
inline constexpr std::int64_t transposed_scratch = 128 * panel_width<S>;

/// C[M×N] += Aᵀ · B for row-major A[T×M] and B[T×N] with long T.
template <class S>
void multiply_transposed(std::int64_t m, std::int64_t n, std::int64_t t, const S* a, std::int64_t a_stride,
                         const S* b, std::int64_t b_stride, S* c, std::int64_t c_stride, S* scratch) {
    constexpr std::int64_t block = transposed_scratch<S> / panel_width<S>;
    for (std::int64_t t0 = 0; t0 < t; t0 += block) {
        const std::int64_t depth = std::min(block, t - t0);
        for (std::int64_t n0 = 0; n0 < n; n0 += panel_width<S>) {
            const std::int64_t width = std::min<std::int64_t>(panel_width<S>, n - n0);
            const S* columns = b + t0 * b_stride + n0;
            std::int64_t stride = b_stride;
            if (width < panel_width<S>) {
                // A narrow last panel is copied, since a whole vector would read past the matrix.
                pack_panels(depth, width, columns, b_stride, std::int64_t{1}, scratch);
                columns = scratch;
                stride = panel_width<S>;
            }
            detail::product_rows<true, S>(m, depth, {a + t0 * a_stride, 1, a_stride}, columns, stride, c + n0,
                                          c_stride, width);
        }
    }
}

}  // namespace bantam::cpu
