# SPDX-License-Identifier: MIT
"""Training runs that are killed, lose their power or have a call fail, and are continued: each must end with the bytes of
a run that nothing happened to."""

import copy
import os
import random
import shutil
import signal
import subprocess
import time

import xxhash

HERE = os.path.dirname(os.path.abspath(__file__))


def read(*parts):
    with open(os.path.join(*parts), "rb") as file:
        return file.read()


def built_injector(folder):
    """The library of faults.cpp, compiled in `folder`."""
    injector = os.path.join(folder, "faults.so")
    subprocess.run([os.environ.get("CXX", "g++"), "-std=c++20", "-O1", "-shared", "-fPIC", "-o", injector,
                    os.path.join(HERE, "faults.cpp"), "-ldl"], check=True)
    return injector


def with_faults(injector, **faults):
    """The environment in which a program meets `faults`, the variables that faults.cpp reads."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    if faults:
        environment["LD_PRELOAD"] = injector
        environment.update({f"FAULTS_{name.upper()}": str(value) for name, value in faults.items()})
    return environment


class Crashes:
    """A data set, a run that nothing happened to, and the library that makes calls go wrong, in `folder`."""

    def __init__(self, programs, folder, seed=1, epochs=3):
        self.distill = os.path.join(programs, "examples", "distill_food11")
        self.folder = folder
        self.random = random.Random(seed)
        self.epochs = epochs
        self.data = os.path.join(folder, "food")
        subprocess.run([os.path.join(programs, "tools", "sample_data", "draw_sample_food11"), "--output", self.data,
                        "--size", "32", "--labeled-per-class", "1", "--unlabeled", "0", "--validation-per-class", "1",
                        "--testing", "3"], check=True, capture_output=True)
        self.injector = built_injector(folder)
        self.reference = os.path.join(folder, "reference")
        started = time.monotonic()
        self.expect_success(self.run(self.reference))
        self.seconds = time.monotonic() - started
        self.begun = None
        self.calls, self.calls_with_reads = self.listed_calls(), self.listed_calls(reads=1)
        self.problems = []

    def resuming(self):
        """The same crashes of runs that continue one that was killed halfway."""
        resumed = copy.copy(self)
        resumed.begun = os.path.join(self.folder, "begun")
        self.run(resumed.begun, action="kill_before", at=len(self.calls) // 2)
        resumed.calls, resumed.calls_with_reads = resumed.listed_calls(), resumed.listed_calls(reads=1)
        resumed.problems = []
        return resumed

    def start(self, output, **how):
        """A run in an empty folder, or the continuation of the one that was begun."""
        shutil.rmtree(output, ignore_errors=True)
        if self.begun is None:
            return self.run(output, **how)
        shutil.copytree(self.begun, output)
        return self.run(output, "--resume", **how)

    def command(self, output, *more, threads=1):
        return [self.distill, "--data", self.data, "--output", output, "--stored-size", "32", "--epochs",
                str(self.epochs), "--batch-size", "4", "--learning-rate", "0.05", "--seed", "7", "--save-seconds", "0",
                "--threads", str(threads), *more]

    def run(self, output, *more, kill_after=None, threads=1, **faults):
        """The finished process; `faults` are those of with_faults."""
        environment = with_faults(self.injector, **faults)
        process = subprocess.Popen(self.command(output, *more, threads=threads), env=environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _, process.errors = process.communicate(timeout=kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            _, process.errors = process.communicate()
        return process

    @staticmethod
    def expect_success(process):
        if process.returncode != 0:
            raise RuntimeError(f"exit {process.returncode}: {process.errors.strip()[-300:]}")

    def listed_calls(self, **reads):
        log = os.path.join(self.folder, "calls.log")
        output = os.path.join(self.folder, "listed")
        self.expect_success(self.start(output, log=log, **reads))
        shutil.rmtree(output)
        calls = read(log).decode(errors="replace").splitlines()
        os.remove(log)
        return calls

    def continued(self, output):
        """Continues a run, or begins it where nothing was saved; what differs from the reference, or None."""
        try:
            if os.path.exists(os.path.join(output, "last.safetensors")):
                self.expect_success(self.run(output, "--resume", threads=self.random.choice((1, 2))))
            else:
                self.expect_success(self.run(output))
        except RuntimeError as problem:
            return str(problem)
        if sorted(os.listdir(output)) != sorted(os.listdir(self.reference)):
            return f"files {sorted(os.listdir(output))}"
        for name in ("student.safetensors", "last.safetensors", "predict.csv", "summary.txt"):
            if read(output, name) != read(self.reference, name):
                return f"other bytes in {name}"
        listed = dict(line.split("  ")[::-1] for line in read(output, "checksums.txt").decode().splitlines())
        for name in set(os.listdir(output)) - {"checksums.txt"}:
            if listed.get(name) != xxhash.xxh64(read(output, name)).hexdigest():
                return f"checksums.txt has another hash for {name}"
        rows = [[row.rsplit(b",", 2)[0] for row in read(folder, "metrics.csv").splitlines()]
                for folder in (output, self.reference)]
        return None if rows[0] == rows[1] else "other rows in metrics.csv"

    def attempt(self, what, allowed_exits, **run):
        """One run in which something happens, then its continuation. Adds to `problems` what went wrong."""
        output = os.path.join(self.folder, "run")
        process = self.start(output, **run)
        if process.returncode not in allowed_exits:
            self.problems.append(f"{what}: exit {process.returncode}: {process.errors.strip()[-200:]}")
        problem = self.continued(output)
        if problem:
            self.problems.append(f"{what}: {problem}")
        return process.returncode

    def kill_at_random(self, count):
        """kill -9 at random moments; returns how many runs were killed before their end."""
        return sum(self.attempt(f"random kill {number}", (0, -signal.SIGKILL),
                                kill_after=self.random.uniform(0.02, self.seconds)) != 0 for number in range(count))

    def at_calls(self, action, count=None, **more):
        """`action` at every call that changes files, or at `count` of them chosen at random; `fail_reads` is `fail`
        among the calls that read, too. Returns how many runs it ended."""
        calls = self.calls
        if action == "fail_reads":
            action, calls, more = "fail", self.calls_with_reads, {**more, "reads": 1}
        numbers = range(1, len(calls) + 1)
        if count is not None:
            numbers = self.random.choices(numbers, k=count)
        ended = 0
        for number in numbers:
            backups = os.path.join(self.folder, "backups")
            shutil.rmtree(backups, ignore_errors=True)
            os.mkdir(backups)
            exits = (0, 1) if action == "fail" else (-signal.SIGKILL,)
            ended += self.attempt(f"{action} at {calls[number - 1]}", exits, action=action, at=number,
                                  seed=self.random.randrange(10**6), backups=backups, **more) != 0
        return ended

    def failing_allocations(self, count):
        """One allocation fails in each of `count` runs. What is allocated while no error can be reported, in the
        standard library or in the threads' start, ends the program by abort, which must lose nothing either."""
        low, high = 1, 1 << 22
        output = os.path.join(self.folder, "probe")
        while low < high:  # the number of allocations of a run
            middle = (low + high) // 2
            if self.start(output, action="memory", at=middle).returncode == 0:
                high = middle
            else:
                low = middle + 1
        shutil.rmtree(output, ignore_errors=True)
        return sum(self.attempt(f"allocation {number} fails", (0, 1, 2, -signal.SIGABRT), action="memory", at=number) != 0
                   for number in (self.random.randint(1, low) for _ in range(count)))
