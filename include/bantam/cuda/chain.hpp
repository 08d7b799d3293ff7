// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/backend.hpp>
#include <bantam/cuda/layers/activations.hpp>
#include <bantam/cuda/layers/batch_norm2d.hpp>
#include <bantam/cuda/layers/conv2d.hpp>
#include <bantam/cuda/layers/depthwise_conv2d.hpp>
#include <bantam/cuda/layers/dropout.hpp>
#include <bantam/cuda/layers/flatten.hpp>
#include <bantam/cuda/layers/fused_conv_blocks.hpp>
#include <bantam/cuda/layers/gate.hpp>
#include <bantam/cuda/layers/layer_norm.hpp>
#include <bantam/cuda/layers/linear.hpp>
#include <bantam/cuda/layers/pooling.hpp>
#include <bantam/exec/branches.hpp>
#include <bantam/exec/channel_gate.hpp>
#include <bantam/exec/fusion.hpp>
#include <bantam/exec/residual.hpp>

namespace bantam::cuda {

template <class L, Shape Input, class S, bool Fused>
struct ChainOf : exec::ChainOf<Backend<Fused>, L, Input, S> {};

/// The chain of `L` (a layer, a block, a sequence) on `Input`: neighbors fused, or every layer a stage of its own, with
/// the same results.
template <class L, Shape Input, class S, bool Fused = true>
using Chain = typename ChainOf<L, Input, S, Fused>::type;

}  // namespace bantam::cuda
