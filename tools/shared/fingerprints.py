# SPDX-License-Identifier: MIT
"""Names that change when what they were made from changes. Needs Python alone."""

import hashlib
import os

from homework_folders import archive_of


def fingerprint(*parts):
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def file_fingerprint(path):
    status = os.stat(path)
    return fingerprint(os.path.abspath(path), status.st_size, status.st_mtime_ns)


def logits_name(data, splits, teacher, options):
    """The file name for the logits of these pictures (homework_folders.list_pictures), this teacher and these options of
    precompute_logits, name -> value."""
    def stamp(path):
        file = os.path.join(data, path)
        status = os.stat(archive_of(file) or file)
        return f"{path} {status.st_size} {status.st_mtime_ns}"

    pictures = fingerprint(os.path.abspath(data), *(stamp(path) for split in splits.values() for path, _ in split))
    return f"{fingerprint(pictures, file_fingerprint(teacher), *sorted(options.items()))}.safetensors"
