#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Joins trained students into an ensemble, which answers with the mean of their logits.

    tools/join_students.py run-1/student.safetensors run-2/student.safetensors --name pair --output pair

Writes OUTPUT/NAME.hpp, the ensemble as a student, and OUTPUT/NAME.safetensors, its weights. Each member has learned by
its own loss. The ensemble counts as the sum of its members: train members of half the budget
(bench/search.py --budget 50000) to join two of them.
"""

import argparse
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "shared"))

try:
    import safetensors_io  # noqa: E402
except ImportError as missing:
    sys.exit(f"error: the Python package {missing.name} is not installed; run tools/install_dependencies.sh")

NETWORK = re.compile(r"([\w-]+), (\d+) classes, (\d+)x(\d+)x(\d+), (\d+) parameters")
# What members share, so that one program shows all of them the same picture.
SHARED = ("classes", "stored_size", "mean", "std")


class Refusal(Exception):
    """A failure that the user can mend; the message is one line."""


class Member:
    """A student's file: its tensors, metadata, and the name and numbers of its network."""

    def __init__(self, path):
        if not os.path.isfile(path):
            raise Refusal(f"{path}: no such file; name the student.safetensors of a run")
        self.path = path
        self.tensors, self.metadata = safetensors_io.load(path)
        match = NETWORK.fullmatch(self.metadata.get("network", ""))
        if match is None:
            raise Refusal(f"{path}: does not say which network it belongs to; name the student.safetensors of a run")
        self.name, self.shape, self.parameters = match[1], match.groups()[1:5], int(match[6])

    def header(self, folders):
        """The path of the member's header, in the first folder that has it."""
        for folder in folders:
            path = os.path.join(folder, self.name.replace("-", "_") + ".hpp")
            if os.path.isfile(path):
                return os.path.abspath(path)
        raise Refusal(f"{self.path}: there is no header of the student '{self.name}' in {' or '.join(folders)}; name its "
                      "folder with --student-folder")


def require_same(members):
    first = members[0]
    for other in members[1:]:
        if other.shape != first.shape:
            raise Refusal(f"{other.path}: has {other.shape[0]} classes and pictures of {'x'.join(other.shape[1:])}, "
                          f"{first.path} has {first.shape[0]} and {'x'.join(first.shape[1:])}; join students of one kind")
        for key in sorted(first.metadata.keys() | other.metadata.keys()):
            if key in SHARED and first.metadata.get(key) != other.metadata.get(key):
                raise Refusal(f"{other.path}: its metadata '{key}' differ from those of {first.path}; join students that "
                              "were trained on the same classes and pictures")


def header_text(name, members, headers):
    space = name.replace("-", "_")
    includes = "\n".join(f'#include "{header}"' for header in sorted(set(headers)))
    types = ",\n                                  ".join(
        f"students::{member.name.replace('-', '_')}::Network<Classes, Size>" for member in members)
    return f"""// SPDX-License-Identifier: MIT
// Written by join_students.py.
#pragma once

#include <bantam/models/ensemble.hpp>

{includes}

namespace students::{space} {{

template <int Classes, int Size>
using Network = bantam::Ensemble<{types}>;

inline constexpr const char* accuracy = "-";

}}  // namespace students::{space}
"""


def joined_tensors(members):
    """The tensors under the names that an Ensemble gives them."""
    return {f"0.{index}.{name}": values for index, member in enumerate(members)
            for name, values in member.tensors.items()}


def join(options):
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", options.name):
        raise Refusal(f"--name is '{options.name}'; it has letters, digits and dashes, and begins with a letter")
    if len(options.students) < 2:
        raise Refusal("an ensemble has at least two members; name more students")
    members = [Member(path) for path in options.students]
    require_same(members)
    source = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    folders = [*options.student_folder, os.path.join(source, "examples", "students")]
    text = header_text(options.name, members, [member.header(folders) for member in members])
    parameters = sum(member.parameters for member in members)
    metadata = {key: value for key, value in members[0].metadata.items() if key not in ("run", "epoch", "started_from")}
    classes, height, width, channels = members[0].shape
    metadata["network"] = f"{options.name}, {classes} classes, {height}x{width}x{channels}, {parameters} parameters"
    metadata["joined_from"] = "; ".join(member.metadata["network"] for member in members)

    path = os.path.join(options.output, options.name.replace("-", "_"))
    for member in members:
        if os.path.realpath(member.path) == os.path.realpath(path + ".safetensors"):
            raise Refusal(f"{member.path}: is a member and would be replaced; choose another --name")
    os.makedirs(options.output, exist_ok=True)
    safetensors_io.save(path + ".safetensors", joined_tensors(members), metadata)
    with safetensors_io.replacing(path + ".hpp") as file:
        file.write(text.encode())
    over = " (over the homework's limit of 100000)" if parameters > 100_000 else ""
    print(f"{parameters} parameters{over}\nstudent: {path}.hpp\nweights: {path}.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("students", nargs="+", metavar="FILE", help="student.safetensors of distill_food11, two or more")
    parser.add_argument("--name", default="ensemble", help="name of the ensemble as a student (ensemble)")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the header and the weights")
    parser.add_argument("--student-folder", action="append", default=[], metavar="DIR",
                        help="folder with the members' headers, beside examples/students/")
    options = parser.parse_args()
    try:
        join(options)
    except (Refusal, safetensors_io.SafetensorsError) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or options.output}: {error.strerror or error}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
