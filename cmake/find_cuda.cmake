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
# An nvcc that does not work, for it knows no g++ as new as ours, must not keep anybody from the CPU.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    set(ENV{CUDACXX} ${BANTAM_NVCC})
endif()
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
    message(STATUS "bantam: ${BANTAM_NVCC} does not work here; our programs run on the CPU alone")
    set(BANTAM_NVCC BANTAM_NVCC-NOTFOUND)
    return()
endif()
# Two generations of data-center GPUs, and code that later ones compile for themselves.
if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
endif()
enable_language(CUDA)
# nvcc's level is the host's, where our sources do little but ask for work; the GPU's code is optimized in any case.
string(REPLACE "-O3" "-O1" CMAKE_CUDA_FLAGS_RELEASE "${CMAKE_CUDA_FLAGS_RELEASE}")
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12)
    message(STATUS "bantam: nvcc ${CMAKE_CUDA_COMPILER_VERSION} knows no C++20; our programs run on the CPU alone")
    return()
endif()
find_package(CUDAToolkit REQUIRED)
set(BANTAM_HAS_CUDA ON)
