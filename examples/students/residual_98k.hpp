// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/models/residual.hpp>

namespace students::residual_98k {

template <int Classes, int Size>
using Network = bantam::Residual98k<Classes, Size>;

inline constexpr const char* accuracy = "-";

}  // namespace students::residual_98k
