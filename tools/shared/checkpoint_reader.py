# SPDX-License-Identifier: MIT
"""Reads the tensors of a checkpoint of PyTorch's without running anything it contains.

A checkpoint is a pickle beside the bytes of storages: in a zip archive, or one after the other in the format
before PyTorch 1.6. pickle_reader turns the pickle into inert records; arrays are made from them here, with
every size compared with the bytes that are there.
"""

import math
import os
import zipfile

import numpy as np

import pickle_reader
from pickle_reader import Global, Opaque, Storage, TensorRecord
from printable import one_line, printable

STORAGES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "BFloat16Storage": "<u2",
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1",
    "ByteStorage": "u1", "BoolStorage": "?",
}
# Entries under which training programs keep the weights, the averaged ones last.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "student", "teacher",
            "weights", "params", "state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "ema", "shadow")
# What wrappers of modules put before every name.
PREFIXES = ("module.", "_orig_mod.", "model.", "student.", "teacher.", "network.", "net.", "ema_model.", "shadow.",
            "averaged_model.")
LAYER_TENSORS = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
# What wrappers that average weights count.
COUNTERS = ("n_averaged", "num_updates", "initted", "step")
LEGACY_MAGIC = 0x1950a86a20f9469cfc6c
ADVICE = ("save model.state_dict(), or, if you trust the file's author, pass --allow-pickled-code, which runs code "
          "from the file")


class CheckpointError(ValueError):
    """A checkpoint that cannot be read; the message is one line naming the file."""


def read_tensors(path, notes=None):
    """name -> array in the checkpoint's order; floating point in float32, integers as they are.

    Takes a `state_dict`, or a dictionary that holds one; removes the prefixes of wrappers; leaves out
    `num_batches_tracked`. Appends to `notes` a line for each of these that was done and is not usual.
    Raises CheckpointError, or OSError.
    """
    notes = [] if notes is None else notes
    with open(path, "rb") as file:
        start = file.read(4)
        file.seek(0)
        if start.startswith(b"PK"):
            content, read_storage = open_archive(path, file)
        elif len(start) > 1 and start[0] == 0x80 and start[1] <= 5:  # a pickle and its protocol
            content, read_storage = open_legacy(path, file.read())
        else:
            raise CheckpointError(f"{path}: neither a PyTorch checkpoint nor safetensors (or cut short); "
                                  "save it with torch.save(model.state_dict(), FILE)")
        records = state_dict_of(path, content, lambda value: isinstance(value, TensorRecord), notes)
        return arrays_of(path, records, read_storage, os.fstat(file.fileno()).st_size)


# --------------------------------------------------------------------------------------- containers

def open_archive(path, file):
    """(content of the pickle, a function from a storage's key to its bytes or None)."""
    def damaged(what):
        return CheckpointError(f"{path}: damaged archive ({what}); copy or save it again")

    def read(name):
        try:
            return archive.read(entries[name])
        except Exception as error:  # a damaged archive can raise nearly anything
            raise damaged(one_line(error)) from error

    try:
        archive = zipfile.ZipFile(file)
        listed = archive.infolist()
    except Exception as error:
        raise damaged(one_line(error)) from error
    entries = {entry.filename: entry for entry in listed}
    if len(entries) != len(listed):
        raise damaged("two entries have one name")
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError(f"{path}: a zip archive without PyTorch's data.pkl, so not a checkpoint; "
                              "save it with torch.save(model.state_dict(), FILE)")
    folder = pickles[0][:-len("data.pkl")]
    if folder + "constants.pkl" in entries:
        raise CheckpointError(f"{path}: a TorchScript program, not a checkpoint; save model.state_dict() instead")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in listed):
        raise CheckpointError(f"{path}: compressed archive; PyTorch writes checkpoints uncompressed, save it again")
    for entry in listed:
        if entry.file_size != entry.compress_size:
            raise damaged(f"{printable(entry.filename)} declares {entry.file_size} bytes and holds "
                          f"{entry.compress_size}")
    # Entries that overlap would make much of little.
    if sum(entry.file_size for entry in listed) > os.fstat(file.fileno()).st_size:
        raise damaged("its entries declare more bytes than the file has")
    if folder + "byteorder" in entries and read(folder + "byteorder").strip() != b"little":
        raise CheckpointError(f"{path}: written on a big-endian machine, which this tool does not read; "
                              "save it on another machine")
    content = load_pickle(path, pickle_reader.Reader(read(pickles[0])))

    def read_storage(key):
        name = f"{folder}data/{key}"
        return read(name) if name in entries else None

    return content, read_storage


