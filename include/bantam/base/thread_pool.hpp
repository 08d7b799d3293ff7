// SPDX-License-Identifier: MIT
// Needs threads.
#pragma once

#include <bantam/base/index.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace bantam {

namespace detail {

/// Tells the processor that the thread waits in a loop.
inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    asm volatile("yield");
#endif
}

/// Where one thread waits for others: a short spin, because the next loop usually starts within microseconds, then
/// sleep, which leaves the core to other programs.
class WaitingPlace {
public:
    /// Returns once `ready()` is true. Whoever makes it true calls `wake` afterwards; both use sequentially
    /// consistent operations, so that either `ready` sees the change or `wake` sees the sleeper.
    template <class Ready>
    void wait(const Ready& ready) {
        for (int spin = 0; spin < spins; ++spin) {
            if (ready()) return;
            pause();
        }
        std::unique_lock lock{mutex_};
        asleep_ = true;
        woken_.wait(lock, ready);
        asleep_ = false;
    }

    void wake() {
        if (!asleep_) return;
        // The sleeper holds the mutex from its last look at `ready` until it sleeps.
        {
            const std::lock_guard lock{mutex_};
        }
        woken_.notify_one();
    }

private:
    static constexpr int spins = 500;

    std::mutex mutex_;
    std::condition_variable woken_;
    std::atomic<bool> asleep_{false};
};

/// True in a thread that runs an index of a parallel loop.
inline thread_local bool in_parallel_loop = false;

}  // namespace detail

/// Threads that run loops together with the one thread that owns the pool. Indices are handed out one by one, in
/// their order, and the owner waits only for those that another thread has begun: a thread that the system does not
/// run does not delay it. Waiting threads sleep.
class ThreadPool {
public:
    /// One index of a loop, on thread `thread` below the loop's number of threads.
    using Body = void (*)(void* context, Index index, int thread);

    ThreadPool() = default;
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    ~ThreadPool() {
        stopping_ = true;
        for (const auto& worker : workers_) {
            worker->place.wake();
            worker->thread.join();
        }
    }

    /// Runs `body(context, index, thread)` for every index below `count` on up to `threads` threads, the caller one of
    /// them. Rethrows the first exception of a body; indices that have not begun are then left out.
    void run(Index count, int threads, Body body, void* context) {
        const int helpers = start_workers(static_cast<int>(std::min<Index>(threads, count)) - 1);
        body_ = body;
        context_ = context;
        count_ = count;
        unfinished_ = count;
        unclaimed_ = static_cast<std::uint64_t>(helpers + 1) << thread_shift | static_cast<std::uint64_t>(count);
        for (int helper = 0; helper < helpers; ++helper) workers_[static_cast<std::size_t>(helper)]->place.wake();
        detail::in_parallel_loop = true;
        work(0);
        owner_.wait([&] { return unfinished_ == 0; });
        detail::in_parallel_loop = false;
        if (failed_) {
            failed_ = false;
            std::rethrow_exception(std::exchange(failure_, nullptr));
        }
    }

private:
    struct Worker {
        detail::WaitingPlace place;
        std::thread thread;
    };

    /// `unclaimed_` holds the loop's number of threads above this bit and its indices not yet begun below.
    static constexpr int thread_shift = 40;
    static bool may_claim(std::uint64_t unclaimed, int thread) {
        return (unclaimed & ((std::uint64_t{1} << thread_shift) - 1)) != 0 &&
               static_cast<std::uint64_t>(thread) < unclaimed >> thread_shift;
    }

    /// Starts threads until there are `wanted`, and returns how many of those there are: the system may refuse.
    int start_workers(int wanted) {
        while (static_cast<int>(workers_.size()) < wanted) {
            auto worker = std::make_unique<Worker>();
            const int thread = static_cast<int>(workers_.size()) + 1;
#ifdef __cpp_exceptions
            try {
#endif
                worker->thread = std::thread{[this, thread, place = &worker->place] {
                    detail::in_parallel_loop = true;
                    while (!stopping_) {
                        work(thread);
                        place->wait([&] { return stopping_ || may_claim(unclaimed_, thread); });
                    }
                }};
#ifdef __cpp_exceptions
            } catch (const std::system_error&) {
                break;
            }
#endif
            workers_.push_back(std::move(worker));
        }
        return std::min(wanted, static_cast<int>(workers_.size()));
    }

    /// Claims indices and runs them until none is left. What belongs to a loop is read after a claim: until the
    /// claimed index is finished, the loop does not end.
    void work(int thread) {
        std::uint64_t unclaimed = unclaimed_;
        while (may_claim(unclaimed, thread)) {
            if (!unclaimed_.compare_exchange_weak(unclaimed, unclaimed - 1)) continue;
            const auto left = static_cast<Index>(unclaimed & ((std::uint64_t{1} << thread_shift) - 1));
            run_index(count_ - left, thread);
            if (--unfinished_ == 0 && thread != 0) owner_.wake();
            unclaimed = unclaimed_;
        }
    }

    void run_index(Index index, int thread) {
#ifdef __cpp_exceptions
        if (failed_) return;
        try {
            body_(context_, index, thread);
        } catch (...) {
            const std::lock_guard lock{failure_mutex_};
            if (!failure_) failure_ = std::current_exception();
            failed_ = true;
        }
#else
        body_(context_, index, thread);
#endif
    }

    Body body_ = nullptr;
    void* context_ = nullptr;
    Index count_ = 0;
    std::atomic<bool> failed_{false};
    std::exception_ptr failure_;
    std::mutex failure_mutex_;
    std::atomic<bool> stopping_{false};
    detail::WaitingPlace owner_;
    std::vector<std::unique_ptr<Worker>> workers_;
    alignas(64) std::atomic<std::uint64_t> unclaimed_{0};
    alignas(64) std::atomic<Index> unfinished_{0};
};

}  // namespace bantam
