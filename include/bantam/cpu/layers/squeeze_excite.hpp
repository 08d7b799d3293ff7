// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cpu/backend.hpp>
#include <bantam/exec/channel_gate.hpp>

namespace bantam::cpu {

template <class... Ls, Shape Input, class S>
struct Operation<ChannelGate<Ls...>, Input, S> : exec::ChannelGateOperation<Backend, ChannelGate<Ls...>, Input, S> {};

}  // namespace bantam::cpu
