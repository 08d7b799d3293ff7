#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Converts a PyTorch checkpoint to safetensors, or writes a teacher's logits with PyTorch itself.

    tools/convert_teacher.py teacher.pth --output teacher.safetensors
    tools/convert_teacher.py teacher.pth --logits --data DIR --arch resnet18 --output logits.safetensors

The first form needs NumPy alone and runs no code from the checkpoint. The second needs PyTorch,
torchvision, xxhash and a C++ compiler or build (pictures are read by
tools/decode_pictures), takes any torchvision classifier, and writes what
tools/precompute_logits writes for ResNet-18: the same pictures, views and file format.
"""

import argparse
import json
import os
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "shared"))

import checkpoint_reader  # noqa: E402
import safetensors_io  # noqa: E402
from printable import printable  # noqa: E402


class Refusal(Exception):
    """An error that the user can fix; the message is one line."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a state_dict saved by torch.save, or (with --logits) safetensors")
    parser.add_argument("--output", required=True, metavar="FILE", help="the safetensors file to write")
    parser.add_argument("--allow-pickled-code", action="store_true",
                        help="also load a whole pickled module. THIS RUNS CODE FROM THE FILE: only for files "
                             "whose author you trust")
    logits = parser.add_argument_group("teacher logits")
    logits.add_argument("--logits", action="store_true", help="run the teacher and write its logits")
    logits.add_argument("--data", metavar="DIR", help="the data set, with training/ and validation/")
    logits.add_argument("--arch", metavar="NAME", help="a torchvision classifier, such as resnet18")
    logits.add_argument("--views", type=int, default=8, help="views per picture; view 0 is the whole picture (8)")
    logits.add_argument("--view-seed", type=int, default=1, help="seed of the other views (1)")
    logits.add_argument("--min-area", type=float, default=0.35,
                        help="smallest part of a picture that a view shows (0.35)")
    logits.add_argument("--color", type=float, default=0.2,
                        help="by how much a view's brightness, contrast and saturation change at most (0.2)")
    logits.add_argument("--stored-size", type=int, default=144, help="side pictures are squashed to first (144)")
    logits.add_argument("--input", type=int, default=128, help="side of the teacher's input (128)")
    logits.add_argument("--batch-size", type=int, default=64, help="views in a batch (64)")
    logits.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="CPU threads (all)")
    options = parser.parse_args()
    if options.logits:
        if not options.data:
            parser.error("--logits needs --data DIR")
        if not options.arch and not options.allow_pickled_code:
            parser.error("--logits needs --arch NAME")
        for name, least, most in (("views", 1, 1024), ("view_seed", 0, 2**64 - 1), ("stored_size", 1, 4096),
                                  ("input", 1, 4096), ("batch_size", 1, 65536), ("threads", 1, 4096),
                                  ("min_area", 0.01, 1), ("color", 0, 1)):
            if not least <= getattr(options, name) <= most:
                parser.error(f"--{name.replace('_', '-')} must be from {least} to {most}")
    return options


def read_checkpoint(options):
    """Returns (name -> array, the pickled module or None). What kind of file it is, its content tells, not its name."""
    try:
        return tensors_of(options)
    except OSError as error:  # reading names no file
        raise OSError(error.errno, error.strerror, error.filename or options.checkpoint) from None


def tensors_of(options):
    path, notes = options.checkpoint, []
    module = None
    if safetensors_io.is_safetensors(path):
        stored = safetensors_io.load(path)[0]
        tensors = checkpoint_reader.state_dict_of(path, stored, lambda value: isinstance(value, np.ndarray), notes)
        tensors = {name: checkpoint_reader.as_float32(path, name, values) for name, values in tensors.items()}
    else:
        try:
            tensors = checkpoint_reader.read_tensors(path, notes)
        except checkpoint_reader.CheckpointError:
            if not options.allow_pickled_code:
                raise
            notes.clear()
            print(f"{path}: running the code it contains, as --allow-pickled-code allows", file=sys.stderr)
            tensors, module = checkpoint_reader.read_with_code(path, notes)
    for note in notes:
        print(f"{path}: {note}")
    return tensors, module


