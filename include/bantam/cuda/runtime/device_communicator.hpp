// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/execution.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace bantam::cuda {

/// A message between the memories of two ranks' devices.
struct DeviceMessage {
    std::byte* data;
    std::size_t bytes;
    int rank;  ///< the other one
};

/// How ranks that train on a GPU each exchange data: cuda/runtime/nccl_communicator.hpp by NCCL,
/// cuda/runtime/staged_communicator.hpp through the host's memory. Derive from this class for another transport.
class DeviceCommunicator {
public:
    explicit DeviceCommunicator(Rank rank) : rank_{rank} {}
    DeviceCommunicator(const DeviceCommunicator&) = delete;
    DeviceCommunicator& operator=(const DeviceCommunicator&) = delete;
    virtual ~DeviceCommunicator() = default;

    Rank rank() const { return rank_; }

    /// Sends and receives these messages, after the work of `execution` so far and before what follows. All ranks call
    /// it at the same time; messages from one rank to another are matched in their order and have the same size.
    virtual void exchange(const Execution& execution, std::span<const DeviceMessage> sent,
                          std::span<const DeviceMessage> received) = 0;
    /// Whether an exchange can be part of RecordedWork.
    virtual bool recordable() const = 0;

private:
    Rank rank_;
};

/// Values [item][width] on the device, of which rank r has the items `items_of_rank(r)`; afterwards every rank has all.
template <class T, class ItemsOfRank>
void all_gather(const Execution& execution, DeviceCommunicator& communicator, T* values, Index width,
                const ItemsOfRank& items_of_rank) {
    const Rank rank = communicator.rank();
    std::vector<DeviceMessage> sent, received;
    const auto message = [&](int of, int with) {
        const IndexRange items = items_of_rank(Rank{of, rank.count});
        return DeviceMessage{reinterpret_cast<std::byte*>(values + items.begin * width),
                             static_cast<std::size_t>(items.count() * width) * sizeof(T), with};
    };
    for (int other = 0; other < rank.count; ++other) {
        if (other == rank.index) continue;
        sent.push_back(message(rank.index, other));
        received.push_back(message(other, other));
    }
    communicator.exchange(execution, sent, received);
}

/// Afterwards every rank has the values of rank 0.
template <class T>
void broadcast(const Execution& execution, DeviceCommunicator& communicator, T* values, Index count) {
    const DeviceMessage message{reinterpret_cast<std::byte*>(values), static_cast<std::size_t>(count) * sizeof(T), 0};
    if (communicator.rank().index > 0) return communicator.exchange(execution, {}, {&message, 1});
    std::vector<DeviceMessage> sent;
    for (int other = 1; other < communicator.rank().count; ++other)
        sent.push_back({message.data, message.bytes, other});
    communicator.exchange(execution, sent, {});
}

}  // namespace bantam::cuda
