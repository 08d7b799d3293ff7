// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/kernels/epilogue.hpp>
#include <bantam/cpu/runtime/simd.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

namespace bantam::cpu {

// Matrix products for many rows (positions) and few columns (tens of channels). One register tile serves all
// of them: up to `tile_rows` rows times one or two vectors of columns. The right factor is packed into panels.
// The left factor may be indirect, given by pointers to its segments, so that a convolution needs no im2col copy.

/// Columns of a packed panel; the last panel has half as many if these suffice.
template <class S>
inline constexpr int panel_width = 2 * lanes<S>;

/// Rows of the register tile: its sums, two vectors of columns and a broadcast fill the register file.
inline constexpr int tile_rows = vector_bytes == 64 ? 12 : 6;

/// Scalars of a K×N matrix packed into panels, the last one padded with zeros.
template <class S>
constexpr Index packed_panel_size(Index k, Index n) {
    return (n + lanes<S> - 1) / lanes<S> * lanes<S> * k;
}

/// Calls `body.template operator()<Vectors>(first column, columns)` for each panel of N columns.
template <class S, class Body>
inline void for_each_panel(Index n, Body&& body) {
    for (Index n0 = 0; n0 < n; n0 += panel_width<S>) {
        const Index width = std::min<Index>(panel_width<S>, n - n0);
        if (width <= lanes<S>)
            body.template operator()<1>(n0, width);
        else
            body.template operator()<2>(n0, width);
    }
}

/// A dimension of a matrix in memory: how many elements, and how many scalars apart.
struct Extent {
    Index count;
    Index stride;
};

/// Packs a K×N matrix into panels. Its rows k = o · inner.count + i have two dimensions, and element (k, n) is
/// from[o · outer.stride + i · inner.stride + n · columns.stride].
template <class S>
[[gnu::noinline]] void pack_panels(const S* from, Extent outer, Extent inner, Extent columns, S* packed) {
    for (Index n0 = 0; n0 < columns.count; n0 += panel_width<S>) {
        const Index width = std::min<Index>(panel_width<S>, columns.count - n0);
        const Index padded = width <= lanes<S> ? lanes<S> : panel_width<S>;
        for (Index o = 0; o < outer.count; ++o)
            for (Index i = 0; i < inner.count; ++i, packed += padded) {
                const S* row = from + o * outer.stride + i * inner.stride + n0 * columns.stride;
                for (Index n = 0; n < width; ++n) packed[n] = row[n * columns.stride];
                std::fill(packed + width, packed + padded, S{0});
            }
    }
}

/// A left factor given by pointers to its parts, an indirection buffer. Its rows form lines of `width` rows, and
/// each line has `count` segments of `length` columns: element k of segment s in row x of line l is
/// `segments[l · count + s][shift + x · row_stride + k]`.
template <class S>
struct IndirectMatrix {
    const S* const* segments;
    Index count;
    Index length;
    Index row_stride;
    Index width;
    Index shift = 0;
};

/// The factors of Aᵀ · B in `lines` lines of `width` rows: row t of line l is `a[l] + t · a_stride` and
/// `b[l] + t · b_stride`.
template <class S>
struct PairedLines {
    const S* const* a;
    Index a_stride;
    const S* const* b;
    Index b_stride;
    Index lines;
    Index width;
};

namespace detail {

// Bounds are std::size_t{Rows}, because g++ 12 warns about the sign of an int argument of a template.
template <class S, int Rows, int Vectors>
using Tile = Vector<S>[std::size_t{Rows}][std::size_t{Vectors}];

// Always inlined: sums whose address is passed to another function do not stay in registers.
template <int Rows, int Vectors, bool Accumulate, class S, RegisterEpilogue<S> Epilogue>
[[gnu::always_inline]] inline void store_tile(const Tile<S, Rows, Vectors>& sums, S* c, Index c_stride, Index width,
                                              const Epilogue& epilogue) {
    const auto store_columns = [&](int v, auto&& load_vector, auto&& store_vector) __attribute__((always_inline)) {
        const auto columns = epilogue.columns(v * lanes<S>, load_vector);
        BANTAM_UNROLL(12)
        for (int row = 0; row < Rows; ++row) {
            S* out = c + row * c_stride + v * lanes<S>;
            Vector<S> sum = sums[row][v];
            if (Accumulate) sum += load_vector(out);
            store_vector(out, columns(sum));
        }
    };
    const auto store_whole = [&](int v) __attribute__((always_inline)) {
        store_columns(v, [](const S* from) { return load(from); }, [](S* to, const Vector<S>& sum) { store(to, sum); });
    };
    if constexpr (Vectors == 2) store_whole(0);
    constexpr int last = Vectors - 1;
    if (const Index rest = width - last * lanes<S>; rest == lanes<S>)
        store_whole(last);
    else
        store_columns(
            last, [=](const S* from) { return load_n(from, rest); },
            [=](S* to, const Vector<S>& sum) { store_n(to, sum, rest); });
}

/// sums[row] += Σ_k from[row][k] · b[k] over k < length; length ≥ 1.
template <int Rows, int Vectors, class S>
[[gnu::always_inline]] inline void add_products(Tile<S, Rows, Vectors>& sums, const S* const (&from)[std::size_t{Rows}],
                                                Index length, const S* b) {
    Index k = 0;
    do {
        Vector<S> columns[std::size_t{Vectors}];
        BANTAM_UNROLL(2)
        for (int v = 0; v < Vectors; ++v) columns[v] = load(b + v * lanes<S>);
        BANTAM_UNROLL(12)
        for (int row = 0; row < Rows; ++row) {
            const Vector<S> a = broadcast(from[row][k]);
            BANTAM_UNROLL(2)
            for (int v = 0; v < Vectors; ++v) sums[row][v] += a * columns[v];
        }
        b += Vectors * lanes<S>;
    } while (++k < length);
}

template <int Rows, int Vectors, class S>
[[gnu::always_inline]] inline void clear(Tile<S, Rows, Vectors>& sums) {
    BANTAM_UNROLL(12)
    for (int row = 0; row < Rows; ++row) {
        BANTAM_UNROLL(2)
        for (int v = 0; v < Vectors; ++v) sums[row][v] = Vector<S>{};
    }
}

/// C[Rows × width] = (or += where `Accumulate`) A · b with row-major A and packed b.
template <int Rows, int Vectors, bool Accumulate, class S, RegisterEpilogue<S> Epilogue>
inline void tile(const S* a, Index a_stride, Index k_count, const S* b, S* c, Index c_stride, Index width,
                 const Epilogue& epilogue) {
    Tile<S, Rows, Vectors> sums;
    clear<Rows, Vectors, S>(sums);
    const S* from[std::size_t{Rows}];
    BANTAM_UNROLL(12)
    for (int row = 0; row < Rows; ++row) from[row] = a + row * a_stride;
    add_products<Rows, Vectors, S>(sums, from, k_count, b);
    store_tile<Rows, Vectors, Accumulate, S>(sums, c, c_stride, width, epilogue);
}

/// C[Rows × width] = left[first_row … first_row + Rows) · b, b packed.
template <int Rows, int Vectors, class S, RegisterEpilogue<S> Epilogue>
inline void indirect_tile(const IndirectMatrix<S>& left, Index first_row, const S* b, S* c, Index c_stride, Index width,
                          const Epilogue& epilogue) {
    // The rows of a tile may belong to several lines.
    const S* const* segments[std::size_t{Rows}];
    Index offsets[std::size_t{Rows}];
    Index x = first_row % left.width;
    const S* const* line = left.segments + first_row / left.width * left.count;
    BANTAM_UNROLL(12)
    for (int row = 0; row < Rows; ++row) {
        segments[row] = line;
        offsets[row] = left.shift + x * left.row_stride;
        if (++x == left.width) {
            x = 0;
            line += left.count;
        }
    }
    Tile<S, Rows, Vectors> sums;
    clear<Rows, Vectors, S>(sums);
    Index segment = 0;
    do {
        const S* from[std::size_t{Rows}];
        BANTAM_UNROLL(12)
        for (int row = 0; row < Rows; ++row) from[row] = segments[row][segment] + offsets[row];
        add_products<Rows, Vectors, S>(sums, from, left.length, b + segment * left.length * Vectors * lanes<S>);
    } while (++segment < left.count);
    store_tile<Rows, Vectors, false, S>(sums, c, c_stride, width, epilogue);
}

/// The same within one line, for segments of `Length` scalars and rows `RowStride` scalars apart.
template <int Rows, int Vectors, Index Length, Index RowStride, class S, RegisterEpilogue<S> Epilogue>
inline void line_tile(const S* const* segments, Index count, Index shift, const S* b, S* c, Index c_stride, Index width,
                      const Epilogue& epilogue) {
    Tile<S, Rows, Vectors> sums;
    clear<Rows, Vectors, S>(sums);
    Index segment = 0;
    do {
        const S* first = segments[segment] + shift;
        const S* from[std::size_t{Rows}];
        BANTAM_UNROLL(12)
        for (int row = 0; row < Rows; ++row) from[row] = first + row * RowStride;
        add_products<Rows, Vectors, S>(sums, from, Length, b + segment * Length * Vectors * lanes<S>);
    } while (++segment < count);
    store_tile<Rows, Vectors, false, S>(sums, c, c_stride, width, epilogue);
}

/// C[row, column] += Σ_t a[t, first_row + row] · b[t, first_column + column]. Reads whole vectors of b.
template <int Rows, int Vectors, class S>
inline void transposed_tile(const PairedLines<S>& factors, Index first_row, Index first_column, S* c, Index c_stride,
                            Index width) {
    Tile<S, Rows, Vectors> sums;
    clear<Rows, Vectors, S>(sums);
    const Index a_stride = factors.a_stride;
    const Index b_stride = factors.b_stride;
    Index line = 0;
    do {
        const S* a = factors.a[line] + first_row;
        const S* b = factors.b[line] + first_column;
        Index t = factors.width;
        do {
            Vector<S> columns[std::size_t{Vectors}];
            BANTAM_UNROLL(2)
            for (int v = 0; v < Vectors; ++v) columns[v] = load(b + v * lanes<S>);
            BANTAM_UNROLL(12)
            for (int row = 0; row < Rows; ++row) {
                const Vector<S> factor = broadcast(a[row]);
                BANTAM_UNROLL(2)
                for (int v = 0; v < Vectors; ++v) sums[row][v] += factor * columns[v];
            }
            a += a_stride;
            b += b_stride;
        } while (--t > 0);
    } while (++line < factors.lines);
    store_tile<Rows, Vectors, true, S>(sums, c, c_stride, width, IdentityEpilogue<S>{});
}

// Every height of a tile is compiled by itself, so rows counted at run time have tiles of few heights.
inline constexpr std::array<int, 5> tile_heights{1, 2, tile_rows / 3, tile_rows * 2 / 3, tile_rows};

/// The height of the next tile when `left` of `rows` rows are left.
template <bool MayOverlap>
constexpr int tile_height(Index rows, Index left) {
    if (left > tile_rows + tile_rows / 3) return tile_rows;
    if (left > tile_rows) return tile_rows * 2 / 3;
    int fitting = 1;
    for (const int height : tile_heights) {
        if (height == left || (height > left && MayOverlap && height <= rows)) return height;
        if (height > left) break;
        fitting = height;
    }
    return fitting;
}

/// Calls `tile.template operator()<Rows>(first row)` for tiles that cover `rows`. Where `MayOverlap`, the last one may
/// begin before the end of the one before it, and compute some rows a second time.
template <bool MayOverlap, class Tile>
inline void for_each_tile(Index rows, Tile&& tile) {
    for (Index left = rows; left > 0;) {
        const int height = tile_height<MayOverlap>(rows, left);
        const Index first = rows - std::max<Index>(left, height);
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            constexpr std::size_t last = sizeof...(Is) - 1;
            static_cast<void>(
                ((height == tile_heights[last - Is] ? (tile.template operator()<tile_heights[last - Is]>(first), true)
                                                    : false) ||
                 ...));
        }(std::make_index_sequence<tile_heights.size()>{});
        left -= height;
    }
}

/// The same for rows counted at compile time, with tiles of nearly equal height.
template <Index Rows, class Tile>
inline void for_each_tile(Tile&& tile) {
    constexpr Index tiles = (Rows + tile_rows - 1) / tile_rows;
    constexpr int height = static_cast<int>(Rows / tiles);
    constexpr Index higher = Rows % tiles;  // tiles with one row more
    if constexpr (higher > 0)
        for (Index i = 0; i < higher; ++i) tile.template operator()<height + 1>(i * (height + 1));
    for (Index i = higher; i < tiles; ++i) tile.template operator()<height>(higher + i * height);
}

}  // namespace detail

