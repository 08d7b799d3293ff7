// SPDX-License-Identifier: MIT
// Laws of the products: each equals the plain triple loop and writes nothing but its own part of C.
#define BOOST_TEST_MODULE cpu_matrix_product
#include <boost/test/unit_test.hpp>

#include <bantam/base/random.hpp>
#include <bantam/cpu/kernels/gemm.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

using namespace bantam;

namespace {

using Scalars = std::tuple<float, double>;

constexpr std::int64_t most_rows = 13;  // a full tile and one more
constexpr std::int64_t most_columns = 40;
constexpr std::int64_t depths[] = {1, 2, 7, 33};

template <class S>
std::vector<S> numbers(std::int64_t size, std::uint64_t stream) {
    Random random{5, stream};
    std::vector<S> values(static_cast<std::size_t>(size));
    for (S& value : values) value = static_cast<S>(random.uniform(-1, 1));
    return values;
}

template <class S>
std::vector<S> packed(std::int64_t k_count, std::int64_t n_count, const std::vector<S>& b) {
    std::vector<S> panels(static_cast<std::size_t>(cpu::packed_panel_size<S>(k_count, n_count)),
                          std::numeric_limits<S>::quiet_NaN());
    cpu::pack_panels(
        k_count, n_count, [&](std::int64_t k, std::int64_t n) { return b[static_cast<std::size_t>(k * n_count + n)]; },
        panels.data());
    return panels;
}

/// A matrix inside a larger one, whose other scalars must stay as they are.
template <class S>
struct Framed {
    static constexpr std::int64_t frame = 19;  // more than a vector
    std::int64_t rows, columns;
    std::int64_t stride = columns + 2 * frame;
    std::vector<S> before, values;

    Framed(std::int64_t row_count, std::int64_t column_count)
        : rows{row_count}, columns{column_count}, before{numbers<S>((rows + 2) * stride, 9)}, values{before} {}

    S* begin() { return values.data() + stride + frame; }

    /// Whether C is `expected(row, column, what was there)` to the rounding of `depth` terms, and
    /// the frame is untouched.
    template <class Expected>
    bool is(std::int64_t depth, Expected&& expected) const {
        const double tolerance =
            4.0 * static_cast<double>(depth + 1) * static_cast<double>(std::numeric_limits<S>::epsilon());
        for (std::size_t i = 0; i < values.size(); ++i) {
            const std::int64_t row = static_cast<std::int64_t>(i) / stride - 1;
            const std::int64_t column = static_cast<std::int64_t>(i) % stride - frame;
            const bool inside = row >= 0 && row < rows && column >= 0 && column < columns;
            const auto here = static_cast<double>(values[i]);
            const auto old = static_cast<double>(before[i]);
            const double wanted = inside ? expected(row, column, old) : old;
            if (!(std::abs(here - wanted) <= (inside ? tolerance : 0.0))) return false;
        }
        return true;
    }
};

/// Σ a(k) · b(k) for k < count, in double.
template <class A, class B>
double sum_of_products(std::int64_t count, A&& a, B&& b) {
    double sum = 0;
    for (std::int64_t k = 0; k < count; ++k) sum += static_cast<double>(a(k)) * static_cast<double>(b(k));
    return sum;
}

/// Calls `body(rows, columns, depth)` for sizes that meet every height of a tile and every end of a
/// panel.
template <class Body>
void for_each_size(Body&& body) {
    for (std::int64_t m = 1; m <= most_rows; ++m)
        for (std::int64_t n = 1; n <= most_columns; ++n)
            for (const std::int64_t k : depths) body(m, n, k);
}

template <bool Accumulate, class S>
bool multiplies(std::int64_t m, std::int64_t n, std::int64_t k) {
    const std::int64_t stride = k + 3;
    const std::vector<S> a = numbers<S>(m * stride, 1);
    const std::vector<S> b = numbers<S>(k * n, 2);
    const std::vector<S> panels = packed(k, n, b);
    Framed<S> c{m, n};
    cpu::multiply<Accumulate>(m, n, k, a.data(), stride, panels.data(), c.begin(), c.stride);
    return c.is(k, [&](std::int64_t row, std::int64_t column, double old) {
        const S* left = a.data() + row * stride;
        const S* right = b.data() + column;
        return (Accumulate ? old : 0.0) +
               sum_of_products(
                   k, [=](std::int64_t i) { return left[i]; }, [=](std::int64_t i) { return right[i * n]; });
    });
}

/// A left factor in `lines` of `width` rows with `count` segments that lie apart from each other.
template <class S>
struct Lines {
    std::int64_t lines, width, count, length, step, shift;
    std::int64_t segment_size = shift + (width - 1) * step + length;
    std::vector<S> values = numbers<S>(lines * count * segment_size, 3);
    std::vector<const S*> begins;

