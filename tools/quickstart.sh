#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From a fresh machine to a distilled student: installs what is missing, builds, draws a sample data
# set, gets a teacher, stores its logits, trains the student on the labels alone and once more with
# the teacher, and prints how the three compare. Everything it writes lies in build/quickstart.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

threads=$(nproc)
stored=72 # side of the drawn pictures; the student sees 64x64 of them
build=build/quickstart
run=$build/run
sample=$run/sample
teacher=$run/teacher.safetensors
logits=$run/teacher_logits.safetensors
epochs=${BANTAM_QUICKSTART_EPOCHS:-12}

step() { printf '\n== %s\n' "$*"; }

# The value of a `name: value` line.
value() {
    awk -v name="$2" -F': *' '$1 == name { print $2; found = 1; exit }
        END { if (!found) { print "error: no line " name " in " FILENAME > "/dev/stderr"; exit 1 } }' "$1"
}

step "Packages"
tools/install_dependencies.sh build

started=$SECONDS
step "Build"
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release \
    -DBANTAM_BUILD_TESTS=OFF -DBANTAM_BUILD_BENCH=OFF -DBANTAM_IMAGE_SIZE=64
cmake --build "$build" -j "$threads" \
    --target draw_sample_food11 train_sample_teacher precompute_logits distill_food11

step "Sample data set"
rm -rf "$run"
mkdir -p "$run"
"$build"/tools/draw_sample_food11 --output "$sample" --size "$stored" \
    --threads "$threads"

# The teacher has seen far more labelled pictures than the student's 440, from another seed.
step "Teacher"
"$build"/tools/draw_sample_food11 --output "$run/teacher_sample" --seed 2 --size "$stored" \
    --threads "$threads" --labeled-per-class 500 --unlabeled 0 --testing 0
"$build"/tools/train_sample_teacher --data "$run/teacher_sample" --output "$teacher" \
    --stored-size "$stored" --threads "$threads"

step "Teacher logits"
"$build"/tools/precompute_logits --data "$sample" --teacher "$teacher" --output "$logits" \
    --views 4 --stored-size "$stored" --threads "$threads" | tee "$run/precompute_logits.log"

# The labelled pictures are a sixth of all; six times the epochs make as many steps.
step "Student, on the labels alone"
"$build"/examples/distill_food11 --data "$sample" --output "$run/alone" \
    --stored-size "$stored" --epochs "$((6 * epochs))" --threads "$threads"

step "Student, distilled"
"$build"/examples/distill_food11 --data "$sample" --output "$run/distilled" \
    --teacher-logits "$logits" --stored-size "$stored" --epochs "$epochs" --threads "$threads"

step "Result after $((SECONDS - started)) s"
row() { printf '%-22s %20s %14s\n' "$@"; }
row "" "validation accuracy" "parameters"
row "teacher" \
    "$(value "$run/precompute_logits.log" 'validation accuracy')" \
    "$(value "$run/precompute_logits.log" 'parameters')"
row "student alone" \
    "$(value "$run/alone/summary.txt" 'validation accuracy')" \
    "$(value "$run/alone/summary.txt" parameters)"
row "distilled student" \
    "$(value "$run/distilled/summary.txt" 'validation accuracy')" \
    "$(value "$run/distilled/summary.txt" parameters)"
echo
echo "The distilled student's answers for the testing pictures: $run/distilled/predict.csv"
