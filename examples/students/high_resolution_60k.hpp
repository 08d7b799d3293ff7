// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/models/residual.hpp>

namespace students::high_resolution_60k {

template <int Classes, int Size>
using Network = bantam::HighResolution60k<Classes, Size>;

inline constexpr const char* accuracy = "-";

}  // namespace students::high_resolution_60k
