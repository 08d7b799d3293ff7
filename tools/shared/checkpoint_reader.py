# SPDX-License-Identifier: MIT
"""Reads the tensors of a PyTorch checkpoint without running anything it contains.

A checkpoint is a pickle in a zip archive, and unpickling runs whatever the pickle names. This reader
knows four names (a dictionary, two ways to build a tensor, storages) and refuses all others. The
pickle only ever holds inert records; arrays are made from them afterwards, with every offset checked.
"""

import collections
import math
import os
import pickle
import zipfile

import numpy as np

STORAGES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "BFloat16Storage": "<u2",
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1",
    "ByteStorage": "u1", "BoolStorage": "?",
}
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")


class CheckpointError(ValueError):
    """A checkpoint that cannot be read; the message is one line naming the file."""


class Inert:
    """Something a pickle may hold but not alter."""

    __slots__ = ()

    def __setstate__(self, state):
        raise pickle.UnpicklingError("the pickle tries to alter a tensor")


class StorageKind(Inert):
    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name


class Storage(Inert):
    __slots__ = ("kind", "key", "count")

    def __init__(self, kind, key, count):
        self.kind, self.key, self.count = kind, key, count


class TensorRecord(Inert):
    __slots__ = ("storage", "offset", "shape", "strides")

    def __init__(self, storage, offset, shape, strides):
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides


class RebuildTensor(Inert):
    __slots__ = ()

    def __call__(self, storage, offset, shape, strides, *_):
        return TensorRecord(storage, offset, shape, strides)


class RebuildParameter(Inert):
    __slots__ = ()

    def __call__(self, tensor, *_):
        return tensor


class ForeignName(pickle.UnpicklingError):
    pass


class Reader(pickle.Unpickler):
    NAMES = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): RebuildTensor(),
        ("torch._utils", "_rebuild_parameter"): RebuildParameter(),
        **{("torch", name): StorageKind(name) for name in STORAGES},
    }

    def find_class(self, module, name):
        try:
            return self.NAMES[module, name]
        except KeyError:
            raise ForeignName(f"{module}.{name}") from None

    def persistent_load(self, identity):
        tag, kind, key, _, count = identity
        if tag != "storage" or not isinstance(kind, StorageKind) or not isinstance(key, str):
            raise pickle.UnpicklingError("unknown persistent object")
        return Storage(kind.name, key, count)


def read_tensors(path):
    """name -> float32 array (integer tensors keep their type), in the checkpoint's order.

    Takes a `state_dict`, or a dictionary that holds one under a usual name; strips the `module.` of
    DataParallel; leaves out `num_batches_tracked`. Raises CheckpointError, or OSError.
    """
    with open(path, "rb") as file:
        start = file.read(4)
    if not start.startswith(b"PK"):
        if start[:1] == b"\x80":
            raise CheckpointError(f"{path}: a bare pickle (PyTorch before 1.6, or a pickled object), which this tool "
                                  "does not read; save it again with a newer PyTorch, or, if you trust its author, "
                                  "pass --allow-pickled-code, which runs code from the file")
        raise CheckpointError(f"{path}: neither a PyTorch checkpoint nor safetensors (or cut short)")
    try:
        with zipfile.ZipFile(path) as archive:
            return read_archive(path, archive)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise CheckpointError(f"{path}: damaged archive ({one_line(error)})") from error


