// SPDX-License-Identifier: MIT
// The ranks of a program that mpirun started. Only ranks.cpp includes MPI.
#pragma once

#include <bantam/base/communicator.hpp>

#include <memory>

namespace bantam {

/// Where a launcher such as mpirun started this process, by its environment; {0, 1} where none did. Ranks of this
/// machine alone where `on_this_machine`.
Rank launched_rank(bool on_this_machine = false);

/// Joins the ranks of this program's launch. A process without a launcher is a single rank and does not start MPI. All
/// ranks but the first show no messages from then on. Throws Error where this program was built without MPI and has
/// several ranks.
std::unique_ptr<Communicator> join_ranks();

/// Leaves the ranks that this process has joined, if any, when all of them do.
void leave_ranks();

/// Ends all ranks that this process has joined, if any, with this status.
void end_all_ranks(int status);

}  // namespace bantam
