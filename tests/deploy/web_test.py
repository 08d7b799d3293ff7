#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A student becomes a web page, and the page classifies pictures in headless Chromium as distill_food11 does. Exits
with 77 (skipped) where a program, a compiler for WebAssembly or Chromium is missing."""

import csv
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))

import browser
import programs
from programs import SOURCE, ProgramTest

EXPORT = programs.program("examples/export_student")
DISTILL = programs.program("examples/distill_food11")
BUILD = os.path.join(SOURCE, "examples", "web", "build.sh")
WASI = "/usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a"

browser.require_chromium()
if shutil.which("wasm-ld-19") is None or not os.path.exists(WASI):
    print("skipped: no compiler for WebAssembly; install lld-19, wasi-libc, libc++-19-dev-wasm32, "
          "libc++abi-19-dev-wasm32 and libclang-rt-19-dev-wasm32")
    sys.exit(programs.SKIPPED)


class Web(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.draw_shared_data("--labeled-per-class", 3, "--validation-per-class", 2, "--unlabeled", 1, "--testing", 40)
        student = os.path.join(cls.shared, "student.safetensors")
        programs.student_of_eleven(student)
        for command in (
            [DISTILL, "--data", cls.data, "--output", os.path.join(cls.shared, "run"), "--predict-only", "--weights",
             student],
            [EXPORT, "--data", cls.data, "--weights", student, "--output", os.path.join(cls.shared, "int8.hpp")],
            [EXPORT, "--data", cls.data, "--weights", student, "--output", os.path.join(cls.shared, "float32.hpp"),
             "--precision", "float32"],
            [BUILD, os.path.join(cls.shared, "int8.hpp"), os.path.join(cls.shared, "int8.html")],
            [BUILD, os.path.join(cls.shared, "float32.hpp"), os.path.join(cls.shared, "float32.html")],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            cls.built = getattr(cls, "built", []) + [done.stdout]
        with open(os.path.join(cls.shared, "run", "predict.csv")) as file:
            cls.expected = [int(row["Category"]) for row in csv.DictReader(file)]
        folder = os.path.join(cls.data, "testing", "00")
        cls.pictures = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
        cls.window = browser.Browser()
        cls.addClassCleanup(cls.window.close)

    def open(self, precision):
        self.window.open(os.path.join(self.shared, precision + ".html"))
        self.window.wait_for("document.documentElement.dataset.ready")

    def answer(self, picture):
        self.window.run("delete document.documentElement.dataset.answer;")
        self.window.type_into("#file", picture)
        return int(self.window.wait_for("document.documentElement.dataset.answer"))

    def text(self, selector):
        return self.window.run("return document.querySelector(arguments[0]).textContent;", selector)

    def test_the_page_gives_the_classes_of_the_program(self):
        self.open("float32")
        self.assertEqual([self.answer(picture) for picture in self.pictures], self.expected)
        self.assertGreater(len(set(self.expected)), 1)

    def test_int8_gives_almost_all_of_them(self):
        self.open("int8")
        found = [self.answer(picture) for picture in self.pictures]
        same = sum(a == b for a, b in zip(found, self.expected))
        self.assertGreaterEqual(same, 0.9 * len(found))

    def test_the_module_computes_the_exported_logits_and_fits_its_limit(self):
        self.open("int8")
        self.assertTrue(self.text("#figures").endswith("Same logits as at exportyes"))
        module = next(line for line in self.built[3].splitlines() if line.startswith("module bytes "))
        self.assertLess(int(module.split()[-1]), 200_000)

    def test_the_page_shows_the_classes_as_bars_the_time_and_the_layers(self):
        self.open("int8")
        best = self.answer(self.pictures[0])
        shares = self.window.run("return [...document.querySelectorAll('#bars .share')].map(e => e.textContent);")
        values = [float(share.rstrip(" %")) for share in shares]
        self.assertEqual(len(values), 11)
        self.assertAlmostEqual(sum(values), 100, delta=1)
        self.assertEqual(values.index(max(values)), best)
        self.assertIn(f"{best:02}, ", self.text("#answer"))
        self.assertRegex(self.text("#time"), r"^One answer took \d+\.\d ms")
        rows = self.window.run("return document.getElementById('layers').tBodies[0].rows.length;")
        self.assertGreater(rows, 20)
        parameters = self.window.run("return [...document.getElementById('layers').tBodies[0].rows]"
                                     ".map(row => Number(row.cells[3].textContent.replaceAll(',', '')));")
        self.assertEqual(sum(parameters), 98_155)
        self.assertEqual(self.window.console_errors(), [])

    def test_a_file_that_is_no_picture_is_named_and_the_page_goes_on(self):
        self.open("int8")
        wrong = programs.write("no picture", self.folder, "notes.txt")
        self.window.type_into("#file", wrong)
        self.window.wait_for("document.getElementById('problem').textContent")
        self.assertIn("notes.txt: this browser cannot read it as a picture", self.text("#problem"))
        self.answer(self.pictures[0])
        self.assertEqual(self.text("#problem"), "")

    def test_the_camera_gives_answers_until_it_is_stopped(self):
        self.open("int8")
        self.window.click("#camera")
        self.window.wait_for("document.documentElement.dataset.answer")
        self.assertEqual(self.text("#camera"), "Stop the camera")
        self.window.click("#camera")
        self.assertEqual(self.text("#camera"), "Use the camera")
        self.assertTrue(self.window.run("return document.getElementById('video').hidden;"))

    def test_the_script_refuses_what_it_does_not_know(self):
        self.assertIn("expected the header that export_student wrote", self.refusal(BUILD, self.path("none"), "a.html"))
        header = programs.write("#pragma once\n", self.folder, "student.hpp")
        self.assertIn("export the student again", self.refusal(BUILD, header, self.path("page.html")))
        self.assertFalse(os.path.exists(self.path("page.html")))


if __name__ == "__main__":
    unittest.main()
