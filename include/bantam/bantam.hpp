// SPDX-License-Identifier: MIT
#pragma once

// Everything a CPU user needs; wants Eigen alone. Pictures (stb_image), teacher logits and checkpoints
// (nlohmann/json) have headers of their own under bantam/data and bantam/io.

#include <bantam/core/budget.hpp>
#include <bantam/core/network.hpp>
#include <bantam/core/summary.hpp>
#include <bantam/cpu/model.hpp>
#include <bantam/cpu/trainer.hpp>
#include <bantam/data/batch.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/batch_norm2d.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/conv2d.hpp>
#include <bantam/layers/depthwise_conv2d.hpp>
#include <bantam/layers/depthwise_separable.hpp>
#include <bantam/layers/dropout.hpp>
#include <bantam/layers/flatten.hpp>
#include <bantam/layers/gate.hpp>
#include <bantam/layers/inverted_residual.hpp>
#include <bantam/layers/layer_norm.hpp>
#include <bantam/layers/linear.hpp>
#include <bantam/layers/pooling.hpp>
#include <bantam/layers/residual.hpp>
#include <bantam/layers/squeeze_excite.hpp>
#include <bantam/models/ensemble.hpp>
#include <bantam/models/mobile.hpp>
