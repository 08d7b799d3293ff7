#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Kills a random rank of distill_food11 again and again, resumes with another number of ranks, and compares the files of
every run that ends with those of an uninterrupted one.

    BANTAM_PROGRAMS=build/release tests/campaign/kill_ranks.py [KILLS]
"""
import os
import random
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import ranks_test  # noqa: E402
from programs import read  # noqa: E402

FILES = ("student.safetensors", "last.safetensors", "predict.csv", "summary.txt")
MOST_RANKS = 4


def run_with_kills(output, kills, chance):
    """One run to its end, with at most this many kills; returns how many it had."""
    done, ranks, resume = 0, chance.randint(1, MOST_RANKS), ()
    while True:
        command = ranks_test.Ranks.command(output, "--save-seconds", 0.2, *resume)
        process = subprocess.Popen(ranks_test.mpirun(ranks, *command), env=ranks_test.ENVIRONMENT,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if process.wait(chance.uniform(0.5, 4) if done < kills else 600) != 0:
                sys.exit(f"error: the run in {output} failed with status {process.returncode}")
            return done
        except subprocess.TimeoutExpired:
            pass
        if members := ranks_test.processes_of(output):
            os.kill(chance.choice(members), signal.SIGKILL)
            done += 1
            process.wait(30)
            if ranks_test.processes_of(output):
                sys.exit("error: a rank outlives the one that was killed")
        else:
            process.kill()  # no rank has started yet
            process.wait()
        if os.path.exists(os.path.join(output, "last.safetensors")):
            resume = ("--resume",)
        ranks = chance.choice([count for count in range(1, MOST_RANKS + 1) if count != ranks])


def main():
    target = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    ranks_test.EPOCHS = 14
    ranks_test.Ranks.setUpClass()
    chance, kills, runs = random.Random(5), 0, 0
    while kills < target:
        output = os.path.join(ranks_test.Ranks.shared, f"run-{runs}")
        kills += run_with_kills(output, target - kills, chance)
        runs += 1
        for name in FILES:
            if read(output, name) != read(ranks_test.Ranks.reference, name):
                sys.exit(f"error: {output}: {name} differs from that of the uninterrupted run")
        print(f"{runs} runs, {kills} kills: the same files", flush=True)
    ranks_test.Ranks.doClassCleanups()


if __name__ == "__main__":
    main()
