// SPDX-License-Identifier: MIT
// A path without layers would compute nothing; its input is an Identity.
// expect-nvcc: compile_error<bantam::Reason::no_layers, 0L?
// expect-text: in layer 1 Branches, path 0: layer 0 Sequence: a sequence has at least one layer: write Identity where none is meant
// errors: 1
#include <bantam/core/network.hpp>
#include <bantam/layers/activations.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/conv2d.hpp>

using namespace bantam;

#ifdef TWIN
using Nothing = Identity;
#else
using Nothing = Sequence<>;
#endif

constexpr Index parameters = parameter_count<Network<Image<8, 8, 3>, Conv2d<4, 3>, Add<Nothing, ReLU>>>;