def convert(options):
    if os.path.exists(options.output) and os.path.samefile(options.output, options.checkpoint):
        raise Refusal(f"{options.output}: is the checkpoint itself; name another --output")
    tensors, _ = read_checkpoint(options)
    safetensors_io.save(options.output, tensors, {"format": "pt", "source": os.path.basename(options.checkpoint)})
    numbers = sum(values.size for values in tensors.values())
    print(f"{options.output}: {len(tensors)} tensors, {numbers:,} numbers")


# ------------------------------------------------------------------------------------------- logits

def make_teacher(options, tensors, module, class_count):
    """The teacher as a module in eval mode that gives `class_count` logits."""
    import torch
    import torchvision

    if options.arch:
        make = getattr(torchvision.models, options.arch, None)
        if not callable(make) or isinstance(make, type):
            raise Refusal(f"--arch {options.arch}: torchvision {torchvision.__version__} has no such classifier")
        try:
            module = make(num_classes=class_count)
        except TypeError as error:
            raise Refusal(f"--arch {options.arch}: not a classifier of torchvision") from error
        wanted = {name: value for name, value in module.state_dict().items()
                  if not name.endswith("num_batches_tracked")}
        for name, value in wanted.items():
            if name not in tensors:
                raise Refusal(f"{options.checkpoint}: lacks tensor {name} of {options.arch}; is it another network?")
            if tuple(value.shape) != tensors[name].shape:
                raise Refusal(f"{options.checkpoint}: tensor {name} has shape {list(tensors[name].shape)}, "
                              f"{options.arch} with {class_count} classes needs {list(value.shape)}")
        for name in tensors:
            if name not in wanted:
                raise Refusal(f"{options.checkpoint}: has tensor {name}, which {options.arch} lacks; "
                              "is it another network?")
        module.load_state_dict({name: torch.from_numpy(np.array(values)) for name, values in tensors.items()},
                               strict=False)
    elif module is None:
        raise Refusal(f"{options.checkpoint}: holds weights alone; name their network with --arch")
    return module.eval()


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


class Progress:
    """A line on stderr: redrawn on a terminal, otherwise one line every ten seconds."""

    def __init__(self, total):
        self.total, self.begun, self.shown = total, time.monotonic(), time.monotonic()
        self.terminal = sys.stderr.isatty()

    def show(self, done):
        now, last = time.monotonic(), done == self.total
        if not last and now - self.shown < (0.5 if self.terminal else 10):
            return
        self.shown = now
        speed = done / max(now - self.begun, 1e-9)
        line = f"{done}/{self.total} pictures, {speed:.1f}/s, {(self.total - done) / max(speed, 1e-9):.0f} s left"
        ending = "\n" if last or not self.terminal else ""
        print(("\r\033[K" if self.terminal else "") + line, end=ending, file=sys.stderr, flush=True)


