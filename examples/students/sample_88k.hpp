// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/models/sample.hpp>

namespace students::sample_88k {

template <int Classes, int Size>
using Network = bantam::Sample88k<Classes, Size>;

inline constexpr const char* accuracy = "-";

}  // namespace students::sample_88k
