# SPDX-License-Identifier: MIT
# Finds nvcc, which compiles the GPU code of Bantam's programs. Sets BANTAM_NVCC, and BANTAM_HAS_CUDA where the
# CUDA language is enabled. Everything else builds without nvcc and without a GPU.

find_program(BANTAM_NVCC NAMES nvcc HINTS ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
mark_as_advanced(BANTAM_NVCC)
set(BANTAM_HAS_CUDA OFF)
if(NOT BANTAM_CUDA)
    return()
endif()
if(NOT BANTAM_NVCC)
    message(STATUS "bantam: nvcc not found; programs are built for the CPU alone")
    return()
endif()
# nvcc may not support the installed g++. The build then continues for the CPU alone.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    set(ENV{CUDACXX} ${BANTAM_NVCC})
endif()
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
    message(STATUS "bantam: ${BANTAM_NVCC} does not compile a test program; programs are built for the CPU alone")
    set(BANTAM_NVCC BANTAM_NVCC-NOTFOUND)
    return()
endif()
# Machine code for two generations of data-center GPUs, and PTX that the driver compiles for later ones.
if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
endif()
enable_language(CUDA)
# nvcc passes this level to the host compiler, whose code only launches kernels. GPU code is optimized regardless.
string(REPLACE "-O3" "-O1" CMAKE_CUDA_FLAGS_RELEASE "${CMAKE_CUDA_FLAGS_RELEASE}")
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12)
    message(STATUS "bantam: nvcc ${CMAKE_CUDA_COMPILER_VERSION} does not support C++20; programs are built for the CPU alone")
    return()
endif()
find_package(CUDAToolkit REQUIRED)
set(BANTAM_HAS_CUDA ON)
