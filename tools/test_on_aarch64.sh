#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compiles the unit tests of the library for 64-bit Arm and runs them by QEMU's user mode, on Debian for another
# processor. The arm64 libraries are downloaded to build/aarch64/libraries; nothing of the system is changed.
#   tools/test_on_aarch64.sh                  all of them, which takes some hours on 2 cores
#   tools/test_on_aarch64.sh core exec io     the tests of these folders of tests/
# Ends with 77 where a program or the download is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for program in aarch64-linux-gnu-g++ qemu-aarch64 apt-get ninja; do
    if ! command -v "$program" > /dev/null; then
        echo "error: $program not found; run tools/install_dependencies.sh test (Debian)" >&2
        exit 77
    fi
done

jobs=$(nproc)
build=$PWD/build/aarch64
libraries=$build/libraries
packages=(libboost-test-dev libeigen3-dev libstb-dev nlohmann-json3-dev libxxhash-dev libfmt-dev libcli11-dev
          libthrust-dev)

if [[ ! -e $libraries/complete ]]; then
    echo "== arm64 libraries"
    rm -rf "$libraries"
    # A state of apt's own, in which no package is installed and the processor is Arm.
    apt=$build/apt
    mkdir -p "$libraries" "$apt"/{state/lists/partial,cache/archives/partial}
    : > "$apt/status"
    options=(-q -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
             -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Debug::NoLocking=true)
    if ! { apt-get "${options[@]}" update &&
           apt-get "${options[@]}" install -y --no-install-recommends --download-only "${packages[@]}"; }; then
        echo "error: apt-get cannot download the arm64 packages" >&2
        exit 77
    fi
    for package in "$apt"/cache/archives/*.deb; do
        dpkg-deb --extract "$package" "$libraries"
    done
    rm -rf "$apt"
    touch "$libraries/complete"
fi

selected=()
targets=(unit_tests)
if (($# > 0)); then
    selected=(-L "^($(IFS='|'; echo "$*"))\$")
    targets=("${@/#/unit_tests.}")
fi
export CMAKE_GENERATOR=Ninja
cmake --preset aarch64 "-DBANTAM_AARCH64_LIBRARIES=$libraries"
cmake --build --preset aarch64 -j "$jobs" --target "${targets[@]}"
ctest --preset aarch64 -j "$jobs" "${selected[@]}"
