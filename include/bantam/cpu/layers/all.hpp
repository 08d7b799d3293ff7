// SPDX-License-Identifier: MIT
#pragma once

// The CPU implementation of every layer.

#include <bantam/cpu/layers/activations.hpp>
#include <bantam/cpu/layers/batch_norm2d.hpp>
#include <bantam/cpu/layers/branches.hpp>
#include <bantam/cpu/layers/conv2d.hpp>
#include <bantam/cpu/layers/conv_transpose2d.hpp>
#include <bantam/cpu/layers/depthwise_conv2d.hpp>
#include <bantam/cpu/layers/dropout.hpp>
#include <bantam/cpu/layers/flatten.hpp>
#include <bantam/cpu/layers/fused_conv_blocks.hpp>
#include <bantam/cpu/layers/gate.hpp>
#include <bantam/cpu/layers/group_norm.hpp>
#include <bantam/cpu/layers/layer_norm.hpp>
#include <bantam/cpu/layers/linear.hpp>
#include <bantam/cpu/layers/pooling.hpp>
#include <bantam/cpu/layers/prelu.hpp>
#include <bantam/cpu/layers/rearrangement.hpp>
#include <bantam/cpu/layers/repeat.hpp>
#include <bantam/cpu/layers/resampling.hpp>
#include <bantam/cpu/layers/residual.hpp>
#include <bantam/cpu/layers/softmax.hpp>
#include <bantam/cpu/layers/squeeze_excite.hpp>
