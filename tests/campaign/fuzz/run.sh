#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh SOURCE FOLDER SECONDS: builds a fuzz target with AddressSanitizer and UndefinedBehaviorSanitizer in FOLDER and
# runs it for SECONDS on the inputs in FOLDER/<name>, to which it adds what it finds. Inputs that fail are left in FOLDER.
# With SANITIZER=memory it is built with MemorySanitizer instead.
set -euo pipefail
source=$1 folder=$2 seconds=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$(basename "$source" .cpp)

if [[ ${SANITIZER:-} == memory ]]; then
    # libFuzzer's runtime is built without MemorySanitizer and brings its copies of the standard library's templates: what
    # they wrote for the target would seem never written. The containers of the debug mode have other names.
    sanitizers=(-fsanitize=fuzzer,memory -fsanitize-memory-track-origins -D_GLIBCXX_DEBUG)
else
    # Looking for uses of a function's variables after its return would take a third of the time of inputs that are refused.
    sanitizers=(-fsanitize=fuzzer,address,undefined,float-cast-overflow
        -fno-sanitize-recover=undefined,float-cast-overflow -fsanitize-address-use-after-return=never)
fi
include=$here/../../../include
program=$folder/$name${SANITIZER:+.$SANITIZER}.program
mkdir -p "$folder/$name"
if [[ ! -e $program || -n $(find "$here" "$include" -newer "$program" -type f -print -quit) ]]; then
    "${CLANG:-clang++-19}" -std=c++20 -O1 -g1 -w -fno-omit-frame-pointer "${sanitizers[@]}" \
        "-fsanitize-coverage-ignorelist=$here/not_traced.txt" -I"$include" -isystem /usr/include/eigen3 "$source" \
        -o "$program" -lpthread
fi
# Each target has seeds of its own folder, because several targets run at once.
if "${PYTHON:-python3}" "$here/make_seeds.py" "$folder/$name.seeds"; then
    if [[ -d $folder/$name.seeds/$name ]]; then
        cp -n "$folder/$name.seeds/$name"/* "$folder/$name"
    fi
else
    echo "note: make_seeds.py failed; $name begins without inputs"
fi
# Files of inputs belong in memory, and freed memory is kept for a while only.
if [[ -d /dev/shm && -w /dev/shm ]]; then export TMPDIR=/dev/shm; fi
export ASAN_OPTIONS=quarantine_size_mb=16:malloc_context_size=8
"$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -print_final_stats=1 \
    -artifact_prefix="$folder/${name}_" "$folder/$name" 2>&1 | tail -n 40