/// C[rows×N] = the first `rows` rows of left · B, B packed (Dukhan, "The Indirect Convolution Algorithm", 2019).
template <class S, RegisterEpilogue<S> Epilogue = IdentityEpilogue<S>>
void multiply_indirect(Index rows, const IndirectMatrix<S>& left, const S* packed_b, Index n, S* c, Index c_stride,
                       const Epilogue& epilogue = {}) {
    const Index k = left.count * left.length;
    for_each_panel<S>(n, [&]<int Vectors>(Index n0, Index width) {
        const auto panel_epilogue = epilogue.starting_at(n0);
        detail::for_each_tile<true>(rows, [&]<int Rows>(Index row) {
            detail::indirect_tile<Rows, Vectors, S>(left, row, packed_b + n0 * k, c + row * c_stride + n0, c_stride,
                                                    width, panel_epilogue);
        });
    });
}

/// The same for one line of `Width` rows, with segment length and row stride known at compile time, too. Addresses
/// then need no registers, which makes short segments faster.
template <Index Width, Index Length, Index RowStride, class S, RegisterEpilogue<S> Epilogue = IdentityEpilogue<S>>
void multiply_indirect_line(const IndirectMatrix<S>& left, const S* packed_b, Index n, S* c, Index c_stride,
                            const Epilogue& epilogue = {}) {
    const Index k = left.count * Length;
    for_each_panel<S>(n, [&]<int Vectors>(Index n0, Index width) {
        const auto panel_epilogue = epilogue.starting_at(n0);
        detail::for_each_tile<Width>([&]<int Rows>(Index row) {
            detail::line_tile<Rows, Vectors, Length, RowStride, S>(
                left.segments, left.count, left.shift + row * RowStride, packed_b + n0 * k, c + row * c_stride + n0,
                c_stride, width, panel_epilogue);
        });
    });
}

