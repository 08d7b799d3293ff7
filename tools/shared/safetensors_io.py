# SPDX-License-Identifier: MIT
"""Reads and writes safetensors files with NumPy alone.

Layout: eight bytes with the little-endian length of a JSON header, the header, then the raw tensors.
The header maps each name to its dtype, shape and byte range; `__metadata__` maps strings to strings.
The rules of reading are those of include/bantam/io/safetensors_header.hpp; one set of cases,
tests/io/safetensors_headers.json, tests both. The checksum among the metadata is described in
docs/reliability.md; it needs the module xxhash and is left out, and not verified, where that is missing.
"""

import contextlib
import json
import os
import re
import secrets
import struct

import numpy as np

from printable import printable

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None
try:
    import xxhash
except ImportError:
    xxhash = None

BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32,
    "U16": 16, "U8": 8, "BOOL": 8, "C64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}
DTYPES = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
LARGEST_HEADER = 100_000_000
DEEPEST_NESTING = 127  # as in the reference implementation
CHECKSUM_KEY = "bantam-checksum"
CHECKSUM_PREFIX = "bantam-xxh64:"
NO_CHECKSUM = CHECKSUM_PREFIX + "0" * 16


class SafetensorsError(ValueError):
    """A file that is not valid safetensors; the message is one line naming the file."""


class Unsound(ValueError):
    """The reason why a header is refused, without the file's name."""


def save(path, tensors, metadata=None):
    """Writes `tensors` (name -> array) and `metadata` (str -> str), replacing `path` in one step."""
    metadata = {str(key): str(value) for key, value in (metadata or {}).items() if key != CHECKSUM_KEY}
    if xxhash:
        metadata[CHECKSUM_KEY] = NO_CHECKSUM
    header, blocks, position = {}, [], 0
    if metadata:
        header["__metadata__"] = metadata
    for name, values in tensors.items():
        values = np.asarray(values)
        shape = list(values.shape)
        values = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
        if values.dtype not in NAMES:
            raise SafetensorsError(f"{path}: cannot be written: tensor {printable(name)} has type {values.dtype}, "
                                   "which has no safetensors name; convert it first")
        if name == "__metadata__":
            raise SafetensorsError(f"{path}: cannot be written: a tensor may not be named __metadata__; rename it")
        header[name] = {"dtype": NAMES[values.dtype], "shape": shape,
                        "data_offsets": [position, position + values.nbytes]}
        position += values.nbytes
        blocks.append(values.reshape(-1).view(np.uint8))
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise SafetensorsError(f"{path}: cannot be written: the text {printable(error.object[error.start:])} is not "
                               "valid UTF-8; rename what it belongs to") from error
    text += b" " * (-len(text) % 8)  # keeps the tensors aligned for readers that map the file
    start = struct.pack("<Q", len(text))
    if xxhash:
        text = text.replace(NO_CHECKSUM.encode(), (CHECKSUM_PREFIX + hash_of(start, text, *blocks)).encode(), 1)
    with replacing(path) as file:
        file.write(start + text, *(values.data for values in blocks))


def is_safetensors(path):
    """Whether a file begins as safetensors do, with the length of a header that the file holds or with an object."""
    with open(path, "rb") as file:
        start = file.read(9)
        (length,) = struct.unpack("<Q", start[:8].ljust(8, b"\xff"))
        return start[8:] == b"{" or 2 <= length <= os.fstat(file.fileno()).st_size - 8


