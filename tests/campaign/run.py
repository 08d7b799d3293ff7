#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The long campaign against crashes and hostile files, in one command:

    tests/campaign/run.py --build build/campaign --kills 1000 --fuzz-seconds 3600

It builds a small distill_food11 (pictures of 32x32), kills runs at every call that changes a file and at random moments,
takes their power away, lets calls and allocations fail, and fuzzes the readers. It prints one line per part and exits
with 1 where anything was lost. The inputs that fuzzing found stay in the build folder, and a later campaign begins with
them; with --resume it also goes on counting:

    tests/campaign/run.py --kills 0 --fuzz-seconds 600 --fuzz-inputs 10000000 --resume"""

import argparse
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.normpath(os.path.join(HERE, "..", ".."))
sys.path.insert(0, HERE)
from conversions import conversions, programs
from crashes import Crashes


def build(folder):
    subprocess.run(["cmake", "-S", SOURCE, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", "-DBANTAM_CUDA=OFF",
                    "-DBANTAM_BUILD_TESTS=OFF", "-DBANTAM_BUILD_BENCH=OFF", "-DBANTAM_IMAGE_SIZE=32",
                    "-DBANTAM_STUDENTS=mobile-98k"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", folder, "-j", str(os.cpu_count()), "--target", "distill_food11",
                    "draw_sample_food11", "train_sample_teacher", "precompute_logits", "export_student"], check=True, stdout=subprocess.DEVNULL)


def fuzz(folder, seconds, goal, only, resume):
    """Fuzzes each target, or those named in `only`, for `seconds`, unless it has had `goal` inputs; returns how many
    failed. totals.json in `folder` counts the inputs, with `resume` those of earlier campaigns, too."""
    os.makedirs(folder, exist_ok=True)
    totals_file = os.path.join(folder, "totals.json")
    totals = {}
    if resume and os.path.exists(totals_file):
        with open(totals_file) as file:
            totals = json.load(file)
    failed = 0
    for source in sorted(glob.glob(os.path.join(HERE, "fuzz", "fuzz_*.cpp"))):
        name = os.path.basename(source)[:-4]
        total = totals.get(name, 0)
        if (only and name.removeprefix("fuzz_") not in only) or total >= goal:
            continue
        log = os.path.join(folder, name + ".log")
        with open(log, "w") as output:
            status = subprocess.run([os.path.join(HERE, "fuzz", "run.sh"), source, folder, str(seconds)],
                                    stdout=output, stderr=output).returncode
        with open(log) as output:
            inputs = sum(int(line.split()[-1]) for line in output if "number_of_executed_units" in line)
        totals[name] = total + inputs
        with open(totals_file + ".partial", "w") as file:
            json.dump(totals, file, indent=1)
        os.replace(totals_file + ".partial", totals_file)
        print(f"{name}: {inputs:,} inputs, {totals[name]:,} in all, exit {status}", flush=True)
        failed += status != 0
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(SOURCE, "build", "campaign"), help="build folder")
    parser.add_argument("--programs-built", action="store_true", help="use the programs in the build folder as they are")
    parser.add_argument("--kills", type=int, default=1000, help="random kills, and runs per other random part")
    parser.add_argument("--every-call", action="store_true", help="kill, fail and cut the power at every call")
    parser.add_argument("--fuzz-seconds", type=int, default=600, help="for each target; 0 for none")
    parser.add_argument("--fuzz-inputs", type=int, default=sys.maxsize, help="a target that has had as many is left out")
    parser.add_argument("--fuzz-targets", type=lambda text: text.split(","), help="such as state,names; otherwise all")
    parser.add_argument("--resume", action="store_true", help="go on counting the inputs of earlier campaigns")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.kills > 0 and not options.programs_built:
        build(options.build)
    failures = 0
    folder = tempfile.mkdtemp(prefix="bantam-campaign-")
    try:
        crashes = Crashes(options.build, folder, options.seed) if options.kills > 0 else None
        count = None if options.every_call else options.kills
        parts = {
            "kill -9 at random moments": lambda runs: runs.kill_at_random(options.kills),
            "kill -9 before a call": lambda runs: runs.at_calls("kill_before", count),
            "kill -9 after a call": lambda runs: runs.at_calls("kill_after", count),
            "power failure at a call": lambda runs: runs.at_calls("power", count),
            "a call that changes files fails": lambda runs: runs.at_calls("fail", count),
            "any call fails": lambda runs: runs.at_calls("fail_reads", count),
            "an allocation fails": lambda runs: runs.failing_allocations(options.kills),
        }
        for kind, runs in ({"run": crashes, "resumed run": crashes.resuming()} if crashes else {}).items():
            print(f"a {kind} makes {len(runs.calls)} calls that change files, {len(runs.calls_with_reads)} in all")
            for name, part in parts.items():
                runs.problems.clear()
                started = time.monotonic()
                ended = part(runs)
                failures += len(runs.problems)
                print(f"{kind}, {name}: {ended} ended early, {len(runs.problems)} problems "
                      f"{runs.problems[:3] if runs.problems else ''} ({time.monotonic() - started:.0f} s)", flush=True)
        commands = [*conversions(folder, options.seed), *programs(options.build, crashes)] if crashes else []
        for conversion in commands:
            started = time.monotonic()
            ended = [conversion.at_calls(action, None if action != "fail" else count)
                     for action in ("fail", "kill_before", "kill_after", "power")]
            ended.append(conversion.failing_allocations(options.kills))
            failures += len(conversion.problems)
            print(f"{conversion.name}: {ended} runs ended early by a failing call, a kill before and after a call, a power "
                  f"failure and a failing allocation; {len(conversion.problems)} problems {conversion.problems[:3]} "
                  f"({time.monotonic() - started:.0f} s)", flush=True)
        if options.fuzz_seconds > 0:
            failures += fuzz(os.path.join(options.build, "fuzz"), options.fuzz_seconds, options.fuzz_inputs,
                             options.fuzz_targets, options.resume)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
