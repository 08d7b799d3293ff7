// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/communicator.hpp>
#include <bantam/cuda/runtime/device_communicator.hpp>
#include <bantam/cuda/runtime/execution.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace bantam::cuda {

/// Exchanges through the host's memory, by any Communicator: where there is no NCCL, and on the processor's threads. On
/// a GPU they cannot be recorded, so that every step launches its kernels one by one.
class StagedCommunicator final : public DeviceCommunicator {
public:
    explicit StagedCommunicator(Communicator& communicator)
        : DeviceCommunicator{communicator.rank()}, communicator_{communicator} {}

    void exchange(const Execution& execution, std::span<const DeviceMessage> sent,
                  std::span<const DeviceMessage> received) override {
        execution.perform([this, &execution, to_send = std::vector(sent.begin(), sent.end()),
                           to_receive = std::vector(received.begin(), received.end())] {
            // Pairs of ranks in one order everywhere, the lower rank sending first, so that there is no deadlock.
            for (int other = 0; other < rank().count; ++other) {
                if (other < rank().index) receive(execution, to_receive, other);
                send(execution, to_send, other);
                if (other > rank().index) receive(execution, to_receive, other);
            }
        });
    }
    bool recordable() const override {
#ifdef __CUDACC__
        return false;
#else
        return true;
#endif
    }

private:
    void send(const Execution& execution, const std::vector<DeviceMessage>& messages, int to) {
        for (const DeviceMessage& message : messages) {
            if (message.rank != to || message.bytes == 0) continue;
            staged_.resize(message.bytes);
            copy_to_host(execution, message.data, std::ssize(staged_), staged_.data());
            communicator_.send(staged_, to);
        }
    }
    void receive(const Execution& execution, const std::vector<DeviceMessage>& messages, int from) {
        for (const DeviceMessage& message : messages) {
            if (message.rank != from || message.bytes == 0) continue;
            staged_.resize(message.bytes);
            communicator_.receive(staged_, from);
            copy_to_device(execution, staged_.data(), std::ssize(staged_), message.data);
        }
    }

    Communicator& communicator_;
    std::vector<std::byte> staged_;
};

}  // namespace bantam::cuda
