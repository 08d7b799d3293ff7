#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures how much of its speed a training step keeps beside other programs that use the same cores.

    bench/busy_neighbors.py build/release/bench/network_speed [OTHER_BUILD/bench/network_speed ...]

Times training of each net alone and beside one and two processes that compute all the time. Several programs are
timed in turn, so that they meet the same machine. Prints one table with pictures per second alone, and the share of
them that is left. The machine must be idle otherwise.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

NETS = {"mobile-98k": 64, "small-32": 64}  # batch sizes
NEIGHBORS = (0, 1, 2)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="+", help="bench/network_speed of one or more builds")
    parser.add_argument("--net", choices=NETS, action="append", help="a net to time; all by default")
    parser.add_argument("--threads", type=int, default=2, help="threads, and cores: the first ones of this machine")
    parser.add_argument("--rounds", type=int, default=5, help="times each measurement is taken")
    parser.add_argument("--seconds", type=float, default=4, help="length of a measurement")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= options.threads <= len(cores):
        parser.error(f"--threads must be 1 to {len(cores)}, the cores at hand")
    os.sched_setaffinity(0, cores[:options.threads])
    return options


def pictures_per_second(program, net, options):
    command = [program, "--net", net, "--mode", "training", "--batch", str(NETS[net]), "--threads",
               str(options.threads), "--repeats", "1000000", "--seconds", str(options.seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} failed: {done.stderr.strip()}")
    # The mean, because a neighbor slows down some steps only.
    return 1000 * NETS[net] / json.loads(done.stdout)["mean_ms"]


def main():
    options = arguments()
    speeds = {}
    for _ in range(options.rounds):
        for net in options.net or NETS:
            for neighbors in NEIGHBORS:
                busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbors)]
                try:
                    for program in options.programs:
                        speeds.setdefault((net, program, neighbors), []).append(
                            pictures_per_second(program, net, options))
                finally:
                    for process in busy:
                        process.kill()
                        process.wait()
    print("| net | program | pictures/s alone | share beside one | share beside two |\n|---|---|---:|---:|---:|")
    for net in options.net or NETS:
        for program in options.programs:
            alone, one, two = (statistics.median(speeds[net, program, neighbors]) for neighbors in NEIGHBORS)
            print(f"| {net} | {program} | {alone:.0f} | {one / alone:.2f} | {two / alone:.2f} |")


if __name__ == "__main__":
    main()
