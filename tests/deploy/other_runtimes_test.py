#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""ONNX Runtime and PyTorch give the logits of the networks that test.deploy.onnx writes for them. Exits with 77
(skipped) where the program was not built; a runtime that is not installed is skipped (pip: onnxruntime, torch)."""

import glob
import importlib.util
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))

import programs
from programs import ProgramTest

import numpy as np

WRITE = programs.program("tests/test.deploy.onnx")


def has(package):
    return importlib.util.find_spec(package) is not None


def load_module(path):
    spec = importlib.util.spec_from_file_location("exported", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class OtherRuntimes(ProgramTest):
    def cases(self, extension, least=50):
        """(name, pixels, logits, path) of every network."""
        self.run_program(WRITE, env={**os.environ, "BANTAM_EXPORT_FOLDER": self.folder})
        paths = [path for path in sorted(glob.glob(self.path("*" + extension)))
                 if path.endswith(".int8.onnx") == (extension == ".int8.onnx")]
        self.assertGreater(len(paths), least)
        for path in paths:
            stem = path.removesuffix(".onnx").removesuffix(".py")
            yield os.path.basename(stem), *(np.fromfile(stem + end, np.float32) for end in (".input", ".logits")), path

    def assert_near(self, logits, expected):
        expected = expected.reshape(2, -1)
        self.assertEqual(logits.shape, expected.shape)
        self.assertLess(np.abs(logits - expected).max(), 1e-4 * max(1.0, np.abs(expected).max()))

    def onnx_logits(self, path, pixels):
        import onnxruntime
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        shape = session.get_inputs()[0].shape[1:]
        return session.run(["logits"], {"pixels": pixels.reshape(-1, *shape)})[0]

    @unittest.skipUnless(has("onnxruntime"), "onnxruntime is missing; install it with pip")
    def test_onnx_runtime_gives_bantam_s_logits(self):
        for name, pixels, expected, path in self.cases(".onnx"):
            with self.subTest(model=name):
                self.assert_near(self.onnx_logits(path, pixels), expected)

    @unittest.skipUnless(has("onnxruntime"), "onnxruntime is missing; install it with pip")
    def test_onnx_runtime_names_the_classes_of_int8(self):
        equal, pictures = 0, 0
        for name, pixels, expected, path in self.cases(".int8.onnx", least=5):
            with self.subTest(model=name):
                logits = self.onnx_logits(path, pixels)
                expected = expected.reshape(logits.shape)
                # A few steps of rounding of some hundred from the smallest logit to the largest.
                self.assertLess(np.abs(logits - expected).mean(), 0.02 * np.abs(expected).max())
                equal += (logits.argmax(1) == expected.argmax(1)).sum()
                pictures += len(logits)
        self.assertGreaterEqual(equal, 0.99 * pictures)

    @unittest.skipUnless(has("torch"), "torch is missing; install python3-torch")
    def test_pytorch_gives_bantam_s_logits(self):
        import torch
        for name, pixels, expected, path in self.cases(".py"):
            with self.subTest(module=name):
                student = load_module(path).load(path.removesuffix(".py") + ".safetensors")
                with torch.no_grad():
                    logits = student(torch.from_numpy(pixels).reshape(2, *student.input_shape))
                self.assert_near(logits.numpy(), expected)

    @unittest.skipUnless(has("torch"), "torch is missing; install python3-torch")
    def test_the_written_state_dict_loads_and_wrong_checkpoints_are_refused(self):
        import torch
        cases = {name: path for name, _, _, path in self.cases(".py")}
        module, other = cases["mobile_tiny"], cases["linear_bias"]
        weights = module.removesuffix(".py") + ".safetensors"
        self.run_program(sys.executable, module, weights, self.path("out.pth"))
        student = load_module(module).Student()
        student.load_state_dict(torch.load(self.path("out.pth")))
        # Trainable again: a step of PyTorch's changes every parameter.
        before = [parameter.clone() for parameter in student.parameters()]
        optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
        student.train()(torch.randn(4, 3, 32, 32)).square().sum().backward()
        optimizer.step()
        self.assertTrue(all((a != b).any() for a, b in zip(before, student.parameters())))

        refused = subprocess.run([sys.executable, other, weights, self.path("none.pth")], capture_output=True, text=True)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("is not a checkpoint of this network", refused.stderr)
        self.assertEqual(len(refused.stderr.splitlines()), 1)
        self.assertFalse(os.path.exists(self.path("none.pth")))


if __name__ == "__main__":
    unittest.main()
