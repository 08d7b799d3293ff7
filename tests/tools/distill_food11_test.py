#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tests of examples/distill_food11, end to end. Exits with 77 (skipped) where a Python package is missing."""

import csv
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import tarfile
import time
import unittest

import programs
from programs import ProgramTest, lines, logits_of, read, write

import numpy as np
import safetensors_io
import xxhash

DISTILL = programs.program("examples/distill_food11")
JOIN = os.path.join(programs.SOURCE, "tools", "join_students.py")
PRUNE = programs.program("tools/prune_channels")
DRAW = programs.program("tools/sample_data/draw_sample_food11")
SIZE = 32
EPOCHS = 4
TESTING = 5
CLASSES = [f"{number:02}" for number in range(11)]
METRICS = ("epoch learning_rate training_loss training_accuracy training_cross_entropy training_teacher_agreement "
           "training_distillation_loss validation_loss validation_accuracy validation_cross_entropy "
           "validation_teacher_agreement validation_distillation_loss training_kl_divergence "
           "validation_kl_divergence images_per_second seconds").split()


def lasting_columns(output):
    """The rows of metrics.csv without the two columns that time depends on."""
    return [row.rsplit(",", 2)[0] for row in lines(output, "metrics.csv")]


class Distill(ProgramTest):
    @classmethod
    def setUpClass(cls):
        """A data set, logits for it, and a student trained on both without interruption."""
        cls.draw_shared_data("--size", SIZE, "--labeled-per-class", 2, "--unlabeled", 9, "--validation-per-class", 1,
                             "--testing", TESTING)
        cls.logits = logits_of(cls.data, os.path.join(cls.shared, "logits.safetensors"), SIZE)
        cls.reference = os.path.join(cls.shared, "reference")
        cls.finished = subprocess.run(cls.command(cls.reference), check=True, capture_output=True, text=True)

    @classmethod
    def command(cls, output, *more, data=None, logits=None, epochs=EPOCHS, seed=7, threads=1):
        """The command of the reference run, with another output folder or more."""
        return [DISTILL, "--data", data or cls.data, "--teacher-logits", logits or cls.logits, "--output", output,
                "--epochs", str(epochs), "--batch-size", "8", "--learning-rate", "0.05", "--seed", str(seed),
                "--threads", str(threads), *map(str, more)]

    @staticmethod
    def finished_epochs(output):
        return len(lines(output, "metrics.csv")) - 1 if os.path.exists(os.path.join(output, "metrics.csv")) else 0

    def kill_after(self, epoch, output, command):
        """Kills a run once it has finished `epoch` epochs."""
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while self.finished_epochs(output) < epoch and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
        process.wait()
        self.assertEqual(process.returncode, -9, "the run ended before it could be killed")

    def assert_same_run(self, output):
        for name in ("student.safetensors", "last.safetensors", "predict.csv", "summary.txt"):
            self.assertEqual(read(output, name), read(self.reference, name), name)
        self.assertEqual(lasting_columns(output), lasting_columns(self.reference))


class Results(Distill):
    def test_every_testing_picture_has_its_row_in_name_order(self):
        rows = lines(self.reference, "predict.csv")
        self.assertEqual(rows[0], "Id,Category")
        self.assertEqual([row.split(",")[0] for row in rows[1:]], [str(number) for number in range(TESTING)])
        self.assertTrue(all(0 <= int(row.split(",")[1]) < 11 for row in rows[1:]))

    def test_metrics_has_a_complete_row_for_every_epoch(self):
        rows = list(csv.reader(lines(self.reference, "metrics.csv")))
        self.assertEqual(rows[0], METRICS)
        self.assertEqual([row[0] for row in rows[1:]], [str(number + 1) for number in range(EPOCHS)])
        for row in rows[1:]:
            self.assertEqual(len(row), len(METRICS))
            self.assertTrue(all(np.isfinite(float(cell)) for cell in row), row)

    def test_the_student_is_safetensors_with_the_names_of_its_network_and_the_data(self):
        tensors, metadata = safetensors_io.load(os.path.join(self.reference, "student.safetensors"))
        self.assertEqual(metadata["format"], "bantam-checkpoint/1")
        self.assertEqual(json.loads(metadata["classes"]), CLASSES)
        self.assertEqual(metadata["stored_size"], str(SIZE))
        np.testing.assert_allclose(json.loads(metadata["mean"]), (0.485, 0.456, 0.406), rtol=1e-6)
        np.testing.assert_allclose(json.loads(metadata["std"]), (0.229, 0.224, 0.225), rtol=1e-6)
        self.assertEqual(tensors["0.weight"].shape, (16, 3, 3, 3))
        self.assertEqual(sum(values.size for values in tensors.values()), 98155)
        self.assertEqual(metadata["network"], "mobile-98k, 11 classes, 128x128x3, 98155 parameters")
        self.assertNotIn("started_from", metadata)

    def test_the_summary_says_what_was_trained_and_how_good_it_is(self):
        text = read(self.reference, "summary.txt").decode()
        rows = list(csv.DictReader(lines(self.reference, "metrics.csv")))
        kept = min(rows, key=lambda row: float(row["validation_loss"]))
        for line in ("parameters: 98155", "limit: 100000", f"epochs: {EPOCHS}",
                     "training pictures: 22 labeled, 9 unlabeled", "teacher: drawn", "start: random weights",
                     f"kept: epoch {kept['epoch']}, chosen by loss",
                     f"validation accuracy: {float(kept['validation_accuracy']):.4f}"):
            self.assertIn(f"\n{line}\n", text)
        for rule in ("lowest validation loss", "highest validation accuracy", "last"):
            self.assertRegex(text, rf"\n{rule}: epoch \d+, loss \d+\.\d{{4}}, accuracy \d\.\d{{4}}\n")
        self.assertRegex(text, r"\nstandard error of the accuracy on \d+ validation pictures: 0\.\d{4}\n")
        self.assertIn("Total", text)

    def test_the_run_prints_its_progress(self):
        self.assertRegex(self.finished.stderr, rf"epoch 1/{EPOCHS}  batch 1/4  loss \d+\.\d+")
        self.assertRegex(self.finished.stderr, rf"epoch {EPOCHS}/{EPOCHS}  loss .*  validation \d+\.\d+ %  agreement ")
        self.assertLessEqual(max(map(len, self.finished.stderr.splitlines())), 80)
        self.assertIn(f"predictions: {os.path.join(self.reference, 'predict.csv')}", self.finished.stdout)

    def test_the_output_folder_holds_nothing_else(self):
        self.assertEqual(sorted(os.listdir(self.reference)),
                         ["checksums.txt", "last.safetensors", "metrics.csv", "predict.csv", "report.html", "student.safetensors",
                          "summary.txt"])

    def test_a_student_can_be_trained_on_labels_alone(self):
        done = self.run_program(DISTILL, "--data", self.data, "--output", self.path("out"), "--stored-size", SIZE,
                                "--epochs", 1, "--threads", 1)
        self.assertNotIn("agreement", done.stderr)
        self.assertIn("\ntraining pictures: 22 labeled, 0 unlabeled\nteacher: none\nstart: random weights\n",
                      read(self.path("out"), "summary.txt").decode())
        row = next(csv.DictReader(lines(self.path("out"), "metrics.csv")))
        self.assertEqual((row["training_teacher_agreement"], row["training_distillation_loss"]), ("", ""))


