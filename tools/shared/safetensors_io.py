# SPDX-License-Identifier: MIT
"""Reads and writes safetensors files with NumPy alone.

Layout: eight bytes with the little-endian length of a JSON header, the header, then the raw tensors.
The header maps each name to its dtype, shape and byte range; `__metadata__` maps strings to strings.
"""

import json
import os
import struct
import tempfile

import numpy as np

DTYPES = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U8": np.dtype("u1"), "BOOL": np.dtype("?"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
LARGEST_HEADER = 100_000_000


class SafetensorsError(ValueError):
    """A file that is not valid safetensors; the message is one line naming the file."""


def save(path, tensors, metadata=None):
    """Writes `tensors` (name -> array) and `metadata` (str -> str), replacing `path` in one step."""
    header, blocks, position = {}, [], 0
    if metadata:
        header["__metadata__"] = {str(key): str(value) for key, value in metadata.items()}
    for name, values in tensors.items():
        values = np.asarray(values)
        shape = list(values.shape)
        values = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
        if values.dtype not in NAMES:
            raise SafetensorsError(f"{path}: tensor {name} has type {values.dtype}, which has no safetensors name")
        header[name] = {"dtype": NAMES[values.dtype], "shape": shape,
                        "data_offsets": [position, position + values.nbytes]}
        position += values.nbytes
        blocks.append(values)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # keeps the tensors aligned for readers that map the file
    with replacing(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in blocks:
            file.write(values.tobytes())


def load(path):
    """Returns (tensors, metadata); raises SafetensorsError where the file does not add up."""
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 8:
        raise SafetensorsError(f"{path}: {len(data)} bytes is too short for a safetensors file")
    (length,) = struct.unpack("<Q", data[:8])
    if length > LARGEST_HEADER or 8 + length > len(data):
        raise SafetensorsError(f"{path}: header of {length} bytes does not fit a file of {len(data)} bytes: "
                               "not safetensors, or truncated")
    try:
        header = json.loads(data[8:8 + length].decode())
    except (ValueError, RecursionError) as error:
        raise SafetensorsError(f"{path}: the header is not JSON, so this is not a safetensors file") from error
    if not isinstance(header, dict):
        raise SafetensorsError(f"{path}: the header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    body = memoryview(data)[8 + length:]
    tensors = {}
    for name, entry in header.items():
        try:
            dtype, shape, (begin, end) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
            count = 1
            for extent in shape:
                if not isinstance(extent, int) or extent < 0:
                    raise ValueError
                count *= extent
            if not (0 <= begin <= end <= len(body)) or end - begin != count * dtype.itemsize:
                raise ValueError
        except (KeyError, TypeError, ValueError) as error:
            raise SafetensorsError(f"{path}: the entry of tensor {name} does not fit the file "
                                   "(unknown type, bad shape, or truncated)") from error
        tensors[name] = np.frombuffer(body[begin:end], dtype=dtype).reshape(shape)
    return tensors, metadata


class replacing:
    """Opens a temporary file beside `path`; renames it to `path` if all went well, else removes it."""

    def __init__(self, path):
        self.path = os.fspath(path)

    def __enter__(self):
        folder, name = os.path.split(os.path.abspath(self.path))
        handle, self.temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
        self.file = os.fdopen(handle, "wb")
        return self.file

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.file.flush()
                os.fsync(self.file.fileno())
                umask = os.umask(0)
                os.umask(umask)
                os.chmod(self.temporary, 0o666 & ~umask)  # mkstemp makes files private
            self.file.close()
            if kind is None:
                os.replace(self.temporary, self.path)
        finally:
            if os.path.exists(self.temporary):
                os.unlink(self.temporary)
        return False
