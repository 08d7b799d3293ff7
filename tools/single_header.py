#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes one file of an exported student and the parts of Bantam that it needs, so that a project needs no include path.

    tools/single_header.py STUDENT.hpp OUTPUT.hpp

Every `#include <bantam/…>` becomes the header's text, once; the standard headers stand at the top. The line classifier
and the self-test are there, too. Files of several students can be included in one translation unit. Needs Python alone."""

import os
import re
import sys
import tempfile

INCLUDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "include")
BANTAM = re.compile(r'^#include <(bantam/[^>]+)>')
STANDARD = re.compile(r"^#include <([^>/.]+)>")
# What firmware needs beside the student's header.
MORE = [f"#include <bantam/deploy/{name}.hpp>" for name in ("line_classifier", "self_test")]


class Failure(Exception):
    pass


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path}: {getattr(error, 'strerror', None) or 'is not text'}") from None


def expand(text, seen, standard):
    """The lines of `text` with Bantam's headers in the place of their includes."""
    inside_conditions = 0
    for line in text.splitlines():
        if line.startswith("#pragma once") or line.startswith("// SPDX-License-Identifier"):
            continue
        if re.match(r"#\s*if", line):
            inside_conditions += 1
        elif re.match(r"#\s*endif", line):
            inside_conditions -= 1
        bantam, plain = BANTAM.match(line), STANDARD.match(line)
        if bantam:
            if bantam[1] not in seen:
                seen.add(bantam[1])
                # Not twice where files of several students are included.
                guard = "BANTAM_SINGLE_" + re.sub(r"\W", "_", bantam[1]).upper()
                yield from (f"#ifndef {guard}", f"#define {guard}")
                yield from expand(read(os.path.join(INCLUDE, bantam[1])), seen, standard)
                yield "#endif"
        elif plain and inside_conditions == 0:
            standard.add(plain[1])
        else:
            yield line


def main(arguments):
    if len(arguments) != 2 or arguments[0].startswith("-"):
        print(__doc__.strip(), file=sys.stdout if arguments in (["-h"], ["--help"]) else sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    source, target = arguments
    try:
        text = read(source)
        if "bantam::deploy::Weights<" not in text:
            raise Failure(f"{source}: is no student that export_student wrote; export one first")
        standard = set()
        lines = list(expand("\n".join([*MORE, text]), set(), standard))
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    # Bantam's headers are under the MIT license.
    head = ["// SPDX-License-Identifier: MIT", "// A student and the parts of Bantam that it needs; do not edit.",
            "// clang-format off", "#pragma once", ""]
    head += [f"#include <{name}>" for name in sorted(standard)]
    content = re.sub(r"\n{3,}", "\n\n", "\n".join(head + [""] + lines) + "\n")
    folder = os.path.dirname(os.path.abspath(target))
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=os.path.basename(target) + ".")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        print(f"error: {target}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{target}: {len(content.encode())} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
