#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh SOURCE FOLDER SECONDS: builds a fuzz target with AddressSanitizer and UndefinedBehaviorSanitizer in FOLDER and
# runs it for SECONDS on the inputs in FOLDER/<name>, to which it adds what it finds. Inputs that fail are left in FOLDER.
set -euo pipefail
source=$1 folder=$2 seconds=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$(basename "$source" .cpp)

mkdir -p "$folder/$name"
"${CLANG:-clang++-19}" -std=c++20 -O1 -g1 -w -fno-omit-frame-pointer \
    -fsanitize=fuzzer,address,undefined,float-cast-overflow -fno-sanitize-recover=undefined,float-cast-overflow \
    -I"$here/../../../include" -isystem /usr/include/eigen3 "$source" -o "$folder/$name.program" -lpthread
if [[ -f $here/make_seeds.py ]]; then
    python3 "$here/make_seeds.py" "$folder/seeds" || true # needs NumPy
    cp -n "$folder/seeds/${name#fuzz_}"/* "$folder/$name" 2> /dev/null || true
fi
"$folder/$name.program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -print_final_stats=1 \
    -artifact_prefix="$folder/${name}_" "$folder/$name" 2>&1 | tail -n 40
