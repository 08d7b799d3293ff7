#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From a fresh machine to a distilled student: installs what is missing, builds, draws a sample data
# set, trains a teacher, stores its logits, trains the student on the labels alone and once more with
# the teacher, and prints how the three compare. Everything it writes lies in build/quickstart.
set -euo pipefail
case ${1:-} in
    "") ;;
    -h | --help)
        cat << 'END'
usage: tools/quickstart.sh

Installs the missing Debian packages, builds the programs in build/quickstart, draws a sample data set of
eleven kinds of food, trains a teacher, stores its logits, trains one student on the labels alone and one
with the teacher, and prints how the three compare. It takes about ten minutes on two cores. The results lie
in build/quickstart/run, which is emptied first.

BANTAM_QUICKSTART_EPOCHS=30 tools/quickstart.sh trains the students for 30 epochs instead of 25.
For your own data and teacher: tools/distill --help
END
        exit
        ;;
    *)
        echo "error: quickstart.sh takes no arguments, found '$1'; see --help" >&2
        exit 2
        ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

threads=$(nproc)
stored=54 # side of the drawn pictures; student and teacher see 48x48 of them
build=build/quickstart
run=$build/run
sample=$run/sample
teacher=$run/teacher.safetensors
logits=$run/teacher_logits.safetensors
epochs=${BANTAM_QUICKSTART_EPOCHS:-25}
# A run of two thousand steps needs a shorter average of weights than the default.
student_options=(--data "$sample" --stored-size "$stored" --threads "$threads" --batch-size 32
    --optimizer adamw --learning-rate 6e-3 --weight-decay 0.05 --warmup-epochs 1 --averaging-decay 0.98)

step() { printf '\n== %s\n' "$*"; }

step "Packages"
tools/install_dependencies.sh build

started=$SECONDS
step "Build"
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release \
    -DBANTAM_BUILD_TESTS=OFF -DBANTAM_BUILD_BENCH=OFF -DBANTAM_IMAGE_SIZE=48 -DBANTAM_CUDA=OFF
cmake --build "$build" -j "$threads" \
    --target draw_sample_food11 train_sample_teacher precompute_logits distill_food11

step "Sample data set"
rm -rf "$run"
mkdir -p "$run"
"$build"/tools/sample_data/draw_sample_food11 --output "$sample" --size "$stored" \
    --threads "$threads"

# The teacher is trained on far more labeled pictures than the student's 440, from another seed.
step "Teacher"
"$build"/tools/sample_data/draw_sample_food11 --output "$run/teacher_sample" --seed 2 --size "$stored" \
    --threads "$threads" --labeled-per-class 900 --unlabeled 0 --testing 11
"$build"/tools/sample_data/train_sample_teacher --data "$run/teacher_sample" --output "$teacher" \
    --stored-size "$stored" --threads "$threads" --epochs 9

step "Teacher logits"
"$build"/tools/precompute_logits --data "$sample" --teacher "$teacher" --output "$logits" \
    --views 4 --stored-size "$stored" --threads "$threads" | tee "$run/precompute_logits.log"

# The labeled pictures are a sixth of all; six times the epochs make as many steps.
step "Student, on the labels alone"
"$build"/examples/distill_food11 "${student_options[@]}" --output "$run/alone" --epochs "$((6 * epochs))"

step "Student, distilled"
"$build"/examples/distill_food11 "${student_options[@]}" --output "$run/distilled" --epochs "$epochs" \
    --teacher-logits "$logits"

step "Result after $((SECONDS - started)) s"
# Prints a row from the report of a program.
row() {
    awk -v name="$1" -F': *' '
        $1 == "validation accuracy" { accuracy = $2 }
        $1 == "parameters" { parameters = $2 }
        END {
            if (accuracy == "" || parameters == "") {
                print "error: " FILENAME " lacks the validation accuracy or the parameters" > "/dev/stderr"
                exit 1
            }
            printf "%-20s %17.1f %%  %12d\n", name, 100 * accuracy, parameters
        }' "$2"
}
printf '%-20s %19s  %12s\n' "" "validation accuracy" "parameters"
row "teacher" "$run/precompute_logits.log"
row "student alone" "$run/alone/summary.txt"
row "distilled student" "$run/distilled/summary.txt"
echo
echo "The distilled student's predictions for the testing pictures: $run/distilled/predict.csv"
