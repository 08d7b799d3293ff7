// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/models/tiniest.hpp>

namespace students::strided_tiniest_98k {

template <int Classes, int Size>
using Network = bantam::StridedTiniest98k<Classes, Size>;

inline constexpr const char* accuracy = "-";

}  // namespace students::strided_tiniest_98k