def pack(folder, archive, labeled, form):
    """A tar archive of a split's pictures, with a .cls file where the first folder is the class."""
    with tarfile.open(archive, "w", format=form) as file:
        for name in sorted(os.path.relpath(os.path.join(place, name), folder)
                           for place, _, names in os.walk(folder) for name in names):
            file.add(os.path.join(folder, name), name)
            if labeled:
                label = tarfile.TarInfo(os.path.splitext(name)[0] + ".cls")
                text = str(int(name.split(os.sep)[0])).encode()
                label.size = len(text)
                file.addfile(label, io.BytesIO(text))


class OtherPlaces(Distill):
    """The same pictures from a cache file and from archives."""

    def test_a_cache_of_pictures_changes_no_byte_of_a_run(self):
        cache = self.path("pictures")
        made = self.run_program(*self.command(self.path("first"), "--cache", cache))
        self.assertIn("\ndecoding ", "\n" + made.stderr)
        self.assert_same_run(self.path("first"))
        again = self.run_program(*self.command(self.path("second"), "--cache", cache, "--verify-cache", threads=2))
        self.assertNotIn("decoding", again.stderr)
        self.assert_same_run(self.path("second"))
        predicted = read(self.path("second"), "predict.csv")
        self.run_program(DISTILL, "--data", self.data, "--output", self.path("second"), "--predict-only", "--cache", cache)
        self.assertEqual(read(self.path("second"), "predict.csv"), predicted)
        self.assertEqual(sorted(os.listdir(self.folder)), ["first", "pictures", "second"])

    def test_a_cache_that_cannot_be_used_is_refused(self):
        other = write("something else", self.folder, "notes.txt")
        self.assertEqual(self.refusal(*self.command(self.path("out"), "--cache", other)),
                         f"error: {other}: is no cache of pictures; choose another name for the cache")
        self.assertEqual(read(other), b"something else")
        self.assertEqual(self.refusal(*self.command(self.path("out"), "--cache", self.path("absent", "pictures"))),
                         f"error: {self.path('absent', 'pictures')}.lock: cannot be opened for locking: No such file or "
                         "directory; check that its folder exists and that you may write to it")
        self.assertEqual(self.refusal(*self.command(self.path("out"), "--verify-cache")),
                         "error: --verify-cache verifies the file of --cache; name one, or leave it out")
        self.assertFalse(os.path.exists(self.path("out", "student.safetensors")))

    def test_shards_are_learned_from_like_folders(self):
        shards = self.path("shards")
        for split, labeled, form in (("training/labeled", True, tarfile.PAX_FORMAT), ("validation", True, tarfile.GNU_FORMAT),
                                     ("training/unlabeled", False, tarfile.USTAR_FORMAT),
                                     ("testing", False, tarfile.GNU_FORMAT)):
            os.makedirs(os.path.join(shards, split))
            pack(os.path.join(self.data, split), os.path.join(shards, split, "shard-000000.tar"), labeled, form)
        logits = logits_of(shards, self.path("logits.safetensors"), SIZE)
        self.run_program(*self.command(self.path("out"), "--cache", self.path("pictures"), data=shards, logits=logits))
        self.assertEqual(lasting_columns(self.path("out")), lasting_columns(self.reference))
        self.assertEqual(read(self.path("out"), "predict.csv"), read(self.reference, "predict.csv"))
        shard = os.path.join(shards, "validation", "shard-000000.tar")
        write(read(shard)[:-10240], shard)
        self.assertEqual(self.refusal(*self.command(self.path("cut"), data=shards, logits=logits)),
                         f"error: {shard}: is cut off: it lacks the end of an archive; fetch it again")


class Repeated(Distill):
    def test_the_number_of_threads_changes_no_byte(self):
        self.run_program(*self.command(self.path("out"), threads=2))
        self.assert_same_run(self.path("out"))

    def test_another_seed_gives_another_student(self):
        self.run_program(*self.command(self.path("out"), seed=8))
        self.assertNotEqual(lasting_columns(self.path("out"))[1], lasting_columns(self.reference)[1])

    def test_a_run_killed_twice_ends_with_the_bytes_of_an_uninterrupted_one(self):
        output = self.path("out")
        for epoch, more in ((1, ()), (2, ("--resume",))):
            self.kill_after(epoch, output, self.command(output, *more))
            self.assertFalse(os.path.exists(os.path.join(output, "predict.csv")))
        self.run_program(*self.command(output, "--resume"))
        self.assert_same_run(output)

    def test_resuming_a_finished_run_predicts_again(self):
        shutil.copytree(self.reference, self.path("out"))
        os.remove(self.path("out", "predict.csv"))
        self.run_program(*self.command(self.path("out"), "--resume"))
        self.assert_same_run(self.path("out"))

    def test_resuming_with_other_options_is_refused_by_name(self):
        output = self.path("out")
        shutil.copytree(self.reference, output)
        other_logits = logits_of(self.data, self.path("other.safetensors"), SIZE, seed=6)
        changed = os.path.join(self.folder, "food")
        shutil.copytree(self.data, changed)
        shutil.copy(os.path.join(changed, "testing", "00", "00000.jpg"),
                    os.path.join(changed, "training", "unlabeled", "00", "zz.jpg"))
        logits_of(changed, self.path("changed.safetensors"), SIZE)
        before = {name: read(output, name) for name in os.listdir(output)}
        cases = [
            (self.command(output, "--resume", "--temperature", 3), "temperature 4, this one has 3"),
            (self.command(output, "--resume", "--distillation", "dkd"), "distillation kl, this one has dkd"),
            (self.command(output, "--resume", "--standardize-logits"), "standardize_logits false, this one has true"),
            (self.command(output, "--resume", "--alpha-where-wrong", 0), "alpha_where_wrong alpha, this one has 0"),
            (self.command(output, "--resume", "--optimizer", "adamw"), "optimizer sgd, this one has adamw"),
            (self.command(output, "--resume", epochs=9), "epochs 4, this one has 9"),
            (self.command(output, "--resume", logits=other_logits), "teacher_logits "),
            (self.command(output, "--resume", data=changed, logits=self.path("changed.safetensors")), "pictures "),
        ]
        for command, message in cases:
            line = self.refusal(*command)
            self.assertTrue(line.startswith(
                f"error: {os.path.join(output, 'last.safetensors')}: the interrupted run had {message}"), line)
            self.assertTrue(line.endswith("; resume with the same options or start anew"), line)
        self.assertEqual({name: read(output, name) for name in os.listdir(output)}, before)

    def test_resuming_where_nothing_was_begun_is_refused(self):
        self.assertEqual(self.refusal(*self.command(self.path("out"), "--resume")),
                         f"error: {self.path('out', 'last.safetensors')}: no such file, so there is no run to resume; "
                         "leave out --resume")


