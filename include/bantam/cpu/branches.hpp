// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/chain.hpp>
#include <bantam/cpu/copy.hpp>
#include <bantam/device/branches.hpp>

namespace bantam::cpu {

template <Fork Forking, Join Joining, class... Paths, Shape Input, class S>
struct Operation<Branches<Forking, Joining, Paths...>, Input, S>
    : device::BranchesOperation<Backend, Branches<Forking, Joining, Paths...>, Input, S> {};

}  // namespace bantam::cpu
