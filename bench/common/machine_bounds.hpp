// SPDX-License-Identifier: MIT
#pragma once

namespace bantam::bench {

/// The measured limits of `threads` cores of this machine.
struct MachineBounds {
    double gflops;                ///< fused multiply-adds on registers, counted as two operations
    double gigabytes_per_second;  ///< scaling an array far larger than the caches: two reads, one write
};

MachineBounds measure_machine(int threads);

}  // namespace bantam::bench
