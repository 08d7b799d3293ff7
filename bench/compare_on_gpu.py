#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Times Bantam and PyTorch on one GPU in one run and prints a table of both and their ratios.

    bench/compare_on_gpu.py --output docs/performance.md

Builds bench/gpu_speed and examples/distill_food11 for this GPU, then takes every measurement in rounds, ours and
PyTorch's in turn; a figure is the median of its rounds. The peer is PyTorch's best of channels_last and torch.compile
with CUDA graphs, each in float32, TensorFloat-32 and bf16 autocast. Needs a Python with PyTorch for CUDA:

    python3 -m venv build/peers && build/peers/bin/pip install torch torchvision
    build/peers/bin/python bench/compare_on_gpu.py --output docs/performance.md
"""

import argparse
import csv
import itertools
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

from compare_with_peers import ROOT, run, versions, write

PICTURES = 10010  # 910 of each of the 11 classes
PRECISIONS = ["float32", "tf32", "bf16"]

# name, net, mode, the least and the hoped-for ratio
GOALS = [
    ("training step, mobile-98k at 128×128, batch 256", "mobile-98k", "training", 2, 4),
    ("training step, tiniest-97k at 32×32, batch 256", "tiniest-97k", "training", 1.5, 3),
    ("ResNet-18 forward at 128×128, batch 256", "resnet18", "inference", 1, 1.2),
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="times each measurement is taken")
    parser.add_argument("--seconds", type=float, default=5, help="length of a measurement, at most")
    parser.add_argument("--variants", nargs="+", choices=["channels_last", "compile"], default=["channels_last", "compile"],
                        help="PyTorch's variants; compile searches for kernels first, which takes minutes for each net")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "gpu_bench", help="build folder")
    parser.add_argument("--output", type=pathlib.Path,
                        help="also write the table, in markdown, to this file, between its GPU marks if it has them")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def build(options):
    configure = ["cmake", "-S", ROOT, "-B", options.build, "-DCMAKE_BUILD_TYPE=Release", "-DBANTAM_BUILD_TESTS=OFF",
                 "-DCMAKE_CUDA_ARCHITECTURES=native"]
    make = ["cmake", "--build", options.build, "-j", "--target", "gpu_speed", "distill_food11", "draw_sample_food11"]
    for command in (configure, make):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measure(options, who, net, mode):
    """One measurement: of ours by precision, of PyTorch by variant and precision."""
    flags = {"net": net, "mode": mode, "batch": 256, "steps": 50, "seconds": options.seconds}
    variant, precision = who
    if variant == "bantam":
        program = [options.build / "bench" / "gpu_speed"]
        flags["precision"] = precision
    else:
        program = [sys.executable, ROOT / "bench" / "peer_torch.py"]
        flags.update(variant=variant, precision=precision, device="cuda")
    return json.loads(run(program, flags, 1).splitlines()[-1])


def epoch_seconds(options):
    """Seconds of an epoch over the drawn pictures, augmentation included: the best of the later ones."""
    sample, output = options.build / "sample", options.build / "run"
    if not sample.exists():
        run([options.build / "tools" / "sample_data" / "draw_sample_food11"],
            {"output": sample, "size": 160, "labeled-per-class": PICTURES // 11, "unlabeled": 0, "testing": 11}, 1)
    shutil.rmtree(output, ignore_errors=True)
    run([options.build / "examples" / "distill_food11"],
        {"data": sample, "output": output, "stored-size": 160, "device": "cuda", "epochs": 10, "batch-size": 256}, 1)
    with open(output / "metrics.csv", newline="") as file:
        rates = [float(row["images_per_second"]) for row in csv.DictReader(file)]
    return PICTURES / statistics.median(rates[2:])


def main():
    options = arguments()
    build(options)
    gpu = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
                         stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    rows, details, shares = [], [], {}
    for name, net, mode, least, hoped in GOALS:
        times = {}
        for _ in range(options.rounds):
            for who in itertools.product(["bantam", *options.variants], PRECISIONS):
                result = measure(options, who, net, mode)
                print(f"{name}: {' '.join(who)}: {result}", file=sys.stderr, flush=True)
                if "unavailable" in result:
                    details.append(f"- {name}: {' '.join(who)}: {result['unavailable']}")
                    continue
                times.setdefault(who, []).append(result["images_per_second"])
                if who == ("bantam", "float32"):
                    shares.setdefault(name, []).append(result["share_of_bandwidth_bound"])
        rates = {who: statistics.median(samples) for who, samples in times.items()}
        ours = max((who for who in rates if who[0] == "bantam"), key=rates.get)
        peer = max((who for who in rates if who[0] != "bantam"), key=rates.get)
        rows.append(f"| {name} | {' '.join(peer)} | {rates[ours]:.0f} images/s ({ours[1]}) | {rates[peer]:.0f} images/s "
                    f"| **{rates[ours] / rates[peer]:.2f}×** | {least}× | {hoped}× |")
        details += [f"- {name}: {' '.join(who)} {rate:.0f} images/s" for who, rate in rates.items()]
        print(rows[-1], file=sys.stderr)
    seconds = statistics.median(epoch_seconds(options) for _ in range(options.rounds))
    rows.append(f"| one epoch of mobile-98k over {PICTURES} pictures of 160×160, augmentation included | – "
                f"| {seconds:.3f} s | – | – | 0.3 s | 0.12 s |")
    rows.append("| share of the bandwidth bound in the step of mobile-98k, float32 | – "
                f"| {100 * statistics.median(shares[GOALS[0][0]]):.0f} % | – | – | 40 % | 65 % |")
    text = "\n".join([f"Measured on {time.strftime('%Y-%m-%d')}: {gpu}. Peer: {versions()}. "
                      f"Median of {options.rounds} rounds.", "",
                      "| | peer | Bantam | peer's | ratio | at least | aim |", "|---|---|---:|---:|---:|---:|---:|", *rows,
                      "", "All that was timed:", "", *details]) + "\n"
    print(text)
    if options.output:
        write(options.output, text, "measured on a GPU")


if __name__ == "__main__":
    sys.exit(main())
