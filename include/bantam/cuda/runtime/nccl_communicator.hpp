// SPDX-License-Identifier: MIT
// Needs CUDA and NCCL (nccl.h, libnccl).
#pragma once

#include <bantam/base/communicator.hpp>
#include <bantam/base/error.hpp>
#include <bantam/cuda/runtime/device_communicator.hpp>
#include <bantam/cuda/runtime/execution.hpp>

#include <exception>
#include <span>
#include <string>

#include <nccl.h>

namespace bantam::cuda {

/// Exchanges between GPUs by NCCL, in the stream of the model and in its recorded steps. Trainers must not record steps
/// with it any more when it is destroyed: set_communicator(nullptr).
class NcclCommunicator final : public DeviceCommunicator {
public:
    /// Joins the ranks of `communicator`, each with the GPU that its calls of CUDA use; all of them construct one at
    /// the same time. Throws Error where NCCL cannot connect them.
    explicit NcclCommunicator(Communicator& communicator) : DeviceCommunicator{communicator.rank()} {
        ncclUniqueId id{};
        if (rank().index == 0) check(ncclGetUniqueId(&id), "ncclGetUniqueId");
        broadcast(communicator, std::span{&id, 1}, 0);
        check(ncclCommInitRank(&ranks_, rank().count, id, rank().index), "ncclCommInitRank");
    }

    ~NcclCommunicator() override {
        // Where an exception ends this rank, an exchange with the others may never complete.
        if (std::uncaught_exceptions() > 0)
            ncclCommAbort(ranks_);
        else
            ncclCommDestroy(ranks_);
    }

    void exchange(const Execution& execution, std::span<const DeviceMessage> sent,
                  std::span<const DeviceMessage> received) override {
        check(ncclGroupStart(), "ncclGroupStart");
        for (const DeviceMessage& message : sent)
            if (message.bytes > 0)
                check(ncclSend(message.data, message.bytes, ncclUint8, message.rank, ranks_, execution.stream()),
                      "ncclSend");
        for (const DeviceMessage& message : received)
            if (message.bytes > 0)
                check(ncclRecv(message.data, message.bytes, ncclUint8, message.rank, ranks_, execution.stream()),
                      "ncclRecv");
        check(ncclGroupEnd(), "ncclGroupEnd");
    }
    bool recordable() const override { return true; }

private:
    static void check(ncclResult_t result, const char* call) {
        if (result != ncclSuccess)
            throw Error(std::string{call} + ": " + ncclGetErrorString(result) +
                        "; NCCL_DEBUG=INFO prints what NCCL finds");
    }

    ncclComm_t ranks_{};
};

}  // namespace bantam::cuda