class Students(Distill):
    def test_the_table_lists_every_student_in_80_columns(self):
        table = self.run_program(DISTILL, "--list-students").stdout.splitlines()
        self.assertLessEqual(max(map(len, table)), 80)
        rows = {row.split()[0]: row for row in table[1:table.index("")]}
        files = os.listdir(os.path.join(programs.SOURCE, "examples", "students"))
        self.assertEqual(set(rows), {name[:-len(".hpp")].replace("_", "-") for name in files})
        self.assertRegex(rows["mobile-98k"], r"98,155 +\d+,\d+,\d+ +\d+,\d+,\d+  85\.2 % on Imagenette$")

    def test_the_summary_of_a_student_needs_no_data(self):
        table = self.run_program(DISTILL, "--summary", "--student", "mobile-98k").stdout
        self.assertIn("\nTotal params: 98,155\n", table)
        self.assertNotIn("\nTotal params: 98,155\n",
                         self.run_program(DISTILL, "--summary", "--student", "my-student").stdout)

    def test_a_student_that_does_not_exist_is_named(self):
        line = self.refusal(*self.command(self.path("out"), "--student", "huge"))
        self.assertTrue(line.startswith("error: there is no student 'huge'; there are mobile-98k, "), line)

    def test_the_users_own_student_is_trained_and_named_in_its_file(self):
        output = self.path("out")
        self.run_program(*self.command(output, "--student", "my-student", epochs=1))
        tensors, metadata = safetensors_io.load(os.path.join(output, "student.safetensors"))
        parameters = sum(values.size for values in tensors.values())
        self.assertEqual(metadata["network"], f"my-student, 11 classes, 128x128x3, {parameters} parameters")
        expected = read(output, "predict.csv")
        self.run_program(DISTILL, "--data", self.data, "--predict-only", "--output", output)
        self.assertEqual(read(output, "predict.csv"), expected)


class Starts(Distill):
    def test_a_stored_student_is_a_start_that_its_file_names(self):
        output, start = self.path("out"), os.path.join(self.reference, "student.safetensors")
        self.run_program(*self.command(output, "--start-from", start, epochs=1))
        _, metadata = safetensors_io.load(os.path.join(output, "student.safetensors"))
        self.assertRegex(metadata["started_from"], "^student.safetensors, xxh64 [0-9a-f]{16}$")
        self.assertIn(f"\nstart: {metadata['started_from']}\n", read(output, "summary.txt").decode())
        first = [float(next(csv.DictReader(lines(folder, "metrics.csv")))["training_loss"])
                 for folder in (output, self.reference)]
        self.assertLess(*first)
        line = self.refusal(*self.command(output, "--resume", epochs=1))
        self.assertTrue(line.endswith("; name that file with --start-from"), line)

    def test_a_student_of_other_classes_is_a_start_but_for_its_last_layer(self):
        start = self.path("start.safetensors")
        tensors, metadata = safetensors_io.load(os.path.join(self.reference, "student.safetensors"))
        *_, weight, bias = tensors
        tensors = {name: np.array(values[:10] if name in (weight, bias) else values) for name, values in tensors.items()}
        safetensors_io.save(start, tensors, metadata)
        done = self.run_program(*self.command(self.path("out"), "--start-from", start, epochs=1))
        self.assertIn(f"note: {start} has another number of classes, so the last layer starts from random", done.stderr)

    def test_a_student_of_another_network_is_no_start(self):
        start = os.path.join(self.reference, "student.safetensors")
        line = self.refusal(*self.command(self.path("out"), "--student", "my-student", "--start-from", start))
        self.assertTrue(line.startswith(f"error: {start}: "), line)
        self.assertFalse(os.path.exists(self.path("out", "last.safetensors")))

    def test_a_student_is_fine_tuned_for_int8_with_the_same_bytes_after_a_kill_and_for_any_number_of_threads(self):
        start = os.path.join(self.reference, "student.safetensors")
        outputs = [self.path("whole"), self.path("killed")]
        whole, killed = (self.command(output, "--start-from", start, "--quantize", "int8", epochs=2, threads=threads)
                         for output, threads in zip(outputs, (1, 2)))
        self.run_program(*whole)
        self.kill_after(1, outputs[1], killed)
        line = self.refusal(*self.command(outputs[1], "--start-from", start, "--resume", epochs=2))
        self.assertTrue(line.endswith(": the run began with --quantize int8; add it"), line)
        self.run_program(*killed, "--resume")
        for name in ("student.safetensors", "last.safetensors", "predict.csv", "summary.txt"):
            self.assertEqual(read(outputs[0], name), read(outputs[1], name), name)

        tensors, metadata = safetensors_io.load(os.path.join(outputs[0], "student.safetensors"))
        before, _ = safetensors_io.load(start)
        self.assertEqual(set(tensors), set(before))
        kept = {name for name, values in tensors.items() if np.all(values == before[name])}
        self.assertLessEqual({name for name in tensors if ".running_" in name}, kept)
        self.assertLess(kept, set(tensors))
        self.assertEqual(metadata["quantize"], "int8")
        # The picture, 15 convolutions, the pool, the logits.
        self.assertEqual(len(json.loads(metadata["int8_ranges"])), 18)
        summary = read(outputs[0], "summary.txt").decode()
        self.assertIn("\ntrained for: int8; the figures are those of the student in int8, as simulated in training\n",
                      summary)
        exported = os.path.join(os.path.dirname(DISTILL), "export_student")
        if os.path.exists(exported):
            done = self.run_program(exported, "--data", self.data, "--stored-size", SIZE, "--weights",
                                    os.path.join(outputs[0], "student.safetensors"), "--output", self.path("s.hpp"))
            self.assertRegex(done.stdout, r"\nint8: validation accuracy 0\.\d{4}, with the ranges that it was trained for\n")
            self.assertNotIn("labeled", done.stderr)

    def test_fine_tuning_for_int8_needs_a_trained_student(self):
        self.assertEqual(self.refusal(*self.command(self.path("out"), "--quantize", "int8")),
                         "error: --quantize int8 fine-tunes a trained student, whose batch norms keep their statistics; "
                         "name it with --start-from")
        line = self.refusal(*self.command(self.path("out"), "--quantize", "int8", "--predict-only"))
        self.assertEqual(line, "error: --quantize int8 trains and --predict-only does not; leave out one of them")

    def test_overwriting_replaces_a_run_and_keeps_other_files(self):
        output = self.path("out")
        shutil.copytree(self.reference, output)
        write("mine", output, "notes.txt")
        self.run_program(*self.command(output, "--overwrite", seed=8))
        self.assertEqual(read(output, "notes.txt"), b"mine")
        self.assertNotEqual(lasting_columns(output), lasting_columns(self.reference))
        self.assertEqual(sorted(os.listdir(output)), sorted([*os.listdir(self.reference), "notes.txt"]))


