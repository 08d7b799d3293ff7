// SPDX-License-Identifier: MIT
#pragma once

#include "reference/test_numbers.hpp"

#include <boost/test/unit_test.hpp>

#include <bantam/base/bfloat16.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string_view>
#include <type_traits>
#include <vector>

/// How far a kernel may be from its reference, relative to the largest value.
template <class S>
constexpr double tolerance = std::is_same_v<S, double> ? 1e-12 : 1e-5;

/// The sizes that a test tries: all of them, or with BANTAM_TEST_SMALL=1, as under compute-sanitizer, a few.
template <class T = std::int64_t>
std::vector<T> test_sizes(std::vector<T> all, std::vector<T> few) {
    const char* small = std::getenv("BANTAM_TEST_SMALL");
    return small && std::string_view{small} == "1" ? few : all;
}

template <class T>
bantam::cuda::DeviceBuffer<T> on_device(const bantam::cuda::Execution& execution, const std::vector<T>& values) {
    bantam::cuda::DeviceBuffer<T> buffer;
    buffer.reserve(std::ssize(values));
    bantam::cuda::copy_to_device(execution, values.data(), std::ssize(values), buffer.data());
    return buffer;
}
/// NaN, so that an element which a kernel fails to write is noticed.
template <class T>
bantam::cuda::DeviceBuffer<T> unset(const bantam::cuda::Execution& execution, std::int64_t size) {
    const auto nan = static_cast<T>(std::numeric_limits<bantam::Compute<T>>::quiet_NaN());
    return on_device(execution, std::vector<T>(static_cast<std::size_t>(size), nan));
}
template <class T>
std::vector<T> on_host(const bantam::cuda::Execution& execution, const bantam::cuda::DeviceBuffer<T>& buffer) {
    std::vector<T> values(static_cast<std::size_t>(buffer.size()));
    bantam::cuda::copy_to_host(execution, buffer.data(), buffer.size(), values.data());
    return values;
}

#ifndef __CUDACC__

/// A thread block whose threads run from the last to the first.
template <int Threads>
class BackwardsBlock {
public:
    explicit BackwardsBlock(std::int64_t index) : index_{index} {}
    std::int64_t index() const { return index_; }
    template <class Phase>
    void for_each_thread(const Phase& phase) const {
        for (int thread = Threads; thread-- > 0;) phase(thread);
    }
    template <class Phase>
    void for_each_thread_nosync(const Phase& phase) const {
        for_each_thread(phase);
    }
    template <class Phase>
    void for_each_warp(const Phase& phase) const {
        for (int warp = Threads / bantam::cuda::warp_threads; warp-- > 0;) phase(warp);
    }
    template <class T>
    bantam::cuda::PerThread<T, Threads> per_thread() const {
        return {};
    }
    template <class T>
    bantam::cuda::PerThread<T, Threads / bantam::cuda::warp_threads> per_warp() const {
        return {};
    }

private:
    std::int64_t index_;
};

/// Runs a kernel with its thread blocks and their threads in the opposite order; shared memory begins as NaN.
template <class Kernel>
void run_backwards(std::int64_t count, const Kernel& kernel) {
    using Shared = typename Kernel::Shared;
    const auto shared = std::make_unique<Shared>();
    while (count-- > 0) {
        std::memset(static_cast<void*>(shared.get()), 0xff, sizeof(Shared));
        kernel(BackwardsBlock<Kernel::threads>{count}, *shared);
    }
}

#endif
