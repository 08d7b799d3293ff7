// SPDX-License-Identifier: MIT
// Each matrix product equals the triple loop and writes only its part of C.
#define BOOST_TEST_MODULE cpu_gemm
#include <boost/test/unit_test.hpp>

#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/cpu/kernels/gemm.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

using namespace bantam;

namespace {

using Scalars = std::tuple<float, double>;

constexpr Index max_rows = 13;  // a full tile and one row
constexpr Index max_columns = 40;
constexpr Index depths[] = {1, 2, 7, 33};

template <class S>
std::vector<S> numbers(Index size, std::uint64_t stream) {
    Random random{5, stream};
    std::vector<S> values(static_cast<std::size_t>(size));
    for (S& value : values) value = static_cast<S>(random.uniform(-1, 1));
    return values;
}

template <class S>
std::vector<S> packed(Index k_count, Index n_count, const std::vector<S>& b) {
    std::vector<S> panels(static_cast<std::size_t>(cpu::packed_panel_size<S>(k_count, n_count)),
                          std::numeric_limits<S>::quiet_NaN());
    cpu::pack_panels(b.data(), {1, 0}, {k_count, n_count}, {n_count, 1}, panels.data());
    return panels;
}

/// A matrix inside a larger one, whose other scalars must not change.
template <class S>
struct Framed {
    static constexpr Index frame = 19;  // more than a vector
    Index rows, columns;
    Index stride = columns + 2 * frame;
    std::vector<S> before, values;

    Framed(Index row_count, Index column_count)
        : rows{row_count}, columns{column_count}, before{numbers<S>((rows + 2) * stride, 9)}, values{before} {}

    S* begin() { return values.data() + stride + frame; }

    /// Whether C equals `expected(row, column, old value)` up to the rounding of `depth` terms, and the frame has
    /// not changed.
    template <class Expected>
    bool is(Index depth, Expected&& expected) const {
        const double tolerance =
            4.0 * static_cast<double>(depth + 1) * static_cast<double>(std::numeric_limits<S>::epsilon());
        for (std::size_t i = 0; i < values.size(); ++i) {
            const Index row = static_cast<Index>(i) / stride - 1;
            const Index column = static_cast<Index>(i) % stride - frame;
            const bool inside = row >= 0 && row < rows && column >= 0 && column < columns;
            const auto here = static_cast<double>(values[i]);
            const auto old = static_cast<double>(before[i]);
            const double value = inside ? expected(row, column, old) : old;
            if (!(std::abs(here - value) <= (inside ? tolerance : 0.0))) return false;
        }
        return true;
    }
};

/// Σ a(k) · b(k) for k < count, in double.
template <class A, class B>
double sum_of_products(Index count, A&& a, B&& b) {
    double sum = 0;
    for (Index k = 0; k < count; ++k) sum += static_cast<double>(a(k)) * static_cast<double>(b(k));
    return sum;
}

/// Calls `body(rows, columns, depth)` for sizes with every height of a tile and every width of a panel.
template <class Body>
void for_each_size(Body&& body) {
    for (Index m = 1; m <= max_rows; ++m)
        for (Index n = 1; n <= max_columns; ++n)
            for (const Index k : depths) body(m, n, k);
}

template <bool Accumulate, class S>
bool multiplies(Index m, Index n, Index k) {
    const Index stride = k + 3;
    const std::vector<S> a = numbers<S>(m * stride, 1);
    const std::vector<S> b = numbers<S>(k * n, 2);
    const std::vector<S> panels = packed(k, n, b);
    Framed<S> c{m, n};
    cpu::multiply<Accumulate>(m, n, k, a.data(), stride, panels.data(), c.begin(), c.stride);
    return c.is(k, [&](Index row, Index column, double old) {
        const S* left = a.data() + row * stride;
        const S* right = b.data() + column;
        return (Accumulate ? old : 0.0) +
               sum_of_products(k, [=](Index i) { return left[i]; }, [=](Index i) { return right[i * n]; });
    });
}

/// An indirect left factor of `lines` lines with `width` rows, whose `count` segments are apart from each other.
template <class S>
struct Lines {
    Index lines, width, count, length, stride, shift;
    Index segment_size = shift + (width - 1) * stride + length;
    std::vector<S> values = numbers<S>(lines * count * segment_size, 3);
    std::vector<const S*> pointers;