class Extended(Distill):
    CONSTANT = ("--final-learning-rate", 1, "--warmup-epochs", 1)

    def test_a_run_of_a_constant_rate_is_extended_without_a_difference(self):
        uninterrupted, extended = self.path("uninterrupted"), self.path("extended")
        self.run_program(*self.command(uninterrupted, *self.CONSTANT, epochs=3))
        self.run_program(*self.command(extended, *self.CONSTANT, epochs=2))
        done = self.run_program(*self.command(extended, *self.CONSTANT, "--extend", epochs=3))
        self.assertNotIn("note: ", done.stderr)
        for name in ("student.safetensors", "last.safetensors", "predict.csv", "summary.txt"):
            self.assertEqual(read(extended, name), read(uninterrupted, name), name)
        self.assertEqual(lasting_columns(extended), lasting_columns(uninterrupted))

    def test_another_schedule_is_said(self):
        output = self.path("out")
        shutil.copytree(self.reference, output)
        done = self.run_program(*self.command(output, "--extend", epochs=EPOCHS + 1))
        self.assertIn(f"note: the first {EPOCHS} epochs had the learning rates of a run of {EPOCHS}, ", done.stderr)
        self.assertEqual(lasting_columns(output)[:EPOCHS + 1], lasting_columns(self.reference))
        self.assertEqual(len(lasting_columns(output)), EPOCHS + 2)

    def test_an_extension_that_asks_for_no_more_is_refused(self):
        output = self.path("out")
        shutil.copytree(self.reference, output)
        self.assertIn(f"last.safetensors: the run has {EPOCHS} epochs and --epochs asks for {EPOCHS} in all; ",
                      self.refusal(*self.command(output, "--extend")))
        self.assertIn("so there is no run to extend; leave out --extend",
                      self.refusal(*self.command(self.path("absent"), "--extend")))


