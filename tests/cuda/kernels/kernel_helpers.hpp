// SPDX-License-Identifier: MIT
#pragma once

#include "cpu/compare_models.hpp"

#include <bantam/base/bfloat16.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>
#include <vector>

/// How far blocks may be from one thread an element, relative to the largest value.
template <class S>
constexpr double tolerance = std::is_same_v<S, double> ? 1e-12 : 1e-5;

template <class T>
bantam::cuda::DeviceBuffer<T> on_device(const bantam::cuda::Execution& execution, const std::vector<T>& values) {
    bantam::cuda::DeviceBuffer<T> buffer;
    buffer.reserve(std::ssize(values));
    bantam::cuda::copy_to_device(execution, values.data(), std::ssize(values), buffer.data());
    return buffer;
}
/// Whatever is not written stays as far off as can be.
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

/// A block whose threads take their turns from the last to the first.
template <int Threads>
class BlockBackwards {
public:
    explicit BlockBackwards(std::int64_t index) : index_{index} {}
    std::int64_t index() const { return index_; }
    template <class Phase>
    void for_each_thread(const Phase& phase) const {
        for (int thread = Threads; thread-- > 0;) phase(thread);
    }
    template <class Phase>
    void for_each_thread_alone(const Phase& phase) const {
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

/// Runs a kernel with blocks and threads in the opposite order; shared memory begins as NaN.
template <class Kernel>
void run_backwards(std::int64_t count, const Kernel& kernel) {
    using Shared = typename Kernel::Shared;
    const auto shared = std::make_unique<Shared>();
    while (count-- > 0) {
        std::memset(static_cast<void*>(shared.get()), 0xff, sizeof(Shared));
        kernel(BlockBackwards<Kernel::threads>{count}, *shared);
    }
}

#endif