/// C[M×N] = (or += where `Accumulate`) A[M×K] · B[K×N] with row-major A and C and packed B.
template <bool Accumulate, class S, RegisterEpilogue<S> Epilogue = IdentityEpilogue<S>>
[[gnu::noinline]] void multiply(Index m, Index n, Index k, const S* a, Index a_stride, const S* packed_b, S* c,
                                Index c_stride, const Epilogue& epilogue = {}) {
    // A slice of rows stays in the first-level cache while it is multiplied by every panel.
    const Index slice = std::max<Index>(1, 6144 / k / tile_rows) * tile_rows;
    for (Index m0 = 0; m0 < m; m0 += slice)
        for_each_panel<S>(n, [&]<int Vectors>(Index n0, Index width) {
            const auto panel_epilogue = epilogue.starting_at(n0);
            detail::for_each_tile<!Accumulate>(std::min(slice, m - m0), [&]<int Rows>(Index row) {
                detail::tile<Rows, Vectors, Accumulate, S>(a + (m0 + row) * a_stride, a_stride, k, packed_b + n0 * k,
                                                           c + (m0 + row) * c_stride + n0, c_stride, width,
                                                           panel_epilogue);
            });
        });
}

/// C[M×N] += Aᵀ · B, where whole vectors of B can be read at the end of a row.
template <Index M, class S>
void multiply_transposed_padded(Index n, const PairedLines<S>& factors, S* c, Index c_stride) {
    for_each_panel<S>(n, [&]<int Vectors>(Index n0, Index width) {
        detail::for_each_tile<M>([&]<int Rows>(Index row) {
            detail::transposed_tile<Rows, Vectors, S>(factors, row, n0, c + row * c_stride + n0, c_stride, width);
        });
    });
}

