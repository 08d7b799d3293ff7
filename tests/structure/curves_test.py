#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests that the learning curves of docs/distillation.md are drawn from the metrics beside them."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]


class Curves(unittest.TestCase):
    def test_the_stored_picture_is_the_one_that_the_script_draws(self):
        with tempfile.NamedTemporaryFile(suffix=".svg") as drawn:
            subprocess.run([sys.executable, SOURCE / "tools" / "developer" / "draw_curves.py", drawn.name], check=True,
                           capture_output=True)
            stored = SOURCE / "docs" / "results" / "curves.svg"
            self.assertEqual(Path(drawn.name).read_text(), stored.read_text(), "run tools/developer/draw_curves.py")


if __name__ == "__main__":
    unittest.main()
