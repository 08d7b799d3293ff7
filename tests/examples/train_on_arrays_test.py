#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs examples/train_on_arrays. Exits with 77 (skipped) where it was not built."""

import os
import re
import subprocess
import sys
import unittest

SOURCE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
PROGRAM = os.path.join(os.environ.get("BANTAM_PROGRAMS", os.path.join(SOURCE, "build", "release")),
                       "examples", "train_on_arrays")


class TrainOnArrays(unittest.TestCase):
    def test_the_loss_falls_and_new_pictures_are_recognized(self):
        output = subprocess.run([PROGRAM], check=True, capture_output=True, text=True).stdout
        losses = [float(loss) for loss in re.findall(r"^epoch \d+: loss ([\d.]+)$", output, re.MULTILINE)]
        self.assertEqual(len(losses), 20)
        self.assertLess(losses[-1], 0.2 * losses[0])
        accuracy = re.search(r"^test accuracy: ([\d.]+)$", output, re.MULTILINE)
        self.assertGreater(float(accuracy.group(1)), 0.95)

    def test_it_needs_no_header_of_bantam_but_the_one(self):
        with open(os.path.join(SOURCE, "examples", "train_on_arrays.cpp"), encoding="utf-8") as file:
            self.assertEqual(re.findall(r'#include [<"](bantam/[^>"]*|[^>"]*\.hpp)', file.read()),
                             ["bantam/bantam.hpp"])


if __name__ == "__main__":
    if not os.path.exists(PROGRAM):
        print(f"skipped: {PROGRAM} was not built; set BANTAM_PROGRAMS to the build folder")
        sys.exit(77)
    unittest.main()
