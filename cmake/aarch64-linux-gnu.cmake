# SPDX-License-Identifier: MIT
# Compiles for 64-bit Arm with Debian's cross compiler and runs the tests by QEMU's user mode. Libraries are those of
# BANTAM_AARCH64_LIBRARIES, the folder of arm64 packages that tools/test_on_aarch64.sh unpacks.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES BANTAM_AARCH64_LIBRARIES)
set(CMAKE_FIND_ROOT_PATH ${BANTAM_AARCH64_LIBRARIES})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
