// SPDX-License-Identifier: MIT
#pragma once

// The CUDA implementation of every layer.

#include <bantam/cuda/layers/activations.hpp>
#include <bantam/cuda/layers/batch_norm2d.hpp>
#include <bantam/cuda/layers/branches.hpp>
#include <bantam/cuda/layers/conv2d.hpp>
#include <bantam/cuda/layers/conv_transpose2d.hpp>
#include <bantam/cuda/layers/depthwise_conv2d.hpp>
#include <bantam/cuda/layers/dropout.hpp>
#include <bantam/cuda/layers/flatten.hpp>
#include <bantam/cuda/layers/fused_conv_blocks.hpp>
#include <bantam/cuda/layers/gate.hpp>
#include <bantam/cuda/layers/group_norm.hpp>
#include <bantam/cuda/layers/layer_norm.hpp>
#include <bantam/cuda/layers/linear.hpp>
#include <bantam/cuda/layers/pooling.hpp>
#include <bantam/cuda/layers/prelu.hpp>
#include <bantam/cuda/layers/rearrangement.hpp>
#include <bantam/cuda/layers/repeat.hpp>
#include <bantam/cuda/layers/resampling.hpp>
#include <bantam/cuda/layers/residual.hpp>
#include <bantam/cuda/layers/softmax.hpp>
#include <bantam/cuda/layers/squeeze_excite.hpp>
