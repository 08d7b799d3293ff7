#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs the Debian packages Bantam needs, and only those that are missing.
#   tools/install_dependencies.sh build   what building and running the programs needs (the default)
#   tools/install_dependencies.sh test    the same and what the tests need
set -euo pipefail

build_packages=(
    g++ cmake make
    libeigen3-dev libstb-dev nlohmann-json3-dev libxxhash-dev libfmt-dev libcli11-dev
    libonnx-dev libprotobuf-dev libopenmpi-dev openmpi-bin
)
test_packages=(
    ninja-build libboost-test-dev pkg-config libthrust-dev
    clang-19 clang-format-19 libomp-19-dev libclang-rt-19-dev libc++-19-dev libc++abi-19-dev llvm-19
    chromium chromium-driver g++-aarch64-linux-gnu qemu-user
    lld-19 wasi-libc libc++-19-dev-wasm32 libc++abi-19-dev-wasm32 libclang-rt-19-dev-wasm32
    locales python3 python3-numpy python3-pil python3-torch python3-torchvision python3-xxhash
)

mode=${1:-build}
case $mode in
    build) packages=("${build_packages[@]}") ;;
    test) packages=("${build_packages[@]}" "${test_packages[@]}") ;;
    *)
        echo "error: expected 'build' or 'test', found '$mode'" >&2
        exit 2
        ;;
esac

if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
    echo "error: this script knows Debian's packages only; install these by hand: ${packages[*]}" >&2
    exit 1
fi

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null || true)
    [[ $status == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
    echo "All packages for '$mode' are installed."
    exit 0
fi

as_root=()
if ((EUID != 0)); then
    if ! command -v sudo > /dev/null; then
        echo "error: these packages are missing and only root can install them: ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "Installing: ${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}"
