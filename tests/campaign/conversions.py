# SPDX-License-Identifier: MIT
"""Conversions that are killed, lose their power or have a call or an allocation fail: afterwards the output must be the
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
    """One command that reads `source` and writes `target`, alone in its folder. `after`: the file whose first opening
    begins the work; "" for a program that does nothing before."""

    def __init__(self, name, command, target, after, injector, seed=1):
        self.name, self.command, self.target, self.after, self.injector = name, command, target, after, injector
        self.folder = os.path.dirname(os.path.dirname(target))
        self.random = random.Random(seed)
        self.problems = []
        self.expect_success(self.run())
        self.result = read(target)
        # All calls, which may fail, and those that change files, at which a run may end.
        self.calls, self.changes = self.listed_calls(reads=1), self.listed_calls()

    def run(self, **faults):
        if faults and self.after:
            faults["after"] = self.after
        return subprocess.run(self.command, capture_output=True, text=True, errors="replace",
                              env={**with_faults(self.injector, **faults), "PYTHONMALLOC": "malloc"})

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
        folder = os.path.dirname(self.target)
        with open(self.target, "wb") as file:
            file.write(OLDER)
        process = self.run(**faults)
        found = read(self.target) if os.path.exists(self.target) else b""
        problems = []
        if process.returncode not in allowed_exits:
            problems.append(f"exit {process.returncode}: {process.stderr.strip()[-300:]}")
        if found not in (OLDER, self.result) or (process.returncode == 0 and found != self.result):
            problems.append(f"exit {process.returncode} and {len(found)} other bytes")
        if process.returncode == 1 and (process.stderr.count("error: ") != 1 or "Traceback" in process.stderr):
            problems.append(f"not one line: {process.stderr.strip()[-300:]}")
        try:
            self.expect_success(self.run())
        except RuntimeError as problem:
            problems.append(str(problem))
        if read(self.target) != self.result:
            problems.append("other bytes afterwards")
        if os.listdir(folder) != [os.path.basename(self.target)]:
            problems.append(f"left behind: {sorted(os.listdir(folder))}")
            for name in os.listdir(folder):
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
            if self.run(action="memory", at=middle).returncode == 0 and read(self.target) == self.result:
                high = middle
            else:
                low = middle + 1
        numbers = range(1, low + 1) if count is None else (self.random.randint(1, low) for _ in range(count))
        return sum(self.attempt(f"allocation {number} fails", (0, 1, -signal.SIGABRT), action="memory", at=number) != 0
                   for number in numbers)


def conversions(folder, seed=1):
    """Of each kind of checkpoint."""
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
                         target, os.path.basename(source), injector, seed)
