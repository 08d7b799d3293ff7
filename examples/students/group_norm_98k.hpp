// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/models/group_norm.hpp>

namespace students::group_norm_98k {

template <int Classes, int Size>
using Network = bantam::GroupNorm98k<Classes, Size>;

inline constexpr const char* accuracy = "-";

}  // namespace students::group_norm_98k
