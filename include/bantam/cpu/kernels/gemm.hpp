// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/simd.hpp>

#include <algorithm>
#include <utility>

namespace bantam::cpu {

// A network's products are tall and thin: many positions, tens of channels. One register tile serves
// them all: up to `tile_rows` rows times one or two vectors of columns. The left factor comes in
// segments, so that a convolution's window needs no copy of its own.

/// Columns of a packed panel; the last panel is half as wide where that is enough.
template <class S>
inline constexpr int panel_width = 2 * lanes<S>;

/// Rows of the register tile: accumulators, two columns and a broadcast fill the register file.
inline constexpr int tile_rows = vector_bytes == 64 ? 12 : 6;

/// Scalars that a K×N matrix takes when packed into panels (the last one padded with zeros).
template <class S>
constexpr Index packed_panel_size(Index k, Index n) {
    return (n + lanes<S> - 1) / lanes<S> * lanes<S> * k;
}

/// Calls `body.template operator()<Vectors>(first column, columns)` for the panels of N columns.
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

/// Packs a K×N matrix, whose elements `element(k, n)` gives, into panels.
template <class S, class Element>
void pack_panels(Index k_count, Index n_count, Element&& element, S* packed) {
    for_each_panel<S>(n_count, [&]<int Vectors>(Index n0, Index width) {
        constexpr Index columns = Vectors * lanes<S>;
        for (Index k = 0; k < k_count; ++k, packed += columns) {
            for (Index n = 0; n < width; ++n) packed[n] = element(k, n0 + n);
            std::fill(packed + width, packed + columns, S{0});
        }
    });
}

/// A left factor in lines of `width` rows: element k of segment s in row x of line l lies at
/// `begins[l · count + s][shift + x · row_stride + k]`, and the segments' columns follow one another.
template <class S>
struct Segments {
    const S* const* begins;
    Index count;
    Index length;
    Index row_stride;
    Index width;
    Index shift = 0;
};

/// Two factors whose rows are multiplied with each other and summed: row t of line l lies at
/// `a[l] + t · a_stride` and `b[l] + t · b_stride`.
template <class S>
struct PairedRows {
    const S* const* a;
    Index a_stride;
    const S* const* b;
    Index b_stride;
    Index lines;
    Index width;
};

// What becomes of sums before they are stored is a finish: `finish.at(channel, fetch)` is a function of a
// vector of them, for the channels from `channel` on that `fetch` loads; `finish.from(channel)` counts
// channels from there.

/// Stores sums as they are.
template <class S>
struct IdentityEpilogue {
    IdentityEpilogue from(Index) const { return *this; }
    template <class Fetch>
    auto at(Index, Fetch&&) const {
        return [](const Vector<S>& sum) { return sum; };
    }
};

/// Adds a bias [channels].
template <class S>
struct BiasEpilogue {
    const S* bias;
    BiasEpilogue from(Index channel) const { return {bias + channel}; }
    template <class Fetch>
    auto at(Index channel, Fetch&& fetch) const {
        return [own = fetch(bias + channel)](const Vector<S>& sum) { return Vector<S>(sum + own); };
    }
};

/// One finish after another.
template <class First, class Second>
struct FinishInTurn {
    First first;
    Second second;
    FinishInTurn from(Index channel) const { return {first.from(channel), second.from(channel)}; }
    template <class Fetch>
    auto at(Index channel, Fetch&& fetch) const {
        return [one = first.at(channel, fetch), two = second.at(channel, fetch)](const auto& sum) {
            return two(one(sum));
        };
    }
};

/// `finish`, after the bias where there is one.
template <bool WithBias, class S, class Finish>
auto after_bias([[maybe_unused]] const S* bias, const Finish& finish) {
    if constexpr (WithBias)
        return FinishInTurn<BiasEpilogue<S>, Finish>{{bias}, finish};
    else
        return finish;
}

namespace detail {

// Always in line: sums whose address goes elsewhere do not stay in registers before.
template <int Rows, int Vectors, bool Accumulate, class S, class Finish>
[[gnu::always_inline]] inline void store_tile(const Vector<S> (&sums)[Rows][Vectors], S* c, Index c_stride, Index width,
                                              const Finish& finish) {
    const auto put = [&](int v, auto&& fetch, auto&& keep) __attribute__((always_inline)) {
        const auto finished = finish.at(v * lanes<S>, fetch);
        BANTAM_UNROLL(12)
        for (int row = 0; row < Rows; ++row) {
            S* out = c + row * c_stride + v * lanes<S>;
            Vector<S> sum = sums[row][v];
            if (Accumulate) sum += fetch(out);
            keep(out, finished(sum));
        }
    };
    const auto put_whole = [&](int v) __attribute__((always_inline)) {
        put(v, [](const S* from) { return load(from); }, [](S* to, const Vector<S>& sum) { store(to, sum); });
    };
    if constexpr (Vectors == 2) put_whole(0);
    constexpr int last = Vectors - 1;
    if (const Index rest = width - last * lanes<S>; rest == lanes<S>)
        put_whole(last);
    else
        put(
            last, [=](const S* from) { return load_n(from, rest); },
            [=](S* to, const Vector<S>& sum) { store_n(to, sum, rest); });
}

/// sums[row] += Σ_k from[row][k] · b[k] for k < length, which is at least 1.
template <int Rows, int Vectors, class S>
[[gnu::always_inline]] inline void add_products(Vector<S> (&sums)[Rows][Vectors], const S* const (&from)[Rows],
                                                Index length, const S* b) {
    Index k = 0;
    do {
        Vector<S> columns[Vectors];
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
[[gnu::always_inline]] inline void clear(Vector<S> (&sums)[Rows][Vectors]) {
    BANTAM_UNROLL(12)
    for (int row = 0; row < Rows; ++row) {
        BANTAM_UNROLL(2)
        for (int v = 0; v < Vectors; ++v) sums[row][v] = Vector<S>{};
    }
}

/// C[Rows × width] = or += A · b for row-major A, b packed.
template <int Rows, int Vectors, bool Accumulate, class S, class Finish>
inline void plain_tile(const S* a, Index a_stride, Index k_count, const S* b, S* c, Index c_stride, Index width,
                       const Finish& finish) {
    Vector<S> sums[Rows][Vectors];
    clear<Rows, Vectors, S>(sums);
    const S* from[Rows];
    BANTAM_UNROLL(12)
    for (int row = 0; row < Rows; ++row) from[row] = a + row * a_stride;
    add_products<Rows, Vectors, S>(sums, from, k_count, b);
    store_tile<Rows, Vectors, Accumulate, S>(sums, c, c_stride, width, finish);
}

/// C[Rows × width] = Σ over segments and k of left(first_row + row, k) · b[k], b packed.
template <int Rows, int Vectors, class S, class Finish>
inline void window_tile(const Segments<S>& left, Index first_row, const S* b, S* c, Index c_stride, Index width,
                        const Finish& finish) {
    // A tile may go on in the next line.
    const S* const* begins[Rows];
    Index offsets[Rows];
    Index x = first_row % left.width;
    const S* const* line = left.begins + first_row / left.width * left.count;
    BANTAM_UNROLL(12)
    for (int row = 0; row < Rows; ++row) {
        begins[row] = line;
        offsets[row] = left.shift + x * left.row_stride;
        if (++x == left.width) {
            x = 0;
            line += left.count;
        }
    }
    Vector<S> sums[Rows][Vectors];
    clear<Rows, Vectors, S>(sums);
    Index segment = 0;
    do {
        const S* from[Rows];
        BANTAM_UNROLL(12)
        for (int row = 0; row < Rows; ++row) from[row] = begins[row][segment] + offsets[row];
        add_products<Rows, Vectors, S>(sums, from, left.length, b + segment * left.length * Vectors * lanes<S>);
    } while (++segment < left.count);
    store_tile<Rows, Vectors, false, S>(sums, c, c_stride, width, finish);
}

/// The same within one line, for segments of `Length` scalars in rows `Step` scalars apart.
template <int Rows, int Vectors, Index Length, Index Step, class S, class Finish>
inline void line_tile(const S* const* begins, Index count, Index shift, const S* b, S* c, Index c_stride, Index width,
                      const Finish& finish) {
    Vector<S> sums[Rows][Vectors];
    clear<Rows, Vectors, S>(sums);
    Index segment = 0;
    do {
        const S* begin = begins[segment] + shift;
        const S* from[Rows];
        BANTAM_UNROLL(12)
        for (int row = 0; row < Rows; ++row) from[row] = begin + row * Step;
        add_products<Rows, Vectors, S>(sums, from, Length, b + segment * Length * Vectors * lanes<S>);
    } while (++segment < count);
    store_tile<Rows, Vectors, false, S>(sums, c, c_stride, width, finish);
}

/// C[Rows × width] += Σ over the rows of a[first_row + row] · b[first_column + column]. Reads whole vectors of b.
template <int Rows, int Vectors, class S>
inline void transposed_tile(const PairedRows<S>& factors, Index first_row, Index first_column, S* c, Index c_stride,
                            Index width) {
    Vector<S> sums[Rows][Vectors];
    clear<Rows, Vectors, S>(sums);
    const Index a_stride = factors.a_stride;
    const Index b_stride = factors.b_stride;
    Index line = 0;
    do {
        const S* a = factors.a[line] + first_row;
        const S* b = factors.b[line] + first_column;
        Index t = factors.width;
        do {
            Vector<S> columns[Vectors];
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

/// Calls `tile.template operator()<Rows>(first row)` so that tiles of nearly one size cover `rows`.
template <class Tile>
inline void for_each_tile(Index rows, Tile&& tile) {
    const Index tiles = (rows + tile_rows - 1) / tile_rows;
    Index first = 0;
    for (Index i = 0; i < tiles; ++i) {
        const Index end = rows * (i + 1) / tiles;
        [&]<int... Less>(std::integer_sequence<int, Less...>) {
            static_cast<void>((
                (end - first == tile_rows - Less ? (tile.template operator()<tile_rows - Less>(first), true) : false) ||
                ...));
        }(std::make_integer_sequence<int, tile_rows>{});
        first = end;
    }
}

}  // namespace detail

/// C[rows×N] = left · B, B packed: the first rows of the left factor's lines.
template <class S, class Finish = IdentityEpilogue<S>>
void multiply_windows(Index rows, const Segments<S>& left, const S* packed_b, Index n, S* c, Index c_stride,
                      const Finish& finish = {}) {
    const Index k = left.count * left.length;
    for_each_panel<S>(n, [&]<int Vectors>(Index n0, Index width) {
        const auto finish_here = finish.from(n0);
        detail::for_each_tile(rows, [&]<int Rows>(Index row) {
            detail::window_tile<Rows, Vectors, S>(left, row, packed_b + n0 * k, c + row * c_stride + n0, c_stride,
                                                  width, finish_here);
        });
    });
}

/// The same for one line, `left.width` rows, where the segments' length and row stride are known at
/// compile time: addresses take no registers, which tells where segments are short.
template <Index Length, Index Step, class S, class Finish = IdentityEpilogue<S>>
void multiply_line(const Segments<S>& left, const S* packed_b, Index n, S* c, Index c_stride,
                   const Finish& finish = {}) {
    const Index k = left.count * Length;
    for_each_panel<S>(n, [&]<int Vectors>(Index n0, Index width) {
        const auto finish_here = finish.from(n0);
        detail::for_each_tile(left.width, [&]<int Rows>(Index row) {
            detail::line_tile<Rows, Vectors, Length, Step, S>(left.begins, left.count, left.shift + row * Step,
                                                              packed_b + n0 * k, c + row * c_stride + n0, c_stride,
                                                              width, finish_here);
        });
    });
}

/// C[M×N] = (or += where `Accumulate`) A[M×K] · B[K×N] with row-major A and C and packed B.
template <bool Accumulate, class S, class Finish = IdentityEpilogue<S>>
void multiply(Index m, Index n, Index k, const S* a, Index a_stride, const S* packed_b, S* c, Index c_stride,
              const Finish& finish = {}) {
    // A block of rows stays in the first-level cache while every panel passes over it.
    const Index block = std::max<Index>(1, 6144 / k / tile_rows) * tile_rows;
    for (Index m0 = 0; m0 < m; m0 += block)
        for_each_panel<S>(n, [&]<int Vectors>(Index n0, Index width) {
            const auto finish_here = finish.from(n0);
            detail::for_each_tile(std::min(block, m - m0), [&]<int Rows>(Index row) {
                detail::plain_tile<Rows, Vectors, Accumulate, S>(a + (m0 + row) * a_stride, a_stride, k,
                                                                 packed_b + n0 * k, c + (m0 + row) * c_stride + n0,
                                                                 c_stride, width, finish_here);
            });
        });
}

/// C[M×N] += Aᵀ · B, with whole vectors of B readable at the end of a row.
template <class S>
void multiply_transposed_padded(Index m, Index n, const PairedRows<S>& factors, S* c, Index c_stride) {
    for_each_panel<S>(n, [&]<int Vectors>(Index n0, Index width) {
        detail::for_each_tile(m, [&]<int Rows>(Index row) {
            detail::transposed_tile<Rows, Vectors, S>(factors, row, n0, c + row * c_stride + n0, c_stride, width);
        });
    });
}

/// Scalars of scratch that `multiply_transposed` needs.
template <class S>
inline constexpr Index transposed_scratch = 128 * lanes<S>;

/// C[M×N] += Aᵀ · B for row-major A[T×M] and B[T×N] with long T.
template <class S>
void multiply_transposed(Index m, Index n, Index t, const S* a, Index a_stride, const S* b, Index b_stride, S* c,
                         Index c_stride, S* scratch) {
    constexpr Index block = transposed_scratch<S> / lanes<S>;
    // Columns in whole vectors; a narrow end is copied, since a whole vector would read past the matrix.
    const Index whole = n / lanes<S> * lanes<S>;
    for (Index t0 = 0; t0 < t; t0 += block) {
        const Index depth = std::min(block, t - t0);
        const S* a_begin = a + t0 * a_stride;
        const S* b_begin = b + t0 * b_stride;
        multiply_transposed_padded<S>(m, whole, {&a_begin, a_stride, &b_begin, b_stride, 1, depth}, c, c_stride);
        if (whole == n) continue;
        const S* end = b_begin + whole;
        const S* copied = scratch;
        pack_panels(depth, n - whole, [&](Index k, Index column) { return end[k * b_stride + column]; }, scratch);
        multiply_transposed_padded<S>(m, n - whole, {&a_begin, a_stride, &copied, lanes<S>, 1, depth}, c + whole,
                                      c_stride);
    }
}

}  // namespace bantam::cpu
