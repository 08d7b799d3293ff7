// SPDX-License-Identifier: MIT
#pragma once

// The description of every layer.

#include <bantam/layers/activations.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/channel_shuffle.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/conv_transpose2d.hpp>
#include <bantam/layers/deployed.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>
#include <bantam/layers/depthwise_separable.hpp>
#include <bantam/layers/dropout.hpp>
#include <bantam/layers/flatten.hpp>
#include <bantam/layers/foldable_add.hpp>
#include <bantam/layers/gate.hpp>
#include <bantam/layers/group_norm.hpp>
#include <bantam/layers/inverted_residual.hpp>
#include <bantam/layers/layer_norm.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/names_elsewhere.hpp>
#include <bantam/layers/pooling.hpp>
#include <bantam/layers/prelu.hpp>
#include <bantam/layers/rep_conv2d.hpp>
#include <bantam/layers/repeat.hpp>
#include <bantam/layers/resampling.hpp>
#include <bantam/layers/residual.hpp>
#include <bantam/layers/softmax.hpp>
#include <bantam/layers/space_to_depth.hpp>
#include <bantam/layers/squeeze_excite.hpp>