class Layouts(Distill):
    def test_data_without_testing_pictures_trains_and_says_so(self):
        data, output = self.path("food"), self.path("out")
        shutil.copytree(self.data, data)
        shutil.rmtree(os.path.join(data, "testing"))
        done = self.run_program(*self.command(output, data=data))
        self.assertIn("predictions: none, because the data has no testing/ folder\n", done.stdout)
        self.assertFalse(os.path.exists(os.path.join(output, "predict.csv")))
        self.assertEqual(read(output, "student.safetensors"), read(self.reference, "student.safetensors"))
        self.assertEqual(self.refusal(DISTILL, "--data", data, "--predict-only", "--output", output),
                         f"error: {data}: has no testing/ folder, so there is nothing to predict; add it")

    def test_the_layout_of_image_folders_is_trained_on(self):
        data, output = self.path("food"), self.path("out")
        for there, here in (("training/labeled", "train"), ("validation", "val"), ("testing", "test")):
            shutil.copytree(os.path.join(self.data, there), os.path.join(data, here))
        self.run_program(DISTILL, "--data", data, "--output", output, "--stored-size", SIZE, "--epochs", 1)
        self.assertEqual(len(lines(output, "predict.csv")), TESTING + 1)

    def test_ids_can_have_leading_zeros(self):
        student = os.path.join(self.reference, "student.safetensors")
        self.run_program(DISTILL, "--data", self.data, "--predict-only", "--weights", student, "--id-digits", 4,
                         "--output", self.path("out"))
        plain = [row.split(",") for row in lines(self.reference, "predict.csv")[1:]]
        self.assertEqual(lines(self.path("out"), "predict.csv")[1:],
                         [f"{int(number):04},{category}" for number, category in plain])

    def test_several_views_of_a_testing_picture_are_averaged(self):
        # The mean over a picture and its mirror image is the same for the mirrored picture; one view's logits are not.
        # The reference gives one answer to every picture.
        self.run_program(DISTILL, "--data", self.data, "--output", self.path("trained"), "--stored-size", SIZE, "--seed", 7,
                         "--epochs", 20, "--batch-size", 8, "--learning-rate", 0.05, "--averaging-decay", 0, "--keep",
                         "last")
        student, count = self.path("trained", "student.safetensors"), 200
        colors = np.random.default_rng(3).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
        for kind, step in (("plain", 1), ("mirrored", -1)):
            shutil.copytree(self.data, self.path(kind))
            shutil.rmtree(self.path(kind, "testing"))
            for number, picture in enumerate(colors):
                pixels = np.kron(picture, np.ones((SIZE // 4, SIZE // 4, 1), np.uint8))[:, ::step]
                write(programs.png(pixels), self.path(kind, "testing", "00"), f"{number:04}.png")

        def answers(kind, views):
            output = self.path(f"{kind}-{views}")
            done = self.run_program(DISTILL, "--data", self.path(kind), "--predict-only", "--weights", student, "--tta",
                                    views, "--output", output)
            views_text = rf" \([\d.]+ % with {views} test-time views, as predicted\)" if views > 1 else ""
            self.assertRegex(done.stdout, rf"validation accuracy: [\d.]+ %{views_text}\n")
            self.assertEqual(len(lines(output, "predict.csv")), count + 1)
            return lines(output, "predict.csv")

        self.assertNotEqual(answers("plain", 1), answers("mirrored", 1))
        self.assertEqual(answers("plain", 2), answers("mirrored", 2))
        self.assertNotEqual(answers("plain", 12), answers("plain", 2))
        self.assertIn("--tta", self.refusal(DISTILL, "--data", self.data, "--predict-only", "--tta", 13))

    def test_a_student_is_pruned_to_a_smaller_student(self):
        student, output = os.path.join(self.reference, "student.safetensors"), self.path("pruned")
        done = self.run_program(PRUNE, "--weights", student, "--output", output, "--name", "half-98k", "--parameters",
                                50_000)
        left = int(re.search(r"^(\d+) parameters of 98155$", done.stdout, re.MULTILINE)[1])
        self.assertTrue(45_000 < left <= 50_000, left)
        tensors, metadata = safetensors_io.load(os.path.join(output, "half_98k.safetensors"))
        self.assertEqual(sum(values.size for values in tensors.values()), left)
        self.assertEqual(metadata["network"], f"half-98k, 11 classes, 128x128x3, {left} parameters")
        self.assertEqual(metadata["classes"], json.dumps(CLASSES, separators=(",", ":")))
        # Every value is one of the student's, in its order.
        whole, _ = safetensors_io.load(student)
        for name, values in tensors.items():
            rest = iter(whole[name].ravel())
            self.assertTrue(all(value in rest for value in values.ravel()), name)
        # The compiler counts the same.
        source = self.path("count.cpp")
        write(f"""#include "{os.path.join(output, 'half_98k.hpp')}"
            static_assert(bantam::parameter_count<students::half_98k::Network<11, 128>> == {left});""", source)
        subprocess.run([os.environ.get("CXX", "c++"), "-std=c++20", "-fsyntax-only", "-I",
                        os.path.join(programs.SOURCE, "include"), source], check=True)

    def test_what_cannot_be_pruned_is_refused(self):
        student, output = os.path.join(self.reference, "student.safetensors"), self.path("pruned")
        for more, message in ((("--parameters", 500), "begin with a narrower network"),
                              (("--parameters", 100_000), "nothing needs to be removed"),
                              (("--name", "4x"), "begins with a letter"),
                              (("--least-share", 0), "must be above 0")):
            self.assertIn(message, self.refusal(PRUNE, "--weights", student, "--output", output, *more))
        self.assertFalse(os.path.exists(output))
        self.assertIn("no such file", self.refusal(PRUNE, "--weights", "absent", "--output", output))
        weights = self.path("student.safetensors")
        write(read(student), weights)
        self.assertIn("would be replaced", self.refusal(PRUNE, "--weights", weights, "--output", self.folder, "--name",
                                                        "student", "--parameters", 50_000))
        self.assertEqual(read(weights), read(student))
        self.assertIn("names no student", self.refusal(PRUNE, "--weights", self.logits, "--output", output))
        half = ("--parameters", 50_000)
        self.assertIn("cannot be used as an output folder",
                      self.refusal(PRUNE, "--weights", student, "--output", self.logits, *half))
        # A student of the user's own and the one that is pruned are not replaced.
        mine = write("// mine", output, "my_student.hpp")
        self.assertIn(f"{mine}: exists", self.refusal(PRUNE, "--weights", student, "--output", output, "--name",
                                                      "my-student", *half))
        self.assertEqual(read(mine), b"// mine")
        for _ in range(2):  # what the program itself wrote is
            self.run_program(PRUNE, "--weights", student, "--output", output, *half)

    def test_students_are_joined_to_an_ensemble(self):
        student, output = os.path.join(self.reference, "student.safetensors"), self.path("pair")
        done = self.run_program(JOIN, student, student, "--name", "two-98k", "--output", output)
        self.assertTrue(done.stdout.startswith("196310 parameters (over the homework's limit of 100000)\n"), done.stdout)
        tensors, metadata = safetensors_io.load(os.path.join(output, "two_98k.safetensors"))
        self.assertEqual(metadata["network"], "two-98k, 11 classes, 128x128x3, 196310 parameters")
        whole, _ = safetensors_io.load(student)
        for member in "01":
            for name, values in whole.items():
                self.assertEqual(tensors[f"0.{member}.{name}"].tobytes(), values.tobytes())
        # The compiler counts the same and gives the tensors these names.
        names = ", ".join(f'"{name}"' for name in tensors)
        source = write(f"""#include "{os.path.join(output, 'two_98k.hpp')}"
            #include <bantam/core/network.hpp>
            using Net = students::two_98k::Network<11, 128>;
            static_assert(bantam::parameter_count<Net> == 196310);
            constexpr std::string_view names[]{{{names}}};
            static_assert([] {{
                for (const bantam::NamedTensor& entry : bantam::tensor_table<Net>) {{
                    bool found = false;
                    for (const std::string_view name : names) found = found || entry.name.view() == name;
                    if (!found) return false;
                }}
                return bantam::tensor_table<Net>.size() == {len(tensors)};
            }}());""", self.path("names.cpp"))
        subprocess.run([os.environ.get("CXX", "c++"), "-std=c++20", "-fsyntax-only", "-I",
                        os.path.join(programs.SOURCE, "include"), source], check=True)
        self.assertIn("at least two members", self.refusal(JOIN, student, "--output", output))
        self.assertIn("no such file", self.refusal(JOIN, student, "absent", "--output", output))
        self.assertIn("begins with a letter", self.refusal(JOIN, student, student, "--name", "2x", "--output", output))
        joined = os.path.join(output, "two_98k.safetensors")
        self.assertIn("would be replaced", self.refusal(JOIN, student, joined, "--name", "two-98k", "--output", output,
                                                        "--student-folder", output))
        other = self.path("other.safetensors")
        safetensors_io.save(other, whole, {**metadata, "network": "mobile-98k, 10 classes, 128x128x3, 97978 parameters"})
        self.assertIn("join students of one kind", self.refusal(JOIN, student, other, "--output", output))
        safetensors_io.save(other, whole, {**metadata, "network": "unknown, 11 classes, 128x128x3, 98155 parameters"})
        self.assertIn("there is no header of the student 'unknown'", self.refusal(JOIN, student, other, "--output", output))


class Interrupted(Distill):
    def start(self, *more, save_seconds=0):
        """A run of more epochs than it will be given time for."""
        command = self.command(self.path("out"), "--save-seconds", save_seconds, *more)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_for(self, name, process):
        deadline = time.monotonic() + 120
        while not os.path.exists(self.path("out", name)) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)

    def test_a_signal_ends_the_run_after_its_step_and_it_can_be_resumed(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            shutil.rmtree(self.path("out"), ignore_errors=True)
            process = self.start(save_seconds=60)
            self.wait_for("last.safetensors", process)
            process.send_signal(number)
            _, errors = process.communicate()
            self.assertEqual(process.returncode, 128 + number, errors)
            self.assertRegex(errors.splitlines()[-1], f"^stopped by {signal.Signals(number).name} after (batch [0-9]+ of "
                             "epoch [0-9]+|epoch [0-9]+); to continue, run the same command with --resume")
            self.run_program(*self.command(self.path("out"), "--resume", threads=2))
            self.assert_same_run(self.path("out"))

    def test_a_run_killed_within_an_epoch_ends_with_the_same_bytes(self):
        process = self.start()
        self.wait_for("last.safetensors", process)
        process.kill()
        process.communicate()
        self.run_program(*self.command(self.path("out"), "--resume"))
        self.assert_same_run(self.path("out"))

    def test_a_second_run_in_the_folder_is_refused_with_the_process_that_uses_it(self):
        process = self.start()
        self.wait_for("last.safetensors", process)
        process.send_signal(signal.SIGSTOP)
        try:
            line = self.refusal(*self.command(self.path("out"), "--resume"))
            self.assertRegex(line, f"^error: {self.path('out')}: is in use by process {process.pid} on .*; wait until it "
                             "has ended, or choose another output folder$")
        finally:
            process.send_signal(signal.SIGCONT)
            process.communicate()
        self.assert_same_run(self.path("out"))

    def test_another_runs_student_in_the_folder_is_refused(self):
        output = self.path("out")
        shutil.copytree(self.reference, output)
        self.run_program(*self.command(self.path("other"), seed=8, epochs=1))
        shutil.copy(self.path("other", "student.safetensors"), output)
        self.assertEqual(self.refusal(*self.command(output, "--resume")),
                         f"error: {output}/student.safetensors: is not the student that belongs to last.safetensors; put "
                         "back the student of this run, or start the run anew")


class Streams(Distill):
    def run_in_shell(self, redirection):
        command = " ".join(self.command(self.path("out"))) + " " + redirection
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True)

    def test_progress_is_best_effort(self):
        for redirection in ("2>&-", "2>/dev/full", "2> >(true)"):
            shutil.rmtree(self.path("out"), ignore_errors=True)
            self.assertEqual(self.run_in_shell(redirection).returncode, 0, redirection)
            self.assert_same_run(self.path("out"))

    def test_results_that_are_not_printed_are_a_failure_and_the_files_are_complete(self):
        for redirection in (">&-", ">/dev/full"):
            shutil.rmtree(self.path("out"), ignore_errors=True)
            done = self.run_in_shell(redirection)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.splitlines()[-1],
                             "error: standard output could not be written; the files are complete")
            self.assert_same_run(self.path("out"))


class Drawing(ProgramTest):
    def test_nothing_is_removed_that_the_program_did_not_make(self):
        draw = (DRAW, "--size", 16, "--labeled-per-class", 1, "--unlabeled", 1, "--validation-per-class", 1, "--testing", 1)
        mine = write("mine", self.path("food.partial", "a"))
        other = write("mine", self.path("food.0.partial", "a"))
        self.run_program(*draw, "--output", self.path("food"))
        self.assertEqual([read(path) for path in (mine, other)], [b"mine", b"mine"])
        self.assertEqual(sorted(os.listdir(self.folder)), ["food", "food.0.partial", "food.partial"])
        empty = write("", self.path("file"))
        self.assertEqual(self.refusal(*draw, "--output", empty),
                         f"error: {empty}: expected a new or empty folder; remove it or name another")
        self.assertTrue(os.path.isfile(empty))


class PredictOnly(Distill):
    def predict(self, weights=None, *more):
        """The command that predicts with a stored student."""
        weights = () if weights is None else ("--weights", weights)
        return (DISTILL, "--data", self.data, "--predict-only", *weights, "--output", self.path("out"), *more)

    def setUp(self):
        super().setUp()
        self.student = os.path.join(self.reference, "student.safetensors")

    def test_a_stored_student_gives_the_same_predictions(self):
        done = self.run_program(*self.predict(self.student))
        self.assertEqual(read(self.path("out"), "predict.csv"), read(self.reference, "predict.csv"))
        accuracy = done.stdout.splitlines()[0]
        self.assertIn(f"validation accuracy: {float(accuracy.split()[2]) / 100:.4f}",
                      read(self.reference, "summary.txt").decode())
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["checksums.txt", "predict.csv"])

    def test_the_student_in_the_output_folder_is_the_default(self):
        shutil.copytree(self.reference, self.path("out"))
        os.remove(self.path("out", "predict.csv"))
        self.run_program(*self.predict())
        self.assert_same_run(self.path("out"))

    def test_a_student_that_is_missing_or_damaged_is_named(self):
        self.assertEqual(self.refusal(*self.predict()),
                         f"error: {self.path('out', 'student.safetensors')}: no such file; train first, or name one "
                         "with --weights")
        short = write(read(self.student)[:-100], self.path("short.safetensors"))
        self.assertIn(f"error: {short}: is not a sound safetensors file: ",
                      self.refusal(*self.predict(short)))
        self.assertFalse(os.path.exists(self.path("out", "predict.csv")))

    def altered(self, change, metadata=None):
        tensors, stored = safetensors_io.load(self.student)
        tensors = {name: np.array(values) for name, values in tensors.items()}
        change(tensors)
        target = self.path("altered.safetensors")
        safetensors_io.save(target, tensors, {**stored, **(metadata or {})})
        return target

    def test_a_student_of_another_network_is_named(self):
        def wider(tensors):
            tensors["0.weight"] = np.zeros((17, 3, 3, 3), np.float32)

        def lacking(tensors):
            del tensors["0.weight"]

        def poisoned(tensors):
            tensors["0.weight"][0, 0, 0, 0] = np.nan

        for change, message in ((wider, "tensor '0.weight' has shape [17, 3, 3, 3], expected [16, 3, 3, 3]"),
                                (lacking, "has no tensor '0.weight'; it is from another network"),
                                (poisoned, "tensor '0.weight' holds a number that is not finite")):
            altered = self.altered(change)
            self.assertIn(f"error: {altered}: {message}", self.refusal(*self.predict(altered)))

    def test_a_student_of_other_classes_is_refused(self):
        altered = self.altered(lambda tensors: None, {"classes": json.dumps(["soup"] + CLASSES[1:])})
        line = self.refusal(*self.predict(altered))
        self.assertTrue(line.startswith(f'error: {altered}: was trained on the classes ["soup"'), line)
        self.assertTrue(line.endswith("; name the data it was trained on"), line)

    def test_options_that_exclude_each_other_are_refused(self):
        self.assertEqual(self.refusal(*self.predict(self.student, "--resume")),
                         "error: --resume trains and --predict-only does not; leave out one of them")
        self.assertEqual(self.refusal(*self.command(self.path("out"), "--resume", "--overwrite")),
                         "error: --resume, --extend and --overwrite exclude each other; leave out all but one of them")
        self.assertTrue(self.refusal(DISTILL, "--data", self.data, "--weights", self.student, "--output",
                                     self.path("out")).startswith("error: --weights names the student of --predict-only"))

    def test_the_student_kept_in_the_repository_opens(self):
        kept = os.path.join(programs.SOURCE, "examples", "student.safetensors")
        if not os.path.exists(kept):
            self.skipTest("examples/student.safetensors is not there")
        tensors, metadata = safetensors_io.load(kept)
        self.assertEqual(metadata["format"], "bantam-checkpoint/1")
        self.assertLessEqual(sum(values.size for values in tensors.values()), 100000)
        self.assertLess(os.path.getsize(kept), 400 * 1024)
        # Ten classes: this program is built for eleven, and says so.
        self.assertIn(f"error: {kept}: was trained on the classes ", self.refusal(*self.predict(kept)))


