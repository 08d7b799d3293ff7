// SPDX-License-Identifier: MIT
// The lines that a LineBuffer holds, and the calls that it makes to its source.
#define BOOST_TEST_MODULE cpu_line_buffer
#include <boost/test/unit_test.hpp>

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cpu/kernels/line_buffer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

using namespace bantam;

namespace {

using Calls = std::vector<std::pair<Index, Index>>;  // first line, lines

constexpr Shape map{7, 5, 3};
constexpr Index line_size = map.width * map.channels;

/// All values are different, and none is zero.
double value_at(Index line, Index i) { return static_cast<double>(line * line_size + i + 1); }

/// A source that records its calls. `InPlace` sources return rows of their own memory.
template <bool InPlace>
struct RecordingSource {
    using Scalar = double;
    static constexpr Index channels = map.channels;

    std::vector<double> values;
    mutable Calls calls;

    explicit RecordingSource(Index samples) : values(static_cast<std::size_t>(samples * map.height * line_size)) {
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = value_at(0, static_cast<Index>(i));
    }
    const double* rows(Index first, Index count, double* scratch) const {
        BOOST_TEST(first % map.width == 0);
        BOOST_TEST(count % map.width == 0);
        calls.emplace_back(first / map.width, count / map.width);
        const double* from = values.data() + first * map.channels;
        if (InPlace) return from;
        std::copy(from, from + count * map.channels, scratch);
        return scratch;
    }
};

template <class Buffer>
void check_line(const Buffer& buffer, Index padding, Index n, Index y) {
    const double* line = buffer.line(n, y);
    for (Index i = 0; i < Buffer::line_size; ++i) {
        const Index inside = i - padding * map.channels;
        const bool zero = y < 0 || y >= map.height || inside < 0 || inside >= line_size;
        const double expected = zero ? 0.0 : value_at(n * map.height + y, inside);
        if (line[i] != expected) BOOST_TEST(line[i] == expected, "sample " << n << ", line " << y << ", scalar " << i);
    }
}

/// Slides a window of `Halo + 1` lines, `Stride` lines at a time, down samples [first, samples).
template <Index Padding, Index Halo, Index Stride, Index LinesPerFetch, bool InPlace>
Calls slide(Index first, Index samples) {
    using Buffer = cpu::LineBuffer<map, Padding, Halo + LinesPerFetch, double, LinesPerFetch>;
    std::vector<double> memory(static_cast<std::size_t>(Buffer::size), 99.0);
    const RecordingSource<InPlace> source{samples};
    Buffer buffer{memory.data(), first};
    for (Index n = first; n < samples; ++n)
        for (Index top = -Padding; top + Halo < map.height + Padding; top += Stride) {
            buffer.fill_to(source, n, top + Halo);
            for (Index y = top; y <= top + Halo; ++y) check_line(buffer, Padding, n, y);
        }
    return source.calls;
}

/// Checks that the calls request every line of [first, end) once and in order.
void covers(const Calls& calls, Index first, Index end) {
    for (const auto& [line, lines] : calls) {
        BOOST_TEST(line == first);
        first += lines;
    }
    BOOST_TEST(first == end);
}

}  // namespace

BOOST_AUTO_TEST_CASE(lines_are_fetched_once_in_order_and_padded_with_zeros) {
    covers(slide<1, 2, 1, 1, true>(0, 3), 0, 3 * map.height);
    covers(slide<1, 2, 1, 1, false>(0, 3), 0, 3 * map.height);
    covers(slide<0, 2, 1, 1, true>(0, 3), 0, 3 * map.height);
    covers(slide<0, 0, 1, 1, false>(0, 3), 0, 3 * map.height);
    covers(slide<3, 6, 1, 1, false>(0, 3), 0, 3 * map.height);
    covers(slide<2, 4, 2, 1, true>(0, 3), 0, 3 * map.height);
    covers(slide<1, 2, 3, 1, false>(0, 3), 0, 3 * map.height);
}

BOOST_AUTO_TEST_CASE(a_buffer_can_start_at_any_sample) {
    covers(slide<1, 2, 1, 1, true>(2, 5), 2 * map.height, 5 * map.height);
    covers(slide<1, 2, 1, 4, false>(2, 5), 2 * map.height, 5 * map.height);
}