def open_legacy(path, data):
    """As `open_archive`, of the format before PyTorch 1.6: five pickles, then the storages."""
    reader = pickle_reader.Reader(data)
    try:
        magic = reader.load()
    except pickle_reader.PickleError:
        magic = None
    if magic != LEGACY_MAGIC:
        raise CheckpointError(f"{path}: a bare pickle, not a checkpoint of torch.save; {ADVICE}")
    _, system, content, keys = (load_pickle(path, reader) for _ in range(4))
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise CheckpointError(f"{path}: written on a big-endian machine, which this tool does not read; "
                              "save it on another machine")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise CheckpointError(f"{path}: malformed pickle (no list of storages); copy or save it again")
    places, position = {}, reader.position
    for key in keys:
        storage = reader.storages.get(key)
        if storage is None or storage.kind not in STORAGES or len(data) - position < 8:
            raise CheckpointError(f"{path}: its storages are cut short or of an unknown kind; copy or save it again")
        count = int.from_bytes(data[position:position + 8], "little")
        places[key] = (position + 8, count * np.dtype(STORAGES[storage.kind]).itemsize)
        position += 8 + places[key][1]
    if position > len(data):
        raise CheckpointError(f"{path}: ends within its storages (cut short?); copy or save it again")

    def read_storage(key):
        place = places.get(key)
        return None if place is None else memoryview(data)[place[0]:place[0] + place[1]]

    return content, read_storage


def load_pickle(path, reader):
    try:
        return reader.load()
    except pickle_reader.PickleError as error:
        raise CheckpointError(f"{path}: malformed pickle (it {error}); copy or save it again") from error


# ------------------------------------------------------------------------------------- dictionaries

def state_dict_of(path, content, is_tensor, notes):
    """The dictionary of tensors inside what was loaded, without wrappers, prefixes and counters."""
    content = unwrapped(path, content, is_tensor, notes)
    tensors = {}
    for name, value in content.items():
        if isinstance(name, str) and name.endswith("_extra_state"):
            continue
        if not isinstance(name, str) or not is_tensor(value):
            if isinstance(value, (Opaque, Global)):
                raise CheckpointError(f"{path}: holds the Python object {printable(value.name)} (entry "
                                      f"'{printable(name)}'), not tensors alone; {ADVICE}")
            raise CheckpointError(f"{path}: entry '{printable(name)}' is not a tensor, so this is not a state_dict; "
                                  "save model.state_dict()")
        tensors[name] = value
    repeated = getattr(content, "repeated", None)
    if repeated is not None:
        raise CheckpointError(f"{path}: names '{printable(repeated)}' twice; save model.state_dict() again")
    tensors = {name: value for name, value in tensors.items()
               if not name.endswith("num_batches_tracked") and not is_counter(name, value)}
    if any(name.startswith("online_model.") for name in tensors):
        averaged = {name: value for name, value in tensors.items() if name.startswith("ema_model.")}
        if averaged:
            notes.append("took the averaged weights ('ema_model.') and left out 'online_model.'")
            tensors = averaged
    if not tensors:
        raise CheckpointError(f"{path}: holds no tensors; save model.state_dict()")
    tensors = without_prefixes(tensors, notes)
    for name in tensors:
        if name == "__metadata__":
            raise CheckpointError(f"{path}: a tensor is named __metadata__, which safetensors reserves; rename it")
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise CheckpointError(f"{path}: the tensor name '{printable(name)}' is not valid UTF-8; rename it")
    return tensors


