#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what the tests need, builds everything and runs all tests; then some unit tests for 64-bit Arm, by QEMU, and
# once more with AddressSanitizer and UndefinedBehaviorSanitizer all unit tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

jobs=$(nproc)
export CMAKE_GENERATOR=Ninja  # which starts fewer processes per target than make

# Announces a stage, with the time that the ones before it took.
stage() {
    echo "== $1 (after $((SECONDS / 60)) min)"
}

tools/install_dependencies.sh test

# Runs all tests of a preset, leaves the whole output in its log, shows failures, and prints ctest's
# closing line.
run_tests() {
    local preset=$1 log=build/$1/test.log status=0
    ctest --preset "$preset" -j "$jobs" > "$log" 2>&1 || status=$?
    if ((status != 0)); then
        cat "$log"
        echo "error: the $preset tests fail; the output is in $log" >&2
        exit "$status"
    fi
    sed -n '/The following tests did not run/,$p' "$log"
    grep 'tests passed' "$log"
}

stage "Release build"
# What takes minutes and is not needed here is left out: where nvcc is found, all GPU architectures and students but one,
# and the tests of the CUDA backend that the sanitizers run as well, on processors of any kind.
cmake --preset release -DBANTAM_QUICK_BUILD=ON -DCMAKE_CUDA_ARCHITECTURES=80-real -DBANTAM_GPU_STUDENTS=mobile-98k \
    -DBANTAM_EXCLUDED_TESTS='^cuda\.(data|docs|layers|runtime|training|kernels\.(.*conv|.*gemm|.*norm|.*reduction))'
cmake --build --preset release -j "$jobs"
stage "Tests"
run_tests release

stage "Some unit tests for 64-bit Arm"
status=0
tools/test_on_aarch64.sh core exec > build/aarch64.log 2>&1 || status=$?
case $status in
    0) grep 'tests passed' build/aarch64.log ;;
    77) echo "left out: $(tail -n 1 build/aarch64.log) (build/aarch64.log)" ;;
    *)
        cat build/aarch64.log
        exit "$status"
        ;;
esac

stage "Build with AddressSanitizer and UndefinedBehaviorSanitizer"
cmake --preset asan
cmake --build --preset asan -j "$jobs" --target unit_tests
stage "Unit tests under the sanitizers"
run_tests asan
