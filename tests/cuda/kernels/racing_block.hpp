// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/runtime/thread_block.hpp>

#include <sanitizer/tsan_interface.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);
extern "C" void AnnotateIgnoreWritesBegin(const char* file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char* file, int line);

// The threads of a block, as ThreadSanitizer sees them: distributed at random over a few fibers that only barriers
// synchronize. One thread runs all of them, so the reports do not depend on timing.

namespace racing {

/// Calls `task()` `bytes` further down the stack.
template <class Task>
[[gnu::noinline]] void call(const Task& task) {
    task();
}
template <class Task>
[[gnu::noinline]] void call_deeper(std::size_t bytes, const Task& task) {
    void* gap = __builtin_alloca(bytes);
    asm volatile("" : : "r"(gap) : "memory");
    call(task);
    asm volatile("" : : "r"(gap) : "memory");
}

/// The fibers that run a thread block.
class Workers {
public:
    static constexpr std::size_t count = 16;
    static constexpr std::size_t stack_bytes = 16 << 10;

    Workers() {
        for (void*& fiber : fibers_) fiber = __tsan_create_fiber(0);
    }

    /// What the caller has done happens before what the fibers do.
    void acquire_caller() {
        __tsan_release(&followed_);
        for (void* fiber : fibers_) as(fiber, [&] { __tsan_acquire(&followed_); });
    }
    /// What the fibers have done happens before what the caller does.
    void release_to_caller() {
        for (void* fiber : fibers_) as(fiber, [&] { __tsan_release(&led_); });
        __tsan_acquire(&led_);
    }

    /// phase(member) for every member, each always on the same fiber; then a barrier if `barrier`.
    template <int Members, class Phase>
    void run(const Phase& phase, bool barrier) {
        static const auto members_of = distribute(Members);
        for (std::size_t w = 0; w < count; ++w)
            // The fibers share a stack; each gets a part of it that no other touches.
            call_deeper((w + 1) * stack_bytes, [&] {
                as(fibers_[w], [&] {
                    __tsan_acquire(&barriers_[passed_]);
                    for (const int member : members_of[w]) phase(member);
                    if (barrier) __tsan_release(&barriers_[1 - passed_]);
                });
            });
        if (barrier) passed_ = 1 - passed_;
    }

private:
    template <class Task>
    static void as(void* fiber, const Task& task) {
        void* caller = __tsan_get_current_fiber();
        __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync);
        task();
        __tsan_switch_to_fiber(caller, __tsan_switch_to_fiber_no_sync);
    }
    static std::array<std::vector<int>, count> distribute(int members) {
        std::array<std::vector<int>, count> members_of;
        for (int i = 0; i < members; ++i) members_of[static_cast<std::uint32_t>(i) * 0x9e3779b1U >> 28].push_back(i);
        return members_of;
    }

    std::array<void*, count> fibers_;
    // The last barrier and the next one.
    std::array<std::uint64_t, 2> barriers_{};
    std::size_t passed_ = 0;
    std::uint64_t followed_ = 0, led_ = 0;
};

/// A thread block whose threads run on such fibers.
template <int Threads>
class ThreadBlock {
public:
    ThreadBlock(std::int64_t index, Workers& workers) : index_{index}, workers_{&workers} {}

    std::int64_t index() const { return index_; }
    template <class Phase>
    void for_each_thread(const Phase& phase) const {
        workers_->run<Threads>(phase, true);
    }
    template <class Phase>
    void for_each_thread_nosync(const Phase& phase) const {
        workers_->run<Threads>(phase, false);
    }
    /// A warp is a member like a thread: only barriers synchronize it with the threads.
    template <class Phase>
    void for_each_warp(const Phase& phase) const {
        workers_->run<Threads / bantam::cuda::warp_threads>(phase, true);
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
    Workers* workers_;
};

inline std::array<Workers, 2>& worker_pair() {
    static std::array<Workers, 2> workers;
    return workers;
}

/// Runs block `index` of a kernel, block 0 first. Neighboring blocks have different workers, so that a dependency
/// between them is reported.
template <class Kernel>
void run_block(const Kernel& kernel, std::int64_t index) {
    auto& workers = worker_pair();
    if (index == 0)
        for (Workers& team : workers) team.acquire_caller();
    const auto which = static_cast<std::size_t>(index % 2);
    // Code between the phases has its own copy of every variable in each thread of a GPU.
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    call_deeper(which << 20, [&] {
        const auto shared = std::make_unique_for_overwrite<typename Kernel::Shared>();
        kernel(ThreadBlock<Kernel::threads>{index, workers[which]}, *shared);
    });
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    workers[which].release_to_caller();
}

}  // namespace racing

/// Replaces the loop over the threads.
template <class Kernel>
    requires(Kernel::threads > 0)
struct bantam::cuda::detail::BlockEntry<Kernel> {
    Kernel kernel;
    void operator()(std::int64_t index) const { racing::run_block(kernel, index); }
};
