#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Times Bantam and its peers on the same cores in one run and prints a table of both and their ratios.

    bench/compare_with_peers.py --output docs/performance.md

Builds bench/network_speed and bench/feeding_speed, then takes every measurement in rounds, ours and the
peers' in turn, so that a slower machine affects all; a figure is the median of its rounds. Peers are
PyTorch (eager NCHW, channels_last, torch.compile; in training also with bf16 autocast) and for inference ONNX
Runtime, OpenVINO and ncnn; what is not installed for the Python that runs this is left out and named. Newest
peers in an environment of their own:

    python3 -m venv build/peers
    build/peers/bin/pip install torch torchvision onnx onnxscript onnxruntime openvino ncnn pnnx
    build/peers/bin/python bench/compare_with_peers.py --output docs/performance.md
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
EAGER = ["eager", "channels_last"]
RUNTIMES = ["onnxruntime", "openvino", "ncnn"]
INT8_RUNTIMES = ["onnxruntime-int8", "openvino-int8"]

# name, what is measured, peers, the least and the hoped-for ratio
GOALS = [
    ("training step, mobile-98k, batch 64", ("mobile-98k", "training", 64, None), EAGER, 3, 5),
    ("the same, torch.compile", ("mobile-98k", "training", 64, None), ["compile"], 2, 3.5),
    ("the same, bf16 autocast", ("mobile-98k", "training", 64, None),
     ["eager-bf16", "channels_last-bf16", "compile-bf16"], 2, 3.5),
    ("training step, high-resolution-98k, batch 64", ("high-resolution-98k", "training", 64, None), [*EAGER, "compile"],
     3, 4),
    ("training step, sample-88k (dense 3×3), batch 64", ("sample-88k", "training", 64, None), [*EAGER, "compile"],
     1.3, 2),
    ("training step, tiniest-97k at 32×32, batch 256", ("tiniest-97k", "training", 256, None), [*EAGER, "compile"],
     2, 4),
    ("inference, mobile-98k, batch 1", ("mobile-98k", "inference", 1, 1), [*EAGER, *RUNTIMES], 1.5, 3),
    ("inference, mobile-98k, batch 64", ("mobile-98k", "inference", 64, None), [*EAGER, *RUNTIMES], 2, 4),
    ("int8 inference, mobile-98k, batch 1", ("mobile-98k", "inference-int8", 1, 1), INT8_RUNTIMES, 1.2, 2),
    ("int8 inference, mobile-98k, batch 64", ("mobile-98k", "inference-int8", 64, None), INT8_RUNTIMES, 1.2, 2),
    ("int8 inference, high-resolution-98k, batch 1", ("high-resolution-98k", "inference-int8", 1, 1), INT8_RUNTIMES,
     1.2, 2),
    ("int8 inference, high-resolution-98k, batch 64", ("high-resolution-98k", "inference-int8", 64, None),
     INT8_RUNTIMES, 1.2, 2),
    ("ResNet-18 forward, batch 64", ("resnet18", "inference", 64, None), ["channels_last"], 1, 1.3),
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="cores for all; the first ones of this machine")
    parser.add_argument("--rounds", type=int, default=3, help="times each measurement is taken")
    parser.add_argument("--repeats", type=int, default=20, help="steps timed in a measurement, at most")
    parser.add_argument("--seconds", type=float, default=10, help="length of a measurement, at most")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "bench", help="build folder")
    parser.add_argument("--output", type=pathlib.Path,
                        help="also write the table, in markdown, to this file, between its marks if it has them")
    parser.add_argument("--only", default="", help="measure the goals whose name holds this, and nothing else")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= options.threads <= len(cores):
        parser.error(f"--threads must be 1 to {len(cores)}, the cores at hand")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    os.sched_setaffinity(0, cores[:options.threads])
    return options


