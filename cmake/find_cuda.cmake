# SPDX-License-Identifier: MIT
# nvcc, where it is found, compiles what our programs do on GPUs: sets BANTAM_NVCC, and BANTAM_HAS_CUDA where
# the language is on. Neither it nor a GPU is needed for anything else.

find_program(BANTAM_NVCC NAMES nvcc HINTS ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
mark_as_advanced(BANTAM_NVCC)
set(BANTAM_HAS_CUDA OFF)
if(NOT BANTAM_CUDA)
    return()
endif()
if(NOT BANTAM_NVCC)
    message(STATUS "bantam: nvcc not found; our programs run on the CPU alone")
    return()
endif()
if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${BANTAM_NVCC})
endif()
# Two generations of data-centre GPUs, and code that later ones compile for themselves.
if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
set(BANTAM_HAS_CUDA ON)
