# SPDX-License-Identifier: MIT
"""What tests of the compiled programs share: running them, and pictures and logits to run them on."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

SKIPPED = 77
SOURCE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(SOURCE, "tools", "shared"))

try:
    import numpy as np
    import xxhash
    import homework_folders
    import homework_pictures
    import safetensors_io
except ImportError as missing:
    print(f"skipped: {missing.name} is missing; install python3-numpy and python3-xxhash")
    sys.exit(SKIPPED)


def program(name):
    """The path of a compiled program; the test is skipped where it was not built."""
    path = os.path.join(os.environ.get("BANTAM_PROGRAMS", os.path.join(SOURCE, "build", "release")), name)
    if not os.path.exists(path):
        print(f"skipped: {path} was not built; set BANTAM_PROGRAMS to the build folder")
        sys.exit(SKIPPED)
    return path


def png(pixels):
    """uint8 [height, width] or [height, width, channels] with 3 or 4 channels as the bytes of a PNG file."""
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = pixels.shape[:2]
    color = 0 if pixels.ndim == 2 else {3: 2, 4: 6}[pixels.shape[2]]
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write(content, *parts):
    """Writes bytes or text to a path made of `parts`, with the folders on the way; returns the path."""
    path = os.path.join(*parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    return path


def read(*parts):
    with open(os.path.join(*parts), "rb") as file:
        return file.read()


def lines(*parts):
    return read(*parts).decode().splitlines()


def logits_of(data, target, stored_size, views=2, seed=5, mixed=0):
    """Writes a logits file for the pictures of `data` as a teacher that knows the labels might. The last `mixed` views
    have a second picture, the first labeled one or for that the second, mixed into a quarter or blended."""
    classes, splits = homework_folders.list_pictures(data)
    paths, hashes, boxes, logits = [], [], [], []
    random = np.random.default_rng(seed)
    with homework_pictures.PictureReader(stored_size) as reader, homework_pictures.ContentReader() as contents:
        for pictures in splits.values():
            for path, label in pictures:
                content = contents.read(os.path.join(data, path))
                try:
                    reader.read(os.path.join(data, path))
                except homework_folders.PictureError:
                    continue
                boxes.append([homework_pictures.random_view(seed, len(paths), view) for view in range(views)])
                logits.append(random.normal(size=(views, len(classes))) + 3 * (np.arange(len(classes)) == label))
                paths.append(path)
                hashes.append(xxhash.xxh64(content, seed=0).hexdigest())
    preprocessing = {"stored_size": stored_size, "input": [128, 128], "mean": homework_pictures.MEAN,
                     "std": homework_pictures.DEVIATION, "resize": "bilinear"}
    tensors = {"logits": np.array(logits, np.float16), "views": np.array(boxes, np.float16)}
    if mixed:
        second = homework_pictures.random_view(seed, len(paths), 1)
        kinds = [[*second, 1, 0.25, 0.5, 0.5, 0.5], [*second, 0.375, 0, 0, 1, 1]]
        tensors["partners"] = np.array([[int(image == 0)] * mixed for image in range(len(paths))], np.int32)
        tensors["mixes"] = np.array([[kinds[number % 2] for number in range(mixed)]] * len(paths), np.float16)
    safetensors_io.save(target, tensors, {
        "format": "bantam-teacher-logits/2", "paths": json.dumps(paths), "hashes": json.dumps(hashes),
        "classes": json.dumps(classes), "preprocessing": json.dumps(preprocessing), "teacher": "0" * 16,
        "teacher_name": "drawn", "view_seed": str(seed)})
    return target


KEPT_STUDENT = os.path.join(SOURCE, "examples", "student.safetensors")


def student_of_eleven(path):
    """Writes the kept student, which knows ten classes, with an eleventh."""
    tensors, metadata = safetensors_io.load(KEPT_STUDENT)
    for name, values in list(tensors.items()):
        if values.shape[0] == 10:
            tensors[name] = np.concatenate([values, values.mean(axis=0, keepdims=True)])
    del metadata["classes"]
    safetensors_io.save(path, tensors, metadata)
    return path


class ProgramTest(unittest.TestCase):
    """A test with a folder of its own, `self.folder`."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="bantam-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    @classmethod
    def draw_shared_data(cls, *arguments):
        """For setUpClass: a folder of the whole class, `cls.shared`, with drawn pictures in `cls.data`."""
        cls.shared = tempfile.mkdtemp(prefix="bantam-test-")
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        cls.data = os.path.join(cls.shared, "food")
        subprocess.run([program("tools/sample_data/draw_sample_food11"), "--output", cls.data, *map(str, arguments)],
                       check=True, capture_output=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def run_program(self, *arguments, **more):
        """The finished process of a program that must succeed."""
        done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def refusal(self, *arguments, **more):
        """The one line with which a program refuses. It ends stderr and is the only error there."""
        done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, **more)
        self.assertIn(done.returncode, (1, 2), done.stderr)
        self.assertEqual(done.stderr.count("error: "), 1, done.stderr)
        self.assertTrue(done.stderr.endswith("\n"), done.stderr)
        line = done.stderr.splitlines()[-1]
        self.assertTrue(line.startswith("error: "), done.stderr)
        return line