BOOST_AUTO_TEST_CASE(the_ring_is_reused_for_many_samples) {
    covers(slide<1, 2, 1, 1, false>(0, 40), 0, 40 * map.height);
    covers(slide<1, 2, 1, 3, true>(0, 40), 0, 40 * map.height);
}

BOOST_AUTO_TEST_CASE(several_lines_are_fetched_in_one_call_within_a_sample) {
    const Calls threes{{0, 3}, {3, 3}, {6, 1}, {7, 3}, {10, 3}, {13, 1}};
    BOOST_TEST((slide<1, 2, 1, 3, true>(0, 2) == threes));
    BOOST_TEST((slide<1, 2, 1, 3, false>(0, 2) == threes));
    BOOST_TEST((slide<2, 4, 2, 3, false>(0, 2) == threes));
    const Calls samples{{0, 7}, {7, 7}};
    BOOST_TEST((slide<1, 2, 1, 7, true>(0, 2) == samples));
    BOOST_TEST((slide<0, 0, 1, 7, false>(0, 2) == samples));
}

BOOST_AUTO_TEST_CASE(a_fetch_without_padding_ends_with_the_ring) {
    // A ring of 2 + 3 lines: the second fetch ends where the ring starts again.
    const Calls cut{{0, 3}, {3, 2}, {5, 2}, {7, 3}, {10, 3}, {13, 1}};
    BOOST_TEST((slide<0, 2, 1, 3, true>(0, 2) == cut));
    BOOST_TEST((slide<0, 2, 1, 3, false>(0, 2) == cut));
    covers(slide<0, 2, 2, 3, false>(0, 40), 0, 40 * map.height);
    covers(slide<0, 3, 1, 3, true>(0, 40), 0, 40 * map.height);
}

BOOST_AUTO_TEST_CASE(a_line_in_the_buffer_is_not_fetched_again) {
    using Buffer = cpu::LineBuffer<map, 1, 4, double>;
    std::vector<double> memory(static_cast<std::size_t>(Buffer::size));
    const RecordingSource<true> source{1};
    Buffer buffer{memory.data(), 0};
    buffer.fill_to(source, 0, -1);
    BOOST_TEST(source.calls.empty());
    for (const Index y : {2, 2, 1, 0, -1}) buffer.fill_to(source, 0, y);
    BOOST_TEST(source.calls.size() == 3U);
    for (Index y = -2; y <= 2; ++y) check_line(buffer, 1, 0, y);
}

BOOST_AUTO_TEST_CASE(lines_below_the_map_do_not_fetch_the_next_sample) {
    using Buffer = cpu::LineBuffer<map, 2, map.height, double>;
    std::vector<double> memory(static_cast<std::size_t>(Buffer::size));
    const RecordingSource<false> source{2};
    Buffer buffer{memory.data(), 0};
    buffer.fill_to(source, 0, map.height + 3);
    covers(source.calls, 0, map.height);
    for (Index y = -3; y <= map.height + 3; ++y) check_line(buffer, 2, 0, y);
}

BOOST_AUTO_TEST_CASE(a_buffer_writes_only_its_memory) {
    using Buffer = cpu::LineBuffer<map, 1, 5, double, 3>;
    const std::size_t guard = 16;
    std::vector<double> memory(static_cast<std::size_t>(Buffer::size) + 2 * guard, 99.0);
    const RecordingSource<false> source{3};
    Buffer buffer{memory.data() + guard, 0};
    for (Index n = 0; n < 3; ++n) buffer.fill_to(source, n, map.height);
    const auto untouched = [](double here) { return here == 99.0; };
    BOOST_TEST(std::all_of(memory.begin(), memory.begin() + guard, untouched));
    BOOST_TEST(std::all_of(memory.end() - guard, memory.end(), untouched));
}

BOOST_AUTO_TEST_CASE(a_fetch_takes_many_lines_of_narrow_maps_and_one_of_wide_maps) {
    static_assert(cpu::lines_per_fetch({50, 12, 3}) == 10);
    static_assert(cpu::lines_per_fetch({5, 12, 3}) == 5);
    static_assert(cpu::lines_per_fetch({50, 129, 3}) == 1);
    static_assert(cpu::lines_per_fetch({1, 1, 3}) == 1);
}
