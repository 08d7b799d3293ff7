// SPDX-License-Identifier: MIT
// Laws of the window of rows: what it shows, and how it asks its source.
#define BOOST_TEST_MODULE cpu_row_window
#include <boost/test/unit_test.hpp>

#include <bantam/cpu/kernels/line_buffer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

using namespace bantam;

namespace {

constexpr Shape map{7, 5, 3};
constexpr std::int64_t line = map.width * map.channels;

/// No two are the same, and none is zero.
double value_at(std::int64_t row, std::int64_t i) { return static_cast<double>(row * line + i + 1); }

/// Counts rows from 1 and keeps what it was asked for. `InPlace` sources have the rows already.
template <bool InPlace>
struct Source {
    std::vector<double> values;
    mutable std::vector<std::pair<std::int64_t, std::int64_t>> asked;  // first line, lines

    explicit Source(std::int64_t samples) : values(static_cast<std::size_t>(samples * map.height * line)) {
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = value_at(0, static_cast<std::int64_t>(i));
    }
    const double* rows(std::int64_t first, std::int64_t count, double* scratch) const {
        BOOST_TEST(first % map.width == 0);
        BOOST_TEST(count % map.width == 0);
        asked.emplace_back(first / map.width, count / map.width);
        const double* from = values.data() + first * map.channels;
        if (InPlace) return from;
        std::copy(from, from + count * map.channels, scratch);
        return scratch;
    }
};

template <class Window>
void shows_the_row(const Window& window, std::int64_t padding, std::int64_t n, std::int64_t y) {
    const double* row = window.row(n, y);
    for (std::int64_t i = 0; i < Window::row_size; ++i) {
        const std::int64_t inside = i - padding * map.channels;
        const bool zero = y < 0 || y >= map.height || inside < 0 || inside >= line;
        const double expected = zero ? 0.0 : value_at(n * map.height + y, inside);
        if (row[i] != expected) BOOST_TEST(row[i] == expected, "sample " << n << ", row " << y << ", scalar " << i);
    }
}

/// Slides a window of `Reach + 1` rows, `Stride` rows at a time, down samples [first, samples).
template <std::int64_t Padding, std::int64_t Reach, std::int64_t Stride, std::int64_t Batch, bool InPlace>
std::vector<std::pair<std::int64_t, std::int64_t>> slide(std::int64_t first, std::int64_t samples) {
    using Window = cpu::LineBuffer<map, Padding, Reach + Batch, double, Batch>;
    std::vector<double> memory(static_cast<std::size_t>(Window::size), 99.0);
    const Source<InPlace> source{samples};
    Window window{memory.data(), first};
    for (std::int64_t n = first; n < samples; ++n)
        for (std::int64_t top = -Padding; top + Reach < map.height + Padding; top += Stride) {
            window.fill_to(source, n, top + Reach);
            for (std::int64_t y = top; y <= top + Reach; ++y) shows_the_row(window, Padding, n, y);
        }
    return source.asked;
}

/// Every line from `first` to `end`, once and in order.
void covers(const std::vector<std::pair<std::int64_t, std::int64_t>>& asked, std::int64_t first, std::int64_t end) {
    for (const auto& [line_asked, lines] : asked) {
        BOOST_TEST(line_asked == first);
        first += lines;
    }
    BOOST_TEST(first == end);
}

}  // namespace

BOOST_AUTO_TEST_CASE(rows_arrive_in_order_and_once_with_zeros_around_them) {
    covers(slide<1, 2, 1, 1, true>(0, 3), 0, 3 * map.height);
    covers(slide<1, 2, 1, 1, false>(0, 3), 0, 3 * map.height);
    covers(slide<0, 2, 1, 1, true>(0, 3), 0, 3 * map.height);
    covers(slide<0, 0, 1, 1, false>(0, 3), 0, 3 * map.height);
    covers(slide<3, 6, 1, 1, false>(0, 3), 0, 3 * map.height);
    covers(slide<2, 4, 2, 1, true>(0, 3), 0, 3 * map.height);
    covers(slide<1, 2, 3, 1, false>(0, 3), 0, 3 * map.height);
}

BOOST_AUTO_TEST_CASE(a_window_may_start_in_front_of_any_sample) {
    covers(slide<1, 2, 1, 1, true>(2, 5), 2 * map.height, 5 * map.height);
    covers(slide<1, 2, 1, 4, false>(2, 5), 2 * map.height, 5 * map.height);
}

