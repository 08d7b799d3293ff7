#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes the first inputs of the fuzz targets: make_seeds.py FOLDER, one folder per target below it.

Files carry no checksum, which would refuse nearly all mutants; one file of each kind has one.
"""

import io
import json
import os
import struct
import sys
import tarfile

SOURCE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
sys.path.insert(0, os.path.join(SOURCE, "tools", "shared"))

import numpy as np  # noqa: E402

import safetensors_io  # noqa: E402


def save(path, tensors, metadata):
    safetensors_io.save(path + "_with_checksum", tensors, metadata)
    kept, safetensors_io.xxhash = safetensors_io.xxhash, None
    safetensors_io.save(path, tensors, metadata)
    safetensors_io.xxhash = kept


def make_safetensors(folder):
    with open(os.path.join(SOURCE, "tests", "io", "safetensors_headers.json")) as file:
        for number, (_, header, size, _) in enumerate(json.load(file)):
            header = header.encode("latin-1")
            with open(os.path.join(folder, f"header_{number}"), "wb") as seed:
                seed.write(struct.pack("<Q", len(header)) + header + bytes(size))
    save(os.path.join(folder, "written"), {"w": np.ones((2, 3), np.float32), "h": np.ones(2, np.float16)}, {"a": "b"})


def make_checkpoint(folder):
    shapes = {"0.weight": (4, 3, 3, 3), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,), "1.running_mean": (4,),
              "1.running_var": (4,), "4.weight": (3, 4), "4.bias": (3,)}
    metadata = {"format": "bantam-checkpoint/1", "epoch": "3", "stored_size": "64"}
    for kind in (np.float32, np.float16, np.float64):
        tensors = {name: np.full(shape, 0.5, kind) for name, shape in shapes.items()}
        save(os.path.join(folder, np.dtype(kind).name), tensors, metadata)


def make_logits(folder):
    views = np.array([[[0, 0, 1, 1, 0], [0.1, 0.2, 0.5, 0.6, 1]]] * 2, np.float32)
    preprocessing = {"stored_size": 16, "input": [8, 8], "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2],
                     "resize": "bilinear"}
    metadata = {
        "paths": '["training/a.jpg","validation/b.jpg"]', "hashes": '["0000000000000001","0000000000000002"]',
        "classes": '["0","1"]', "preprocessing": json.dumps(preprocessing), "teacher": "0" * 16, "teacher_name": "t",
        "view_seed": "1"}
    save(os.path.join(folder, "first_format"), {"logits": np.ones((2, 2, 2), np.float32), "views": views},
         metadata | {"format": "bantam-teacher-logits/1"})
    colored = np.concatenate([views, np.ones((2, 2, 3), np.float32)], axis=2).astype(np.float16)
    colored[:, 1, 5:] = 1.25, 0.75, 0.5
    mixes = np.append(colored[:, 1:], np.array([[[0.5, 0, 0, 1, 1]], [[1, 0.25, 0.5, 0.5, 0.25]]], np.float16), axis=2)
    plain = {"logits": np.ones((2, 2, 2), np.float16), "views": colored}
    metadata["format"] = "bantam-teacher-logits/2"
    save(os.path.join(folder, "plain"), plain, metadata)
    save(os.path.join(folder, "mixed"), {"partners": np.array([[1], [0]], np.int32), **plain, "mixes": mixes}, metadata)


STATE = """epoch=1
batch=2
steps=6
loss_sums=1.5 2 3 1 0.25 4 0.125 2 3 1.5 2
lowest_loss_epoch=1
lowest_loss_loss=0.5
lowest_loss_accuracy=0.5
highest_accuracy_epoch=1
highest_accuracy_accuracy=1
latest_epoch=1
metrics=1,0.001,0.5,0.5,0.5,,,0.5,0.5,0.5,,,,
build=another
format=bantam-training-state/2
student=0123456789abcdef
keep=accuracy
seed=2"""


def make_state(folder):
    rows = b"\0epoch,learning_rate\n1,0.001,0.5,0.5,0.5,,,0.5,0.5,0.5,,,,,100.0,1.00\n"
    for number, line in enumerate([*STATE.split("\n"), STATE]):
        with open(os.path.join(folder, f"entry_{number}"), "wb") as file:
            file.write(line.encode() + rows[:number * 5])


def make_names(folder):
    layouts = (("training/labeled/0/a.jpg", "training/labeled/1/b.png", "training/unlabeled/c.jpg", "validation/0/d.jpg",
                "testing/e.jpg"),
               ("train/2/a.jpg", "train/10/b.bmp", "val/2/d.jpg", "val/10/Thumbs.db", "test/0/e.jpg", "test/@eaDir/f.jpg"),
               ("training/0_1.jpg", "training/1_2.jpg", "training/unlabeled/u.jpg", "valid/0_1.jpg", "valid/x.csv",
                "evaluation/0.tmp"),
               ("food/training/0_1.jpg",), ("training/a/b/c/d/e/f/g/h/i/j.jpg", "training/b/k.jpg~", "validation/a/l.gif"))
    for number, names in enumerate(layouts):
        with open(os.path.join(folder, f"layout_{number}"), "w") as file:
            file.write("\0".join(names))


def make_pictures(folder):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
    from picture_files import sound_files
    for name, content in sound_files().items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)


def make_data_files(folder):
    """Archives, and caches of pictures of 1x1 pixels behind a byte that is one."""
    for form in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=form) as file:
            for name, content in (("0.jpg", b"x" * 9), ("0.cls", b"1"), ("n" * 60 + "/" + "n" * 60 + ".png", b""),
                                  ("a/b.jpg", b"x")):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
        with open(os.path.join(folder, f"archive_{form}"), "wb") as seed:
            seed.write(b"\0" + archive.getvalue()[:-8192])
    paths = (b"testing/0.jpg", b"training/1.jpg")
    entries = b"".join(struct.pack("<QqQQBBH", 100, 5, 0, 0, 0, use, len(path)) + path
                       for path, use in zip(paths, (1, 0)))
    header = struct.pack("<IIQQQ", 1, 1, len(paths), 48 + len(entries), 0)
    with open(os.path.join(folder, "cache"), "wb") as seed:
        seed.write(b"\1bantam-pictures\n" + header + entries + bytes(3 * len(paths)))


def main():
    for target, make in (("fuzz_safetensors", make_safetensors), ("fuzz_checkpoint", make_checkpoint),
                         ("fuzz_logits", make_logits), ("fuzz_state", make_state), ("fuzz_names", make_names),
                         ("fuzz_picture", make_pictures), ("fuzz_data_files", make_data_files)):
        folder = os.path.join(sys.argv[1], target)
        os.makedirs(folder, exist_ok=True)
        make(folder)


if __name__ == "__main__":
    main()