class ForeignLogits(Distill):
    def foreign(self, change):
        """A copy of the logits file after change(tensors, metadata with its lists decoded)."""
        tensors, metadata = safetensors_io.load(self.logits)
        tensors = {name: np.array(values) for name, values in tensors.items()}
        lists = ("paths", "hashes", "classes", "preprocessing")
        metadata = {key: json.loads(text) if key in lists else text for key, text in metadata.items()}
        change(tensors, metadata)
        target = self.path("foreign.safetensors")
        safetensors_io.save(target, tensors, {key: json.dumps(value) if key in lists else value
                                              for key, value in metadata.items()})
        return target

    def assert_refused(self, message, logits, data=None):
        line = self.refusal(*self.command(self.path("out"), data=data, logits=logits))
        self.assertTrue(line.startswith(f"error: {logits}: "), line)
        self.assertIn(message, line)
        self.assertFalse(os.path.exists(self.path("out", "student.safetensors")))

    def test_a_picture_of_other_content_is_named(self):
        data = self.path("food")
        shutil.copytree(self.data, data)
        with open(os.path.join(data, "training", "unlabeled", "00", "00003.jpg"), "ab") as file:
            file.write(b"\0")
        self.assert_refused("does not match the pictures: image 25 (training/unlabeled/00/00003.jpg) has other content: "
                            "hash ", self.logits, data)

    def test_pictures_in_another_order_are_named(self):
        def swap(_, metadata):
            metadata["paths"][3:5] = metadata["paths"][4:2:-1]

        self.assert_refused("does not match the pictures: image 3 is 'training/labeled/02/2_0.jpg', in the data it is "
                            "'training/labeled/01/1_1.jpg'", self.foreign(swap))

    def test_a_picture_more_or_less_is_named(self):
        data = self.path("food")
        shutil.copytree(self.data, data)
        os.remove(os.path.join(data, "validation", "10", "10_0.jpg"))
        self.assert_refused("image 41 (validation/10/10_0.jpg) is not in the data", self.logits, data)
        shutil.copy(os.path.join(self.data, "validation", "10", "10_0.jpg"), os.path.join(data, "validation", "10"))
        shutil.copy(os.path.join(self.data, "validation", "10", "10_0.jpg"),
                    os.path.join(data, "validation", "10", "z.jpg"))
        self.assert_refused("picture 42 of the data (validation/10/z.jpg) is missing from it", self.logits, data)

    def test_other_classes_are_named(self):
        def rename(_, metadata):
            metadata["classes"][4] = "soup"

        self.assert_refused("its class 4 is 'soup', in the data it is '04'", self.foreign(rename))

    def test_a_logit_that_is_not_a_number_is_named(self):
        def poison(tensors, _):
            tensors["logits"][24, 1, 10] = np.nan

        self.assert_refused("has a logit that is not finite: image 24 (training/unlabeled/00/00002.jpg), view 1, class "
                            "'10'; create the file again", self.foreign(poison))

    def test_a_file_cut_short_is_named(self):
        for length in (0, 100, len(read(self.logits)) - 1):
            short = write(read(self.logits)[:length], self.path("short.safetensors"))
            self.assert_refused("is not a sound safetensors file", short)

    def test_a_file_of_another_kind_is_named(self):
        self.assert_refused("has format 'bantam-checkpoint/1', expected 'bantam-teacher-logits/2'",
                            os.path.join(self.reference, "student.safetensors"))
        self.assert_refused("no such file", self.path("absent.safetensors"))