def unwrapped(path, content, is_tensor, notes):
    """The innermost dictionary under the usual names of training programs."""
    taken = []
    for _ in range(8):  # a dictionary may hold itself
        if isinstance(content, (Opaque, Global)):
            raise CheckpointError(f"{path}: holds the Python object {printable(content.name)}, not tensors alone; "
                                  + ADVICE)
        if not isinstance(content, dict):
            raise CheckpointError(f"{path}: holds a {'tensor' if is_tensor(content) else type(content).__name__}, expected a state_dict; "
                                  "save model.state_dict()")
        named = [name for name in WRAPPERS if isinstance(content.get(name), dict)]
        if not named and not any(is_tensor(value) for value in content.values()):
            if (pickled := next((name for name in WRAPPERS if isinstance(content.get(name), Opaque)), None)):
                raise CheckpointError(f"{path}: holds the Python object {printable(content[pickled].name)} (entry "
                                      f"'{pickled}'), not tensors alone; {ADVICE}")
            if isinstance(content.get("shadow_params"), list):
                raise CheckpointError(f"{path}: holds averaged weights without names ('shadow_params'); "
                                      "copy them to a model and save model.state_dict()")
            named = [name for name, value in content.items() if isinstance(name, str) and "optim" not in name
                     and isinstance(value, dict) and value and all(map(is_tensor, value.values()))]
            if len(named) > 1:
                raise CheckpointError(f"{path}: holds several dictionaries of tensors ({listed(named)}); "
                                      "save the one you want alone")
        if not named:
            break
        taken.append(named[0])
        if len(named) > 1:
            notes.append(f"took '{printable(named[0])}' and left out {listed(named[1:])}")
        content = content[named[0]]
    if taken and taken[-1] in WRAPPERS[WRAPPERS.index("state_dict_ema"):]:
        notes.append(f"took the averaged weights ('{taken[-1]}')")
    elif taken and taken[-1] not in WRAPPERS:
        notes.append(f"took the only dictionary of tensors ('{printable(taken[-1])}')")
    return content


def listed(names):
    return ", ".join(f"'{printable(name)}'" for name in names)


def is_counter(name, value):
    return name in COUNTERS and isinstance(value.shape, tuple) and tuple(value.shape) in ((), (1,))


def shared_prefix(tensors):
    """The first part of every name, with its dot, where all share it; "" elsewhere. A number is a layer's position, and
    no wrapper's name."""
    first = {name.partition(".")[0] for name in tensors}
    if len(first) != 1 or any(not name.partition(".")[2] for name in tensors):
        return ""
    part, = first
    if part + "." in PREFIXES:
        return part + "."
    others = {name.split(".")[1] for name in tensors}
    # The tensors of one layer share its name, which stays.
    return "" if part.isdigit() or others <= LAYER_TENSORS else part + "."


def without_prefixes(tensors, notes):
    """The tensors without the prefixes that all their names share."""
    removed = ""
    while prefix := shared_prefix(tensors):
        tensors = {name[len(prefix):]: value for name, value in tensors.items()}
        removed += prefix
    if removed:
        notes.append(f"removed the prefix '{removed}' from every name")
    for prefix in PREFIXES:
        found = sum(name.startswith(prefix) for name in tensors)
        if 0 < found:
            notes.append(f"the names of {found} of {len(tensors)} tensors begin with '{prefix}'; left as they are")
    return tensors


# ------------------------------------------------------------------------------------------- arrays

