#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A student becomes a header, and the header firmware that QEMU's Cortex-M run. Exits with 77 (skipped) where a
program, a compiler for Arm or QEMU is missing."""

import json
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))

import programs
from programs import SOURCE, ProgramTest

import numpy as np
import safetensors_io

EXPORT = programs.program("examples/export_student")
DISTILL = programs.program("examples/distill_food11")
SINGLE = os.path.join(SOURCE, "tools", "single_header.py")
RUN = os.path.join(SOURCE, "examples", "firmware", "run.sh")

MISSING_TOOLS = [tool for tool in ("arm-none-eabi-g++", "qemu-system-arm") if shutil.which(tool) is None]


def figures(output):
    """The lines "name number" of the firmware's output; a name that comes several times has a list."""
    result = {}
    for line in output.splitlines():
        name, _, number = line.rpartition(" ")
        if number.lstrip("-").isdigit():
            result.setdefault(name, []).append(int(number))
    return {name: numbers if name == "logit" else numbers[0] for name, numbers in result.items()}


def open_text(path):
    with open(path) as file:
        return file.read()


class Firmware(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.draw_shared_data("--labeled-per-class", 3, "--validation-per-class", 2, "--unlabeled", 1, "--testing", 1)
        cls.student = os.path.join(cls.shared, "student.safetensors")
        programs.student_of_eleven(cls.student)
        cls.header = os.path.join(cls.shared, "student.hpp")
        done = subprocess.run([EXPORT, "--data", cls.data, "--weights", cls.student, "--output", cls.header],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        cls.report = done.stdout

    def expected_logits(self):
        with open(self.header) as file:
            text = file.read()
        values = text.split("expected_test_logits[]{")[1].split("}")[0]
        return [int(value) for value in values.replace("\n", "").split(",") if value]

    def check_processor(self, processor, *options):
        if MISSING_TOOLS:
            self.skipTest(f"{MISSING_TOOLS[0]} is missing; install gcc-arm-none-eabi, libnewlib-arm-none-eabi, "
                          "libstdc++-arm-none-eabi-newlib and qemu-system-arm")
        found = figures(self.run_program(RUN, self.header, processor, *options).stdout)
        expected = self.expected_logits()
        self.assertEqual(found["logit"], expected)
        self.assertEqual(found["class"], expected.index(max(expected)))
        # Flash and RAM are what the constants say, and the code and a few variables.
        self.assertEqual(found["weight bytes"], 103_844)
        self.assertLess(found["flash bytes"] - found["weight bytes"], 12 * 1024)
        self.assertLess(found["ram bytes"] - found["arena bytes"], 256)
        # A stage's variables are not on the stack while later stages run.
        self.assertLess(found["stack bytes"], 1536)
        self.assertLess(found["ram bytes"] + found["stack bytes"], 48 * 1024)
        return found

    def check_header(self, header):
        """The header's network, line by line, gives the logits that the header expects."""
        program = programs.write(f'#include "{header}"\n#include <bantam/deploy/self_test.hpp>\n'
                                 "using namespace bantam::deploy;\n"
                                 "static LineClassifier<student::Network, student::Precision> net{student::weights};\n"
                                 "int main() {\n"
                                 "    return !logits_match(test_logits(net), student::expected_test_logits, 11);\n"
                                 "}\n", self.folder, "main.cpp")
        self.run_program("g++", "-std=c++20", "-O1", "-I", os.path.join(SOURCE, "include"), program, "-o",
                         self.path("main"))
        self.run_program(self.path("main"))

    def test_a_cortex_m7_gives_the_logits_of_the_pc(self):
        found = self.check_processor("cortex-m7")
        self.assertLess(40 * found["ticks"], 2.5 * found["multiply-adds"])

    def test_a_cortex_m4_gives_the_logits_of_the_pc(self):
        self.check_processor("cortex-m4")

    def test_code_for_size_gives_the_same_logits(self):
        self.check_processor("cortex-m7", "-Os")

    def changed(self, change=lambda tensors: None, **metadata):
        """A file of the student with other tensors or metadata."""
        tensors, known = safetensors_io.load(self.student)
        change(tensors)
        path = self.path(f"changed-{len(os.listdir(self.folder))}.safetensors")
        safetensors_io.save(path, tensors, {**known, **metadata})
        return path

    def spoiled(self, factor):
        """A file of the student whose statistics are multiplied: its variances are wrong, or its weights large."""
        def multiply(tensors):
            for name in tensors:
                if name.endswith("running_var" if factor < 0 else "weight"):
                    tensors[name] = (tensors[name] * np.float32(factor)).astype(np.float32)
        return self.changed(multiply)

    def test_pictures_have_the_size_that_the_student_was_trained_on(self):
        weights = self.changed(stored_size="160")
        self.run_program(EXPORT, "--data", self.data, "--weights", weights, "--output", self.path("student.hpp"))
        self.assertIn("stored_size = 160;", open_text(self.path("student.hpp")))

    def test_the_report_names_accuracy_and_sizes(self):
        self.assertRegex(self.report, r"float32: validation accuracy [01]\.\d{4} of 22 pictures\n")
        self.assertRegex(self.report, r"int8: validation accuracy [01]\.\d{4}, calibrated on 33 training pictures\n")
        self.assertIn("103844 bytes of weights, 196672 bytes of arena layer by layer", self.report)

    def test_the_header_names_the_classes(self):
        with open(self.header) as file:
            text = file.read()
        self.assertEqual(json.loads("[" + text.split("class_names[]{")[1].split("}")[0].strip().rstrip(",") + "]"),
                         [f"{dish:02}" for dish in range(11)])

    def test_a_header_of_another_network_does_not_compile(self):
        with open(self.header) as file:
            text = file.read()
        self.assertIn("using Network = bantam::Network<bantam::Image<128, 128, 3>,\n", text)
        wrong = programs.write(text.replace("bantam::Linear<11", "bantam::Linear<10"), self.folder, "wrong.cpp")
        done = subprocess.run(["g++", "-std=c++20", "-fsyntax-only", "-I", os.path.join(SOURCE, "include"), wrong],
                              capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("this header was written for another network", done.stderr)

    def test_a_float_header_compiles_and_tests_itself(self):
        header = self.path("student.hpp")
        self.run_program(EXPORT, "--data", self.data, "--weights", self.student, "--output", header, "--precision",
                         "float32")
        self.check_header(header)

    def test_every_student_of_the_build_can_be_exported(self):
        self.run_program(DISTILL, "--data", self.data, "--student", "my-student", "--epochs", 1, "--output",
                         self.path("run"), "--no-report")
        weights, header, module = self.path("run", "student.safetensors"), self.path("my.hpp"), self.path("my.py")
        done = self.run_program(EXPORT, "--data", self.data, "--weights", weights, "--output", header, "--pytorch",
                                module)
        self.assertIn("bytes line by line", done.stdout)
        self.assertIn("bantam::ResidualBlock<", open_text(header))
        self.check_header(header)
        self.assertIn("class Student(nn.Module):", open_text(module))
        self.assertIn('Classes: ["00","01",', open_text(module))

        other = self.path("other.hpp")
        self.assertIn("it is from another network", self.refusal(EXPORT, "--data", self.data, "--weights", weights, "--output", other,
                                                 "--student", "mobile-98k"))
        self.assertIn("the student 'none' is not in this program, which was built with mobile-98k, my-student; build it with "
                      "-DBANTAM_STUDENTS=none", self.refusal(EXPORT, "--data", self.data, "--weights", weights,
                                                             "--output", other, "--student", "none"))
        self.assertIn("is the name of two outputs", self.refusal(EXPORT, "--data", self.data, "--weights", weights,
                                                                 "--output", other, "--pytorch", other))
        self.assertFalse(os.path.exists(other))

    def test_a_single_file_needs_no_include_path_and_one_call(self):
        single = self.path("student.hpp")
        self.run_program(SINGLE, self.header, single)
        program = programs.write('#include "student.hpp"\n#include <cstdio>\n'
                                 '#include "second.hpp"\n'
                                 "using namespace bantam::deploy;\n"
                                 "static std::uint8_t picture[128 * 128 * 3];\n"
                                 "static LineClassifier<second::Network, second::Precision> lines{second::weights};\n"
                                 "int main() {\n"
                                 "    if (!logits_match(test_logits(lines), second::expected_test_logits, 11)) return 1;\n"
                                 '    std::printf("%d\\n", student::classify(picture));\n}\n',
                                 self.folder, "main.cpp")
        other = programs.write('#include "second.hpp"\n#include "student.hpp"\nint two(const std::uint8_t* p) '
                               "{ return student::classify(p) + second::classify(p); }\n", self.folder, "other.cpp")
        # Two students in one program.
        programs.write(open_text(self.header).replace("namespace student", "namespace second"), self.folder, "named.hpp")
        self.run_program(SINGLE, self.path("named.hpp"), self.path("second.hpp"))
        self.run_program("g++", "-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti",
                         program, other, "-o", self.path("main"))
        self.assertIn(int(self.run_program(self.path("main")).stdout), range(11))
        self.assertIn("is no student that export_student wrote", self.refusal(SINGLE, program, self.path("x.hpp")))
        self.assertFalse(os.path.exists(self.path("x.hpp")))

    def test_an_onnx_model_holds_the_tensors_and_what_its_user_must_know(self):
        model, int8 = self.path("student.onnx"), self.path("int8.onnx")
        done = subprocess.run([EXPORT, "--data", self.data, "--weights", self.student, "--output",
                               self.path("student.hpp"), "--onnx", model, "--onnx-int8", int8],
                              capture_output=True, text=True)
        if "was built without ONNX" in done.stderr:
            self.assertFalse(os.path.exists(model))
            self.skipTest("libonnx-dev was missing when the programs were built")
        self.assertEqual(done.returncode, 0, done.stderr)
        content = programs.read(model)
        for part in (b"0.weight", b"pixels", b"logits", b"stored_size", b"[0.485, 0.456, 0.406]", b'"00"'):
            self.assertIn(part, content)
        content = programs.read(int8)
        for part in (b"QuantizeLinear", b"DequantizeLinear", b"pixels", b"logits", b"stored_size", b'"00"'):
            self.assertIn(part, content)
        self.assertLess(len(content), 160_000)  # weights of 8 bits
        self.assertIn("needs the calibration of --precision int8",
                      self.refusal(EXPORT, "--data", self.data, "--weights", self.student, "--output",
                                   self.path("none.hpp"), "--precision", "float32", "--onnx-int8", self.path("none")))

    def test_what_cannot_be_exported_is_refused_and_nothing_written(self):
        target = self.path("student.hpp")
        for arguments, line in (
            (("--data", self.data, "--weights", self.path("none")), "no such file; train first"),
            (("--data", self.data, "--weights", programs.KEPT_STUDENT), "it is from another network or class count"),
            (("--data", self.path("nowhere"), "--weights", self.student), "nowhere"),
            (("--data", self.data, "--weights", self.student, "--kept", "0.3"), "choose more than 0.5 and at most 1"),
            (("--data", self.data, "--weights", self.student, "--kept", "nan"), "choose more than 0.5 and at most 1"),
            (("--data", self.data, "--weights", self.spoiled(10 ** 6)), "does not fit the fixed-point arithmetic"),
            (("--data", self.data, "--weights", self.spoiled(-1)), "which is no variance"),
            (("--data", self.data, "--weights", self.changed(classes='["a"]')), 'was trained on the classes ["a"]'),
        ):
            self.assertIn(line, self.refusal(EXPORT, *arguments, "--output", target, "--pytorch", self.path("s.py")))
            self.assertEqual([name for name in os.listdir(self.folder) if not name.endswith(".safetensors")], [])
        self.assertIn("cannot be created", self.refusal(
            EXPORT, "--data", self.data, "--weights", self.student, "--output", self.path("none", "student.hpp"),
            "--pytorch", self.path("s.py")))
        self.assertFalse(os.path.exists(self.path("s.py")))
        before = programs.read(self.student)
        for outputs in (("--output", self.student), ("--output", target, "--onnx", self.student)):
            self.assertIn("is also an input of this program",
                          self.refusal(EXPORT, "--data", self.data, "--weights", self.student, *outputs))
        self.assertEqual(programs.read(self.student), before)

    def test_the_script_refuses_what_it_does_not_know(self):
        self.assertIn("expected cortex-m7 or cortex-m4", self.refusal(RUN, self.header, "cortex-a8"))
        self.assertIn("expected the header that export_student wrote", self.refusal(RUN))


if __name__ == "__main__":
    unittest.main()