class Checksums(Distill):
    def test_a_finished_run_lists_its_files(self):
        names = ["last.safetensors", "metrics.csv", "predict.csv", "report.html", "student.safetensors", "summary.txt"]
        self.assertEqual(lines(self.reference, "checksums.txt"),
                         [f"{xxhash.xxh64(read(self.reference, name)).hexdigest()}  {name}" for name in names])
        if shutil.which("xxhsum"):
            subprocess.run(["xxhsum", "--check", "--quiet", "checksums.txt"], cwd=self.reference, check=True)

    def test_a_flipped_bit_is_named(self):
        output = self.path("out")
        shutil.copytree(self.reference, output)
        predictions = read(output, "predict.csv")
        for name in ("predict.csv", "summary.txt"):
            content = bytearray(read(output, name))
            content[-2] ^= 1
            write(bytes(content), output, name)
        for command in (self.command(output, "--resume"), [DISTILL, "--data", self.data, "--output", output,
                                                           "--predict-only"]):
            done = self.run_program(*command)
            self.assertIn(f"warning: {output}/predict.csv: was changed or damaged after it was written: checksums.txt "
                          "has another hash\n", done.stderr)
            self.assertEqual(read(output, "predict.csv"), predictions)
            self.assertEqual(done.stderr.count("checksums.txt has another hash"), 2 if "--resume" in command else 1)
            write(b"Id,Category\n", output, "predict.csv")


