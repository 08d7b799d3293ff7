#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tests of tools/distill with programs that are built already. Exits with 77 (skipped) where a Python package or a
program is missing."""

import importlib.machinery
import importlib.util
import io
import os
import shutil
import subprocess
import tarfile
import unittest
import zipfile

import programs
from programs import ProgramTest, lines, read, write

import numpy as np
import safetensors_io

BUILD = os.environ.get("BANTAM_PROGRAMS", os.path.join(programs.SOURCE, "build", "release"))
DISTILL = os.path.join(programs.SOURCE, "tools", "distill")
TRAIN_TEACHER = programs.program("tools/sample_data/train_sample_teacher")
for needed in ("tools/precompute_logits", "examples/distill_food11"):
    programs.program(needed)
SIZE = "54"
TESTING = 3


def zipped(target, **files):
    with zipfile.ZipFile(target, "w") as file:
        for name, content in files.items():
            file.writestr(name.replace("__", "/"), content)
    return target


class Distill(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.draw_shared_data("--size", SIZE, "--labeled-per-class", 2, "--unlabeled", 3, "--validation-per-class", 1,
                             "--testing", TESTING)
        cls.teacher = os.path.join(cls.shared, "teacher.safetensors")
        subprocess.run([TRAIN_TEACHER, "--data", cls.data, "--output", cls.teacher, "--stored-size", SIZE, "--epochs",
                        "1"], check=True, capture_output=True)

    def command(self, *more, data=None, teacher=None, output="run"):
        return (DISTILL, "--data", data or self.data, "--teacher", teacher or self.teacher, "--output",
                self.path(output), "--cache", self.path("cache"), "--programs", BUILD, "--views", 2, "--epochs", 1,
                "--stored-size", SIZE, "--threads", 1, *more)


class Results(Distill):
    def test_a_zip_and_a_checkpoint_become_predictions(self):
        try:
            import torch
        except ImportError:
            self.skipTest("python3-torch is not installed")
        archive = shutil.make_archive(self.path("food"), "zip", self.shared, "food")
        tensors = {name: torch.from_numpy(np.array(values))
                   for name, values in safetensors_io.load(self.teacher)[0].items()}
        torch.save(tensors, self.path("teacher.pth"))
        arguments = dict(data=archive, teacher=self.path("teacher.pth"))

        first = self.run_program(*self.command(**arguments))
        self.assertEqual(len(lines(self.path("run"), "predict.csv")), TESTING + 1)
        self.assertIn("/food: 11 classes; 22 labeled, 3 unlabeled, 11 validation\n", first.stdout)
        self.assertRegex(first.stdout, r"\nExpected time with 1 threads: teacher logits .*, training .*\n")
        self.assertEqual([os.path.basename(line.split()[1]) for line in first.stdout.splitlines()
                          if line.startswith("$ ")], ["convert_teacher.py", "precompute_logits", "distill_food11"])

        again = self.run_program(*self.command("--cache-pictures", output="again", **arguments))
        self.assertEqual(again.stderr.count("decoding "), 1, again.stderr)
        self.assertEqual(len(os.listdir(self.path("cache", "pictures"))), 1)
        self.assertEqual([os.path.basename(line.split()[1]) for line in again.stdout.splitlines()
                          if line.startswith("$ ")], ["distill_food11"])
        page = self.path("comparison.html")
        self.run_program(DISTILL, "--compare", self.path("run"), self.path("again"), "--output", page)
        self.assertIn(b'"again"', read(page))
        for name in ("student.safetensors", "predict.csv", "summary.txt"):
            self.assertEqual(read(self.path("again"), name), read(self.path("run"), name), name)

    def test_a_finished_run_is_refused_resumed_or_replaced(self):
        self.run_program(*self.command("--resume"))  # nothing to resume: it begins
        before = read(self.path("run"), "student.safetensors")
        line = self.refusal(*self.command())
        self.assertTrue(line.startswith(f"error: {self.path('run')}: already holds a run (student.safetensors); "), line)
        done = self.run_program(*self.command("--resume"))
        self.assertIn(" --resume\n", done.stdout)
        self.assertEqual(read(self.path("run"), "student.safetensors"), before)
        self.run_program(*self.command("--overwrite", "--", "--learning-rate", 0.01))
        self.assertNotEqual(read(self.path("run"), "student.safetensors"), before)

    def test_a_finished_run_is_extended_by_an_argument_of_the_program(self):
        self.run_program(*self.command())
        extended = [str(word) for word in self.command()]
        extended[extended.index("--epochs") + 1] = "2"
        self.run_program(*extended, "--", "--extend")
        self.assertEqual(len(lines(self.path("run"), "metrics.csv")), 1 + 2)

    def test_wrong_arguments_are_refused_before_the_teacher_works(self):
        for more, expected in (
            (("--", "--batch-sze", "32"), "--batch-sze"),
            (("--", "--seed", "-1"), "--seed"),
            (("--image-size", "64"), "was built for 128 pixels a side, not 64; leave out --programs"),
            (("--student", "tiniest-97k"), "was built without the student tiniest-97k; leave out --programs"),
            (("--programs", self.path("nowhere")), "nowhere: is no build folder; leave out --programs"),
            (("--teacher", self.path("nowhere.pth")), "nowhere.pth: no such file"),
            (("--threads", "0"), "--threads is 0; it must be at least 1"),
            (("--epochs", "0"), "--epochs is 0; it must be at least 1"),
        ):
            done = subprocess.run([str(word) for word in (*self.command(), *more)], capture_output=True, text=True)
            self.assertIn(done.returncode, (1, 2, 105, 106, 109), done.stderr)
            self.assertIn(expected, done.stderr)
            self.assertNotIn("Traceback", done.stderr)
            self.assertNotIn("precompute_logits", done.stdout)

    def test_without_a_teacher_the_labels_alone_are_learned(self):
        command = [str(word) for word in self.command()]
        del command[command.index("--teacher"):][:2]
        where = command.index("--teacher")
        self.run_program(*command[:where], *command[where + 2:])
        self.assertIn("\nteacher: none\n", read(self.path("run"), "summary.txt").decode())

    def test_students_are_shown_without_data(self):
        listed = self.run_program(DISTILL, "--list-students", "--programs", BUILD).stdout
        self.assertRegex(listed, r"\nmobile-98k +9\d,\d{3} ")
        shown = self.run_program(DISTILL, "--summary", "--student", "my-student", "--programs", BUILD).stdout
        self.assertIn("\nTotal params: ", shown)

    def test_both_scripts_explain_themselves(self):
        self.assertIn("--overwrite", self.run_program(DISTILL, "--help").stdout)
        quickstart = os.path.join(programs.SOURCE, "tools", "quickstart.sh")
        self.assertIn("BANTAM_QUICKSTART_EPOCHS", self.run_program(quickstart, "--help").stdout)
        self.assertIn("takes no arguments", self.refusal(quickstart, "--epochs"))


class Archives(Distill):
    def assert_refused(self, expected, archive):
        self.assertEqual(self.refusal(*self.command(data=archive)), f"error: {archive}: {expected}")
        self.assertFalse(os.path.exists(self.path("run")))

    def test_paths_that_lead_out_of_the_archive_are_refused(self):
        for name in ("../outside.jpg", "/outside.jpg", "training/../../outside.jpg", "..\\outside.jpg"):
            archive = zipped(self.path("data.zip"), **{name: "x"})
            self.assert_refused(f"holds the path '{name}', which leads out of its folder; do not trust it", archive)
        self.assertFalse(os.path.exists(self.path("cache", "data", "outside.jpg")))

    def test_links_are_not_followed_and_not_made(self):
        archive = self.path("data.tar.gz")
        secret = write("secret", self.path("secret.txt"))
        with tarfile.open(archive, "w:gz") as file:
            link = tarfile.TarInfo("training/labeled/00")
            link.type, link.linkname = tarfile.SYMTYPE, self.folder
            file.addfile(link)
            behind = tarfile.TarInfo("training/labeled/00/a.jpg")
            behind.size = 1
            file.addfile(behind, io.BytesIO(b"x"))
            hard = tarfile.TarInfo("validation/00/b.jpg")
            hard.type, hard.linkname = tarfile.LNKTYPE, secret
            file.addfile(hard)
        line = self.refusal(*self.command(data=archive))
        self.assertIn("/validation: no such folder", line)
        self.assertFalse(os.path.exists(self.path("a.jpg")))
        found = [os.path.join(folder, name) for folder, folders, files in os.walk(self.path("cache", "data"))
                 for name in folders + files]
        self.assertFalse(any(os.path.islink(path) for path in found))
        self.assertEqual(sum(path.endswith("b.jpg") for path in found), 0)

    def test_what_is_no_archive_or_damaged_is_named(self):
        self.assert_refused("is neither a folder nor a whole zip or tar file; if it is an archive, fetch it again", write("hello", self.path("data.zip")))
        whole = read(shutil.make_archive(self.path("food"), "gztar", self.shared, "food"))
        damaged = write(whole[:len(whole) // 2], self.path("half.tar.gz"))
        self.assertTrue(self.refusal(*self.command(data=damaged)).startswith(f"error: {damaged}: is damaged "))
        self.assertEqual(os.listdir(self.path("cache", "data")), [os.path.basename(name) for name in
                         os.listdir(self.path("cache", "data")) if name.endswith(".partial")])
        self.assert_refused("no such file or folder", self.path("absent.zip"))


class Failures(Distill):
    def test_a_teacher_that_is_missing_is_named(self):
        absent = self.path("absent.pth")
        self.assertEqual(self.refusal(*self.command(teacher=absent)), f"error: {absent}: no such file")

    def test_a_student_that_does_not_exist_is_named(self):
        line = self.refusal(*self.command("--student", "huge"))
        self.assertRegex(line, r"^error: there is no student 'huge'; there are .*\bmobile-98k, my-student, ")
        write("", self.path("mine", "tiny_one.hpp"))
        line = self.refusal(*self.command("--student", "huge", "--student-folder", self.path("mine")))
        self.assertRegex(line, r", tiny-one$")
        absent = self.path("absent")
        self.assertEqual(self.refusal(*self.command("--student", "huge", "--student-folder", absent)),
                         f"error: {absent}: No such file or directory")

    def test_a_step_that_fails_ends_with_its_own_line(self):
        broken = write("x" * 100, self.path("teacher.safetensors"))
        line = self.refusal(*self.command(teacher=broken))
        self.assertTrue(line.startswith(f"error: {broken}: is not a sound safetensors file"), line)

    def test_a_build_that_fails_names_its_first_error(self):
        command = [str(word) for word in self.command()]
        where = command.index("--programs")
        line = self.refusal(*command[:where], *command[where + 2:], env={**os.environ, "CXX": "/no/compiler"})
        self.assertIn("/no/compiler", line)
        self.assertTrue(line.endswith(f"configure.log)"), line)

    def test_a_network_that_does_not_compile_is_refused_in_one_sentence(self):
        loader = importlib.machinery.SourceFileLoader("distill", DISTILL)
        distill = importlib.util.module_from_spec(importlib.util.spec_from_loader("distill", loader))
        loader.exec_module(distill)
        for printed in ("bantam::Words<31>{\"layer 2 Linear: it has at least \"}, bantam::Words<10>{\"one output\"}>’",
                        "Words<size>{\"layer 2 Linear: it has at least one output\"}>'"):
            log = write(f"In file included from a.cpp:\nb.hpp:8:1: error: no type named ‘valid’ in ‘{printed}\nmore\n",
                        self.path("build.log"))
            self.assertEqual(distill.first_error(log),
                             "the network does not compile: layer 2 Linear: it has at least one output")

    def test_data_without_classes_are_named(self):
        os.makedirs(self.path("empty", "training"))
        self.assertEqual(self.refusal(*self.command(data=self.path("empty"))),
                         f"error: {self.path('empty', 'validation')}: no such folder; name the folder that holds "
                         "training/ and validation/")


if __name__ == "__main__":
    unittest.main()
