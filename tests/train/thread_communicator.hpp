// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/communicator.hpp>

#include <algorithm>
#include <barrier>
#include <condition_variable>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <queue>
#include <span>
#include <thread>
#include <utility>
#include <vector>

namespace bantam_test {

/// What the ranks of one process share: a rank is a thread.
struct ThreadRanks {
    explicit ThreadRanks(int count) : all{count}, places(static_cast<std::size_t>(count)) {}

    std::barrier<> all;
    std::vector<std::span<std::byte>> places;  // of each rank's data in a collective call
    std::mutex mutex;
    std::condition_variable sent;
    using Queues = std::map<std::pair<int, int>, std::queue<std::vector<std::byte>>>;  // by sender and receiver
    Queues messages, overlapped;
};

class ThreadCommunicator final : public bantam::Communicator {
public:
    ThreadCommunicator(ThreadRanks& ranks, bantam::Rank rank, bool overlaps)
        : Communicator{rank}, ranks_{ranks}, overlaps_{overlaps} {}

    std::size_t bytes_received = 0;

    void send(std::span<const std::byte> data, int to) override {
        const std::lock_guard lock{ranks_.mutex};
        ranks_.messages[{rank().index, to}].emplace(data.begin(), data.end());
        ranks_.sent.notify_all();
    }
    void receive(std::span<std::byte> data, int from) override {
        std::unique_lock lock{ranks_.mutex};
        auto& queue = ranks_.messages[{from, rank().index}];
        ranks_.sent.wait(lock, [&] { return !queue.empty(); });
        std::ranges::copy(queue.front(), data.begin());
        queue.pop();
        bytes_received += data.size();
    }
    void all_gather(std::span<std::byte> data, std::span<const std::size_t> offsets) override {
        collective(data, [&] {
            for (std::size_t from = 0; from + 1 < offsets.size(); ++from)
                if (static_cast<int>(from) != rank().index)
                    std::copy(ranks_.places[from].begin() + static_cast<std::ptrdiff_t>(offsets[from]),
                              ranks_.places[from].begin() + static_cast<std::ptrdiff_t>(offsets[from + 1]),
                              data.begin() + static_cast<std::ptrdiff_t>(offsets[from]));
            const auto own = static_cast<std::size_t>(rank().index);
            bytes_received += data.size() - (offsets[own + 1] - offsets[own]);
        });
    }
    void broadcast(std::span<std::byte> data, int from) override {
        collective(data, [&] {
            if (from == rank().index) return;
            std::ranges::copy(ranks_.places[static_cast<std::size_t>(from)], data.begin());
            bytes_received += data.size();
        });
    }
    bool overlaps() const override { return overlaps_; }
    bantam::Transfer start_send(std::span<const std::byte> data, int to) override {
        // The message leaves late, as in a transport that needs time.
        return [this, data, to, calls = 0]() mutable {
            if (++calls != 2) return calls > 2;
            const std::lock_guard lock{ranks_.mutex};
            ranks_.overlapped[{rank().index, to}].emplace(data.begin(), data.end());
            return true;
        };
    }
    bantam::Transfer start_receive(std::span<std::byte> data, int from) override {
        return [this, data, from] {
            const std::lock_guard lock{ranks_.mutex};
            auto& queue = ranks_.overlapped[{from, rank().index}];
            if (queue.empty()) return false;
            std::ranges::copy(queue.front(), data.begin());
            queue.pop();
            bytes_received += data.size();
            return true;
        };
    }
    void barrier() override { ranks_.all.arrive_and_wait(); }

private:
    template <class Exchange>
    void collective(std::span<std::byte> data, Exchange&& exchange) {
        ranks_.places[static_cast<std::size_t>(rank().index)] = data;
        barrier();
        exchange();
        barrier();
    }

    ThreadRanks& ranks_;
    bool overlaps_;
};

/// Runs `body(communicator)` for each of `count` ranks at the same time.
template <class Body>
void run_ranks(int count, const Body& body, bool overlaps = true) {
    ThreadRanks ranks{count};
    std::vector<std::jthread> threads;
    for (int index = 0; index < count; ++index)
        threads.emplace_back([&ranks, &body, overlaps, count, index] {
            ThreadCommunicator communicator{ranks, {index, count}, overlaps};
            body(communicator);
        });
}

}  // namespace bantam_test
