// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace bantam::cpu {

/// Memory for kernels: aligned to a cache line, so that no aligned vector crosses one, and on large pages
/// where the system offers them. Growing discards the contents.
template <class T>
class Buffer {
    static_assert(std::is_trivially_destructible_v<T>);

public:
    Buffer() = default;
    Buffer(Buffer&& other) noexcept
        : values_{std::move(other.values_)}, size_{std::exchange(other.size_, std::size_t{0})} {}
    Buffer& operator=(Buffer&& other) noexcept {
        values_ = std::move(other.values_);
        size_ = std::exchange(other.size_, std::size_t{0});
        return *this;
    }

    T* data() { return values_.get(); }
    const T* data() const { return values_.get(); }
    std::size_t size() const { return size_; }

    /// Ensures space for `size` values. A buffer that grows is filled with zeros; one that is large enough
    /// keeps its contents. Throws std::bad_alloc.
    void reserve(Index size) {
        const auto new_size = static_cast<std::size_t>(size);
        if (new_size <= size_) return;
        values_.reset();
        size_ = 0;
        const std::size_t bytes = new_size * sizeof(T);
        const bool large = bytes >= large_page;
        const std::align_val_t alignment{large ? large_page : cache_line};
        void* memory = ::operator new(bytes, alignment);
#ifdef __linux__
        // Only a hint: if it fails, the memory stays on small pages.
        if (large) static_cast<void>(madvise(memory, bytes, MADV_HUGEPAGE));
#endif
        values_ = {static_cast<T*>(memory), Release{alignment}};
        std::uninitialized_value_construct_n(values_.get(), new_size);
        size_ = new_size;
    }

private:
    static constexpr std::size_t cache_line = 64;
    static constexpr std::size_t large_page = std::size_t{2} << 20;

    struct Release {
        std::align_val_t alignment{cache_line};
        void operator()(T* values) const { ::operator delete(values, alignment); }
    };
    std::unique_ptr<T[], Release> values_;
    std::size_t size_ = 0;
};

}  // namespace bantam::cpu
