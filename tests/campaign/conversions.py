# SPDX-License-Identifier: MIT
"""Conversions that are killed, lose their power or have a call or an allocation fail: afterwards each output must be the
older file or the whole new one, and the same command must give the new one."""

import os
import random
import shutil
import signal
import subprocess
import sys

import fuzz_convert_teacher as checkpoints
from crashes import built_injector, read, with_faults

HERE = os.path.dirname(os.path.abspath(__file__))
CONVERT = os.path.normpath(os.path.join(HERE, "..", "..", "tools", "convert_teacher.py"))
OLDER = b"older"


class Conversion:
    """One command that writes the files `targets`, alone in their folder. `after`: the file whose first opening begins the
    work; "" for a program that does nothing before."""

    def __init__(self, name, command, targets, after, injector, seed=1):
        self.name, self.command, self.targets, self.after, self.injector = name, command, targets, after, injector
        self.folder = os.path.dirname(os.path.dirname(targets[0]))
        self.random = random.Random(seed)
        self.problems = []
        self.expect_success(self.run())
        self.result = self.outputs()
        # All calls, which may fail, and those that change files, at which a run may end.
        self.calls, self.changes = self.listed_calls(reads=1), self.listed_calls()

    def run(self, **faults):
        if faults and self.after:
            faults["after"] = self.after
        return subprocess.run(self.command, capture_output=True, text=True, errors="replace",
                              env={**with_faults(self.injector, **faults), "PYTHONMALLOC": "malloc"})

    def outputs(self):
        return [read(target) if os.path.exists(target) else b"" for target in self.targets]

    def expect_success(self, process):
        if process.returncode != 0:
            raise RuntimeError(f"{self.name}: exit {process.returncode}: {process.stderr.strip()[-300:]}")

    def listed_calls(self, **reads):
        log = os.path.join(self.folder, "calls")
        self.expect_success(self.run(log=log, **reads))
        calls = read(log).decode().splitlines()
        os.remove(log)
        return calls

    def attempt(self, what, allowed_exits, **faults):
        """One run in which something happens, then one in which nothing does; adds to `problems` what went wrong."""
        folder = os.path.dirname(self.targets[0])
        for target in self.targets:
            with open(target, "wb") as file:
                file.write(OLDER)
        process = self.run(**faults)
        found = self.outputs()
        problems = []
        if process.returncode not in allowed_exits:
            problems.append(f"exit {process.returncode}: {process.stderr.strip()[-300:]}")
        if any(one not in (OLDER, new) for one, new in zip(found, self.result)):
            problems.append(f"exit {process.returncode} and files of {[len(one) for one in found]} other bytes")
        if process.returncode == 0 and found != self.result:
            problems.append("exit 0 and not all files are new")
        if process.returncode == 1 and (process.stderr.count("error: ") != 1 or "Traceback" in process.stderr):
            problems.append(f"not one line: {process.stderr.strip()[-300:]}")
        try:
            self.expect_success(self.run())
        except RuntimeError as problem:
            problems.append(str(problem))
        if self.outputs() != self.result:
            problems.append("other bytes afterwards")
        left = set(os.listdir(folder)) - {os.path.basename(target) for target in self.targets}
        if left:
            problems.append(f"left behind: {sorted(left)}")
            for name in left:
                os.remove(os.path.join(folder, name))
        self.problems += [f"{self.name}, {what}: {problem}" for problem in problems]
        return process.returncode

    def at_calls(self, action, count=None):
        """`action` at every call, or at `count` of them chosen at random; returns how many runs it ended."""
        calls = self.calls if action == "fail" else self.changes
        numbers = range(1, len(calls) + 1) if count is None else self.random.choices(range(1, len(calls) + 1), k=count)
        backups = os.path.join(self.folder, "backups")
        ended = 0
        for number in numbers:
            shutil.rmtree(backups, ignore_errors=True)
            os.mkdir(backups)
            exits = (0, 1) if action == "fail" else (-signal.SIGKILL,)
            more = {"reads": 1} if action == "fail" else {"backups": backups}
            ended += self.attempt(f"{action} at {calls[number - 1]}", exits, action=action, at=number,
                                  seed=self.random.randrange(10**6), **more) != 0
        return ended

    def failing_allocations(self, count=None):
        """Every allocation fails in turn, or `count` chosen at random. Where no error can be reported, a program may
        abort."""
        low, high = 1, 1 << 24
        while low < high:  # the number of allocations of a run
            middle = (low + high) // 2
            if self.run(action="memory", at=middle).returncode == 0 and self.outputs() == self.result:
                high = middle
            else:
                low = middle + 1
        numbers = range(1, low + 1) if count is None else (self.random.randint(1, low) for _ in range(count))
        return sum(self.attempt(f"allocation {number} fails", (0, 1, -signal.SIGABRT), action="memory", at=number) != 0
                   for number in numbers)


def conversions(folder, seed=1):
    """convert_teacher.py of each kind of checkpoint."""
    injector = built_injector(folder)
    content = {"zip": checkpoints.archive(checkpoints.pickled(checkpoints.CONTENT), checkpoints.STORAGES),
               "before 1.6": checkpoints.legacy(checkpoints.CONTENT),
               "safetensors": checkpoints.safetensors()}
    for number, (name, checkpoint) in enumerate(content.items()):
        source = os.path.join(folder, f"teacher{number}.pth")
        with open(source, "wb") as file:
            file.write(checkpoint)
        output = os.path.join(folder, f"converted{number}")
        os.mkdir(output)
        target = os.path.join(output, "teacher.safetensors")
        yield Conversion(f"convert_teacher.py of {name}", [sys.executable, "-B", CONVERT, source, "--output", target],
                         [target], os.path.basename(source), injector, seed)


def programs(build, crashes):
    """precompute_logits and export_student with the pictures and the student of `crashes`."""
    folder = os.path.join(crashes.folder, "programs")
    small = ["--data", crashes.data, "--stored-size", "54", "--threads", "1"]
    teacher = os.path.join(folder, "teacher.safetensors")
    logits = os.path.join(folder, "logits", "logits.safetensors")
    exported = [os.path.join(folder, "exported", name) for name in ("student.hpp", "student.onnx", "student.py")]
    for target in (logits, exported[0]):
        os.makedirs(os.path.dirname(target))
    subprocess.run([os.path.join(build, "tools", "sample_data", "train_sample_teacher"), *small, "--epochs", "1", "--output",
                    teacher], check=True, capture_output=True)
    yield Conversion("precompute_logits", [os.path.join(build, "tools", "precompute_logits"), *small, "--teacher", teacher,
                                           "--views", "2", "--output", logits], [logits], "", crashes.injector)
    weights = os.path.join(crashes.reference, "student.safetensors")
    yield Conversion("export_student", [os.path.join(build, "examples", "export_student"), "--data", crashes.data,
                                        "--stored-size", "32", "--weights", weights, "--output", exported[0], "--onnx",
                                        exported[1], "--pytorch", exported[2]], exported, "", crashes.injector)