def load(path):
    """Returns (tensors, metadata); raises SafetensorsError where the file does not add up.

    BF16, which NumPy lacks, becomes float32.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        entries, metadata, start = read_header(data)
        verify_checksum(data, start, metadata)
    except Unsound as error:
        raise SafetensorsError(f"{path}: is not a sound safetensors file: {error}; copy or create it again") from None
    tensors = {}
    for name, (kind, shape, begin, end) in entries.items():
        stored = "U16" if kind == "BF16" else kind
        if stored not in DTYPES:
            raise SafetensorsError(f"{path}: tensor {printable(name)} has type {kind}, which is not read here; "
                                   "convert it to F32 first")
        try:
            values = np.frombuffer(data, DTYPES[stored], (end - begin) // DTYPES[stored].itemsize, start + begin)
            values = values.reshape(shape)
        except ValueError as error:  # NumPy limits the number of extents and their product, also of empty arrays
            raise SafetensorsError(f"{path}: tensor {printable(name)} has a shape that is not read here; "
                                   "reshape it first") from error
        tensors[name] = (values.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else values
    return tensors, metadata


def read_header(data):
    """Of a file's bytes: (name -> (dtype, shape, begin, end) in the order of the data, metadata, start of the data).

    Raises Unsound with the first reason why the file is not valid.
    """
    if len(data) < 8:
        raise Unsound(f"it has {len(data)} bytes, a header needs at least 8")
    (length,) = struct.unpack("<Q", data[:8])
    if length > len(data) - 8:
        raise Unsound(f"its header should have {length} bytes, the file has {len(data)} (truncated?)")
    if length > LARGEST_HEADER:
        raise Unsound(f"its header has {length} bytes, more than the format's {LARGEST_HEADER}")
    header = parse_json(data[8:8 + length])
    if not isinstance(header, Pairs):
        raise Unsound("its header is not a JSON object")
    entries, metadata, seen = {}, {}, False
    available = len(data) - 8 - length
    for name, value in header:
        if name == "__metadata__":
            if seen:
                raise Unsound("its header names '__metadata__' twice")
            seen, metadata = True, read_metadata(value)
        elif name in entries:
            raise Unsound(f"its header names '{printable(name)}' twice")
        else:
            try:
                entries[name] = read_entry(value, available)
            except Unsound as error:
                raise Unsound(f"tensor '{printable(name)}' {error}") from None
    end = 0
    ordered = sorted(entries.items(), key=lambda entry: entry[1][2:])
    for name, entry in ordered:
        if entry[2] != end:
            what = "overlaps another tensor" if entry[2] < end else "begins after a gap"
            raise Unsound(f"tensor '{printable(name)}' {what}")
        end = entry[3]
    if end != available:
        raise Unsound(f"its tensors end at byte {8 + length + end}, the file at byte {len(data)}")
    return dict(ordered), metadata, 8 + length


def read_metadata(value):
    if value is None:
        return {}
    if not isinstance(value, Pairs):
        raise Unsound("__metadata__ is not a JSON object")
    for key, text in value:
        if not isinstance(text, str):
            raise Unsound(f"__metadata__ entry '{printable(key)}' is not a string")
    return dict(value)


def read_entry(value, available):
    """(dtype, shape, begin, end) of a tensor's entry in the header."""
    if not isinstance(value, Pairs):
        raise Unsound("is not described by a JSON object")
    fields = {}
    for key, field in value:
        if key in ("dtype", "shape", "data_offsets"):
            if key in fields:
                raise Unsound(f"has two entries '{key}'")
            fields[key] = field
    for key in ("dtype", "shape", "data_offsets"):
        if key not in fields:
            raise Unsound(f"has no {key}")
    kind, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(kind, str) or kind not in BITS:
        raise Unsound("has an unknown dtype")
    if type(shape) is not list or not all(type(extent) is int and 0 <= extent < 2**63 for extent in shape):
        raise Unsound("has a shape that is not made of whole numbers")
    if type(offsets) is not list or len(offsets) != 2 or not all(type(o) is int and 0 <= o < 2**64 for o in offsets):
        raise Unsound("has no pair of data_offsets")
    bits = 1
    for factor in (*shape, BITS[kind]):
        bits *= factor
        if bits >= 2**64:
            raise Unsound("has a shape larger than the file")
    if bits % 8:
        raise Unsound("does not end at a whole byte")
    begin, end = offsets
    if begin > end:
        raise Unsound("ends before it begins")
    if end > available:
        raise Unsound(f"ends at byte {end} of the data, which has {available} (truncated?)")
    if end - begin != bits // 8:
        raise Unsound(f"occupies {end - begin} bytes, its shape needs {bits // 8}")
    return kind, shape, begin, end


class Pairs(list):
    """The members of a JSON object in their order, repeated ones included."""


def parse_json(header):
    """A JSON text's value, with Pairs for objects. As strict as the reference implementation, where Python is not."""
    def constant(name):
        raise ValueError(name)

    def real(digits):
        value = float(digits)
        if value in (float("inf"), float("-inf")):
            raise ValueError(digits)
        return value

    def whole(digits):  # -0 is no whole number; integers beyond 64 bits are read as reals
        return real(digits) if digits == "-0" or len(digits) > 20 else int(digits)

    try:
        text = header.decode()
        if nesting(text) > DEEPEST_NESTING:
            raise Unsound("its header is nested too deeply")
        if has_lone_surrogate(text):
            raise Unsound("its header has half of a surrogate pair")
        return json.loads(text, object_pairs_hook=Pairs, parse_float=real, parse_int=whole, parse_constant=constant)
    except Unsound:
        raise
    except (ValueError, RecursionError) as error:
        raise Unsound("its header is not JSON") from error


