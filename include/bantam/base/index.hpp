// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace bantam {

/// An index or an extent. Signed, and wide enough to count the elements of a batch.
using Index = std::int64_t;

}  // namespace bantam
