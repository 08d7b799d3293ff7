#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Puts training runs side by side: writes one page that a browser shows without network access.

    tools/compare_runs.py run1 run2 --output comparison.html

Each run is an output folder of distill_food11. Figures, curves, recall per class and the settings that differ come
from its report.html. Of a run without one, metrics.csv gives the curves.
"""

import argparse
import csv
import json
import math
import os
import re
import sys

try:
    import xxhash
except ImportError:
    xxhash = None

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shared", "report")
FORMAT = "bantam-report/1"
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


class Refusal(Exception):
    """What is wrong with a file, and what to do, in one line."""


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as problem:
        raise Refusal(f"{path}: cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise Refusal(f"{path}: is not UTF-8 text; train the run again") from None


def from_report(path):
    """The data of a report, without its pictures."""
    found = DATA.search(read(path))
    try:
        run = json.loads(found.group(1)) if found else {}
    except json.JSONDecodeError:
        run = {}
    if run.get("format") != FORMAT:
        raise Refusal(f"{path}: is not a report of this version ({FORMAT}); train the run again, or remove the file to "
                      "compare its metrics.csv")
    run["views"] = []
    if run["validation"]:
        run["validation"].update(mistakes=[], disagreements=[])
    return run


def from_metrics(path):
    """What metrics.csv tells about a run; its kept epoch is the one of the lowest validation loss."""
    rows = list(csv.reader(read(path).splitlines()))

    def number(text):
        try:
            value = float(text)
        except ValueError:
            return None
        return value if math.isfinite(value) else None

    if len(rows) < 2 or "epoch" not in rows[0] or "validation_loss" not in rows[0]:
        raise Refusal(f"{path}: holds no epochs of a training run; name a folder that distill_food11 wrote")
    metrics = {name: [number(row[index]) if index < len(row) else None for row in rows[1:]]
               for index, name in enumerate(rows[0])}
    scores = [(loss, int(epoch)) for loss, epoch in zip(metrics["validation_loss"], metrics["epoch"]) if loss is not None]
    return {"metrics": metrics, "kept_epoch": min(scores)[1] if scores else None, "validation": None, "settings": [],
            "classes": [], "parameters": None}


def warn_if_changed(folder, name):
    """Compares a file with its hash in checksums.txt, where there is one and the module xxhash."""
    listed = os.path.join(folder, "checksums.txt")
    if not xxhash or not os.path.exists(listed):
        return
    path = os.path.join(folder, name)
    with open(path, "rb") as file:
        content = file.read()
    # A training run writes metrics.csv, and then its hash.
    before = content[:content.rstrip(b"\n").rfind(b"\n") + 1] if name == "metrics.csv" else content
    known = [line[:16] for line in read(listed).splitlines() if line[16:] == "  " + name]
    if known and not {xxhash.xxh64(content).hexdigest(), xxhash.xxh64(before).hexdigest()} & set(known):
        print(f"warning: {path}: was changed or damaged after it was written: checksums.txt has another hash",
              file=sys.stderr)


def load(folder):
    report, metrics = (os.path.join(folder, name) for name in ("report.html", "metrics.csv"))
    for path, read_run in ((report, from_report), (metrics, from_metrics)):
        if os.path.exists(path):
            run = read_run(path)
            warn_if_changed(folder, os.path.basename(path))
            return run
    raise Refusal(f"{folder}: has neither report.html nor metrics.csv; name the output folder of a training run")


def names_of(folders):
    """The last parts of the paths, as many as tell them apart."""
    parts = [os.path.normpath(folder).split(os.sep) for folder in folders]
    count = next((count for count in range(1, max(map(len, parts)))
                  if len({tuple(part[-count:]) for part in parts}) == len(parts)), max(map(len, parts)))
    return ["/".join(part[-count:]) for part in parts]


def page(runs):
    rest = read(os.path.join(PAGE, "page.html"))
    text = ""
    data = json.dumps({"runs": runs}, ensure_ascii=False).replace("<", "\\u003c")
    for place, content in (("{{style}}", read(os.path.join(PAGE, "style.css"))), ("{{data}}", data),
                           ("{{script}}", read(os.path.join(PAGE, "script.js")))):
        before, _, rest = rest.partition(place)
        text += before + content
    return text + rest


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="output folder of a training run")
    parser.add_argument("--output", default="comparison.html", metavar="FILE", help="the page to write (comparison.html)")
    arguments = parser.parse_args()
    try:
        runs = [load(folder) | {"name": name} for folder, name in zip(arguments.runs, names_of(arguments.runs))]
        text = page(runs)
        try:
            with open(arguments.output + ".partial", "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(file.name, arguments.output)
        except OSError as problem:
            raise Refusal(f"{arguments.output}: cannot be written: {problem.strerror}; choose another --output") from None
    except Refusal as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    print(f"comparison: {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
