#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""ONNX Runtime gives the logits of the models that test.deploy.onnx writes. Exits with 77 (skipped) where the program
was not built or the package onnxruntime is missing (pip: onnxruntime)."""

import glob
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))

import programs
from programs import ProgramTest

import numpy as np

try:
    import onnxruntime
except ImportError:
    print("skipped: onnxruntime is missing; install it with pip")
    sys.exit(programs.SKIPPED)

WRITE = programs.program("tests/test.deploy.onnx")


class OnnxRuntime(ProgramTest):
    def test_every_model_gives_bantam_s_logits(self):
        self.run_program(WRITE, env={**os.environ, "BANTAM_ONNX_FOLDER": self.folder})
        models = sorted(glob.glob(self.path("*.onnx")))
        self.assertGreater(len(models), 50)
        for path in models:
            with self.subTest(model=os.path.basename(path)):
                session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
                shape = [2, *session.get_inputs()[0].shape[1:]]
                stem = path.removesuffix(".onnx")
                pixels = np.fromfile(stem + ".input", np.float32).reshape(shape)
                expected = np.fromfile(stem + ".logits", np.float32).reshape(2, -1)
                logits, = session.run(["logits"], {"pixels": pixels})
                self.assertEqual(logits.shape, expected.shape)
                self.assertLess(np.abs(logits - expected).max(), 1e-4 * max(1.0, np.abs(expected).max()))


if __name__ == "__main__":
    unittest.main()
