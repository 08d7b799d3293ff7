#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tests of tools/precompute_logits against tools/convert_teacher.py --logits, which runs the same teacher
with PyTorch. Exits with 77 (skipped) where a Python package is missing."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import programs
from programs import SKIPPED, ProgramTest, png, read, write

try:
    import numpy as np
    import torch
    import torchvision
except ImportError as missing:
    print(f"skipped: {missing.name} is missing; install python3-torch and python3-torchvision")
    sys.exit(SKIPPED)

import homework_pictures
import safetensors_io

PRECOMPUTE = programs.program("tools/precompute_logits")
DISTILL = programs.program("examples/distill_food11")
CONVERT = (sys.executable, "-B", os.path.join(programs.SOURCE, "tools", "convert_teacher.py"))
CLASSES = 11
VIEWS = 3


def smooth(seed, height, width, channels=3):
    """A smooth random picture, uint8."""
    random = np.random.default_rng(seed)
    rows, columns = np.linspace(0, 3, height)[:, None, None], np.linspace(0, 3, width)[None, :, None]
    phase, speed = random.uniform(0, 6, (2, channels)), random.uniform(0.5, 3, (2, channels))
    waves = np.sin(rows * speed[0] + phase[0]) + np.cos(columns * speed[1] + phase[1])
    return np.clip(127 + 60 * waves, 0, 255).astype(np.uint8)


def draw(data):
    """A data set of PNG files whose pictures have many sizes and kinds. Two cannot be read."""
    for label in range(CLASSES):
        write(png(smooth(label, 144, 144)), data, "training", "labeled", f"{label:02}", "0.png")
    others = {"gray.png": png(smooth(20, 144, 144, 1)[:, :, 0]), "alpha.png": png(smooth(21, 144, 144, 4)),
              "wide.png": png(smooth(22, 90, 300)), "small.png": png(smooth(23, 31, 17)),
              "large.png": png(smooth(24, 401, 290)), "pixel.png": png(smooth(25, 1, 1)),
              "empty.png": b"", "cut.png": png(smooth(26, 144, 144))[:900]}
    for name, content in others.items():
        write(content, data, "training", "unlabeled", "00", name)
    for label in (0, 4, 10):
        write(png(smooth(30 + label, 144, 144)), data, "validation", f"{label:02}", "0.png")
    write(png(smooth(40, 144, 144)), data, "testing", "00", "0.png")


def make_teacher(path, classes=CLASSES):
    """A ResNet-18 with random weights and the batch-norm statistics of smooth pictures."""
    torch.manual_seed(1)
    teacher = torchvision.models.resnet18(num_classes=classes)
    for layer in teacher.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    pictures = np.stack([smooth(seed, 128, 128) for seed in range(50, 58)])
    with torch.no_grad():
        teacher.train()(torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(60).sub(2))
        teacher.fc.weight.mul_(5)  # logits of a teacher that has an opinion
    torch.save(teacher.state_dict(), path)


def call(*arguments):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done


