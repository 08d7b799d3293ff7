// SPDX-License-Identifier: MIT
#include <bantam/bantam.hpp>

#include <cstdint>
#include <cstdio>

std::uint64_t bits_seen_elsewhere();

int main() {
    if (bantam::random_bits(1, 2, 3) != bits_seen_elsewhere()) {
        std::fputs("error: the two translation units disagree\n", stderr);
        return 1;
    }
    return 0;
}
