#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tests of --device cuda end to end, with programs in which the GPU's arithmetic runs on the processor's threads.
Exits with 77 (skipped) where they were not built or a Python package is missing."""

import itertools
import os
import unittest

import programs
from programs import ProgramTest, lines, read

import numpy as np
import safetensors_io
from distill_food11_test import EPOCHS, METRICS, Distill

DISTILL_ON_DEVICE = programs.program("processor_cuda/distill_food11")
PRECOMPUTE = programs.program("tools/precompute_logits")
PRECOMPUTE_ON_DEVICE = programs.program("processor_cuda/precompute_logits")
TRAIN_TEACHER = programs.program("tools/sample_data/train_sample_teacher")
DRAW = programs.program("tools/sample_data/draw_sample_food11")


def metrics(output):
    """The columns of metrics.csv that do not depend on time, by name."""
    rows = [row.split(",") for row in lines(output, "metrics.csv")[1:]]
    return {name: np.array([float(row[column]) for row in rows]) for column, name in enumerate(METRICS[:-2])}


class Training(Distill):
    def on_device(self, output, *more):
        return [DISTILL_ON_DEVICE, *self.command(output, "--device", "cuda", *more)[1:]]

    def test_a_run_on_the_device_matches_that_of_the_cpu(self):
        output = self.path("out")
        self.run_program(*self.on_device(output))
        self.assertEqual(sorted(os.listdir(output)), sorted(os.listdir(self.reference)))
        expected, found = metrics(self.reference), metrics(output)
        for name in METRICS[:-2]:
            if "accuracy" not in name and "agreement" not in name:
                np.testing.assert_allclose(found[name], expected[name], rtol=0.03, err_msg=name)
        # The first epoch has had few steps in which roundings could grow apart; on the CPU those of another
        # instruction set come to half a percent here.
        np.testing.assert_allclose(found["training_loss"][0], expected["training_loss"][0], rtol=1e-2)
        # What follows are losses and accuracies, which roundings move.
        settings = [itertools.takewhile(lambda line: not line.startswith("kept: "), lines(folder, "summary.txt"))
                    for folder in (output, self.reference)]
        self.assertEqual(list(settings[0]), list(settings[1]))
        tensors, metadata = safetensors_io.load(os.path.join(output, "student.safetensors"))
        reference, expected_metadata = safetensors_io.load(os.path.join(self.reference, "student.safetensors"))
        self.assertEqual(metadata, expected_metadata)
        self.assertEqual({name: value.shape for name, value in tensors.items()},
                         {name: value.shape for name, value in reference.items()})

    def test_bf16_trains_nearly_as_float32_does(self):
        output = self.path("out")
        self.run_program(*self.on_device(output, "--precision", "bf16"))
        expected, found = metrics(self.reference), metrics(output)
        for name in ("training_loss", "validation_loss"):
            np.testing.assert_allclose(found[name], expected[name], rtol=0.05, err_msg=name)
            self.assertFalse(np.array_equal(found[name], expected[name]), name)

    def test_a_student_of_the_cpu_predicts_the_same_on_the_device(self):
        output = self.path("out")
        self.run_program(DISTILL_ON_DEVICE, "--data", self.data, "--predict-only", "--device", "cuda", "--weights",
                         os.path.join(self.reference, "student.safetensors"), "--output", output)
        self.assertEqual(read(output, "predict.csv"), read(self.reference, "predict.csv"))

    def test_a_run_is_resumed_on_the_other_device(self):
        output = self.path("out")
        self.kill_after(1, output, self.on_device(output))
        self.run_program(*self.command(output, "--resume"))
        self.assertEqual([row.split(",")[0] for row in lines(output, "metrics.csv")[1:]],
                         [str(number + 1) for number in range(EPOCHS)])
        np.testing.assert_allclose(metrics(output)["validation_loss"], metrics(self.reference)["validation_loss"],
                                   rtol=0.03)


class Teacher(ProgramTest):
    def test_logits_match_those_of_the_cpu(self):
        data, teacher = self.path("food"), self.path("teacher.safetensors")
        self.run_program(DRAW, "--output", data, "--size", "54", "--labeled-per-class", "2", "--unlabeled", "3",
                         "--validation-per-class", "1", "--testing", "1")
        self.run_program(TRAIN_TEACHER, "--data", data, "--output", teacher, "--stored-size", "54", "--epochs", "1")
        found = {}
        for name, program, more in (
                ("cpu", PRECOMPUTE, ()), ("cuda", PRECOMPUTE_ON_DEVICE, ("--device", "cuda")),
                ("bf16", PRECOMPUTE_ON_DEVICE, ("--device", "cuda", "--precision", "bf16"))):
            output = self.path(name + ".safetensors")
            self.run_program(program, "--data", data, "--teacher", teacher, "--output", output, "--views", "3",
                             "--mixed", "2", "--average", "--stored-size", "54", *more)
            found[name] = safetensors_io.load(output)
        expected, expected_metadata = found["cpu"]
        for name, tolerance in (("cuda", 1e-3), ("bf16", 0.05)):  # files have half precision
            tensors, metadata = found[name]
            self.assertEqual(metadata, expected_metadata)
            for kind in ("views", "partners", "mixes"):
                np.testing.assert_array_equal(tensors[kind], expected[kind])
            largest = np.abs(expected["logits"]).max()
            difference = tensors["logits"].astype(np.float32) - expected["logits"]
            self.assertLess(np.abs(difference).max() / largest, tolerance, name)


if __name__ == "__main__":
    unittest.main()