class Teacher(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.mkdtemp(prefix="bantam-test-")
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        cls.data = os.path.join(cls.shared, "food")
        draw(cls.data)
        cls.checkpoint = os.path.join(cls.shared, "teacher.pth")
        cls.teacher = os.path.join(cls.shared, "teacher.safetensors")
        make_teacher(cls.checkpoint)
        call(*CONVERT, cls.checkpoint, "--output", cls.teacher)

    def precompute(self, *more, data=None, teacher=None, output=None):
        return (PRECOMPUTE, "--data", data or self.data, "--teacher", teacher or self.teacher, "--output",
                output or self.path("logits.safetensors"), "--views", VIEWS, "--view-seed", 9, "--threads", 2, *more)

    def convert(self, *more, data=None, output=None):
        return (*CONVERT, self.teacher, "--logits", "--arch", "resnet18", "--data", data or self.data, "--output",
                output or self.path("logits.safetensors"), "--views", VIEWS, "--view-seed", 9, "--threads", 2, *more)


class Agreement(Teacher):
    """What the two programs write for the same teacher and pictures."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        ours, theirs = (os.path.join(cls.shared, name) for name in ("ours.safetensors", "theirs.safetensors"))
        cls.our_run = call(*cls.precompute(cls, output=ours))
        cls.their_run = call(*cls.convert(cls, output=theirs))
        cls.ours, cls.our_metadata = safetensors_io.load(ours)
        cls.theirs, cls.their_metadata = safetensors_io.load(theirs)

    def test_every_logit_agrees_to_a_thousandth(self):
        ours, theirs = self.ours["logits"], self.theirs["logits"]
        self.assertEqual(ours.shape, (CLASSES + 6 + 3, VIEWS, CLASSES))
        self.assertEqual(theirs.shape, ours.shape)
        self.assertEqual({ours.dtype, theirs.dtype}, {np.dtype(np.float16)})
        ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
        # Each is rounded to half precision.
        self.assertLess((abs(ours - theirs) - abs(theirs) / 1024).max(), 1e-3)
        # The tolerance means something: pictures and views differ by far more.
        self.assertGreater(theirs.std(axis=0).min(), 0.02)
        self.assertGreater(np.median(abs(theirs[:, 1] - theirs[:, 0]).max(axis=1)), 0.02)

    def test_views_are_the_same_bits(self):
        self.assertEqual(self.ours["views"].tobytes(), self.theirs["views"].tobytes())
        self.assertEqual(self.ours["views"].shape, (CLASSES + 6 + 3, VIEWS, 8))
        np.testing.assert_array_equal(self.ours["views"][:, 0],
                                      np.tile(np.float16([0, 0, 1, 1, 0, 1, 1, 1]), (CLASSES + 9, 1)))
        self.assertGreater(self.ours["views"][:, 1:, 5:].std(), 0.05)

    def test_metadata_is_the_same(self):
        self.assertEqual(self.our_metadata.keys(), self.their_metadata.keys())
        for key in ("paths", "hashes", "classes", "preprocessing"):
            self.assertEqual(json.loads(self.our_metadata[key]), json.loads(self.their_metadata[key]), key)
        for key in ("format", "teacher", "teacher_name", "view_seed", "view_ranges"):
            self.assertEqual(self.our_metadata[key], self.their_metadata[key], key)
        self.assertEqual(json.loads(self.our_metadata["preprocessing"]),
                         {"stored_size": 144, "input": [128, 128], "mean": [0.485, 0.456, 0.406],
                          "std": [0.229, 0.224, 0.225], "resize": "bilinear"})
        self.assertEqual(self.our_metadata["teacher_name"], "teacher.safetensors")

    def test_testing_pictures_are_in_neither(self):
        for metadata in (self.our_metadata, self.their_metadata):
            self.assertNotIn("testing", metadata["paths"])

    def test_both_report_the_same_figures(self):
        for split in ("labeled", "validation"):
            accuracy = re.search(rf"^{split} accuracy: (\d\.\d{{4}})$", self.our_run.stdout, re.M).group(1)
            certainty = re.search(rf"^{split} mean top probability: (\d\.\d{{4}})$", self.our_run.stdout, re.M).group(1)
            theirs = re.search(rf"^{split}: .*teacher accuracy (\d\.\d{{4}}) .*mean top probability (\d\.\d{{3}})",
                               self.their_run.stdout, re.M)
            self.assertEqual(accuracy, theirs.group(1))
            self.assertAlmostEqual(float(certainty), float(theirs.group(2)), delta=0.002)

    def test_both_name_the_pictures_they_leave_out(self):
        for run in (self.our_run, self.their_run):
            self.assertIn("training/unlabeled/00/cut.png is truncated", run.stderr)
            self.assertIn("training/unlabeled/00/empty.png is empty", run.stderr)
        self.assertIn("warning: unlabeled: 2 of 8 pictures left out: ", self.our_run.stderr)

    def test_the_number_of_threads_and_a_cache_of_pictures_change_no_byte(self):
        call(PRECOMPUTE, "--data", self.data, "--teacher", self.teacher, "--output", self.path("one.safetensors"),
             "--views", VIEWS, "--view-seed", 9, "--threads", 1, "--cache", self.path("pictures"))
        self.assertNotIn(b"testing/", read(self.path("pictures")))
        self.assertEqual(read(self.path("one.safetensors")), read(self.shared, "ours.safetensors"))

    def test_both_have_the_same_defaults(self):
        ours, theirs = (re.sub(r"\s+", " ", self.run_program(*program, "--help").stdout)
                        for program in ((PRECOMPUTE,), CONVERT))
        for option, value in (("views", 8), ("view-seed", 1), ("stored-size", 144), ("min-area", 0.35), ("color", 0.2)):
            self.assertRegex(ours, rf"--{option} [^=]*={value} ")
            self.assertRegex(theirs, rf"--{option} [^-]*\({value}\)")


class StoredViews(Teacher):
    """Runs with mixed views: interrupted, in shards, verified, and compared with PyTorch."""

    PLAIN, MIXED = 4, 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.whole = os.path.join(cls.shared, "whole.safetensors")
        call(*cls.stored(cls, cls.whole))
        cls.tensors, cls.metadata = safetensors_io.load(cls.whole)
        cls.paths = json.loads(cls.metadata["paths"])
        cls.model = torchvision.models.resnet18(num_classes=CLASSES)
        cls.model.load_state_dict(torch.load(cls.checkpoint))
        cls.model.eval()

    def stored(self, output, *more, views=PLAIN):
        return (PRECOMPUTE, "--data", self.data, "--teacher", self.teacher, "--output", output, "--views", views,
                "--mixed", self.MIXED, "--threads", 1, *more)

    def answers(self, *pictures):
        """The teacher's logits for float32 pictures [height, width, 3]."""
        with torch.inference_mode():
            return self.model(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)).numpy()

    def shown(self, reader, image, view, size=128):
        return homework_pictures.shown(reader.read(os.path.join(self.data, self.paths[image])), view, size, size)

    def test_logits_of_mixed_views_are_the_answers_to_the_mixes(self):
        views, mixes, partners = (self.tensors[name] for name in ("views", "mixes", "partners"))
        self.assertEqual(mixes.shape, (len(self.paths), self.MIXED, 13))
        training = [path.startswith("training") for path in self.paths]
        self.assertTrue(all(training[partner] for partner in partners.flatten()))
        kinds = set()
        with homework_pictures.PictureReader(144) as reader:
            for image, number in ((0, 0), (3, 1), (5, 0), (7, 1), (12, 0), (18, 1)):
                self.assertNotEqual(partners[image, number], image)
                weight, top, left, height, width = mixes[image, number, 8:].astype(np.float64)
                first = self.shown(reader, image, views[image, self.PLAIN + number])
                second = self.shown(reader, partners[image, number], mixes[image, number, :8])
                centers = (np.arange(128) + 0.5) / 128
                rows, columns = ((centers >= begin) & (centers < begin + extent)
                                 for begin, extent in ((top, height), (left, width)))
                share = np.float32(weight) * (rows[:, None] & columns)[..., None]
                kinds.add(weight == 1)
                expected = self.answers(first * (1 - share) + second * share)[0]
                found = self.tensors["logits"][image, self.PLAIN + number]
                np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
        self.assertEqual(kinds, {True, False})

    def test_averaged_logits_are_the_mean_of_view_mirror_and_larger_size(self):
        target = self.path("mean.safetensors")
        call(PRECOMPUTE, "--data", self.data, "--teacher", self.teacher, "--output", target, "--views", 2, "--threads",
             2, "--average", "--shard", "2/8")
        tensors, metadata = safetensors_io.load(target + ".part-2-of-8")
        larger = int(metadata["average_input"])
        self.assertGreater(larger, 128)
        self.assertEqual(tensors["views"].shape, (3, 2, 8))  # images 2 to 4 of 20
        with homework_pictures.PictureReader(144) as reader:
            for place, image in enumerate((2, 3, 4)):
                for view in range(2):
                    shown = self.shown(reader, image, tensors["views"][place, view])
                    large = self.shown(reader, image, tensors["views"][place, view], larger)
                    mirrored = np.ascontiguousarray(shown[:, ::-1])
                    expected = (self.answers(shown, mirrored).sum(axis=0) + self.answers(large)[0]) / 3
                    np.testing.assert_allclose(tensors["logits"][place * 2 + view], expected, rtol=2e-3, atol=2e-3)

    def test_an_interrupted_run_is_continued_to_the_same_bytes(self):
        output = self.path("logits.safetensors")
        part = output + ".part-1-of-1"
        for number in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen([str(word) for word in self.stored(output, "--resume")], stderr=subprocess.PIPE,
                                       text=True)
            for line in process.stderr:  # until the pictures are read
                if line.startswith(("validation 3 of 3", "continuing after")):
                    break
            time.sleep(0.3)
            process.send_signal(number)
            last = process.stderr.read().splitlines()[-1]
            process.stderr.close()
            self.assertEqual(process.wait(), 128 + number)
            self.assertRegex(last, r"stopped by SIG\w+ after \d+ of 120 views, which are kept; to continue, run the same "
                                   "command with --resume")
            self.assertEqual(os.listdir(self.folder), [os.path.basename(part)])
        self.assertIn(f"error: {part}: holds the views of an earlier run; continue it with --resume, or remove the file",
                      self.refusal(*self.stored(output)))
        for more, views, problem in (
                (("--view-seed", 2), 4, "has the view_seed '1', not '2'"),
                (("--color", 0), 4, "has the view_ranges 'area 0.35 to 1, color 0.2, mixup"),
                (("--average",), 4, "has the average_input nothing, not '"),
                ((), 5, "has 6 views of each picture with 2 mixed among them, not 7 with 2")):
            line = self.refusal(*self.stored(output, "--resume", *more, views=views))
            self.assertTrue(line.startswith(f"error: {part}: {problem}"), line)
            self.assertIn("so it cannot be continued; remove it or use the options of that run", line)
        self.assertRegex(self.run_program(*self.stored(output, "--resume")).stderr, r"continuing after \d+ of 120 views")
        self.assertEqual(os.listdir(self.folder), ["logits.safetensors"])
        self.assertEqual(read(output), read(self.whole))

    def test_shards_are_merged_to_the_same_bytes(self):
        output, merged = self.path("logits.safetensors"), self.path("merged.safetensors")
        parts = [f"{output}.part-{number}-of-3" for number in (1, 2, 3)]
        for number in (2, 1):
            self.run_program(*self.stored(output, "--shard", f"{number}/3"))
        self.assertFalse(os.path.exists(output))
        merge = (PRECOMPUTE, "--output", merged, "--merge")
        self.assertEqual(self.refusal(*merge, parts[1], parts[0]),
                         f"error: {parts[1]}: part 3/3 is missing; name all parts, or compute it with --shard 3/3")
        done = self.run_program(*self.stored(output, "--shard", "3/3"))
        self.assertIn("all 3 parts are there and merged", done.stdout)
        self.assertRegex(done.stdout, r"\nvalidation accuracy: ")
        self.assertEqual(read(output), read(self.whole))
        self.run_program(*merge, parts[2], parts[0], parts[1])
        self.assertEqual(read(merged), read(self.whole))

        self.assertIn(f"error: {parts[0]}: is part 1/3, as {parts[0]} is; name every part once",
                      self.refusal(*merge, parts[0], parts[1], parts[0]))
        tensors, metadata = safetensors_io.load(parts[1])
        foreign = self.path("foreign")
        safetensors_io.save(foreign, tensors, metadata | {"teacher": "f" * 16})
        self.assertIn(f"error: {foreign}: has the teacher 'ffffffffffffffff', not '",
                      self.refusal(*merge, parts[0], foreign, parts[2]))
        safetensors_io.save(foreign, tensors | {"logits": tensors["logits"][:-1]}, metadata)
        self.assertIn(f"error: {foreign}: is unfinished (41 of 42 views); finish it with --shard 2/3 --resume",
                      self.refusal(*merge, parts[0], foreign, parts[2]))
        self.assertIn(f"error: {output}: has format 'bantam-teacher-logits/2', expected 'bantam-teacher-logits-part/1'",
                      self.refusal(*merge, output))
        for text in ("0/3", "4/3", "1", "1/3x", "a/b"):
            self.assertIn(f"error: --shard {text}: is not I/N", self.refusal(*self.stored(output, "--shard", text)))

    def test_a_file_that_disagrees_is_refused(self):
        verify = (PRECOMPUTE, "--data", self.data, "--teacher", self.teacher, "--threads", 2, "--verify")
        self.assertRegex(self.run_program(*verify, self.whole).stdout,
                         r"100 of 120 views were computed again; the largest difference is [\d.e-]+ of the largest logit")
        changed = self.path("changed.safetensors")
        logits = self.tensors["logits"].copy()
        logits[7] += np.float16(0.05) * abs(logits[7]).max()
        safetensors_io.save(changed, self.tensors | {"logits": logits}, self.metadata)
        self.assertRegex(self.refusal(*verify, changed, "--verify-seed", 3),
                         rf"^error: {changed}: disagrees with the teacher by 0\.0[45]\d+ of the largest logit, more than "
                         rf"0\.02: image 7 \({self.paths[7]}\), view \d; create the file again$")
        safetensors_io.save(changed, self.tensors, self.metadata | {"teacher": "f" * 16})
        self.assertIn("was made by another teacher (teacher.safetensors, hash ffffffffffffffff; ",
                      self.refusal(*verify, changed))
        self.assertEqual(os.listdir(self.folder), ["changed.safetensors"])