def nesting(text):
    """How deeply brackets outside of strings are nested."""
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL)
    letters = np.frombuffer(outside.encode(), np.uint8)
    steps = np.isin(letters, (0x5B, 0x7B)).astype(np.int64) - np.isin(letters, (0x5D, 0x7D))
    return int(np.cumsum(steps).max(initial=0))


def has_lone_surrogate(text):
    """Whether an escape is half of a surrogate pair without its other half."""
    if "\\u" not in text:
        return False
    expected_at = None  # where the second half must begin
    for escape in re.finditer(r"\\(?:u([0-9a-fA-F]{4})|.)", text, flags=re.DOTALL):
        code = int(escape[1], 16) if escape[1] else 0
        second = 0xDC00 <= code < 0xE000
        if second != (expected_at == escape.start()) or (expected_at is not None and not second):
            return True
        expected_at = escape.end() if 0xD800 <= code < 0xDC00 else None
    return expected_at is not None


def hash_of(*parts):
    digest = xxhash.xxh64(seed=0)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def verify_checksum(data, start, metadata):
    """Takes the checksum, where there is one, out of `metadata` and compares it with the file's bytes."""
    found = next((key for key, value in metadata.items()
                  if key == CHECKSUM_KEY or value.startswith(CHECKSUM_PREFIX)), None)
    if found is None:
        return
    value = metadata.pop(found)
    complete = found == CHECKSUM_KEY and value.startswith(CHECKSUM_PREFIX) and len(value) == len(NO_CHECKSUM)
    if complete and not xxhash:
        return
    if complete:
        header = data[:start].replace(value.encode(), NO_CHECKSUM.encode(), 1)
        digest = xxhash.xxh64(header, seed=0)
        digest.update(memoryview(data)[start:])
        complete = value == CHECKSUM_PREFIX + digest.hexdigest()
    if not complete:
        raise Unsound("its contents do not match its checksum (a damaged file, or one that was changed by a program "
                      f"that kept the metadata entry '{CHECKSUM_KEY}')")


class replacing:
    """Opens a temporary file beside `path`; renames it to `path` if all went well, else removes it. As AtomicFile in
    include/bantam/io/atomic_file.hpp: its name ends with 16 digits and `.partial`, it is locked while it is written,
    those of killed processes are removed, and file and folder are flushed. Raises OSError naming `path`."""

    def __init__(self, path):
        self.path = os.fspath(path)

    def __enter__(self):
        folder, name = os.path.split(os.path.abspath(self.path))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self.folder, self.temporary = folder, os.path.join(folder, f"{name}.{secrets.token_hex(8)}.partial")
        with self.naming_path():
            handle = os.open(self.temporary, flags, 0o666)
        self.file = os.fdopen(handle, "wb", buffering=0)
        try:
            lock(handle)
            self.remove_leftovers(name)
        except BaseException:
            self.discard()
            raise
        return self

    def write(self, *blocks):
        with self.naming_path():
            for block in map(memoryview, blocks):
                block = block.cast("B") if block.nbytes else b""
                while len(block) > 0:
                    block = block[self.file.write(block[:1 << 30]):]

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.discard()
            return
        try:
            with self.naming_path():
                os.fsync(self.file.fileno())
                os.replace(self.temporary, self.path)
        except BaseException:
            self.discard()
            raise
        with self.naming_path():
            self.file.close()
            if hasattr(os, "O_DIRECTORY"):  # a folder cannot be flushed everywhere
                handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)

    def discard(self):
        for step in (lambda: os.unlink(self.temporary), self.file.close):
            with contextlib.suppress(OSError):
                step()

    def remove_leftovers(self, name):
        """Removes the partial files of this name that no process has locked. What fails here does no harm."""
        left = re.compile(re.escape(name) + r"\.[0-9a-f]{16}\.partial")
        with contextlib.suppress(OSError):
            for entry in os.listdir(self.folder):
                path = os.path.join(self.folder, entry)
                if path == self.temporary or not left.fullmatch(entry) or not os.path.isfile(path):
                    continue
                handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
                try:
                    if lock(handle):
                        os.unlink(path)
                finally:
                    os.close(handle)

    @contextlib.contextmanager
    def naming_path(self):
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, f"cannot be written: {os.strerror(error.errno or 0)}", self.path) from None


def lock(handle):
    """Whether no other process has locked the file; it is locked then."""
    with contextlib.suppress(OSError):
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False
