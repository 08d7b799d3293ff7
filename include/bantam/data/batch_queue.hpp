// SPDX-License-Identifier: MIT
// Needs threads.
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/data/batch.hpp>

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace bantam {

/// Prepares the next batch on a worker thread while the current one is used.
///
///   const auto order = loader.epoch_order(epoch);
///   BatchQueue batches{loader.batch_count(), [&](Index index, Batch& batch) {
///       loader.assemble(epoch, order, index, batch); }};
///   while (const Batch* batch = batches.next()) train_on(*batch);
///
/// An exception thrown while a batch is prepared is rethrown by the `next()` that would have returned it.
class BatchQueue {
public:
    using Assemble = std::function<void(Index, Batch&)>;

    /// Prepares batches `first` … `count − 1`.
    BatchQueue(Index count, Assemble assemble, Index first = 0)
        : count_{count}, requested_{first}, ready_{first}, assemble_{std::move(assemble)}, worker_{[this] {
              work();
          }} {}

    BatchQueue(const BatchQueue&) = delete;
    BatchQueue& operator=(const BatchQueue&) = delete;

    ~BatchQueue() {
        {
            const std::lock_guard lock{mutex_};
            stopping_ = true;
        }
        changed_.notify_all();
        worker_.join();
    }

    /// The next batch, valid until the following call; nullptr after the last one.
    const Batch* next() {
        std::unique_lock lock{mutex_};
        if (requested_ >= count_) return nullptr;
        // Requesting a batch returns the previous one's slot to the worker.
        const Index index = requested_++;
        changed_.notify_all();
        changed_.wait(lock, [&] { return ready_ > index || failure_; });
        if (ready_ <= index) std::rethrow_exception(failure_);
        return &slots_[static_cast<std::size_t>(index % 2)];
    }

private:
    void work() {
        std::unique_lock lock{mutex_};
        while (ready_ < count_) {
            // Slot ready_ % 2 is free once batch ready_ − 1 has been requested.
            changed_.wait(lock, [&] { return stopping_ || ready_ <= requested_; });
            if (stopping_) return;
            const Index index = ready_;
            lock.unlock();
            try {
                assemble_(index, slots_[static_cast<std::size_t>(index % 2)]);
            } catch (...) {
                lock.lock();
                failure_ = std::current_exception();
                changed_.notify_all();
                return;
            }
            lock.lock();
            ++ready_;
            changed_.notify_all();
        }
    }

    Index count_;
    Index requested_;
    Index ready_;
    bool stopping_ = false;
    std::exception_ptr failure_;
    Batch slots_[2];
    Assemble assemble_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::thread worker_;
};

}  // namespace bantam