    Lines(Index line_count, Index line_width, Index segments, Index segment_length, Index row_stride, Index first)
        : lines{line_count},
          width{line_width},
          count{segments},
          length{segment_length},
          stride{row_stride},
          shift{first} {
        // In memory in reverse order.
        for (Index i = 0; i < lines * count; ++i)
            pointers.push_back(values.data() + (lines * count - 1 - i) * segment_size);
    }
    cpu::IndirectMatrix<S> matrix() const { return {pointers.data(), count, length, stride, width, shift}; }
    S at(Index row, Index k) const {
        const Index segment = row / width * count + k / length;
        return pointers[static_cast<std::size_t>(segment)][shift + row % width * stride + k % length];
    }
};

/// The first `rows` rows of the lines times B.
template <class S>
bool multiplies_indirect(const Lines<S>& left, Index rows, Index n) {
    const Index k = left.count * left.length;
    const std::vector<S> b = numbers<S>(k * n, 2);
    const std::vector<S> panels = packed(k, n, b);
    Framed<S> c{rows, n};
    cpu::multiply_indirect<S>(rows, left.matrix(), panels.data(), n, c.begin(), c.stride);
    return c.is(k, [&](Index row, Index column, double) {
        return sum_of_products(
            k, [&](Index i) { return left.at(row, i); },
            [&](Index i) { return b[static_cast<std::size_t>(i * n + column)]; });
    });
}

/// One line whose segment length and row stride are known at compile time.
template <Index Width, Index Length, Index RowStride, class S>
bool multiplies_indirect_line(Index segments, Index n) {
    const Lines<S> left{1, Width, segments, Length, RowStride, 2};
    const Index k = segments * Length;
    const std::vector<S> b = numbers<S>(k * n, 2);
    const std::vector<S> panels = packed(k, n, b);
    Framed<S> c{Width, n};
    cpu::multiply_indirect_line<Width, Length, RowStride, S>(left.matrix(), panels.data(), n, c.begin(), c.stride);
    return c.is(k, [&](Index row, Index column, double) {
        return sum_of_products(
            k, [&](Index i) { return left.at(row, i); },
            [&](Index i) { return b[static_cast<std::size_t>(i * n + column)]; });
    });
}

/// Calls `body.template operator()<M>(M, columns, depth)` for the heights M of for_each_size, fewer columns and depths:
/// products whose M the compiler knows are compiled for each of them.
template <class Body>
void for_each_height(Body&& body) {
    [&]<Index... Ms>(std::integer_sequence<Index, Ms...>) {
        const auto height = [&]<Index M>() {
            for (Index n = 1; n <= max_columns; ++n)
                for (const Index k : depths) body.template operator()<M>(n, k);
        };
        (height.template operator()<Ms + 1>(), ...);
    }(std::make_integer_sequence<Index, max_rows>{});
}

/// A product whose epilogue adds two biases, with channels counted from 3.
template <class S>
bool applies_epilogue(Index m, Index n, Index k) {
    const std::vector<S> a = numbers<S>(m * k, 1), b = numbers<S>(k * n, 2);
    const std::vector<S> panels = packed(k, n, b), first = numbers<S>(n + 3, 3), second = numbers<S>(n + 3, 4);
    using Epilogue = cpu::ComposedEpilogue<cpu::BiasEpilogue<S>, cpu::BiasEpilogue<S>>;
    const auto epilogue = Epilogue{{first.data()}, {second.data()}}.starting_at(3);
    Framed<S> plain{m, n}, indirect{m, n};
    cpu::multiply<false>(m, n, k, a.data(), k, panels.data(), plain.begin(), plain.stride, epilogue);
    Lines<S> left{1, m, 1, k, k, 0};
    std::copy(a.begin(), a.end(), left.values.begin());
    cpu::multiply_indirect<S>(m, left.matrix(), panels.data(), n, indirect.begin(), indirect.stride, epilogue);
    const auto expected = [&](Index row, Index column, double) {
        const auto channel = static_cast<std::size_t>(column + 3);
        return static_cast<double>(first[channel]) + static_cast<double>(second[channel]) +
               sum_of_products(
                   k, [&](Index i) { return a[static_cast<std::size_t>(row * k + i)]; },
                   [&](Index i) { return b[static_cast<std::size_t>(i * n + column)]; });
    };
    return plain.is(k + 2, expected) && indirect.is(k + 2, expected);
}

template <Index m, class S>
bool multiplies_transposed(Index n, Index t) {
    const Index a_stride = m + 2;
    const Index b_stride = n + 1;
    const std::vector<S> a = numbers<S>(t * a_stride, 1);
    const std::vector<S> b = numbers<S>((t - 1) * b_stride + n, 2);  // ends with its last column
    std::vector<S> scratch(static_cast<std::size_t>(cpu::transposed_scratch_size<S>));
    Framed<S> c{m, n};
    cpu::multiply_transposed<m>(n, t, a.data(), a_stride, b.data(), b_stride, c.begin(), c.stride, scratch.data());
    return c.is(t, [&](Index row, Index column, double old) {
        const S* left = a.data() + row;
        const S* right = b.data() + column;
        return old + sum_of_products(
                         t, [=](Index i) { return left[i * a_stride]; }, [=](Index i) { return right[i * b_stride]; });
    });
}

/// Aᵀ · B in several lines, with rows of A that are not contiguous.
template <Index m, class S>
bool multiplies_paired_lines(Index n, Index lines, Index width) {
    const Index a_stride = m + 4;
    const Index b_stride = n;
    const Index a_line = width * a_stride;
    const Index b_line = width * b_stride + cpu::panel_width<S>;
    const std::vector<S> a = numbers<S>(lines * a_line, 1);
    const std::vector<S> b = numbers<S>(lines * b_line, 2);
    std::vector<const S*> a_lines, b_lines;
    for (Index i = 0; i < lines; ++i) {
        a_lines.push_back(a.data() + (lines - 1 - i) * a_line);
        b_lines.push_back(b.data() + i * b_line);
    }
    Framed<S> c{m, n};
    cpu::multiply_transposed_padded<m, S>(n, {a_lines.data(), a_stride, b_lines.data(), b_stride, lines, width},
                                          c.begin(), c.stride);
    return c.is(lines * width, [&](Index row, Index column, double old) {
        const auto at = [=](const std::vector<const S*>& pointers, Index i, Index stride) {
            return pointers[static_cast<std::size_t>(i / width)] + i % width * stride;
        };
        return old + sum_of_products(
                         lines * width, [&](Index i) { return at(a_lines, i, a_stride)[row]; },
                         [&](Index i) { return at(b_lines, i, b_stride)[column]; });
    });
}

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(packed_panels_hold_every_element_padded_with_zeros, S, Scalars) {
    for (Index n = 1; n <= max_columns; ++n) {
        const Index k = 3;
        const std::vector<S> b = numbers<S>(k * n, 1);
        const std::vector<S> panels = packed(k, n, b);
        double found = 0, expected = 0;
        for (const S value : b) expected += std::abs(static_cast<double>(value));
        for (const S value : panels) found += std::abs(static_cast<double>(value));
        BOOST_TEST(std::abs(found - expected) <= 1e-12 * expected);
        cpu::for_each_panel<S>(n, [&]<int Vectors>(Index n0, Index width) {
            for (Index i = 0; i < k * width; ++i) {
                const Index row = i % k;
                const Index column = i / k;
                BOOST_TEST(panels[static_cast<std::size_t>(n0 * k + row * Vectors * cpu::lanes<S> + column)] ==
                           b[static_cast<std::size_t>(row * n + n0 + column)]);
            }
        });
    }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(multiply_equals_the_triple_loop, S, Scalars) {
    for_each_size([](Index m, Index n, Index k) {
        BOOST_CHECK_MESSAGE((multiplies<false, S>(m, n, k)), m << 'x' << n << 'x' << k);
    });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(multiply_can_accumulate, S, Scalars) {
    for_each_size([](Index m, Index n, Index k) {
        BOOST_CHECK_MESSAGE((multiplies<true, S>(m, n, k)), m << 'x' << n << 'x' << k);
    });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(multiply_handles_several_slices_of_rows, S, Scalars) {
    for (const Index m : {25, 144, 145}) {
        BOOST_CHECK_MESSAGE((multiplies<false, S>(m, 21, 700)), m << " rows");
        BOOST_CHECK_MESSAGE((multiplies<true, S>(m, 21, 700)), m << " rows");
        BOOST_CHECK_MESSAGE((multiplies<false, S>(m, 5, 7000)), m << " rows");
    }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(multiply_indirect_with_one_segment_equals_multiply, S, Scalars) {
    for_each_size([](Index m, Index n, Index k) {
        const Lines<S> left{1, m, 1, k, k, 0};
        BOOST_CHECK_MESSAGE(multiplies_indirect<S>(left, m, n), m << 'x' << n << 'x' << k);
    });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(multiply_indirect_accepts_segments_anywhere_in_memory, S, Scalars) {
    for (Index m = 1; m <= max_rows; ++m)
        for (const Index width : {1, 2, 3, 5, 13})
            for (Index n = 1; n <= max_columns; n += 3) {
                const Index lines = (m + width - 1) / width;
                // Rows that overlap, that are adjacent and that are apart.
                for (const Index stride : {1, 4, 9}) {
                    const Lines<S> left{lines, width, 3, 4, stride, 2};
                    BOOST_CHECK_MESSAGE(multiplies_indirect<S>(left, m, n),
                                        m << 'x' << n << " in lines of " << width << ", stride " << stride);
                }
            }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(multiply_indirect_line_equals_the_triple_loop, S, Scalars) {
    const auto check = []<Index Width>() {
        for (Index n = 1; n <= max_columns; n += 3) {
            BOOST_CHECK_MESSAGE((multiplies_indirect_line<Width, 9, 6, S>(3, n)), Width << 'x' << n);
            BOOST_CHECK_MESSAGE((multiplies_indirect_line<Width, 1, 1, S>(2, n)), Width << 'x' << n);
            BOOST_CHECK_MESSAGE((multiplies_indirect_line<Width, 4, 11, S>(1, n)), Width << 'x' << n);
        }
    };
    check.template operator()<1>();
    check.template operator()<cpu::tile_rows>();
    check.template operator()<cpu::tile_rows + 1>();
    check.template operator()<3 * cpu::tile_rows - 1>();
}

BOOST_AUTO_TEST_CASE_TEMPLATE(an_epilogue_is_applied_once_to_every_sum, S, Scalars) {
    for_each_size([](Index m, Index n, Index k) {
        BOOST_CHECK_MESSAGE(applies_epilogue<S>(m, n, k), m << 'x' << n << 'x' << k);
    });
    BOOST_TEST(applies_epilogue<S>(145, 21, 700));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(multiply_transposed_accumulates, S, Scalars) {
    for_each_height([]<Index M>(Index n, Index t) {
        BOOST_CHECK_MESSAGE((multiplies_transposed<M, S>(n, t)), M << 'x' << n << 'x' << t);
    });
    for (const Index t : {127, 128, 129, 300})
        BOOST_CHECK_MESSAGE((multiplies_transposed<7, S>(21, t)), "a sum of " << t);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(multiply_transposed_handles_several_lines, S, Scalars) {
    for_each_height([]<Index M>(Index n, Index width) {
        for (const Index lines : {1, 3})
            BOOST_CHECK_MESSAGE((multiplies_paired_lines<M, S>(n, lines, width)),
                                M << 'x' << n << ", " << lines << " lines of " << width);
    });
}

BOOST_AUTO_TEST_CASE(tiles_cover_all_rows_in_order) {
    for (Index rows = 1; rows <= 100; ++rows) {
        Index next = 0;
        cpu::detail::for_each_tile<false>(rows, [&]<int Rows>(Index first) {
            BOOST_TEST(first == next);
            next = first + Rows;
        });
        BOOST_TEST(next == rows);
        Index computed = 0;
        next = 0;
        cpu::detail::for_each_tile<true>(rows, [&]<int Rows>(Index first) {
            BOOST_TEST(first >= 0);
            BOOST_TEST(first <= next);
            next = first + Rows;
            computed += Rows;
        });
        BOOST_TEST(next == rows);
        BOOST_TEST(computed - rows < cpu::tile_rows / 3);
    }
}

BOOST_AUTO_TEST_CASE(tiles_of_nearly_equal_height_cover_rows_counted_at_compile_time) {
    const auto check = []<Index Rows>() {
        Index next = 0, lowest = cpu::tile_rows, highest = 0;
        cpu::detail::for_each_tile<Rows>([&]<int Height>(Index first) {
            BOOST_TEST(first == next);
            next += Height;
            lowest = std::min<Index>(lowest, Height);
            highest = std::max<Index>(highest, Height);
        });
        BOOST_TEST(next == Rows);
        BOOST_TEST(highest - lowest <= 1);
    };
    [&]<Index... Is>(std::integer_sequence<Index, Is...>) {
        (check.template operator()<Is + 1>(), ...);
    }(std::make_integer_sequence<Index, 50>{});
}