def arrays_of(path, records, read_storage, file_size):
    """The records' arrays. Each storage is read once."""
    storages, arrays, total = {}, {}, 0
    for name, record in records.items():
        check_record(path, name, record)
        storage, shape = record.storage, record.shape
        dtype = np.dtype(STORAGES[storage.kind])
        total += math.prod(shape) * max(dtype.itemsize, 4)
        if total > 8 * file_size + (64 << 20):
            raise CheckpointError(f"{path}: its tensors repeat the {file_size:,} bytes of the file too often "
                                  "(shared or expanded); save copies of them with .clone()")
        flat = storages.get(storage.key)
        if flat is None or flat.dtype != dtype:
            flat = storages[storage.key] = read_numbers(path, name, storage, dtype, read_storage)
        arrays[name] = as_float32(path, name, view_of(path, name, record, flat), storage.kind == "BFloat16Storage")
    return arrays


def check_record(path, name, record):
    """Raises CheckpointError unless the record's values have the right types and signs."""
    storage, shape, strides = record.storage, record.shape, record.strides
    whole = (isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)
             and len(shape) == len(strides) and len(shape) <= 32
             and all(type(number) is int and 0 <= number < 2**63
                     for number in (record.offset, storage.count, *shape, *strides)))
    if not whole or math.prod(extent for extent in shape if extent) >= 2**60:
        raise CheckpointError(f"{path}: tensor {printable(name)} is malformed; save it again")
    if storage.kind not in STORAGES:
        raise CheckpointError(f"{path}: tensor {printable(name)} is of the type {printable(storage.kind)}, which is "
                              "not read; convert it to float32 first")


def read_numbers(path, name, storage, dtype, read_storage):
    content, expected = read_storage(storage.key), storage.count * dtype.itemsize
    if content is None or len(content) != expected:
        found = "is missing" if content is None else f"has {len(content)} bytes, expected {expected}"
        raise CheckpointError(f"{path}: the data of tensor {printable(name)} {found}; copy or save it again")
    return np.frombuffer(content, dtype)


def view_of(path, name, record, flat):
    """The record's elements of the storage's numbers."""
    shape, offset = record.shape, record.offset
    if 0 in shape:
        return np.zeros(shape, flat.dtype)
    # A stride along an extent of one leads nowhere; it may be of any size.
    strides = [stride if extent > 1 else 0 for extent, stride in zip(shape, record.strides)]
    if offset + sum((extent - 1) * stride for extent, stride in zip(shape, strides)) >= len(flat):
        raise CheckpointError(f"{path}: tensor {printable(name)} of shape {list(shape)} reaches beyond its "
                              f"{len(flat)} numbers; save it again")
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, [stride * flat.itemsize for stride in strides],
                                           writeable=False)


def as_float32(path, name, values, bfloat16=False):
    """Floating point in float32, checked for NaN and infinity; integers as they are."""
    if bfloat16:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    if values.dtype.kind != "f":
        return np.array(values, order="C")
    with np.errstate(over="ignore"):
        values = np.array(values, dtype=np.float32, order="C")
    if not np.isfinite(values).all():
        raise CheckpointError(f"{path}: tensor {printable(name)} holds NaN or infinity; take an earlier checkpoint")
    return values


def read_with_code(path, notes):
    """Unpickles the file with PyTorch, which runs any code in it. Returns (tensors, module or None)."""
    import torch
    try:
        content = torch.load(path, map_location="cpu", weights_only=False)
    except OSError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path}: PyTorch cannot load it ({one_line(error)}); save it again") from error
    module = content if isinstance(content, torch.nn.Module) else None
    if module is None and isinstance(content, dict):
        module = next((content[key] for key in WRAPPERS if isinstance(content.get(key), torch.nn.Module)), None)
    if module is not None:
        content = dict(module.state_dict())
    tensors = state_dict_of(path, content, lambda value: isinstance(value, torch.Tensor), notes)
    arrays = {}
    for name, value in tensors.items():
        try:
            values = (value.float() if value.is_floating_point() else value).detach().numpy()
        except (RuntimeError, TypeError) as error:  # sparse, quantized and the like
            raise CheckpointError(f"{path}: tensor {printable(name)} is not read ({one_line(error)}); "
                                  "convert it to float32 first") from error
        arrays[name] = as_float32(path, name, values)
    return arrays, module
