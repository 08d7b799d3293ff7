// SPDX-License-Identifier: MIT
// Needs threads.
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/thread_pool.hpp>

#include <memory>
#include <type_traits>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace bantam {

namespace detail {

/// The one compiled copy of a body. Inlined into the serial loop and into the parallel one, it could be compiled to
/// different fused multiply-adds, and so to other bits with other numbers of threads.
template <class Body>
[[gnu::noinline]] void call_body(void* body, Index index, int thread) {
    (*static_cast<Body*>(body))(index, thread);
}

inline long process_id() {
#if __has_include(<unistd.h>)
    return getpid();
#else
    return 0;
#endif
}

/// The pool of the calling thread, which starts threads when a loop first needs them and joins them when the calling
/// thread ends; null after that, in the destructors of static objects.
inline ThreadPool* thread_pool() {
    thread_local bool ended = false;
    if (ended) return nullptr;
    struct Owner {
        std::unique_ptr<ThreadPool> pool;
        long process = 0;
        // After a fork the pool's threads do not exist in the child process, and what they held stays locked.
        void abandon() { static_cast<void>(pool.release()); }
        ~Owner() {
            if (process != process_id()) abandon();
            ended = true;
        }
    };
    thread_local Owner owner;
    if (owner.process != process_id()) {
        owner.abandon();
        owner.pool = std::make_unique<ThreadPool>();
        owner.process = process_id();
    }
    return owner.pool.get();
}

/// The loop of parallel_for, compiled once for all bodies.
[[gnu::noinline]] inline void run_loop(Index count, int threads, ThreadPool::Body body, void* context) {
    if (threads > 1 && count > 1 && !in_parallel_loop)
        if (ThreadPool* pool = thread_pool()) return pool->run(count, threads, body, context);
    for (Index index = 0; index < count; ++index) body(context, index, 0);
}

}  // namespace detail

/// Runs `body(index, thread)` for every index below `count` on up to `threads` threads; `thread` is below `threads`,
/// 0 on the calling thread, and no two bodies run at once with the same one. Which thread runs an index changes from
/// call to call. A loop inside a body runs on the body's thread. Rethrows the first exception of a body.
///
/// Each calling thread has threads of its own, so that loops of several callers run at once.
template <class Body>
void parallel_for(Index count, int threads, Body&& body) {
    detail::run_loop(count, threads, detail::call_body<std::remove_reference_t<Body>>,
                     const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}

}  // namespace bantam
