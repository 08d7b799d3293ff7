// SPDX-License-Identifier: MIT
#pragma once

// Written once for all backends.
#include <bantam/exec/repeat.hpp>
