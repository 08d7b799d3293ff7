// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/models/inverted.hpp>

namespace students::inverted_99k {

template <int Classes, int Size>
using Network = bantam::Inverted99k<Classes, Size>;

inline constexpr const char* accuracy = "-";

}  // namespace students::inverted_99k