def build(options):
    """Builds our programs and returns the compiler commands by source file."""
    configure = ["cmake", "-S", ROOT, "-B", options.build, "-DCMAKE_BUILD_TYPE=Release", "-DBANTAM_BUILD_TESTS=OFF",
                 "-DBANTAM_CUDA=OFF",
                 "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
    make = ["cmake", "--build", options.build, "-j", str(options.threads), "--target", "network_speed",
            "feeding_speed", "draw_sample_food11"]
    for command in (configure, make):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    commands = json.loads((options.build / "compile_commands.json").read_text())
    return {pathlib.Path(entry["file"]).name: entry for entry in commands}


def run(program, flags, threads):
    done = subprocess.run([*map(str, program), *(f"--{name}={value}" for name, value in flags.items())],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(map(str, program))} failed:\n{done.stderr}")
    return done.stdout


def measure(options, who, measurement):
    """One measurement of ours, of PyTorch by variant, or of a runtime; theirs with `-PRECISION` behind the name."""
    net, mode, batch, threads = measurement
    # A call of less than a millisecond is timed often enough for the processor's clock to settle.
    repeats = options.repeats * (100 if mode != "training" and batch == 1 else 1)
    flags = {"net": net, "mode": mode, "batch": batch, "threads": threads, "repeats": repeats,
             "seconds": options.seconds}
    name, _, precision = who.partition("-")
    if who == "bantam":
        program = [options.build / "bench" / "network_speed"]
    elif name in RUNTIMES:
        program = [sys.executable, ROOT / "bench" / "peer_onnx.py"]
        del flags["mode"]
        flags.update(runtime=name, precision=precision or "float32")
    else:
        program = [sys.executable, ROOT / "bench" / "peer_torch.py"]
        flags.update(variant=name, precision=precision or "float32")
    return json.loads(run(program, flags, threads).splitlines()[-1])


def compare(options, measurement, peers):
    """Medians of the rounds by who was measured, memory likewise, and what was unavailable."""
    times, memory, unavailable = {}, {}, {}
    for _ in range(options.rounds):
        for who in ["bantam", *peers]:
            if who in unavailable:
                continue
            result = measure(options, who, measurement)
            if "unavailable" in result:
                unavailable[who] = result["unavailable"]
                continue
            times.setdefault(who, []).append(result["median_ms"])
            if "peak_mb" in result:
                memory.setdefault(who, []).append(result["peak_mb"] - result["baseline_mb"])
    return ({who: statistics.median(samples) for who, samples in times.items()},
            {who: statistics.median(samples) for who, samples in memory.items()}, unavailable)


def share_of_peak(options):
    """Counted multiply-adds of a training step's passes in per cent of the cores' measured peak."""
    shares = []
    for _ in range(options.rounds):
        table = run([options.build / "bench" / "network_speed"],
                    {"net": "mobile-98k", "mode": "stages", "threads": options.threads}, options.threads)
        shares.append(float(re.search(r"reach (\d+) %", table).group(1)))
    return statistics.median(shares)


def feeding(options):
    """Milliseconds to cut a batch of 64, with one thread."""
    sample = options.build / "sample"
    if not sample.exists():
        run([options.build / "tools" / "sample_data" / "draw_sample_food11"], {"output": sample, "size": 144, "testing": 11}, 1)
    return statistics.median(json.loads(run([options.build / "bench" / "feeding_speed"], {"data": sample}, 1))["median_ms"]
                             for _ in range(options.rounds))


def fusion_gain(options, net):
    """Milliseconds of forward and backward with fused stages and layer by layer, in turn."""
    times = {"gradients-fused": [], "gradients-layer-by-layer": []}
    for _ in range(options.rounds):
        for mode, samples in times.items():
            samples.append(measure(options, "bantam", (net, mode, 64, options.threads))["median_ms"])
    return tuple(statistics.median(samples) for samples in times.values())


def compile_cost(entry):
    """(seconds, CPU seconds, peak MB, text bytes) of one compilation; the peak is the largest process's."""
    started = time.perf_counter()
    process = subprocess.Popen(shlex.split(entry["command"]), cwd=entry["directory"])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status != 0:
        raise SystemExit("error: examples/students/mobile_98k.hpp does not compile")
    words = shlex.split(entry["command"])
    object_file = pathlib.Path(entry["directory"]) / words[words.index("-o") + 1]
    sizes = subprocess.run(["size", object_file], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, int(sizes[1].split()[0])


def processor():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def described(entry):
    """The compiler and those of its flags that shape the code."""
    words = shlex.split(entry["command"])
    version = subprocess.run([words[0], "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    flags = [word for word in words[1:] if word.startswith(("-O", "-m", "-f", "-std", "-DNDEBUG"))]
    return version.splitlines()[0], " ".join(flags)


def versions():
    found = []
    for package in ("torch", "onnxruntime", "openvino", "ncnn"):
        try:
            from importlib.metadata import version
            found.append(f"{package} {version(package)}")
        except ImportError:
            continue
    return ", ".join(found)


def write(path, text, marks="measured"):
    """Writes the text to a file, between the marks where the file has them."""
    page = path.read_text() if path.exists() else ""
    before, begin, rest = page.partition(f"<!-- {marks}: begin -->\n")
    _, end, after = rest.partition(f"<!-- {marks}: end -->")
    path.write_text(before + begin + text + end + after if begin and end else text)


def goal_rows(options):
    """The table's rows, each peer's own times, and what was left out."""
    rows, details, left_out, known = [], [], {}, {}
    print(f"{len(GOALS)} goals, {options.rounds} rounds each", file=sys.stderr)
    for name, (net, mode, batch, threads), peers, least, hoped in GOALS:
        if options.only not in name:
            continue
        measurement = (net, mode, batch, threads or options.threads)
        times, memory, unavailable = compare(options, measurement, peers)
        known[name] = times, memory
        left_out.update(unavailable)
        found = [peer for peer in peers if peer in times]
        label = f"{name}, {measurement[3]} thread{'s' if measurement[3] > 1 else ''}"
        if not found:
            rows.append(f"| {label} | none to be had | {times['bantam']:.2f} ms | – | – | {least}× | {hoped}× |")
            continue
        best = min(found, key=times.get)
        ratio = times[best] / times["bantam"]
        rows.append(f"| {label} | {best} | {times['bantam']:.2f} ms | {times[best]:.2f} ms | **{ratio:.2f}×** | {least}× "
                    f"| {hoped}× |")
        details.append(f"- {label}: " + ", ".join(f"{who} {times[who]:.2f} ms" for who in ["bantam", *found]))
        print(rows[-1], file=sys.stderr)
    return rows, details, left_out, known


def main():
    options = arguments()
    commands = build(options)
    compiler, flags = described(commands["network_speed.cpp"])
    rows, details, left_out, known = goal_rows(options)
    if not options.only:
        step, memory = known[GOALS[0][0]]
        peers = {who: size for who, size in memory.items() if who != "bantam"}
        if peers:
            peer = min(peers, key=peers.get)
            rows.append(f"| peak memory of that training step, beyond the program's own | {peer} | {memory['bantam']:.0f} MB "
                        f"| {peers[peer]:.0f} MB | **{memory['bantam'] / peers[peer]:.2f}** | 1/2 | 1/4 |")
        rows.append(f"| share of the cores' peak in that step (counted multiply-adds) | – | {share_of_peak(options):.0f} % "
                    "| – | – | 35 % | 55 % |")
        share = 100 * feeding(options) / step["bantam"]
        rows.append(f"| feeding: crop, flip, color, batch, on one thread | share of that step | {share:.1f} % | – | – "
                    "| 10 % | hidden |")

    lines = [f"Measured on {time.strftime('%Y-%m-%d')}: {processor()}, {options.threads} cores, "
             f"load {os.getloadavg()[0]:.1f} at the end.", "",
             f"Bantam: {compiler}, `{flags}`. Peers: {versions()}. Median of {options.rounds} rounds; the peer is the "
             "fastest of those that the goal names.", "",
             "| | peer | Bantam | peer's | ratio | at least | aim |", "|---|---|---:|---:|---:|---:|---:|", *rows, "",
             "All that was timed:", "", *details]
    if not options.only:
        for net in ("mobile-98k", "sample-88k"):
            fused, apart = fusion_gain(options, net)
            lines += ["", f"Forward and backward of {net}, batch 64, {options.threads} threads: {fused:.1f} ms with fused "
                      f"stages, {apart:.1f} ms layer by layer ({apart / fused:.2f}×)."]
        seconds, cpu_seconds, megabytes, text_bytes = compile_cost(commands["mobile_98k_on_cpu.cpp"])
        lines += ["", f"`examples/students/mobile_98k.hpp` compiles with its trainer in {seconds:.1f} s ({cpu_seconds:.1f} s of processor time) "
                  f"with a peak of {megabytes:.0f} MB, to {text_bytes / 1024:.0f} KB of code."]
    for peer, reason in left_out.items():
        lines += ["", f"{peer} is left out: {reason}."]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output:
        write(options.output, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
