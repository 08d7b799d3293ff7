// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/chain.hpp>
#include <bantam/cpu/copy.hpp>
#include <bantam/device/residual.hpp>

namespace bantam::cpu {

template <class Body, class Shortcut, Scale Scaled, Shape Input, class S>
struct Operation<ResidualBlock<Body, Shortcut, Scaled>, Input, S>
    : device::ResidualOperation<Backend, ResidualBlock<Body, Shortcut, Scaled>, Input, S> {};

}  // namespace bantam::cpu