    Lines(std::int64_t line_count, std::int64_t line_width, std::int64_t segments, std::int64_t segment_length,
          std::int64_t row_step, std::int64_t first)
        : lines{line_count}, width{line_width}, count{segments}, length{segment_length}, step{row_step}, shift{first} {
        // In no order of their own.
        for (std::int64_t i = 0; i < lines * count; ++i)
            begins.push_back(values.data() + (lines * count - 1 - i) * segment_size);
    }
    cpu::Segments<S> segments() const { return {begins.data(), count, length, step, width, shift}; }
    S at(std::int64_t row, std::int64_t k) const {
        const std::int64_t segment = row / width * count + k / length;
        return begins[static_cast<std::size_t>(segment)][shift + row % width * step + k % length];
    }
};

/// The first `rows` rows of the lines times B.
template <class S>
bool multiplies_windows(const Lines<S>& left, std::int64_t rows, std::int64_t n) {
    const std::int64_t k = left.count * left.length;
    const std::vector<S> b = numbers<S>(k * n, 2);
    const std::vector<S> panels = packed(k, n, b);
    Framed<S> c{rows, n};
    cpu::multiply_windows<S>(rows, left.segments(), panels.data(), n, c.begin(), c.stride);
    return c.is(k, [&](std::int64_t row, std::int64_t column, double) {
        return sum_of_products(
            k, [&](std::int64_t i) { return left.at(row, i); },
            [&](std::int64_t i) { return b[static_cast<std::size_t>(i * n + column)]; });
    });
}

/// One line whose segments' length and step the compiler knows.
template <std::int64_t Length, std::int64_t Step, class S>
bool multiplies_line(std::int64_t width, std::int64_t segments, std::int64_t n) {
    const Lines<S> left{1, width, segments, Length, Step, 2};
    const std::int64_t k = segments * Length;
    const std::vector<S> b = numbers<S>(k * n, 2);
    const std::vector<S> panels = packed(k, n, b);
    Framed<S> c{width, n};
    cpu::multiply_line<Length, Step, S>(left.segments(), panels.data(), n, c.begin(), c.stride);
    return c.is(k, [&](std::int64_t row, std::int64_t column, double) {
        return sum_of_products(
            k, [&](std::int64_t i) { return left.at(row, i); },
            [&](std::int64_t i) { return b[static_cast<std::size_t>(i * n + column)]; });
    });
}

/// A product that gets two biases on its way to memory, counted from a channel on.
template <class S>
bool finishes(std::int64_t m, std::int64_t n, std::int64_t k) {
    const std::vector<S> a = numbers<S>(m * k, 1), b = numbers<S>(k * n, 2);
    const std::vector<S> panels = packed(k, n, b), first = numbers<S>(n + 3, 3), second = numbers<S>(n + 3, 4);
    using Finish = cpu::FinishInTurn<cpu::BiasEpilogue<S>, cpu::BiasEpilogue<S>>;
    const auto finish = Finish{{first.data()}, {second.data()}}.from(3);
    Framed<S> plain{m, n}, windows{m, n};
    cpu::multiply<false>(m, n, k, a.data(), k, panels.data(), plain.begin(), plain.stride, finish);
    Lines<S> left{1, m, 1, k, k, 0};
    std::copy(a.begin(), a.end(), left.values.begin());
    cpu::multiply_windows<S>(m, left.segments(), panels.data(), n, windows.begin(), windows.stride, finish);
    const auto expected = [&](std::int64_t row, std::int64_t column, double) {
        const auto channel = static_cast<std::size_t>(column + 3);
        return static_cast<double>(first[channel]) + static_cast<double>(second[channel]) +
               sum_of_products(
                   k, [&](std::int64_t i) { return a[static_cast<std::size_t>(row * k + i)]; },
                   [&](std::int64_t i) { return b[static_cast<std::size_t>(i * n + column)]; });
    };
    return plain.is(k + 2, expected) && windows.is(k + 2, expected);
}

template <class S>
bool multiplies_transposed(std::int64_t m, std::int64_t n, std::int64_t t) {
    const std::int64_t a_stride = m + 2;
    const std::int64_t b_stride = n + 1;
    const std::vector<S> a = numbers<S>(t * a_stride, 1);
    const std::vector<S> b = numbers<S>((t - 1) * b_stride + n, 2);  // ends with its last column
    std::vector<S> scratch(static_cast<std::size_t>(cpu::transposed_scratch<S>));
    Framed<S> c{m, n};
    cpu::multiply_transposed(m, n, t, a.data(), a_stride, b.data(), b_stride, c.begin(), c.stride, scratch.data());
    return c.is(t, [&](std::int64_t row, std::int64_t column, double old) {
        const S* left = a.data() + row;
        const S* right = b.data() + column;
        return old + sum_of_products(
                         t, [=](std::int64_t i) { return left[i * a_stride]; },
                         [=](std::int64_t i) { return right[i * b_stride]; });
    });
}

/// Lines of paired rows, a step of more than one row apart in A.
template <class S>
bool multiplies_paired_rows(std::int64_t m, std::int64_t n, std::int64_t lines, std::int64_t width) {
    const std::int64_t a_stride = m + 4;
    const std::int64_t b_stride = n;
    const std::int64_t a_line = width * a_stride;
    const std::int64_t b_line = width * b_stride + cpu::panel_width<S>;
    const std::vector<S> a = numbers<S>(lines * a_line, 1);
    const std::vector<S> b = numbers<S>(lines * b_line, 2);
    std::vector<const S*> a_begins, b_begins;
    for (std::int64_t i = 0; i < lines; ++i) {
        a_begins.push_back(a.data() + (lines - 1 - i) * a_line);
        b_begins.push_back(b.data() + i * b_line);
    }
    Framed<S> c{m, n};
    cpu::multiply_transposed_padded<S>(m, n, {a_begins.data(), a_stride, b_begins.data(), b_stride, lines, width},
                                       c.begin(), c.stride);
    return c.is(lines * width, [&](std::int64_t row, std::int64_t column, double old) {
        const auto at = [=](const std::vector<const S*>& begins, std::int64_t i, std::int64_t stride) {
            return begins[static_cast<std::size_t>(i / width)] + i % width * stride;
        };
        return old + sum_of_products(
                         lines * width, [&](std::int64_t i) { return at(a_begins, i, a_stride)[row]; },
                         [&](std::int64_t i) { return at(b_begins, i, b_stride)[column]; });
    });
}

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(packed_panels_hold_every_element_and_zeros, S, Scalars) {
    for (std::int64_t n = 1; n <= most_columns; ++n) {
        const std::int64_t k = 3;
        const std::vector<S> b = numbers<S>(k * n, 1);
        const std::vector<S> panels = packed(k, n, b);
        double there = 0, wanted = 0;
        for (const S value : b) wanted += std::abs(static_cast<double>(value));
        for (const S value : panels) there += std::abs(static_cast<double>(value));
        BOOST_TEST(std::abs(there - wanted) <= 1e-12 * wanted);
        cpu::for_each_panel<S>(n, [&]<int Vectors>(std::int64_t n0, std::int64_t width) {
            for (std::int64_t i = 0; i < k * width; ++i) {
                const std::int64_t row = i % k;
                const std::int64_t column = i / k;
                BOOST_TEST(panels[static_cast<std::size_t>(n0 * k + row * Vectors * cpu::lanes<S> + column)] ==
                           b[static_cast<std::size_t>(row * n + n0 + column)]);
            }
        });
    }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_product_equals_the_triple_loop, S, Scalars) {
    for_each_size([](std::int64_t m, std::int64_t n, std::int64_t k) {
        BOOST_CHECK_MESSAGE((multiplies<false, S>(m, n, k)), m << 'x' << n << 'x' << k);
    });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_product_is_added_to_what_is_there, S, Scalars) {
    for_each_size([](std::int64_t m, std::int64_t n, std::int64_t k) {
        BOOST_CHECK_MESSAGE((multiplies<true, S>(m, n, k)), m << 'x' << n << 'x' << k);
    });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(products_in_several_blocks_of_rows_agree, S, Scalars) {
    for (const std::int64_t m : {25, 144, 145}) {
        BOOST_CHECK_MESSAGE((multiplies<false, S>(m, 21, 700)), m << " rows");
        BOOST_CHECK_MESSAGE((multiplies<true, S>(m, 21, 700)), m << " rows");
        BOOST_CHECK_MESSAGE((multiplies<false, S>(m, 5, 7000)), m << " rows");
    }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_panel_times_one_segment_is_the_plain_product, S, Scalars) {
    for_each_size([](std::int64_t m, std::int64_t n, std::int64_t k) {
        const Lines<S> left{1, m, 1, k, k, 0};
        BOOST_CHECK_MESSAGE(multiplies_windows<S>(left, m, n), m << 'x' << n << 'x' << k);
    });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_panel_takes_lines_and_segments_wherever_they_lie, S, Scalars) {
    for (std::int64_t m = 1; m <= most_rows; ++m)
        for (const std::int64_t width : {1, 2, 3, 5, 13})
            for (std::int64_t n = 1; n <= most_columns; n += 3) {
                const std::int64_t lines = (m + width - 1) / width;
                // Windows that overlap, that touch and that lie apart.
                for (const std::int64_t step : {1, 4, 9}) {
                    const Lines<S> left{lines, width, 3, 4, step, 2};
                    BOOST_CHECK_MESSAGE(multiplies_windows<S>(left, m, n),
                                        m << 'x' << n << " in lines of " << width << ", step " << step);
                }
            }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_line_of_short_segments_is_the_plain_product, S, Scalars) {
    for (std::int64_t width = 1; width <= 3 * cpu::tile_rows; ++width)
        for (std::int64_t n = 1; n <= most_columns; n += 3) {
            BOOST_CHECK_MESSAGE((multiplies_line<9, 6, S>(width, 3, n)), width << 'x' << n);
            BOOST_CHECK_MESSAGE((multiplies_line<1, 1, S>(width, 2, n)), width << 'x' << n);
            BOOST_CHECK_MESSAGE((multiplies_line<4, 11, S>(width, 1, n)), width << 'x' << n);
        }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_finish_is_applied_once_to_every_sum, S, Scalars) {
    for_each_size([](std::int64_t m, std::int64_t n, std::int64_t k) {
        BOOST_CHECK_MESSAGE(finishes<S>(m, n, k), m << 'x' << n << 'x' << k);
    });
    BOOST_TEST(finishes<S>(145, 21, 700));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_transposed_product_is_added_to_what_is_there, S, Scalars) {
    for_each_size([](std::int64_t m, std::int64_t n, std::int64_t t) {
        BOOST_CHECK_MESSAGE(multiplies_transposed<S>(m, n, t), m << 'x' << n << 'x' << t);
    });
    for (const std::int64_t t : {127, 128, 129, 300})
        BOOST_CHECK_MESSAGE(multiplies_transposed<S>(7, 21, t), "a sum of " << t);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(paired_rows_are_multiplied_line_by_line, S, Scalars) {
    for_each_size([](std::int64_t m, std::int64_t n, std::int64_t width) {
        for (const std::int64_t lines : {1, 3})
            BOOST_CHECK_MESSAGE(multiplies_paired_rows<S>(m, n, lines, width),
                                m << 'x' << n << ", " << lines << " lines of " << width);
    });
}

BOOST_AUTO_TEST_CASE(tiles_of_nearly_one_size_cover_all_rows_in_order) {
    for (std::int64_t rows = 1; rows <= 100; ++rows) {
        std::int64_t next = 0, least = cpu::tile_rows, most = 0;
        cpu::detail::for_each_tile(rows, [&]<int Rows>(std::int64_t first) {
            BOOST_TEST(first == next);
            next += Rows;
            least = std::min<std::int64_t>(least, Rows);
            most = std::max<std::int64_t>(most, Rows);
        });
        BOOST_TEST(next == rows);
        BOOST_TEST(most - least <= (rows < cpu::tile_rows ? cpu::tile_rows : 1));
    }
}
