// SPDX-License-Identifier: MIT
#include "ranks.hpp"

#include <bantam/base/error.hpp>
#ifdef BANTAM_HAS_MPI
#include <bantam/train/mpi_communicator.hpp>
#endif

#include "command_line.hpp"

#include <charconv>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <string_view>

namespace bantam {
namespace {

/// The first of these environment variables that holds a number.
int environment_number(std::initializer_list<const char*> names, int otherwise) {
    for (const char* name : names) {
        const char* const text = std::getenv(name);
        if (text == nullptr) continue;
        const std::string_view digits{text};
        int number = 0;
        const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
        if (read.ec == std::errc{} && read.ptr == digits.data() + digits.size() && number >= 0) return number;
    }
    return otherwise;
}

#ifdef BANTAM_HAS_MPI
bool joined() {
    int begun = 0, ended = 0;
    MPI_Initialized(&begun);
    MPI_Finalized(&ended);
    return begun != 0 && ended == 0;
}
#endif

}  // namespace

Rank launched_rank(bool on_this_machine) {
    // Open MPI; MPICH, Intel MPI and MVAPICH.
    Rank rank;
    if (on_this_machine) {
        rank = {environment_number({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID"}, 0),
                environment_number({"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"}, 1)};
    } else {
        rank = {environment_number({"OMPI_COMM_WORLD_RANK", "PMI_RANK"}, 0),
                environment_number({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}, 1)};
    }
    return rank.index < rank.count ? rank : Rank{};
}

std::unique_ptr<Communicator> join_ranks() {
    const Rank rank = launched_rank();
    if (rank.count == 1) return std::make_unique<SingleProcess>();
#ifdef BANTAM_HAS_MPI
    MPI_Init(nullptr, nullptr);
    if (rank.index > 0) silence_messages();
    auto communicator = std::make_unique<MpiCommunicator>();
    if (const int found = communicator->rank().count; found != rank.count)
        throw Error{"the launcher started " + std::to_string(rank.count) + " ranks, and MPI finds " +
                    std::to_string(found) + "; use the mpirun of the MPI that this program was built with"};
    return communicator;
#else
    throw Error{"this program was built without MPI, so each of the " + std::to_string(rank.count) +
                " ranks would do all of the work; install libopenmpi-dev and build it again, or start it alone"};
#endif
}

void leave_ranks() {
#ifdef BANTAM_HAS_MPI
    if (!joined()) return;
    // mpirun may not end where a rank calls MPI_Abort while others are in MPI_Finalize: its PMIx (4.2.2) then locks a
    // mutex twice. After the barrier no rank calls MPI_Abort.
    MpiCommunicator{}.barrier();
    MPI_Finalize();
#endif
}

void end_all_ranks([[maybe_unused]] int status) {
#ifdef BANTAM_HAS_MPI
    if (joined()) MPI_Abort(MPI_COMM_WORLD, status);
#endif
}

}  // namespace bantam
