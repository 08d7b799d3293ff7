// SPDX-License-Identifier: MIT
// The alignment, contents and growth of the kernels' memory.
#define BOOST_TEST_MODULE cpu_buffer
#include <boost/test/unit_test.hpp>

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/buffer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

using namespace bantam;

namespace {

constexpr Index large = (Index{5} << 20) / Index{sizeof(double)} + 3;

template <class T>
bool is_aligned_to_a_cache_line(const cpu::Buffer<T>& buffer) {
    return reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == 0;
}

template <class T>
bool holds_only(const cpu::Buffer<T>& buffer, T value) {
    return std::all_of(buffer.data(), buffer.data() + buffer.size(), [=](T here) { return here == value; });
}

template <class T>
void fill(cpu::Buffer<T>& buffer, T value) {
    std::fill(buffer.data(), buffer.data() + buffer.size(), value);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_new_buffer_is_empty) {
    const cpu::Buffer<float> buffer;
    BOOST_TEST(buffer.size() == 0U);
    BOOST_TEST(buffer.data() == nullptr);
}

BOOST_AUTO_TEST_CASE(memory_is_aligned_and_zero) {
    for (const Index size : {Index{1}, Index{7}, Index{1000}, large}) {
        cpu::Buffer<float> floats;
        cpu::Buffer<double> doubles;
        floats.reserve(size);
        doubles.reserve(size);
        BOOST_TEST(floats.size() == static_cast<std::size_t>(size));
        BOOST_TEST(doubles.size() == static_cast<std::size_t>(size));
        BOOST_TEST(is_aligned_to_a_cache_line(floats));
        BOOST_TEST(is_aligned_to_a_cache_line(doubles));
        BOOST_TEST(holds_only(floats, 0.0F));
        BOOST_TEST(holds_only(doubles, 0.0));
    }
}

BOOST_AUTO_TEST_CASE(a_large_enough_buffer_keeps_its_contents) {
    cpu::Buffer<float> buffer;
    buffer.reserve(100);
    fill(buffer, 3.0F);
    const float* before = buffer.data();
    for (const Index size : {0, 1, 99, 100}) buffer.reserve(size);
    BOOST_TEST(buffer.data() == before);
    BOOST_TEST(buffer.size() == 100U);
    BOOST_TEST(holds_only(buffer, 3.0F));
}

BOOST_AUTO_TEST_CASE(a_buffer_that_grows_is_zero) {
    cpu::Buffer<double> buffer;
    for (const Index size : {Index{10}, Index{11}, large, large + 1}) {
        buffer.reserve(size);
        BOOST_TEST(buffer.size() == static_cast<std::size_t>(size));
        BOOST_TEST(is_aligned_to_a_cache_line(buffer));
        BOOST_TEST(holds_only(buffer, 0.0));
        fill(buffer, 5.0);
    }
}

BOOST_AUTO_TEST_CASE(a_move_transfers_the_memory) {
    static_assert(!std::is_copy_constructible_v<cpu::Buffer<float>>);
    for (const Index size : {Index{20}, large}) {
        cpu::Buffer<float> first;
        first.reserve(size);
        fill(first, 2.0F);
        const float* memory = first.data();
        cpu::Buffer<float> second{std::move(first)};
        BOOST_TEST(second.data() == memory);
        BOOST_TEST(second.size() == static_cast<std::size_t>(size));
        cpu::Buffer<float> third;
        third.reserve(3);
        third = std::move(second);
        BOOST_TEST(third.data() == memory);
        BOOST_TEST(third.size() == static_cast<std::size_t>(size));
        BOOST_TEST(holds_only(third, 2.0F));
    }
}

BOOST_AUTO_TEST_CASE(a_moved_from_buffer_can_be_reused) {
    cpu::Buffer<float> buffer;
    buffer.reserve(20);
    const cpu::Buffer<float> elsewhere{std::move(buffer)};
    BOOST_TEST(buffer.data() == nullptr);
    buffer.reserve(10);
    BOOST_TEST_REQUIRE(buffer.data() != nullptr);
    BOOST_TEST(holds_only(buffer, 0.0F));
}