BOOST_AUTO_TEST_CASE(the_ring_is_used_again_for_many_samples) {
    covers(slide<1, 2, 1, 1, false>(0, 40), 0, 40 * map.height);
    covers(slide<1, 2, 1, 3, true>(0, 40), 0, 40 * map.height);
}

BOOST_AUTO_TEST_CASE(a_batch_of_rows_is_asked_for_at_once_and_ends_with_the_sample) {
    const std::vector<std::pair<std::int64_t, std::int64_t>> threes{{0, 3}, {3, 3}, {6, 1}, {7, 3}, {10, 3}, {13, 1}};
    BOOST_TEST((slide<1, 2, 1, 3, true>(0, 2) == threes));
    BOOST_TEST((slide<1, 2, 1, 3, false>(0, 2) == threes));
    BOOST_TEST((slide<2, 4, 2, 3, false>(0, 2) == threes));
    const std::vector<std::pair<std::int64_t, std::int64_t>> samples{{0, 7}, {7, 7}};
    BOOST_TEST((slide<1, 2, 1, 7, true>(0, 2) == samples));
    BOOST_TEST((slide<0, 0, 1, 7, false>(0, 2) == samples));
}

BOOST_AUTO_TEST_CASE(a_batch_without_padding_lands_in_the_ring_and_ends_with_it) {
    using Asked = std::vector<std::pair<std::int64_t, std::int64_t>>;
    // A ring of 2 + 3 rows: the second batch is cut where the ring begins again.
    const Asked cut{{0, 3}, {3, 2}, {5, 2}, {7, 3}, {10, 3}, {13, 1}};
    BOOST_TEST((slide<0, 2, 1, 3, true>(0, 2) == cut));
    BOOST_TEST((slide<0, 2, 1, 3, false>(0, 2) == cut));
    covers(slide<0, 2, 2, 3, false>(0, 40), 0, 40 * map.height);
    covers(slide<0, 3, 1, 3, true>(0, 40), 0, 40 * map.height);
}

BOOST_AUTO_TEST_CASE(a_row_that_is_there_is_not_asked_for_again) {
    using Window = cpu::LineBuffer<map, 1, 4, double>;
    std::vector<double> memory(static_cast<std::size_t>(Window::size));
    const Source<true> source{1};
    Window window{memory.data(), 0};
    window.fill_to(source, 0, -1);
    BOOST_TEST(source.asked.empty());
    for (const std::int64_t y : {2, 2, 1, 0, -1}) window.fill_to(source, 0, y);
    BOOST_TEST(source.asked.size() == 3U);
    for (std::int64_t y = -2; y <= 2; ++y) shows_the_row(window, 1, 0, y);
}

BOOST_AUTO_TEST_CASE(rows_past_the_end_of_a_sample_do_not_fetch_the_next_one) {
    using Window = cpu::LineBuffer<map, 2, map.height, double>;
    std::vector<double> memory(static_cast<std::size_t>(Window::size));
    const Source<false> source{2};
    Window window{memory.data(), 0};
    window.fill_to(source, 0, map.height + 3);
    covers(source.asked, 0, map.height);
    for (std::int64_t y = -3; y <= map.height + 3; ++y) shows_the_row(window, 2, 0, y);
}

BOOST_AUTO_TEST_CASE(a_window_touches_no_memory_but_its_own) {
    using Window = cpu::LineBuffer<map, 1, 5, double, 3>;
    const std::size_t guard = 16;
    std::vector<double> memory(static_cast<std::size_t>(Window::size) + 2 * guard, 99.0);
    const Source<false> source{3};
    Window window{memory.data() + guard, 0};
    for (std::int64_t n = 0; n < 3; ++n) window.fill_to(source, n, map.height);
    const auto untouched = [](double here) { return here == 99.0; };
    BOOST_TEST(std::all_of(memory.begin(), memory.begin() + guard, untouched));
    BOOST_TEST(std::all_of(memory.end() - guard, memory.end(), untouched));
}

BOOST_AUTO_TEST_CASE(narrow_maps_are_asked_for_in_many_rows_and_wide_ones_in_one) {
    static_assert(cpu::rows_worthwhile({50, 12, 3}) == 10);
    static_assert(cpu::rows_worthwhile({5, 12, 3}) == 5);
    static_assert(cpu::rows_worthwhile({50, 129, 3}) == 1);
    static_assert(cpu::rows_worthwhile({1, 1, 3}) == 1);
}
