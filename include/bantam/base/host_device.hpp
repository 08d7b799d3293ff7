// SPDX-License-Identifier: MIT
#pragma once

/// Marks a function that a GPU may call, too. Other compilers than nvcc see nothing.
#ifdef __CUDACC__
#define BANTAM_HOST_DEVICE __host__ __device__
#else
#define BANTAM_HOST_DEVICE
#endif