/// Scalars of scratch that `multiply_transposed` needs.
template <class S>
inline constexpr Index transposed_scratch_size = 128 * lanes<S>;

/// C[M×N] += Aᵀ · B for row-major A[T×M] and B[T×N] with large T.
template <Index M, class S>
void multiply_transposed(Index n, Index t, const S* a, Index a_stride, const S* b, Index b_stride, S* c, Index c_stride,
                         S* scratch) {
    constexpr Index slice = transposed_scratch_size<S> / lanes<S>;
    // Columns that fill vectors are read in place; the others are copied, as a whole vector would read past B.
    const Index whole = n / lanes<S> * lanes<S>;
    for (Index t0 = 0; t0 < t; t0 += slice) {
        const Index depth = std::min(slice, t - t0);
        const S* a_slice = a + t0 * a_stride;
        const S* b_slice = b + t0 * b_stride;
        multiply_transposed_padded<M, S>(whole, {&a_slice, a_stride, &b_slice, b_stride, 1, depth}, c, c_stride);
        if (whole == n) continue;
        const S* rest = b_slice + whole;
        const S* copied = scratch;
        pack_panels(rest, {1, 0}, {depth, b_stride}, {n - whole, 1}, scratch);
        multiply_transposed_padded<M, S>(n - whole, {&a_slice, a_stride, &copied, lanes<S>, 1, depth}, c + whole,
                                         c_stride);
    }
}

}  // namespace bantam::cpu
