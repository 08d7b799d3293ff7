#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs the tests of tests/cuda/ on a GPU, which tools/test.sh runs on the processor's threads: kernels, layers, networks,
# training and pictures. Where CMake finds NCCL, gpu.data.picture_data trains with it: one rank, and as many more as
# there are GPUs, up to four. Then runs the kernels' tests under compute-sanitizer with BANTAM_TEST_SMALL=1, which
# reduces their sizes. Needs nvcc and a GPU. Arguments are passed to cmake: tools/test_on_gpu.sh -DBANTAM_NATIVE=OFF
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/gpu
if ! nvidia-smi > /dev/null 2>&1; then
    echo "error: nvidia-smi finds no GPU; run tools/test.sh, which needs none" >&2
    exit 1
fi
tools/install_dependencies.sh test
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_CUDA_ARCHITECTURES=native "$@"
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

# Sanitizers slow programs down a hundredfold, and a program uses little of the GPU: small sizes, four at a time.
sanitize() {
    local tool=$1 program=$2
    local log=$program.$tool.log
    if BANTAM_TEST_SMALL=1 compute-sanitizer --tool "$tool" --error-exitcode 1 "$program" --color_output=no \
        > "$log" 2>&1; then
        echo "== ${program##*/} under compute-sanitizer, $tool: passed"
    else
        echo "== ${program##*/} under compute-sanitizer, $tool: failed"
        cat "$log"
        return 1
    fi
}
export -f sanitize
for tool in memcheck racecheck initcheck synccheck; do
    for name in kernels.depthwise_conv kernels.implicit_gemm kernels.layer_norm kernels.row_reduction \
        kernels.sample_reduction layers.fused_conv_blocks runtime.thread_block data.picture_data; do
        printf '%s %s\n' "$tool" "$build/gpu_tests/gpu.$name"
    done
done | xargs -P 4 -L 1 bash -c 'sanitize "$@"' _ || failed=1

((failed == 0)) && echo "all tests on the GPU passed"
exit "$failed"
