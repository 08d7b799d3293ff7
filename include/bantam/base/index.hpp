// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace bantam {

/// An index or an extent: signed, and wide enough for the elements of a batch.
using Index = std::int64_t;

}  // namespace bantam