def report(split, logits, labels):
    """The line about one split: figures of the teacher's logits for whole pictures."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    line = f"{split}: {len(logits)} pictures"
    if labels is not None:
        right = int((logits.argmax(1) == labels).sum())
        entropy = -log_probability[np.arange(len(labels)), labels].mean()
        line += f", teacher accuracy {right / len(labels):.4f} ({right} of {len(labels)}), cross-entropy {entropy:.3f}"
    return line + f", mean top probability {np.exp(log_probability.max(1)).mean():.3f}"


def write_logits(options):
    import homework_folders
    import homework_pictures as homework
    homework_folders.refuse_testing(options.data)
    classes, splits = homework_folders.list_pictures(options.data)
    try:
        import torch
        import torchvision  # noqa: F401
        import xxhash
    except ImportError as error:
        raise Refusal(f"{error.name} is missing; install python3-torch, python3-torchvision and "
                      "python3-xxhash") from error

    torch.set_num_threads(options.threads)
    tensors, module = read_checkpoint(options)
    teacher = make_teacher(options, tensors, module, len(classes))
    if os.path.exists(options.output):
        for split in splits.values():
            for path, _ in split:
                picture = os.path.join(options.data, path)
                picture = homework_folders.archive_of(picture) or picture
                if os.path.exists(picture) and os.path.samefile(options.output, picture):
                    raise Refusal(f"{options.output}: is also an input of this program ({picture}); choose another "
                                  "--output")
    total = sum(len(pictures) for pictures in splits.values())
    paths, hashes, views, logits, batch = [], [], [], [], []
    labels, bad = {split: [] for split in splits}, []
    progress = Progress(total)

    def run_batch():
        if not batch:
            return
        images = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).contiguous()
        with torch.inference_mode():
            results = teacher(images)
        if not isinstance(results, torch.Tensor) or tuple(results.shape) != (len(batch), len(classes)):
            found = list(results.shape) if isinstance(results, torch.Tensor) else type(results).__name__
            raise Refusal(f"{options.checkpoint}: the teacher gives {found}, expected "
                          f"{[len(batch), len(classes)]} for the {len(classes)} classes of {options.data}")
        logits.append(results.float().numpy())
        batch.clear()

    with homework.PictureReader(options.stored_size) as reader, homework.ContentReader() as contents:
        for done, (split, path, label) in enumerate((split, *entry) for split in splits for entry in splits[split]):
            try:
                pixels = reader.read(os.path.join(options.data, path))
            except homework_folders.PictureError as error:
                bad.append(f"{path} {error}")
                continue
            content = contents.read(os.path.join(options.data, path))  # a file that was a picture just now
            # Views are numbered by the image's position in the logits file, which has no bad pictures.
            image = len(paths)
            paths.append(path)
            labels[split].append(label)
            hashes.append(xxhash.xxh64(content, seed=0).hexdigest())
            views.append([homework.random_view(options.view_seed, image, view, options.min_area, options.color)
                          for view in range(options.views)])
            for view in views[-1]:
                batch.append(homework.shown(pixels, view, options.input, options.input))
                if len(batch) == options.batch_size:
                    run_batch()
            progress.show(done + 1)
    run_batch()
    if bad:
        print(f"{len(bad)} of {total} pictures left out: " + "; ".join(bad[:10]) + ("; ..." if len(bad) > 10 else ""),
              file=sys.stderr)
    for split in ("labeled", "validation"):
        if not labels[split]:
            raise Refusal(f"{options.data}: none of the {split} pictures can be used")

    logits = np.concatenate(logits).reshape(len(paths), options.views, len(classes))
    with np.errstate(over="ignore"):
        logits = logits.astype(np.float16)
    wrong = np.argwhere(~np.isfinite(logits).all(axis=(1, 2)))
    if len(wrong):
        raise Refusal(f"{options.checkpoint}: the teacher gives NaN, infinity or a logit beyond 65504 for "
                      f"{paths[wrong[0][0]]}")
    preprocessing = {"stored_size": options.stored_size, "input": [options.input, options.input],
                     "mean": homework.MEAN, "std": homework.DEVIATION, "resize": "bilinear"}
    safetensors_io.save(options.output, {"logits": logits, "views": np.array(views, np.float16)}, {
        "format": "bantam-teacher-logits/2",
        "paths": compact(paths),
        "hashes": compact(hashes),
        "classes": compact(classes),
        "preprocessing": compact(preprocessing),
        "teacher": xxhash.xxh64(read_bytes(options.checkpoint), seed=0).hexdigest(),
        "teacher_name": os.path.basename(options.checkpoint),
        "view_seed": str(options.view_seed),
        "view_ranges": f"area {options.min_area:g} to 1, color {options.color:g}",
    })
    start = 0
    for split, numbers in labels.items():
        if numbers:
            known = np.array(numbers) if numbers[0] is not None else None
            print(report(split, logits[start:start + len(numbers), 0], known))
        start += len(numbers)
    print(f"{options.output}: {len(paths)} pictures, {options.views} views, {len(classes)} classes")


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main():
    options = arguments()
    try:
        check_checkpoint_path(options.checkpoint)
        write_logits(options) if options.logits else convert(options)
    except (Refusal, ValueError) as error:  # the readers' errors are ValueErrors
        return failed(error)
    except ImportError as error:
        return failed(f"{error.name} is missing; install python3-{(error.name or '').lower()}")
    except OSError as error:
        return failed(f"{error.filename or options.output}: {error.strerror or error}; check the path and its permissions")
    except MemoryError:
        return failed(f"{options.checkpoint}: not enough memory; free some")
    return 0


def check_checkpoint_path(path):
    """Its name becomes metadata, and opening a pipe would wait for a writer."""
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        raise Refusal(f"{path}: the name is not valid UTF-8; rename it") from None
    if os.path.exists(path) and not os.path.isfile(path):
        raise Refusal(f"{path}: is not a regular file; name a file")


def failed(what):
    print(f"error: {printable(what, longest=sys.maxsize)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
