// SPDX-License-Identifier: MIT
#pragma once

// All that is needed to describe networks and to train and run them on a CPU; depends on Eigen only. Headers for
// pictures (stb_image), teacher logits and checkpoints (nlohmann/json, xxHash) are under bantam/data and bantam/io.

#include <bantam/base/version.hpp>
#include <bantam/core/budget.hpp>
#include <bantam/core/network.hpp>
#include <bantam/core/summary.hpp>
#include <bantam/cpu/model.hpp>
#include <bantam/cpu/trainer.hpp>
#include <bantam/data/array_data.hpp>
#include <bantam/data/batch.hpp>
#include <bantam/layers/all.hpp>
#include <bantam/models/ensemble.hpp>
#include <bantam/models/mobile.hpp>
#include <bantam/train/fit.hpp>