class BadPictures(Distill):
    def test_bad_training_pictures_are_counted_named_and_change_nothing_else(self):
        data = self.path("food")
        shutil.copytree(self.data, data)
        write(b"", data, "training", "labeled", "03", "empty.jpg")
        write("hello", data, "training", "labeled", "03", "note.jpg")
        write(read(self.data, "testing", "00", "00000.jpg")[:300], data, "training", "unlabeled", "00", "zz.jpg")
        done = self.run_program(*self.command(self.path("out"), data=data))
        self.assertIn("warning: labeled: 2 of 24 pictures left out: ", done.stderr)
        self.assertIn("training/labeled/03/empty.jpg is empty", done.stderr)
        self.assertIn("training/labeled/03/note.jpg is not a JPEG, PNG or BMP picture", done.stderr)
        self.assertIn("warning: unlabeled: 1 of 10 pictures left out: ", done.stderr)
        self.assertIn("training/unlabeled/00/zz.jpg is truncated", done.stderr)
        self.assert_same_run(self.path("out"))

    def test_files_beside_the_testing_pictures_get_no_row(self):
        data = self.path("food")
        shutil.copytree(self.data, data)
        write(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", data, "testing", "00", "00000.db")
        write("[.ShellClassInfo]\r\n", data, "testing", "00", "a\x1b[31m.ini")
        write("Id,Category\n", data, "testing", "sample_submission.csv")
        write(read(data, "testing", "00", "00000.jpg"), data, "testing", "@eaDir", "00000.jpg")
        done = self.run_program(DISTILL, "--data", data, "--predict-only", "--weights",
                                os.path.join(self.reference, "student.safetensors"), "--output", self.path("out"))
        self.assertIn("note: 4 left out, which are no pictures or lie where none belongs: testing/@eaDir/, "
                      "testing/sample_submission.csv, testing/00/00000.db, testing/00/a\\x1b[31m.ini\n", done.stderr)
        self.assertEqual(lines(self.path("out"), "predict.csv"), lines(self.reference, "predict.csv"))

    def test_a_bad_testing_picture_is_an_error_and_the_predictions_stay(self):
        data = self.path("food")
        shutil.copytree(self.data, data)
        write(b"", data, "testing", "00", "00001a.jpg")
        write("earlier", self.path("out"), "predict.csv")
        line = self.refusal(DISTILL, "--data", data, "--predict-only", "--weights",
                            os.path.join(self.reference, "student.safetensors"), "--output", self.path("out"))
        self.assertEqual(line, f"error: {data}: 1 of 6 testing pictures cannot be used (named above), so there would be "
                               "no predictions; replace or remove them and run the command again")
        self.assertEqual(read(self.path("out"), "predict.csv"), b"earlier")

    def test_bad_testing_pictures_are_all_named_before_training(self):
        data = self.path("food")
        shutil.copytree(self.data, data)
        for number in range(12):
            write(read(data, "testing", "00", "00000.jpg")[:200 + number], data, "testing", "00", f"z{number:02}.jpg")
        done = subprocess.run([*self.command(self.path("out"), data=data)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        for number in range(12):
            self.assertIn(f"testing: testing/00/z{number:02}.jpg is truncated\n", done.stderr)
        self.assertIn(f"error: {data}: 12 of 17 testing pictures cannot be used (named above)", done.stderr)
        self.assertNotIn("epoch", done.stderr)
        self.assertFalse(os.path.exists(self.path("out")))

    def test_names_that_are_not_utf8_are_refused_before_any_work(self):
        data = self.path("food")
        shutil.copytree(self.data, data)
        os.rename(os.path.join(data, "testing", "00", "00000.jpg"),
                  os.path.join(os.fsencode(data), b"testing", b"00", b"\xa6^.jpg"))
        line = self.refusal(*self.command(self.path("out"), data=data))
        self.assertEqual(line, f"error: {data}/testing/00: the name '\\xa6^.jpg' is not valid UTF-8; rename it")
        self.assertFalse(os.path.exists(self.path("out")))
        line = self.refusal(*self.command(self.path("out")), "--weights", os.fsdecode(b"t\xa6.safetensors"))
        self.assertEqual(line, "error: the argument 't\\xa6.safetensors' is not valid UTF-8; rename the file or folder")

    def test_a_split_without_any_good_picture_is_refused(self):
        data = self.path("food")
        shutil.copytree(self.data, data)
        for name in CLASSES:
            write(b"", data, "validation", name, os.listdir(os.path.join(data, "validation", name))[0])
        line = self.refusal(*self.command(self.path("out"), data=data))
        self.assertEqual(line, f"error: {data}: none of the 11 validation pictures can be used; is the data set complete?")

    def test_testing_pictures_linked_among_the_training_ones_are_refused(self):
        data = self.path("food")
        shutil.copytree(self.data, data)
        place = os.path.join(data, "training", "unlabeled", "more")
        os.symlink(os.path.join(data, "testing", "00"), place)
        line = self.refusal(*self.command(self.path("out"), data=data))
        self.assertEqual(line, f"error: {place}/00000.jpg: leads into the testing folder, whose pictures are not to learn "
                               "from; remove the link")


class Refusals(Distill):
    def assert_refused(self, expected, *arguments):
        done = subprocess.run([DISTILL, *map(str, arguments)], capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stderr.splitlines(), [expected])
        self.assertEqual(done.stdout, "")

    def test_a_missing_gpu_is_reported_in_one_line(self):
        if os.path.exists("/dev/nvidiactl"):
            self.skipTest("there is a GPU")
        line = self.refusal(DISTILL, "--data", self.data, "--device", "cuda", "--output", self.path("out"))
        self.assertRegex(line, "this build has no CUDA; .*use --device cpu|no GPU can be used: .*work on the CPU")
        self.assertFalse(os.path.exists(self.path("out")))

    def test_unknown_flags_and_bad_values_are_named(self):
        for arguments, named in ((("--data", self.data, "--epoch", "3"), "--epoch"), ((), "--data is required"),
                                 (("--data", self.data, "--epochs", "many"), "--epochs"),
                                 (("--data", self.data, "--stored-size", "4"), "--stored-size"),
                                 (("--data", self.data, "--device", "tpu"), "tpu"),
                                 (("--data", self.data, "--precision", "half"), "half")):
            line = self.refusal(DISTILL, *arguments)
            self.assertIn(named, line)
            self.assertTrue(line.endswith("; see --help"), line)

    def test_a_folder_with_a_run_is_refused_before_the_pictures_are_read(self):
        before = {name: read(self.reference, name) for name in os.listdir(self.reference)}
        self.assert_refused(
            f"error: {self.reference}: already holds a run (student.safetensors); name another --output, continue that "
            "run with --resume, train it for more epochs with --extend, or replace it with --overwrite",
            *self.command(self.reference)[1:])
        self.assertEqual({name: read(self.reference, name) for name in os.listdir(self.reference)}, before)

    def test_a_precision_of_gpus_is_refused_on_the_cpu(self):
        self.assert_refused("error: --precision tf32 is for --device cuda; leave it out", "--data", self.data,
                            "--precision", "tf32", "--output", self.path("out"))

    def test_options_out_of_range_are_named_with_their_range(self):
        for option, value, message in (("alpha", 2, "alpha is 2; it must be in 0..1"),
                                       ("alpha-where-wrong", -1, "alpha_where_wrong is -1; it must be in 0..1"),
                                       ("unlabeled-weight", -1, "unlabeled_weight is -1; it must be in 0..1000"),
                                       ("dkd-beta", "inf", "dkd_beta is inf; it must be in 0..1000"),
                                       ("temperature", 0, "temperature is 0; it must be in 0.01..1000"),
                                       ("epochs", 0, "epochs is 0; it must be in 1..1000000"),
                                       ("threads", 0, "threads is 0; it must be in 1..1024"),
                                       ("learning-rate", "nan", "learning_rate is nan; it must be above 0"),
                                       ("optimizer", "lion", 'optimizer is "lion"; it must be sgd, adamw or muon')):
            line = self.refusal(DISTILL, "--data", self.data, "--output", self.path("out"), f"--{option}", value)
            self.assertTrue(line.startswith(f"error: {message}"), line)

    def test_folders_that_are_no_data_set_are_named(self):
        self.assert_refused(f"error: {self.path('absent')}: no such folder; name the folder that holds training/ and "
                            "validation/", "--data", self.path("absent"))
        self.assert_refused(f"error: {self.shared}/training: no such folder; did you mean {self.data}?",
                            "--data", self.shared)
        data = self.path("food")
        shutil.copytree(self.data, data)
        shutil.rmtree(os.path.join(data, "training", "labeled", "07"))
        self.assert_refused(f"error: {data}/training/labeled: has 10 classes, expected 11; choose the data folder this "
                            "program was built for, or build it for 10", "--data", data)

    def test_an_output_folder_that_cannot_be_used_is_named(self):
        taken = write("x", self.path("file"))
        self.assertIn(f"error: {taken}: cannot be used as an output folder: ", self.refusal(*self.command(taken)))
        self.assertIn("error: /proc/last.safetensors: cannot be created: ", self.refusal(*self.command("/proc")))

    def test_a_full_disk_leaves_the_older_student(self):
        # A limit on the size of files stands in for a disk without room.
        output = self.path("out")
        shutil.copytree(self.reference, output)
        before = {name: read(output, name) for name in os.listdir(output)}
        name = "last.safetensors"
        for room in (100_000, 600_000):
            line = self.refusal(*self.command(output, "--overwrite"), restore_signals=False,
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)))
            self.assertEqual(line, f"error: {os.path.join(output, name)}: could not be written completely: File too "
                                   "large; free some disk space or choose another folder")
            self.assertEqual(sorted(os.listdir(output)), sorted(before))
            self.assertEqual(read(output, name), before[name])


if __name__ == "__main__":
    unittest.main()
