#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Damages checkpoints at random and converts them: each must be refused in one line or give finite numbers.

    tests/campaign/fuzz_convert_teacher.py [SECONDS]
"""

import collections
import contextlib
import io
import json
import os
import pickle
import random
import resource
import struct
import sys
import tempfile
import time
import types
import zipfile
from unittest import mock

SOURCE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path[:0] = [os.path.join(SOURCE, "tools"), os.path.join(SOURCE, "tools", "shared")]

import numpy as np  # noqa: E402

import convert_teacher  # noqa: E402
import safetensors_io  # noqa: E402

MOST_MEMORY = 1 << 30
MOST_SECONDS = 5
OPERATIONS = [bytes([code]) for code in b"().0123BCFGIJKLMNPQRSTUVX]abcdeghijlopqrstu}\x80\x81\x82\x85\x86\x87\x88\x89\x8a"
              b"\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98"]
NUMBERS = [struct.pack("<I", number) for number in (0, 1, 255, 65536, 2**30, 2**31, 2**32 - 1)]


def stand_in(module, name):
    """A class that is pickled as `module.name`, without PyTorch."""
    for known in ("torch", module):
        sys.modules.setdefault(known, types.ModuleType(known))
    parent = sys.modules[module]
    if not hasattr(parent, name):
        setattr(parent, name, type(name, (), {"__module__": module}))
    return getattr(parent, name)


class Tensor:
    """A tensor as torch.save writes it: a storage's kind, key and count, then offset, shape and strides."""

    def __init__(self, kind, key, count, offset, shape, strides):
        self.storage = (kind, key, count)
        self.view = (offset, shape, strides)


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, tuple) and value and value[0] == "a storage":
            kind, key, count = value[1:]
            return "storage", stand_in("torch", kind), key, "cpu", count
        return None

    def reducer_override(self, value):
        if isinstance(value, Tensor):
            arguments = (("a storage", *value.storage), *value.view, False, collections.OrderedDict())
            return stand_in("torch._utils", "_rebuild_tensor_v2"), arguments
        return NotImplemented


def pickled(content, protocol=2):
    stream = io.BytesIO()
    Pickler(stream, protocol).dump(content)
    return stream.getvalue()


def archive(pickle_bytes, storages):
    """The bytes of a checkpoint with this pickle and the storages key -> bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as entries:
        entries.writestr("teacher/data.pkl", pickle_bytes)
        for key, content in storages.items():
            entries.writestr(f"teacher/data/{key}", content)
    return stream.getvalue()


CONTENT = {"state_dict": collections.OrderedDict([
    ("module.w", Tensor("FloatStorage", "0", 12, 6, (2, 3), (3, 1))),
    ("module.b", Tensor("FloatStorage", "0", 12, 0, (3,), (1,))),
    ("module.h", Tensor("HalfStorage", "1", 6, 1, (2, 2), (1, 2))),
    ("module.n", Tensor("LongStorage", "2", 1, 0, (), ()))]), "epoch": 3, "history": [0.5, None, True, {1, 2}]}
STORAGES = {"0": struct.pack("<12f", *range(12)), "1": struct.pack("<6e", *range(6)), "2": struct.pack("<q", 5)}
HEADER = json.dumps({"w": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]},
                     "b": {"dtype": "BF16", "shape": [4], "data_offsets": [48, 56]}}).encode()


def legacy(content):
    """The bytes of a checkpoint as PyTorch wrote it before 1.6, with STORAGES."""
    pickles = [pickled(part) for part in (0x1950a86a20f9469cfc6c, 1001, {"little_endian": True}, content,
                                          sorted(STORAGES))]
    counts = {"0": 12, "1": 6, "2": 1}
    data = b"".join(struct.pack("<q", counts[key]) + STORAGES[key] for key in sorted(STORAGES))
    return b"".join(pickles) + data


def safetensors():
    return struct.pack("<Q", len(HEADER)) + HEADER + bytes(56)


def damaged(content, source):
    content = bytearray(content)
    for _ in range(source.choice((1, 1, 2, 3, 6))):
        place, kind = source.randrange(len(content)), source.randrange(5)
        if kind == 0:
            content[place] = source.randrange(256)
        elif kind == 1:
            content[place:place] = source.choice(OPERATIONS)
        elif kind == 2:
            del content[place:place + source.randrange(1, 5)]
        elif kind == 3:
            part = content[place:place + source.randrange(1, 40)]
            target = source.randrange(len(content))
            content[target:target] = part
        else:
            content[place:place + 4] = source.choice(NUMBERS)
        if not content:
            content = bytearray(1)
    return bytes(content)


def random_input(source):
    kind = source.randrange(5)
    if kind < 2:
        return "pickle", archive(damaged(pickled(CONTENT, source.choice((1, 2, 4, 5))), source), STORAGES)
    if kind == 2:
        whole = archive(pickled(CONTENT), STORAGES)
        directory = whole.index(b"PK\x01\x02")
        return "directory", whole[:directory] + damaged(whole[directory:], source)
    if kind == 3:
        return "before 1.6", damaged(legacy(CONTENT), source)
    return "safetensors", damaged(safetensors(), source)


def problem_of(path, target):
    """Converts `path`; returns (whether it was converted, what is wrong with the outcome or None)."""
    output, errors = io.StringIO(), io.StringIO()
    start = time.monotonic()
    with mock.patch.object(sys, "argv", ["convert_teacher.py", path, "--output", target]), \
            contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = convert_teacher.main()
    seconds, text = time.monotonic() - start, errors.getvalue()
    if seconds > MOST_SECONDS:
        return status == 0, f"took {seconds:.1f} s"
    if any(not letter.isprintable() for letter in (text + output.getvalue()).replace("\n", "")):
        return status == 0, "prints control characters"
    if status == 0:
        tensors, _ = safetensors_io.load(target)
        if text or not all(np.isfinite(values).all() for values in tensors.values()):
            return True, f"converted to numbers that are not finite, or with errors: {text}"
        return True, None
    if not text.startswith(f"error: {path}: ") or text.count("\n") != 1 or "; " not in text:
        return False, f"is not refused in one line that says what to do: {text}"
    return False, None


def run(seed, count, folder, seconds=float("inf")):
    """Converts inputs until `count` or the time is reached. Returns (counts by kind and outcome, problems)."""
    source, outcomes, problems = random.Random(seed), collections.Counter(), []
    path, target = os.path.join(folder, "damaged.pth"), os.path.join(folder, "out.safetensors")
    end = time.monotonic() + seconds
    while sum(outcomes.values()) < count and time.monotonic() < end:
        kind, content = random_input(source)
        with open(path, "wb") as file:
            file.write(content)
        converted, problem = problem_of(path, target)
        outcomes[kind, "converted" if converted else "refused"] += 1
        if problem:
            kept = os.path.join(tempfile.gettempdir(), f"convert_teacher_{len(problems)}.pth")
            with open(kept, "wb") as file:
                file.write(content)
            problems.append(f"{kept}: {problem}")
    return outcomes, problems


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))  # too much memory ends in an error
    with tempfile.TemporaryDirectory() as folder:
        outcomes, problems = run(time.time_ns(), float("inf"), folder, seconds)
    for (kind, outcome), number in sorted(outcomes.items()):
        print(f"{kind}: {number:,} {outcome}")
    print(f"{sum(outcomes.values()):,} inputs, {len(problems)} problems")
    print("\n".join(problems[:20]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
