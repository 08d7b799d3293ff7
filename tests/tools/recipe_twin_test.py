#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compares distill_food11 with its twin in PyTorch over a few steps. Exits with 77 (skipped) where PyTorch, another
Python package or a program is missing.

A float32 gradient of a network at its random start is exact to half a percent only, and such differences grow from step
to step. So the learning rates here are too small for the weights to go anywhere, and what is compared is how far each
tensor moved.
"""

import csv
import os
import subprocess
import sys
import unittest

import programs
from programs import ProgramTest, lines, logits_of, write

import numpy as np
import safetensors_io

try:
    import torch  # noqa: F401
    sys.path.insert(0, os.path.join(programs.SOURCE, "bench"))
    import recipe_twin
    import torch_nets
except ImportError:
    print("skipped: torch is missing; install python3-torch")
    sys.exit(programs.SKIPPED)

BUILD = os.environ.get("BANTAM_PROGRAMS", os.path.join(programs.SOURCE, "build", "release"))
TWIN = os.path.join(programs.SOURCE, "bench", "recipe_twin.py")
DISTILL_FOOD11 = programs.program("examples/distill_food11")
SIZE = 54
TWIN_COLUMNS = {"images_per_second", "seconds"}


class Twin(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.draw_shared_data("--size", SIZE, "--labeled-per-class", 2, "--unlabeled", 5, "--validation-per-class", 1,
                             "--testing", 0)

    def run_twin(self, recipe, *more):
        environment = os.environ | {"BANTAM_PROGRAMS": BUILD, "OMP_WAIT_POLICY": "passive"}
        return self.run_program(TWIN, recipe, "--data", self.data, "--output", self.path("out"), "--seeds", 3, "--threads",
                                1, *more, env=environment)

    def assert_same_run(self, options, logits=(), tolerance=0.05):
        """Trains both and compares their metrics, their statistics, and how far each tensor moved from its start."""
        net = torch_nets.mobile_98k(11)
        recipe_twin.initialize(net, "bantam", 3, "near-identity-depthwise" in options)
        start = [values.double().numpy() for values in recipe_twin.tensors_of(net).values()]
        moved = 0
        for (name, ours), theirs, first in zip(*self.train_both("recipe", options, logits), start, strict=True):
            if "running" in name:
                self.assertLess(np.abs(ours - theirs).max(), 1e-3 * np.abs(ours).max(), name)
                continue
            ours, theirs = ours - first, theirs - first
            if np.abs(ours).max() > 1e-6 * np.abs(first).max():
                self.assertLess(np.linalg.norm(ours - theirs), tolerance * np.linalg.norm(ours), name)
                moved += 1
            else:
                self.assertLess(np.abs(theirs).max(), 1e-6 * np.abs(first).max(), name)
        return moved

    def train_both(self, name, options, logits):
        """The items of Bantam's tensors and the values of the twin's, after their metrics were compared."""
        text = ("[precompute_logits]\n" if logits else "") + "[distill_food11]\nkeep = last\nbatch-size = 8\n"
        if not logits:
            text += f"stored-size = {SIZE}\n"
        recipe = write(text + "".join(option + ("" if value is None else f" = {value}") + "\n" for option, value in options.items()),
                       self.path(f"{name}.ini"))
        words = [word for option, value in options.items() for word in (f"--{option}", value) if word is not None]
        if not logits:
            words += ["--stored-size", SIZE]
        ours = self.path("out", "runs", name, "seed-3")
        self.run_program(DISTILL_FOOD11, "--data", self.data, "--output", ours, "--seed", 3, "--keep", "last",
                         "--batch-size", 8, "--no-report", "--threads", 1, *words, *logits)
        done = self.run_twin(recipe, *logits)
        self.assertIn(f"\n| {name}, Bantam | 1 | ", done.stdout)
        theirs = self.path("out", "twin", name, "seed-3")
        epochs = [list(csv.DictReader(lines(folder, "metrics.csv"))) for folder in (ours, theirs)]
        self.assertEqual(len(epochs[0]), len(epochs[1]))
        for mine, other in zip(*epochs):
            for column in mine.keys() & other.keys() - TWIN_COLUMNS:
                if mine[column] == "" or other[column] == "":
                    self.assertEqual(mine[column], other[column], column)
                else:
                    self.assertAlmostEqual(float(mine[column]), float(other[column]),
                                           delta=1e-4 * max(abs(float(mine[column])), 1e-9), msg=column)
        ours, theirs = (safetensors_io.load(os.path.join(folder, "student.safetensors"))[0] for folder in (ours, theirs))
        return ours.items(), theirs.values()

    def test_the_first_steps_on_labels_are_the_same(self):
        # Only the biases, which start at 0, move visibly.
        moved = self.assert_same_run({"epochs": 1, "learning-rate": "1e-12", "weight-decay": 0, "clip-norm": 0.01,
                                      "averaging-decay": 0.9, "label-smoothing": 0.1})
        self.assertEqual(moved, 15)

    def test_the_first_steps_with_a_teacher_are_the_same(self):
        logits = logits_of(self.data, self.path("logits.safetensors"), SIZE)
        # The gradient is clipped to almost nothing, so that the decay moves the weights.
        moved = self.assert_same_run({"epochs": 1, "learning-rate": "1e-4", "weight-decay": 1, "clip-norm": "1e-9",
                                      "averaging-decay": 0, "temperature": 3, "alpha": 0.6, "final-learning-rate": 0.5},
                                     ("--teacher-logits", logits))
        self.assertEqual(moved, 31)

    def test_other_losses_and_mixed_pictures_are_the_same(self):
        logits = logits_of(self.data, self.path("logits.safetensors"), SIZE, views=5, mixed=3)
        for number, options in enumerate((
                {"distillation": "dkd", "dkd-alpha": 0.5, "dkd-beta": 3, "alpha-where-wrong": 0.1, "mixed-weight": 0.5},
                {"distillation": "symmetric-kl", "standardize-logits": None, "temperature": 2, "labeled-weight": 3},
                {"distillation": "reverse-kl", "unlabeled-weight": 0.25}, {"distillation": "mse"})):
            with self.subTest(options):
                self.train_both(f"loss-{number}", {"epochs": 1, "learning-rate": "1e-12", **options},
                                ("--teacher-logits", logits))

    def test_the_first_steps_of_muon_are_the_same(self):
        moved = self.assert_same_run({"epochs": 1, "optimizer": "muon", "momentum": 0.95, "learning-rate": "1e-5",
                                      "weight-decay": 0.1, "flip": "alternating", "near-identity-depthwise": None,
                                      "lookahead-steps": 2, "averaging-decay": 0}, tolerance=0.1)
        self.assertEqual(moved, 47)

    def test_what_the_twin_cannot_do_is_refused(self):
        def refused(text, *more):
            recipe = write(text, self.path("bad.ini"))
            line = self.refusal(TWIN, recipe, "--data", self.data, "--output", self.path("out"), *more)
            self.assertTrue(line.startswith(f"error: {recipe}: "), line)
            return line
        self.assertIn("[distill_food11] start-from: the twin has no such option", refused("[distill_food11]\nstart-from=a\n"))
        self.assertIn("student is my-student; the twin has mobile-98k, tiniest-97k",
                      refused("[distill_food11]\nstudent = my-student\n"))
        self.assertIn("epochs is many; it must be a number", refused("[distill_food11]\nepochs = many\n"))
        self.assertIn("needs a teacher; name its logits", refused("[precompute_logits]\n[distill_food11]\n"))

    def test_its_defaults_are_those_of_the_program(self):
        help_text = subprocess.run([DISTILL_FOOD11, "--help"], capture_output=True, text=True, check=True).stdout
        for option, value in recipe_twin.DEFAULTS.items():
            if option not in ("student", "alpha-where-wrong") and value is not False:
                self.assertRegex(help_text, rf"\n  --{option} [^ =]*(:[^=\n]*)?={value:g}\b" if isinstance(value, float)
                                 else rf"\n  --{option} [^=\n]*={value}\b")


if __name__ == "__main__":
    unittest.main()
