// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/backend.hpp>
#include <bantam/cpu/layers/flatten.hpp>
#include <bantam/exec/branches.hpp>

namespace bantam::cpu {

template <Fork Forking, Join Joining, class... Paths, Shape Input, class S>
struct Operation<Branches<Forking, Joining, Paths...>, Input, S>
    : exec::BranchesOperation<Backend, Branches<Forking, Joining, Paths...>, Input, S> {};

}  // namespace bantam::cpu
