// SPDX-License-Identifier: MIT
// The second translation unit: anything defined twice fails to link.
#include <bantam/bantam.hpp>

#include <cstdint>

std::uint64_t bits_seen_elsewhere() { return bantam::random_bits(1, 2, 3); }