class TestingFolder(Teacher):
    def assert_both_refuse(self, data, message):
        target = self.path("logits.safetensors")
        for command in (self.precompute(data=data), self.convert(data=data)):
            done = subprocess.run([str(argument) for argument in command], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertTrue(done.stderr.startswith("error: "), done.stderr)
            self.assertIn(message, done.stderr)
            self.assertFalse(os.path.exists(target))

    def test_it_is_refused_by_name_and_below(self):
        for below in ("testing", "testing/00", "testing/", "training/../testing"):
            data = os.path.join(self.data, below)
            self.assert_both_refuse(data, f"{data}: this is the testing folder; testing pictures get no teacher logits")

    def test_it_is_refused_through_a_link(self):
        os.symlink(os.path.join(self.data, "testing"), self.path("pictures"))
        self.assert_both_refuse(self.path("pictures"), f"{self.path('pictures')}: this is the testing folder")

    def test_its_pictures_are_refused_where_links_lead_to_them(self):
        for place in ("training/labeled/03/z.png", "training/unlabeled/00/z.png", "validation/04/z.png"):
            data = self.path(place.replace("/", "-"))
            shutil.copytree(self.data, data)
            os.symlink(os.path.join(data, "testing", "00", "0.png"), os.path.join(data, place))
            self.assert_both_refuse(data, f"{os.path.join(data, place)}: leads into the testing folder, ")

    def test_its_folder_is_refused_among_the_unlabeled(self):
        data = self.path("food")
        shutil.copytree(self.data, data)
        os.symlink(os.path.join(data, "testing"), os.path.join(data, "training", "unlabeled", "more"))
        self.assert_both_refuse(data, "training/unlabeled/more/00/0.png: leads into the testing folder, ")


class Online(Teacher):
    """distill_food11 --teacher: the teacher answers while the student is trained."""

    def distill(self, output, *more, threads=1, epochs=2, teacher=True):
        return [str(part) for part in (
            DISTILL, "--data", self.data, "--output", self.path(output), "--epochs", epochs, "--batch-size", 8, "--seed",
            3, "--threads", threads, "--no-report", *(("--teacher", self.teacher) if teacher else ()), *more)]

    def results(self, output):
        rows = read(self.path(output, "metrics.csv")).decode().splitlines()
        return [read(self.path(output, name)) for name in ("student.safetensors", "predict.csv")] + [
            row.split(",")[:-2] for row in rows]  # without speed and time

    def test_any_number_of_threads_and_an_interruption_give_the_same_bytes(self):
        self.run_program(*self.distill("one"))
        expected = self.results("one")
        self.run_program(*self.distill("two", threads=2))
        self.assertEqual(self.results("two"), expected)

        process = subprocess.Popen(self.distill("stopped"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not os.path.exists(self.path("stopped", "last.safetensors")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 128 + signal.SIGTERM)
        for other, line in ((("--teacher", self.other_teacher()), "the interrupted run had teacher_logits online, "),
                            ((), "the interrupted run had ")):
            self.assertIn(line, self.refusal(*self.distill("stopped", "--resume", *other, teacher=False)))
        self.run_program(*self.distill("stopped", "--resume", threads=2))
        self.assertEqual(self.results("stopped"), expected)

    def other_teacher(self):
        path = self.path("other.safetensors")
        tensors, metadata = safetensors_io.load(self.teacher)
        tensors["fc.bias"] = tensors["fc.bias"] + 1
        safetensors_io.save(path, tensors, {key: text for key, text in metadata.items() if "checksum" not in key})
        return path

    def test_validation_is_judged_by_the_same_teacher_as_with_stored_logits(self):
        call(*self.precompute())
        rate = ("--learning-rate", 1e-9)  # both students remain the random one
        self.run_program(*self.distill("online", *rate, epochs=1))
        self.run_program(*self.distill("stored", *rate, "--teacher-logits", self.path("logits.safetensors"), epochs=1,
                                       teacher=False))
        rows = []
        for output in ("online", "stored"):
            header, row = read(self.path(output, "metrics.csv")).decode().splitlines()
            rows.append(dict(zip(header.split(","), row.split(","))))
        for figure in ("validation_loss", "validation_distillation_loss", "validation_kl_divergence"):
            online, stored = (float(row[figure]) for row in rows)
            self.assertLess(abs(online - stored), 2e-3 * abs(stored), figure)  # stored logits are halves
        self.assertEqual(rows[0]["validation_teacher_agreement"], rows[1]["validation_teacher_agreement"])

    def test_what_does_not_fit_is_refused(self):
        self.assertIn("leave out one of them", self.refusal(*self.distill("x", "--teacher-logits", self.teacher)))
        self.assertIn("--teacher trains and --predict-only does not", self.refusal(*self.distill("x", "--predict-only")))
        ten = self.path("ten.pth")
        make_teacher(ten, classes=10)
        call(*CONVERT, ten, "--output", self.path("ten.safetensors"))
        self.assertIn("'fc.weight'", self.refusal(*self.distill("x", "--teacher", self.path("ten.safetensors"),
                                                                teacher=False)))
        self.assertFalse(os.path.exists(self.path("x", "student.safetensors")))


class Refusals(Teacher):
    def assert_refused(self, message, *more, **places):
        """One line and no file."""
        done = subprocess.run([str(argument) for argument in self.precompute(*more, **places)],
                              capture_output=True, text=True)
        self.assertIn(done.returncode, (1, 2), done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("error: "), done.stderr)
        self.assertIn(message, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertFalse([name for name in os.listdir(self.folder) if name.startswith("logits")])

    def altered(self, change):
        tensors, metadata = safetensors_io.load(self.teacher)
        tensors = {name: np.array(values) for name, values in tensors.items()}
        change(tensors)
        target = self.path("altered.safetensors")
        safetensors_io.save(target, tensors, metadata)
        return target

    def test_files_and_folders_that_are_missing_are_named(self):
        self.assert_refused(f"{self.path('absent')}: no such folder; name the folder that holds training/ and "
                            "validation/", data=self.path("absent"))
        self.assert_refused(f"{self.path('absent.safetensors')}: no such file; check the path",
                            teacher=self.path("absent.safetensors"))
        self.assert_refused(f"{self.path('absent', 'logits.safetensors')}: cannot be created: No such file or directory; "
                            "check that the folder exists", output=self.path("absent", "logits.safetensors"))

    def test_weights_of_another_format_are_named(self):
        garbage = write("not weights at all, only words", self.path("garbage.safetensors"))
        self.assert_refused(f"{garbage}: is not a sound safetensors file: ", teacher=garbage)
        self.assert_refused(f"{self.checkpoint}: is a PyTorch file, expected safetensors; convert it with "
                            f"tools/convert_teacher.py {self.checkpoint} --output ", teacher=self.checkpoint)
        short = write(read(self.teacher)[:-5], self.path("short.safetensors"))
        self.assert_refused(f"{short}: is not a sound safetensors file: tensor '", teacher=short)

    def test_weights_of_another_network_are_named_by_their_first_difference(self):
        def without_a_tensor(tensors):
            del tensors["layer3.1.bn2.running_var"]

        def with_one_more(tensors):
            tensors["layer1.2.conv1.weight"] = np.zeros((64, 64, 3, 3), np.float32)

        def not_finite(tensors):
            tensors["layer4.0.downsample.0.weight"][0, 0, 0, 0] = np.inf

        for change, message in (
                (without_a_tensor, "has no tensor 'layer3.1.bn2.running_var'; it is from another network"),
                (with_one_more, "has a tensor 'layer1.2.conv1.weight' that the network lacks; it is from another network"),
                (not_finite, "tensor 'layer4.0.downsample.0.weight' holds a number that is not finite")):
            altered = self.altered(change)
            self.assert_refused(f"{altered}: {message}", teacher=altered)

    def test_weights_of_another_architecture_are_called_that(self):
        def mobilenet(tensors):
            tensors.clear()
            tensors["features.0.0.weight"] = np.zeros((16, 3, 3, 3), np.float32)
            tensors["classifier.1.bias"] = np.zeros(11, np.float32)

        altered = self.altered(mobilenet)
        line = f"{altered}: is of an architecture that is not built in (as resnet18 it has no tensor 'conv1.weight' "
        self.assert_refused(line, teacher=altered)

    def test_weights_with_a_wrappers_prefix_are_named(self):
        def wrapped(tensors):
            for name in list(tensors):
                tensors["module." + name] = tensors.pop(name)

        altered = self.altered(wrapped)
        self.assert_refused("begin with 'module.'; remove that with tools/convert_teacher.py", teacher=altered)

    def test_weights_for_another_class_count_are_named_with_both_shapes(self):
        def ten(tensors):
            tensors["fc.weight"], tensors["fc.bias"] = tensors["fc.weight"][:10], tensors["fc.bias"][:10]

        altered = self.altered(ten)
        self.assert_refused(f"{altered}: tensor 'fc.weight' has shape [10, 512], expected [11, 512]; it is from another "
                            "network or class count", teacher=altered)

    def test_a_class_count_that_is_not_built_in_says_what_to_do(self):
        data = self.path("food")
        for label in range(3):
            write(png(smooth(label, 20, 20)), data, "training", "labeled", str(label), "0.png")
        write(png(smooth(4, 20, 20)), data, "validation", "1", "0.png")
        os.makedirs(os.path.join(data, "testing"))
        self.assert_refused(f"{data}: no teacher 'resnet18' with 3 classes is built in; build again with "
                            "-DBANTAM_CLASSES=3 for a resnet18, use convert_teacher.py --logits", data=data)

    def test_unknown_flags_and_bad_values_are_named(self):
        self.assert_refused("--view; see --help", "--view", 3)
        for option, value in (("--stored-size", 7), ("--stored-size", "large"), ("--architecture", "resnet50")):
            self.assert_refused("resnet50" if value == "resnet50" else option, option, value)
        for option, value in (("--min-area", 0), ("--min-area", 1.5), ("--color", -0.1), ("--color", 2)):
            self.assert_refused(f"{option} is {value:g}; it must be from ", option, value)
        self.assert_refused("--views 3 and --mixed 1022 are more than 1024 views together; ask for fewer", "--mixed", 1022)
        self.assert_refused("--merge and --verify exclude each other", "--merge", "a", "--verify", "b")
        self.assertEqual(self.refusal(PRECOMPUTE), "error: --data is required; see --help")
        self.assertEqual(self.refusal(PRECOMPUTE, "--merge", "a"), "error: --output is required; see --help")

    def test_pictures_that_are_all_bad_are_refused(self):
        data = self.path("food")
        shutil.copytree(self.data, data)
        for label in (0, 4, 10):
            write(b"", data, "validation", f"{label:02}", "0.png")
        line = self.refusal(*self.precompute(data=data))
        self.assertEqual(line, f"error: {data}: none of the 3 validation pictures can be used; is the data set complete?")
        self.assertFalse(os.path.exists(self.path("logits.safetensors")))

    def test_an_input_is_never_the_output(self):
        teacher = self.path("teacher.safetensors")
        shutil.copy(self.teacher, teacher)
        os.link(teacher, self.path("another-name"))
        before = read(teacher)
        for output in (teacher, self.path("another-name")):
            self.assertEqual(self.refusal(PRECOMPUTE, "--data", self.data, "--teacher", teacher, "--output", output),
                             f"error: {output}: is also an input of this program ({teacher}); choose another output")
        self.assertEqual(read(teacher), before)


class RealPhotos(ProgramTest):
    def test_the_teacher_scores_what_pytorch_measured(self):
        photos = os.path.join(os.environ.get("BANTAM_DATA", os.path.join(programs.SOURCE, "..", "shared", "data")),
                              "imagenette-hw13")
        if not os.path.isdir(photos):
            self.skipTest(f"{photos} is absent; set BANTAM_DATA to the folder that holds imagenette-hw13")
        photos = os.path.realpath(photos)
        # All validation photos, but only one labeled photo a class, so that it takes seconds.
        data = self.path("data")
        for name in sorted(os.listdir(os.path.join(photos, "training", "labeled"))):
            folder = os.path.join(photos, "training", "labeled", name)
            first = sorted(os.listdir(folder))[0]
            os.makedirs(os.path.join(data, "training", "labeled", name))
            os.symlink(os.path.join(folder, first), os.path.join(data, "training", "labeled", name, first))
        for split in ("validation", "testing"):
            os.symlink(os.path.join(photos, split), os.path.join(data, split))
        teacher = self.path("teacher.safetensors")
        self.run_program(*CONVERT, os.path.join(photos, "teacher_resnet18.pth"), "--output", teacher)
        done = self.run_program(PRECOMPUTE, "--data", data, "--teacher", teacher, "--output",
                                self.path("logits.safetensors"), "--views", 1)
        figures = dict(line.split(": ") for line in done.stdout.splitlines())
        self.assertAlmostEqual(float(figures["validation accuracy"]), 0.855, delta=0.01)
        self.assertAlmostEqual(float(figures["validation mean top probability"]), 0.880, delta=0.01)
        self.assertAlmostEqual(float(figures["validation cross-entropy"]), 0.507, delta=0.02)


if __name__ == "__main__":
    unittest.main()
