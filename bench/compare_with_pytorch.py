#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Times Bantam and PyTorch on the same cores in one run and prints both and their ratio.

    bench/compare_with_pytorch.py --output docs/performance.md

Builds bench/network_speed, then measures the training step (batch 64) and inference (batch 1 on one
thread, batch 64 on all) of mobile-98k and sample-88k at 128x128. Each round takes every measurement once,
ours and PyTorch's in turn, so that a machine that slows down slows both; a figure is the median of its
rounds. PyTorch runs eager NCHW, channels_last, and torch.compile where the installed version has it; the
fastest is the peer. Then come our fused stages beside the same layers one by one, and compile time and
peak compiler memory of examples/distill_food11.cpp.
"""

import argparse
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
NETS = ["mobile-98k", "sample-88k"]
VARIANTS = ["eager", "channels_last", "compile"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="cores for both; the first ones of this machine")
    parser.add_argument("--rounds", type=int, default=3, help="times each measurement is taken")
    parser.add_argument("--repeats", type=int, default=20, help="steps timed in a measurement, at most")
    parser.add_argument("--seconds", type=float, default=10, help="length of a measurement, at most")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "bench", help="build folder")
    parser.add_argument("--output", type=pathlib.Path,
                        help="also write the table, in markdown, to this file, between its marks if it has them")
    parser.add_argument("--no-compile-time", action="store_true", help="leave out the compiler's figures")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= options.threads <= len(cores):
        parser.error(f"--threads must be 1 to {len(cores)}, the cores at hand")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    os.sched_setaffinity(0, cores[:options.threads])
    return options


def build(options):
    """Builds our program and returns the compiler commands by source file."""
    configure = ["cmake", "-S", ROOT, "-B", options.build, "-DCMAKE_BUILD_TYPE=Release", "-DBANTAM_BUILD_TESTS=OFF",
                 "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
    for command in (configure, ["cmake", "--build", options.build, "--target", "network_speed"]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    commands = json.loads((options.build / "compile_commands.json").read_text())
    return {pathlib.Path(entry["file"]).name: entry for entry in commands}


def measure(program, measurement, options):
    flags = [f"--{name}={value}" for name, value in measurement.items()]
    flags += [f"--repeats={options.repeats}", f"--seconds={options.seconds}"]
    done = subprocess.run([*map(str, program), *flags], stdout=subprocess.PIPE, check=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": str(measurement["threads"])})
    return json.loads(done.stdout)


def compare(options, measurement):
    """The figures of one measurement: ours, PyTorch's by variant, and what was unavailable."""
    ours, theirs, unavailable = [], {variant: [] for variant in VARIANTS}, {}
    for _ in range(options.rounds):
        ours.append(measure([options.build / "bench" / "network_speed"], measurement, options)["median_ms"])
        for variant in VARIANTS:
            if variant in unavailable:
                continue
            result = measure([sys.executable, ROOT / "bench" / "peer_torch.py"],
                             {**measurement, "variant": variant}, options)
            if "unavailable" in result:
                unavailable[variant] = result["unavailable"]
            else:
                theirs[variant].append(result["median_ms"])
    medians = {variant: statistics.median(times) for variant, times in theirs.items() if times}
    peer = min(medians, key=medians.get)
    return {"measurement": measurement, "ours": statistics.median(ours), "theirs": medians, "peer": peer,
            "ratio": medians[peer] / statistics.median(ours), "unavailable": unavailable}


def fusion_gain(options, net):
    """Milliseconds of forward and backward with fused stages and layer by layer, in turn."""
    times = {"gradients-fused": [], "gradients-layer-by-layer": []}
    for _ in range(options.rounds):
        for mode, own in times.items():
            measurement = {"net": net, "mode": mode, "batch": 64, "threads": options.threads}
            own.append(measure([options.build / "bench" / "network_speed"], measurement, options)["median_ms"])
    return tuple(statistics.median(own) for own in times.values())


def compile_cost(entry):
    """(seconds, CPU seconds, peak MB) of one compilation; the peak is the largest process's."""
    started = time.perf_counter()
    process = subprocess.Popen(shlex.split(entry["command"]), cwd=entry["directory"])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status != 0:
        raise SystemExit("error: examples/distill_food11.cpp does not compile")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


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


def table(results):
    lines = ["| net | measurement | Bantam | PyTorch eager | channels_last | compile | Bantam is |",
             "|---|---|---:|---:|---:|---:|---:|"]
    for result in results:
        what = result["measurement"]
        threads = "1 thread" if what["threads"] == 1 else f"{what['threads']} threads"
        cells = [f"{result['theirs'][variant]:.2f} ms" if variant in result["theirs"] else "-" for variant in VARIANTS]
        name = "training step" if what["mode"] == "training" else "inference"
        lines.append(f"| {what['net']} | {name}, batch {what['batch']}, {threads} | {result['ours']:.2f} ms | "
                     + " | ".join(cells) + f" | {result['ratio']:.2f}× as fast |")
    return lines


def write(path, text):
    """Writes the text to a file, between the marks where the file has them."""
    page = path.read_text() if path.exists() else ""
    before, begin, rest = page.partition("<!-- measured: begin -->\n")
    _, end, after = rest.partition("<!-- measured: end -->")
    path.write_text(before + begin + text + end + after if begin and end else text)


def main():
    options = arguments()
    try:
        import torch
    except ImportError:
        print("error: PyTorch is missing; install python3-torch and run this with /usr/bin/python3", file=sys.stderr)
        return 1
    commands = build(options)
    compiler, flags = described(commands["network_speed.cpp"])

    cases = [("training", 64, options.threads), ("inference", 1, 1), ("inference", 64, options.threads)]
    results = []
    for net in NETS:
        for mode, batch, threads in cases:
            results.append(compare(options, {"net": net, "mode": mode, "batch": batch, "threads": threads}))
            last = results[-1]
            print(f"{net} {mode} batch {batch} threads {threads}: ours {last['ours']:.2f} ms, PyTorch "
                  f"{last['theirs'][last['peer']]:.2f} ms ({last['peer']}), ratio {last['ratio']:.2f}",
                  file=sys.stderr)

    lines = [f"Measured on {time.strftime('%Y-%m-%d')}: {processor()}, {options.threads} cores, "
             f"load {os.getloadavg()[0]:.1f} at the end.",
             f"Bantam: {compiler}, `{flags}`. PyTorch {torch.__version__}. "
             f"Median of {options.rounds} rounds; the ratio is to PyTorch's fastest.", "", *table(results)]
    lines[1:1] = [""]
    for net in NETS:
        fused, apart = fusion_gain(options, net)
        lines += ["", f"Forward and backward of {net}, batch 64, {options.threads} threads: {fused:.1f} ms with fused "
                  f"stages, {apart:.1f} ms layer by layer ({apart / fused:.2f}×)."]
    for variant, reason in results[0]["unavailable"].items():
        lines += ["", f"PyTorch's {variant} is left out: {reason}."]
    if not options.no_compile_time:
        seconds, cpu_seconds, megabytes = compile_cost(commands["distill_food11.cpp"])
        lines += ["", f"`examples/distill_food11.cpp` compiles in {seconds:.1f} s ({cpu_seconds:.1f} s of processor "
                  f"time) with a peak of {megabytes:.0f} MB."]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output:
        write(options.output, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
