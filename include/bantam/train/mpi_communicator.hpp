// SPDX-License-Identifier: MIT
// Needs MPI (Debian: libopenmpi-dev; with CMake, find_package(MPI) and the target MPI::MPI_CXX).
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/communicator.hpp>

#include <chrono>
#include <cstddef>
#include <span>
#include <thread>
#include <vector>

// The C++ interface, which MPI 3 removed.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

namespace bantam {

/// Exchanges by MPI, between MPI_Init and MPI_Finalize, from the thread that called MPI_Init. An error of MPI ends all
/// ranks, which is MPI's default.
class MpiCommunicator final : public Communicator {
public:
    explicit MpiCommunicator(MPI_Comm ranks = MPI_COMM_WORLD) : Communicator{rank_in(ranks)}, ranks_{ranks} {}

    void send(std::span<const std::byte> data, int to) override {
        MPI_Send(data.data(), size(data), MPI_BYTE, to, 0, ranks_);
    }
    void receive(std::span<std::byte> data, int from) override {
        MPI_Recv(data.data(), size(data), MPI_BYTE, from, 0, ranks_, MPI_STATUS_IGNORE);
    }
    void all_gather(std::span<std::byte> data, std::span<const std::size_t> offsets) override {
        starts_.clear();
        counts_.clear();
        for (std::size_t index = 0; index + 1 < offsets.size(); ++index) {
            starts_.push_back(static_cast<int>(offsets[index]));
            counts_.push_back(static_cast<int>(offsets[index + 1] - offsets[index]));
        }
        MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, data.data(), counts_.data(), starts_.data(), MPI_BYTE,
                       ranks_);
    }
    void broadcast(std::span<std::byte> data, int from) override {
        MPI_Bcast(data.data(), size(data), MPI_BYTE, from, ranks_);
    }
    bool overlaps() const override { return true; }
    Transfer start_send(std::span<const std::byte> data, int to) override {
        MPI_Request request;
        MPI_Isend(data.data(), size(data), MPI_BYTE, to, overlapped_tag, ranks_, &request);
        return is_done(request);
    }
    Transfer start_receive(std::span<std::byte> data, int from) override {
        MPI_Request request;
        MPI_Irecv(data.data(), size(data), MPI_BYTE, from, overlapped_tag, ranks_, &request);
        return is_done(request);
    }
    /// With pauses, because MPI_Barrier would keep a processor busy while it waits.
    void barrier() override {
        MPI_Request request;
        MPI_Ibarrier(ranks_, &request);
        int done = 0;
        while (MPI_Test(&request, &done, MPI_STATUS_IGNORE), done == 0)
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }

private:
    static constexpr int overlapped_tag = 1;  // `send` has 0

    static Transfer is_done(MPI_Request request) {
        return [request]() mutable {
            int done = 0;
            MPI_Test(&request, &done, MPI_STATUS_IGNORE);
            return done != 0;
        };
    }
    static Rank rank_in(MPI_Comm ranks) {
        Rank rank;
        MPI_Comm_rank(ranks, &rank.index);
        MPI_Comm_size(ranks, &rank.count);
        return rank;
    }
    static int size(std::span<const std::byte> data) { return static_cast<int>(data.size()); }

    MPI_Comm ranks_;
    std::vector<int> starts_, counts_;
};

}  // namespace bantam
