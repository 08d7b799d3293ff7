#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the includes under include/bantam follow the layers of the library.

    tools/developer/check_includes.py [INCLUDE_FOLDER]

Prints one line per violation (file, include, rule) and exits with 1 where there is one. The ctest
`structure.includes` runs it on the tree and on copies with a wrong include in each.
"""
import re
import sys
from pathlib import Path

# Which folders the headers of a folder may include, themselves aside. The README shows this table as arrows.
MAY_INCLUDE = {
    "base": "",
    "core": "base",
    "layers": "base core",
    "models": "base core layers",
    "exec": "base core layers",
    "io": "base core",
    "data": "base core io",
    "train": "base core io",
    "cpu": "base core layers exec io train",
    "cuda": "base core layers exec io train data",
    "deploy": "base core layers exec",
    "quantize": "base core layers exec io train cpu deploy",
    "prune": "base core layers exec deploy",
}

# Inside a backend a header includes its own level and those before it. A level is a folder or a header's stem.
BACKENDS = ("cpu", "cuda", "deploy")
LEVELS = [
    {"runtime"},
    {"kernels"},
    {"backend"},
    {"layers"},
    {"chain"},
    {"model"},
    {"trainer", "training", "check_layer", "save"},
    {"data"},
]
# What is deployed has levels of its own; the last one runs on a PC.
DEPLOY_LEVELS = [
    {"map_memory", "precision", "activation", "pixel_scaling"},
    {"stages"},
    {"lower"},
    {"whole_maps", "lines"},
    {"host"},
    {"classifier", "line_classifier", "batch_classifier", "self_test", "budget"},
    {"calibration", "emit_layers", "export", "fold", "onnx", "onnx_int8", "prepare", "pytorch", "type_text"},
]
# Runtime and kernels do not know which layer they run for. The geometry of a window is no layer.
BELOW_LAYERS = {"runtime", "kernels"}
SHARED_WITH_KERNELS = {"bantam/layers/conv_geometry.hpp"}

# Folders that describe a network and execute nothing: no containers, no streams, no files.
COMPILE_TIME = {"core", "layers", "models"}
COMPILE_TIME_HEADERS = {
    "algorithm", "array", "bit", "concepts", "cstddef", "cstdint", "limits", "numeric", "string_view", "tuple",
    "type_traits", "utility",
}


def level(path):
    """The level of a backend's header, by its folder, or by its name where it lies directly in the backend."""
    for number, names in enumerate(DEPLOY_LEVELS if path.parts[0] == "deploy" else LEVELS):
        if path.parts[1].removesuffix(".hpp") in names:
            return number
    return None


def broken_rule(path, name):
    """The rule that `#include <name>` in the header `path` breaks, or None. Both are relative to include/bantam."""
    folder = path.parts[0]
    if not name.startswith("bantam/"):
        if folder in COMPILE_TIME and name not in COMPILE_TIME_HEADERS:
            return f"{folder}/ is compile time only"
        return None
    target = Path(name.removeprefix("bantam/"))
    to = target.parts[0]
    if folder == "bantam.hpp":
        return "bantam.hpp includes no GPU code" if to == "cuda" else None
    if to == "bantam.hpp":
        return "the library does not include bantam.hpp"
    if to != folder and to not in MAY_INCLUDE[folder].split():
        return f"{folder}/ may include only {MAY_INCLUDE[folder] or 'itself'}"
    if folder in BACKENDS:
        of_layers = to not in (folder, "base", "core", "exec") and name not in SHARED_WITH_KERNELS
        if path.parts[1] in BELOW_LAYERS and of_layers:
            return f"{folder}/{path.parts[1]}/ may include only {folder}, base, core and exec"
        if to == folder == "deploy" and (level(target) or 0) > level(path):
            return "inside deploy: precision <- stages <- lower <- whole_maps <- classifier <- prepare"
        if to == folder and (level(target) or 0) > level(path):
            return "inside a backend: runtime <- kernels <- backend <- layers <- chain <- model <- trainer"
    return None


def unknown_place(path):
    if path == Path("bantam.hpp"):
        return None
    if path.parts[0] not in MAY_INCLUDE or len(path.parts) < 2:
        return "the folder is not in the table of check_includes.py"
    if path.parts[0] in BACKENDS and level(path) is None:
        return "the place is not among the levels of check_includes.py"
    return None


def find_cycle(graph):
    """One cycle of includes as a list of headers, or None."""
    done, open_headers = set(), []

    def visit(header):
        if header in open_headers:
            return open_headers[open_headers.index(header):] + [header]
        if header in done:
            return None
        open_headers.append(header)
        for target in graph.get(header, []):
            if cycle := visit(target):
                return cycle
        open_headers.pop()
        done.add(header)
        return None

    for header in graph:
        if cycle := visit(header):
            return cycle
    return None


def layer_list_violations(root):
    """The same layers on both backends, each included by its all.hpp."""
    headers = {}
    for backend in ("cpu", "cuda"):
        folder = root / backend / "layers"
        headers[backend] = {path.name for path in folder.glob("*.hpp")} - {"all.hpp"}
        all_header = folder / "all.hpp"
        included = all_header.read_text() if all_header.exists() else ""
        for name in sorted(headers[backend]):
            if f"#include <bantam/{backend}/layers/{name}>" not in included:
                yield f"{backend}/layers/all.hpp: misses <bantam/{backend}/layers/{name}>"
    for name in sorted(headers["cpu"] ^ headers["cuda"]):
        here, missing = ("cpu", "cuda") if name in headers["cpu"] else ("cuda", "cpu")
        yield f"{here}/layers/{name}: {missing}/layers/ has no header of this name"


def violations(include_folder):
    """One line per violation under `include_folder`/bantam."""
    root = Path(include_folder) / "bantam"
    graph = {}
    for header in sorted(root.rglob("*.hpp")):
        path = header.relative_to(root)
        if problem := unknown_place(path):
            yield f"{path}: {problem}"
            continue
        for bracket, name in re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', header.read_text(), re.MULTILINE):
            if bracket == '"':
                yield f'{path}: "{name}": includes are written with <>'
            elif name.startswith("bantam/") and not (root.parent / name).is_file():
                yield f"{path}: <{name}>: no such header"
            elif rule := broken_rule(path, name):
                yield f"{path}: <{name}>: {rule}"
            else:
                graph.setdefault(str(path), []).append(name.removeprefix("bantam/"))
    if cycle := find_cycle(graph):
        yield f"{cycle[0]}: a cycle of includes: {' -> '.join(cycle)}"
    yield from layer_list_violations(root)


def main():
    default = Path(__file__).resolve().parents[2] / "include"
    found = list(violations(sys.argv[1] if len(sys.argv) > 1 else default))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
