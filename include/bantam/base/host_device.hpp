// SPDX-License-Identifier: MIT
#pragma once

/// Marks a function that can also be called on a GPU; empty for compilers other than nvcc.
#ifdef __CUDACC__
#define BANTAM_HOST_DEVICE __host__ __device__
#else
#define BANTAM_HOST_DEVICE
#endif
