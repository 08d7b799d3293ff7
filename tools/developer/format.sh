#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Formats every C++ file as .clang-format says.
#   tools/developer/format.sh           rewrites the files
#   tools/developer/format.sh --check   changes nothing, names what is not formatted and fails
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! command -v clang-format-19 > /dev/null; then
    echo "error: clang-format-19 not found; run tools/install_dependencies.sh test" >&2
    exit 2
fi
mode=(-i)
[[ ${1:-} == --check ]] && mode=(--dry-run -Werror)
find bench examples include tests tools -type f \( -name '*.hpp' -o -name '*.cpp' -o -name '*.cu' \) -print0 |
    xargs -0 -n 32 -P "$(nproc)" clang-format-19 "${mode[@]}"
