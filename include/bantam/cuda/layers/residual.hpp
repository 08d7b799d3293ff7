// SPDX-License-Identifier: MIT
#pragma once

// Written once for all backends; Identity is an operation of its own.
#include <bantam/cuda/layers/flatten.hpp>
#include <bantam/exec/residual.hpp>
