#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs on a GPU what the ordinary tests run on the processor's threads: layers, networks, blocks, training and
# pictures against the CPU, then the same under compute-sanitizer. Needs nvcc and a GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/gpu
if ! nvidia-smi > /dev/null 2>&1; then
    echo "error: nvidia-smi finds no GPU; run tools/test.sh, which needs none" >&2
    exit 1
fi
tools/install_dependencies.sh test
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_CUDA_ARCHITECTURES=native
if ! grep -q '^CMAKE_CUDA_COMPILER:' "$build/CMakeCache.txt"; then
    echo "error: nvcc was not found; install the CUDA Toolkit or set CUDA_PATH to its folder" >&2
    exit 1
fi
cmake --build "$build" -j "$(nproc)" --target gpu_tests

failed=0
for program in "$build"/gpu_tests/gpu.*; do
    echo "== ${program##*/}"
    "$program" --color_output=no || failed=1
done
# The sanitizer is slow: the tests that meet every kernel in small batches.
for tool in memcheck racecheck initcheck synccheck; do
    for name in blocks_test row_blocks_test products_test picture_data_test; do
        echo "== $name under compute-sanitizer, $tool"
        compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/gpu_tests/gpu.$name" --color_output=no || failed=1
    done
done
((failed == 0)) && echo "all tests on the GPU passed"
exit "$failed"
