#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws the learning curves of docs/distillation.md from the metrics in docs/results/.

    tools/developer/draw_curves.py

writes docs/results/curves.svg, a picture for light and dark pages. The ctest `structure.curves` compares the two.
"""

import csv
import math
import sys
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
TEACHER_ACCURACY = 0.8550  # docs/results.md

# File in docs/results/, its name in the picture, its class of colors.
RUNS = [
    ("imagenette_labels_alone_metrics.csv", "labels alone", "alone"),
    ("imagenette_distilled_metrics.csv", "4 views", "few"),
    ("imagenette_128_views_metrics.csv", "128 views", "many"),
    ("imagenette_muon_metrics.csv", "8 views, Muon", "muon"),
]
WIDTH, PANEL, GAP, TOP, HEIGHT, LEFT = 880, 360, 100, 40, 250, 50
LAST_EPOCH = 300

STYLE = """
text { font: 13px sans-serif; fill: #333; }
.title { font-weight: bold; }
.axis { stroke: #888; fill: none; }
.grid { stroke: #888; stroke-opacity: 0.25; }
.curve { fill: none; stroke-width: 2; }
.training { stroke-dasharray: 2 3; }
.alone { stroke: #b35900; } .few { stroke: #0b62c4; } .many { stroke: #1a7f37; } .muon { stroke: #8250df; }
.teacher { stroke: #777; }
text.alone { stroke: none; fill: #b35900; } text.few { stroke: none; fill: #0b62c4; }
text.many { stroke: none; fill: #1a7f37; } text.muon { stroke: none; fill: #8250df; } text.teacher { stroke: none; fill: #666; }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd; }
  .alone { stroke: #f0a04b; } .few { stroke: #79b8ff; } .many { stroke: #56d364; } .muon { stroke: #c297ff; }
  .teacher { stroke: #999; }
  text.alone { fill: #f0a04b; } text.few { fill: #79b8ff; } text.many { fill: #56d364; } text.muon { fill: #c297ff; }
  text.teacher { fill: #aaa; }
}
"""


class Panel:
    """A diagram over the epochs, on a logarithmic scale."""

    def __init__(self, left, title, low, high, step):
        self.left, self.low, self.high = left, low, high
        self.parts = [f'<text class="title" x="{left}" y="{TOP - 16}">{title}</text>']
        for index in range(round((high - low) / step) + 1):
            y = self.y(low + index * step)
            self.parts.append(f'<path class="grid" d="M{left} {y:.1f}h{PANEL}"/>'
                              f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{low + index * step:.2f}</text>')
        for epoch in (1, 3, 10, 30, 100, LAST_EPOCH):
            x = self.x(epoch)
            self.parts.append(f'<path class="axis" d="M{x:.1f} {TOP + HEIGHT}v5"/>'
                              f'<text x="{x:.1f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{epoch}</text>')
        self.parts.append(f'<path class="axis" d="M{left} {TOP + HEIGHT}h{PANEL}"/>'
                          f'<text x="{left + PANEL / 2}" y="{TOP + HEIGHT + 38}" text-anchor="middle">epoch</text>')

    def x(self, epoch):
        return self.left + PANEL * math.log(epoch) / math.log(LAST_EPOCH)

    def y(self, value):
        return TOP + HEIGHT * (1 - (min(max(value, self.low), self.high) - self.low) / (self.high - self.low))

    def curve(self, rows, column, kind):
        points = [(int(row["epoch"]), float(row[column])) for row in rows if float(row[column]) >= self.low]
        path = " ".join(f"{self.x(epoch):.1f},{self.y(value):.1f}" for epoch, value in points)
        self.parts.append(f'<polyline class="curve {kind}" points="{path}"/>')

    def text(self, epoch, value, kind, words, anchor="start"):
        self.parts.append(f'<text class="{kind}" x="{self.x(epoch):.1f}" y="{self.y(value):.1f}" text-anchor="{anchor}">'
                          f'{words}</text>')


def read(name):
    with open(RESULTS / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def picture():
    accuracy = Panel(LEFT, "Accuracy on validation pictures", 0.5, 0.9, 0.1)
    agreement = Panel(LEFT + PANEL + GAP, "Agreement with the teacher", 0.7, 1.0, 0.1)
    accuracy.parts.append(f'<path class="teacher" d="M{LEFT} {accuracy.y(TEACHER_ACCURACY):.1f}h{PANEL}"/>')
    accuracy.text(1.1, TEACHER_ACCURACY + 0.012, "teacher", "teacher")
    places = {"alone": (30, 0.69), "few": (16, 0.80), "many": (100, 0.88), "muon": (1.1, 0.825)}
    for name, words, kind in RUNS:
        rows = read(name)
        accuracy.curve(rows, "validation_accuracy", kind)
        accuracy.text(*places[kind], kind, words)
        if kind != "alone":
            agreement.curve(rows, "validation_teacher_agreement", kind)
            agreement.curve(rows, "training_teacher_agreement", f"training {kind}")
    agreement.text(45, 0.89, "few", "4 views")
    agreement.text(100, 0.97, "many", "128 views")
    agreement.text(4, 0.93, "muon", "8 views, Muon")
    agreement.text(8, 0.715, "", "solid: validation, dotted: training")
    body = "\n".join(accuracy.parts + agreement.parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {TOP + HEIGHT + 48}" role="img" '
            'aria-label="Learning curves of four students">\n'
            f"<style>{STYLE}</style>\n{body}\n</svg>\n")


def main():
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS / "curves.svg"
    target.write_text(picture(), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
