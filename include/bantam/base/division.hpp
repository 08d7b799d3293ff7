// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>

namespace bantam {

/// size / divisor rounded up, for `size` from 0 on and `divisor` from 1 on.
BANTAM_HOST_DEVICE constexpr Index ceil_div(Index size, Index divisor) { return (size + divisor - 1) / divisor; }

/// The size of the largest part if `size` is split as evenly as possible into parts of at most `limit`.
BANTAM_HOST_DEVICE constexpr Index even_split(Index size, Index limit) { return ceil_div(size, ceil_div(size, limit)); }

}  // namespace bantam
