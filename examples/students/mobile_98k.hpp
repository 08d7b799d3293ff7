// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/models/mobile.hpp>

namespace students::mobile_98k {

template <int Classes, int Size>
using Network = bantam::Mobile98k<Classes, Size>;

inline constexpr const char* accuracy = "85.2 % (Imagenette, docs/results.md)";

}  // namespace students::mobile_98k