def read_archive(path, archive):
    entries = {entry.filename: entry for entry in archive.infolist()}
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError(f"{path}: a zip archive without PyTorch's data.pkl, so not a checkpoint")
    folder = pickles[0][:-len("data.pkl")]
    if folder + "constants.pkl" in entries:
        raise CheckpointError(f"{path}: a TorchScript program, not a checkpoint; save model.state_dict() instead")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise CheckpointError(f"{path}: compressed archive; PyTorch writes checkpoints uncompressed")
    if folder + "byteorder" in entries and archive.read(folder + "byteorder").strip() != b"little":
        raise CheckpointError(f"{path}: written on a big-endian machine, which this tool does not read")
    try:
        with archive.open(pickles[0]) as file:
            content = Reader(file).load()
    except ForeignName as error:
        raise CheckpointError(f"{path}: holds the Python object {error}, not tensors alone; save model.state_dict(), "
                              "or, if you trust the file's author, pass --allow-pickled-code, which runs code "
                              "from the file") from error
    except zipfile.BadZipFile:
        raise
    except Exception as error:  # a malformed pickle can raise nearly anything
        raise CheckpointError(f"{path}: malformed pickle ({one_line(error)})") from error

    tensors = {}
    for name, record in state_dict_of(path, content, TensorRecord).items():
        tensors[name] = array_of(path, name, record, archive, folder, entries)
    return tensors


def state_dict_of(path, content, tensor_type):
    """The dictionary of tensors inside what was loaded, without wrappers, prefixes and counters."""
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected a state_dict")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, tensor_type):
            raise CheckpointError(f"{path}: entry {str(name)[:80]!r} is not a tensor, so this is not a state_dict")
    if content and all(name.startswith("module.") for name in content):
        content = {name[len("module."):]: value for name, value in content.items()}
    content = {name: value for name, value in content.items() if not name.endswith("num_batches_tracked")}
    if not content:
        raise CheckpointError(f"{path}: holds no tensors")
    return content


def array_of(path, name, record, archive, folder, entries):
    storage, offset, shape, strides = record.storage, record.offset, record.shape, record.strides
    whole = (isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)
             and len(shape) == len(strides) and len(shape) <= 8
             and all(type(number) is int and number >= 0 for number in (offset, storage.count, *shape, *strides)))
    if not whole:
        raise CheckpointError(f"{path}: tensor {name} is malformed")
    dtype = np.dtype(STORAGES[storage.kind])
    entry = entries.get(f"{folder}data/{storage.key}")
    if entry is None or entry.file_size != storage.count * dtype.itemsize:
        found = "is missing" if entry is None else f"has {entry.file_size} bytes, expected {storage.count * dtype.itemsize}"
        raise CheckpointError(f"{path}: the data of tensor {name} {found}")
    count = math.prod(shape)
    last = offset + sum((extent - 1) * stride for extent, stride in zip(shape, strides)) if count else 0
    if count > storage.count or last >= max(storage.count, 1):
        raise CheckpointError(f"{path}: tensor {name} of shape {shape} reaches beyond its {storage.count} numbers")
    flat = np.frombuffer(archive.read(entry), dtype)
    values = np.lib.stride_tricks.as_strided(
        flat[offset:], shape, [stride * dtype.itemsize for stride in strides]) if count else np.zeros(shape, dtype)
    if storage.kind == "BFloat16Storage":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return as_float32(path, name, values)


def as_float32(path, name, values):
    """Floating point in float32, checked for NaN and infinity; integers as they are."""
    if values.dtype.kind != "f":
        return np.array(values, order="C")
    with np.errstate(over="ignore"):
        values = np.array(values, dtype=np.float32, order="C")
    if not np.isfinite(values).all():
        raise CheckpointError(f"{path}: tensor {name} holds NaN or infinity")
    return values


def read_with_code(path):
    """Unpickles the file with PyTorch, which runs any code in it. Returns (tensors, module or None)."""
    import torch
    try:
        content = torch.load(path, map_location="cpu", weights_only=False)
    except OSError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path}: PyTorch cannot load it ({one_line(error)})") from error
    module = content if isinstance(content, torch.nn.Module) else None
    if module is None and isinstance(content, dict):
        module = next((content[key] for key in WRAPPERS if isinstance(content.get(key), torch.nn.Module)), None)
    if module is not None:
        content = dict(module.state_dict())
    tensors = state_dict_of(path, content, torch.Tensor)
    return {name: as_float32(path, name, (value.float() if value.is_floating_point() else value).detach().numpy())
            for name, value in tensors.items()}, module


def one_line(error):
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def file_name(path):
    return os.path.basename(os.fspath(path))
