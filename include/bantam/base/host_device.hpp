// SPDX-License-Identifier: MIT
#pragma once

/// Marks a function that can also be called on a GPU; empty for compilers other than nvcc.
#ifdef __CUDACC__
#define BANTAM_HOST_DEVICE __host__ __device__
#else
#define BANTAM_HOST_DEVICE
#endif

/// Keeps a function out of its callers, so that the compiler contracts its multiply-adds alike for all of them.
#ifdef __CUDACC__
#define BANTAM_NOINLINE __noinline__
#else
#define BANTAM_NOINLINE [[gnu::noinline]]
#endif
