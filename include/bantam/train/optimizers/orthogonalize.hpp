// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

namespace bantam {

/// The iteration X ← a·X + X·(b·G + c·G²) with G = XᵀX, which moves every singular value of X from (0, 1] to about 0.7
/// to 1.2 in five steps, the smallest ones first of all: the quintic Newton–Schulz iteration of Muon (Jordan et al.,
/// "Muon: an optimizer for hidden layers in neural networks", 2024), whose coefficients these are. X starts as
/// M / (‖M‖ + ε).
struct NewtonSchulz {
    static constexpr int steps = 5;
    static constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
    static constexpr double epsilon = 1e-7;
};

namespace detail {

/// A few neighboring values: one register on machines with SIMD.
template <class S>
struct RegisterOf {
#ifdef __AVX__
    static constexpr std::size_t bytes = 32;
#else
    static constexpr std::size_t bytes = 16;
#endif
    typedef S type __attribute__((vector_size(bytes)));
};

/// One tile of `multiply`: as many rows as `Rows`, and as many columns as two T have elements. Folds, since loops over
/// sums in registers would have to be unrolled.
template <class T, class S, Index... Rows>
void multiply_tile(std::integer_sequence<Index, Rows...>, Index columns, Index depth, const S* __restrict a,
                   Index row_step, Index depth_step, const S* __restrict b, S* __restrict c) {
    constexpr std::size_t elements = sizeof(T) / sizeof(S);
    T left_sums[sizeof...(Rows)]{}, right_sums[sizeof...(Rows)]{};
    for (Index k = 0; k < depth; ++k) {
        T left, right;
        std::memcpy(&left, b + k * columns, sizeof left);
        std::memcpy(&right, b + k * columns + elements, sizeof right);
        const S* const factors = a + k * depth_step;
        ((left_sums[Rows] += factors[Rows * row_step] * left, right_sums[Rows] += factors[Rows * row_step] * right),
         ...);
    }
    ((std::memcpy(c + Rows * columns, &left_sums[Rows], sizeof(T)),
      std::memcpy(c + Rows * columns + elements, &right_sums[Rows], sizeof(T))),
     ...);
}

/// C[rows][columns] = A · B with A(i, k) = a[i · row_step + k · depth_step] and B [depth][columns]. Every element is
/// summed in order of k, whatever the machine's caches, so that the bits follow from the shapes alone.
template <class S>
void multiply(Index rows, Index columns, Index depth, const S* a, Index row_step, Index depth_step, const S* b, S* c) {
    using Register = typename RegisterOf<S>::type;
    constexpr auto tile_columns = static_cast<Index>(2 * sizeof(Register) / sizeof(S));
    const auto rows_of_tiles = [&](auto tile_rows, Index row) {
        const S* const factors = a + row * row_step;
        S* const sums = c + row * columns;
        Index column = 0;
        for (; column + tile_columns <= columns; column += tile_columns)
            multiply_tile<Register>(tile_rows, columns, depth, factors, row_step, depth_step, b + column,
                                    sums + column);
        for (; column + 2 <= columns; column += 2)
            multiply_tile<S>(tile_rows, columns, depth, factors, row_step, depth_step, b + column, sums + column);
        // The last one of an odd number of columns is computed with its neighbor.
        if (column < columns)
            multiply_tile<S>(tile_rows, columns, depth, factors, row_step, depth_step, b + column - 1,
                             sums + column - 1);
    };
    constexpr Index tile_rows = 4;
    Index row = 0;
    for (; row + tile_rows <= rows; row += tile_rows)
        rows_of_tiles(std::make_integer_sequence<Index, tile_rows>{}, row);
    for (; row < rows; ++row) rows_of_tiles(std::make_integer_sequence<Index, 1>{}, row);
}

}  // namespace detail

/// Replaces a matrix [rows][columns], of at least two of each, by one near U·Vᵀ of its singular value decomposition
/// U·S·Vᵀ: the same directions, all of about the same length. A matrix of zeros stays one.
template <class S>
void orthogonalize(Index rows, Index columns, S* matrix) {
    // The shorter side is that of G: a wide matrix is transposed.
    const bool wide = columns > rows;
    const Index height = std::max(rows, columns), width = std::min(rows, columns);
    const auto at = [&](Index row, Index column) { return wide ? column * columns + row : row * columns + column; };
    double squared_norm = 0;
    for (Index i = 0; i < rows * columns; ++i)
        squared_norm += static_cast<double>(matrix[i]) * static_cast<double>(matrix[i]);
    const auto factor = static_cast<S>(1 / (std::sqrt(squared_norm) + NewtonSchulz::epsilon));
    std::vector<S> x(static_cast<std::size_t>(height * width)), next(x.size());
    std::vector<S> gram(static_cast<std::size_t>(width * width)), polynomial(gram.size());
    for (Index row = 0; row < height; ++row)
        for (Index column = 0; column < width; ++column)
            x[static_cast<std::size_t>(row * width + column)] = matrix[at(row, column)] * factor;
    constexpr auto a = static_cast<S>(NewtonSchulz::a), b = static_cast<S>(NewtonSchulz::b),
                   c = static_cast<S>(NewtonSchulz::c);
    for (int step = 0; step < NewtonSchulz::steps; ++step) {
        detail::multiply(width, width, height, x.data(), 1, width, x.data(), gram.data());
        detail::multiply(width, width, width, gram.data(), width, 1, gram.data(), polynomial.data());
        for (std::size_t i = 0; i < gram.size(); ++i) polynomial[i] = b * gram[i] + c * polynomial[i];
        detail::multiply(height, width, width, x.data(), width, 1, polynomial.data(), next.data());
        for (std::size_t i = 0; i < x.size(); ++i) next[i] += a * x[i];
        std::swap(x, next);
    }
    for (Index row = 0; row < height; ++row)
        for (Index column = 0; column < width; ++column)
            matrix[at(row, column)] = x[static_cast<std::size_t>(row * width + column)];
}

}  // namespace bantam
