#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes one web page of a student's header: the student as WebAssembly inside the page, no other file, no server.
#   examples/web/build.sh STUDENT.hpp OUTPUT.html [compiler options, such as -msimd128]
# Packages of Debian's: clang-19 lld-19 wasi-libc libc++-19-dev-wasm32 libc++abi-19-dev-wasm32
# libclang-rt-19-dev-wasm32.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if (($# < 2)) || [[ ! -f $1 ]]; then
    echo "error: expected the header that export_student wrote and the page to write, found '$*'" >&2
    exit 2
fi
header=$1
page=$2
options=("${@:3}")
((${#options[@]})) || options=(-O2 -msimd128)
for tool in clang++-19 wasm-ld-19; do
    command -v $tool > /dev/null || {
        echo "error: $tool is missing; see the packages at the top of $0" >&2
        exit 3
    }
done
if ! grep -q 'class_names\[\]' "$header" || ! grep -q ' stored_size' "$header"; then
    echo "error: $header: has no names of classes or no stored size; export the student again" >&2
    exit 2
fi

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cp "$header" "$build/student.hpp"
# The verbose abort of libc++ would need a console.
clang++-19 --target=wasm32-wasi -std=c++20 -stdlib=libc++ "${options[@]}" -fno-exceptions -fno-rtti \
    '-D_LIBCPP_VERBOSE_ABORT(...)=__builtin_trap()' -Wall -Wextra -Wconversion -Wshadow -Werror \
    -I"$build" -I"$here/../../include" -nostartfiles -Wl,--no-entry -Wl,--strip-all \
    "$here/classify.cpp" -o "$build/student.wasm"

# The module takes the place of one line of the page.
temporary=$(mktemp -p "$(dirname "$page")")
trap 'rm -rf "$build" "$temporary"' EXIT
base64 -w 0 "$build/student.wasm" > "$build/student.base64"
while IFS= read -r line; do
    if [[ $line == *BANTAM_MODULE* ]]; then
        printf '%s' "${line%%BANTAM_MODULE*}"
        cat "$build/student.base64"
        printf '%s\n' "${line#*BANTAM_MODULE}"
    else
        printf '%s\n' "$line"
    fi
done < "$here/page.html" > "$temporary"
chmod 644 "$temporary"
mv -f "$temporary" "$page"
echo "module bytes $(stat -c %s "$build/student.wasm")"
echo "page bytes $(stat -c %s "$page")"
