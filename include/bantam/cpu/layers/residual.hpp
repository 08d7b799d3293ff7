// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/backend.hpp>
#include <bantam/cpu/layers/flatten.hpp>
#include <bantam/exec/residual.hpp>

namespace bantam::cpu {

template <class Body, class Shortcut, Scale Scaled, Shape Input, class S>
struct Operation<ResidualBlock<Body, Shortcut, Scaled>, Input, S>
    : exec::ResidualOperation<Backend, ResidualBlock<Body, Shortcut, Scaled>, Input, S> {};

}  // namespace bantam::cpu
