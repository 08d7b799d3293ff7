# SPDX-License-Identifier: MIT
"""The includes follow the layers of the library, and the script that checks this reports each kind of mistake."""
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tools" / "developer"))
import check_includes  # noqa: E402

# A header, an include that is wrong there, and a part of the message.
PLANTED = [
    ("core/shape.hpp", "bantam/layers/conv2d.hpp", "core/ may include only base"),
    ("core/shape.hpp", "vector", "core/ is compile time only"),
    ("layers/conv2d.hpp", "cstdio", "layers/ is compile time only"),
    ("exec/chain.hpp", "bantam/cpu/backend.hpp", "exec/ may include only"),
    ("io/checkpoint.hpp", "bantam/data/view.hpp", "io/ may include only"),
    ("train/fit.hpp", "bantam/cpu/trainer.hpp", "train/ may include only"),
    ("data/view.hpp", "bantam/train/fit.hpp", "data/ may include only"),
    ("cpu/model.hpp", "bantam/cuda/model.hpp", "cpu/ may include only"),
    ("cpu/kernels/gemm.hpp", "bantam/cpu/layers/conv2d.hpp", "inside a backend"),
    ("cpu/kernels/gemm.hpp", "bantam/layers/conv2d.hpp", "cpu/kernels/ may include only"),
    ("cuda/runtime/execution.hpp", "bantam/cuda/kernels/gemm.hpp", "inside a backend"),
    ("cuda/layers/conv2d.hpp", "bantam/cuda/chain.hpp", "inside a backend"),
    ("cuda/model.hpp", "bantam/cuda/training/trainer.hpp", "inside a backend"),
    ("deploy/pixel_scaling.hpp", "bantam/deploy/classifier.hpp", "inside deploy"),
    ("deploy/export.hpp", "bantam/io/atomic_file.hpp", "deploy/ may include only"),
    ("quantize/fake_quantize.hpp", "bantam/data/view.hpp", "quantize/ may include only"),
    ("core/shape.hpp", "bantam/bantam.hpp", "does not include bantam.hpp"),
    ("core/shape.hpp", "bantam/core/shapes.hpp", "no such header"),
    ("base/host_device.hpp", "bantam/base/random.hpp", "a cycle of includes"),
    ("bantam.hpp", "bantam/cuda/model.hpp", "bantam.hpp includes no GPU code"),
]


class Includes(unittest.TestCase):
    def test_follow_the_layers(self):
        self.assertEqual(list(check_includes.violations(SOURCE / "include")), [])


class Checker(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.include = Path(folder.name) / "include"
        self.root = self.include / "bantam"
        shutil.copytree(SOURCE / "include", self.include)
        self.before = set(check_includes.violations(self.include))

    def new_violations(self):
        return [line for line in check_includes.violations(self.include) if line not in self.before]

    def test_reports_each_wrong_include(self):
        for header, name, message in PLANTED:
            with self.subTest(header=header, include=name):
                path = self.root / header
                text = path.read_text()
                path.write_text(text + f"#include <{name}>\n")
                found = self.new_violations()
                path.write_text(text)
                self.assertEqual(len(found), 1, found)
                self.assertIn(message, found[0])
                self.assertIn(header, found[0])

    def test_reports_a_header_in_an_unknown_place(self):
        for place in ("device/pass.hpp", "cpu/pass.hpp", "pass.hpp"):
            with self.subTest(place=place):
                (self.root / place).parent.mkdir(exist_ok=True)
                (self.root / place).write_text("#pragma once\n")
                found = self.new_violations()
                (self.root / place).unlink()
                self.assertEqual(len(found), 1, found)
                self.assertIn(place, found[0])

    def test_reports_a_layer_that_one_backend_lacks(self):
        (self.root / "cuda/layers/new_layer.hpp").write_text("#pragma once\n")
        self.assertEqual(self.new_violations(), [
            "cuda/layers/all.hpp: misses <bantam/cuda/layers/new_layer.hpp>",
            "cuda/layers/new_layer.hpp: cpu/layers/ has no header of this name",
        ])

    def test_reports_an_include_in_quotes(self):
        path = self.root / "core/shape.hpp"
        path.write_text(path.read_text() + '#include "tensor.hpp"\n')
        self.assertEqual(self.new_violations(), ['core/shape.hpp: "tensor.hpp": includes are written with <>'])


if __name__ == "__main__":
    unittest.main()
