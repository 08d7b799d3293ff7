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

// A block's threads as ThreadSanitizer is to see them: shared out at random to a few fibers, of which it is told that
// nothing but barriers orders them. In truth one thread does their work, so that what is found is no matter of luck.

namespace racing {

/// Calls `task()` so many bytes further down the stack.
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

/// The fibers that work on a block.
class Workers {
public:
    static constexpr std::size_t count = 16;
    static constexpr std::size_t stack_bytes = 16 << 10;

    Workers() {
        for (void*& fiber : fibers_) fiber = __tsan_create_fiber(0);
    }

    /// Whatever the caller has done or seen they have seen, too.
    void follow() {
        __tsan_release(&followed_);
        for (void* fiber : fibers_) as(fiber, [&] { __tsan_acquire(&followed_); });
    }
    /// The caller has seen what they have done.
    void lead() {
        for (void* fiber : fibers_) as(fiber, [&] { __tsan_release(&led_); });
        __tsan_acquire(&led_);
    }

    /// phase(member) for every member, always by the same worker; then a barrier where there is one.
    template <int Members, class Phase>
    void run(const Phase& phase, bool barrier) {
        static const auto shares = shares_of(Members);
        for (std::size_t w = 0; w < count; ++w)
            // They share a stack, where none must find what others left.
            call_deeper((w + 1) * stack_bytes, [&] {
                as(fibers_[w], [&] {
                    __tsan_acquire(&barriers_[passed_]);
                    for (const int member : shares[w]) phase(member);
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
    static std::array<std::vector<int>, count> shares_of(int members) {
        std::array<std::vector<int>, count> shares;
        for (int i = 0; i < members; ++i) shares[static_cast<std::uint32_t>(i) * 0x9e3779b1U >> 28].push_back(i);
        return shares;
    }

    std::array<void*, count> fibers_;
    // What stands for the barrier passed last and the next one: nobody sees who is there already.
    std::array<std::uint64_t, 2> barriers_{};
    std::size_t passed_ = 0;
    std::uint64_t followed_ = 0, led_ = 0;
};

/// A block of such threads.
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
    void for_each_thread_alone(const Phase& phase) const {
        workers_->run<Threads>(phase, false);
    }
    /// A warp is a member of its own: nothing but barriers orders it and what its threads do, either.
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

inline std::array<Workers, 2>& two_teams() {
    static std::array<Workers, 2> teams;
    return teams;
}

/// Runs block `index` of a kernel, block 0 first. Neighboring blocks have workers of their own, and so may not count
/// on each other.
template <class Kernel>
void run_block(const Kernel& kernel, std::int64_t index) {
    auto& teams = two_teams();
    if (index == 0)
        for (Workers& team : teams) team.follow();
    const auto own = static_cast<std::size_t>(index % 2);
    // What lies between the phases each thread has of its own on a GPU.
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    call_deeper(own << 20, [&] {
        const auto shared = std::make_unique_for_overwrite<typename Kernel::Shared>();
        kernel(ThreadBlock<Kernel::threads>{index, teams[own]}, *shared);
    });
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    teams[own].lead();
}

}  // namespace racing

/// In place of blocks whose threads take turns.
template <class Kernel>
    requires(Kernel::threads > 0)
struct bantam::cuda::detail::RunBlock<Kernel> {
    Kernel kernel;
    void operator()(std::int64_t index) const { racing::run_block(kernel, index); }
};
