#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tests of the programs under mpirun: any number of ranks writes the files of one process. Exits with 77 (skipped) where
mpirun or a Python package is missing."""

import glob
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

import programs
from programs import ProgramTest, lines, logits_of, read

DISTILL = programs.program("examples/distill_food11")
PRECOMPUTE = programs.program("tools/precompute_logits")
DISTILL_ON_DEVICE = os.path.join(os.path.dirname(os.path.dirname(DISTILL)), "processor_cuda", "distill_food11")
TRAIN_TEACHER = programs.program("tools/sample_data/train_sample_teacher")
if shutil.which("mpirun") is None:
    print("skipped: mpirun is missing; install openmpi-bin")
    sys.exit(programs.SKIPPED)

SIZE = 32
EPOCHS = 3
# Ranks share the processors of a small machine, as root in a container.
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
               "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}


def mpirun(ranks, *command):
    return ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none", *map(str, command)]


def lasting_columns(output):
    """The rows of metrics.csv without the two columns that time depends on."""
    return [row.rsplit(",", 2)[0] for row in lines(output, "metrics.csv")]


def warnings(messages):
    return [line for line in messages.splitlines() if line.startswith("warning: ")]


def processes_of(output, program=DISTILL):
    """The processes of distill_food11 that write to `output`."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = read("/proc", name, "cmdline").split(b"\0")
        except OSError:
            continue
        if words[0] == program.encode() and str(output).encode() in words:
            found.append(int(name))
    return found


class Ranks(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.draw_shared_data("--size", SIZE, "--labeled-per-class", 2, "--unlabeled", 9, "--validation-per-class", 1,
                             "--testing", 3)
        # Two damaged pictures, which different ranks find.
        pictures = sorted(glob.glob(os.path.join(cls.data, "training", "**", "*.jpg"), recursive=True))
        for path in (pictures[0], pictures[-1]):
            os.truncate(path, os.path.getsize(path) // 2)
        cls.logits = logits_of(cls.data, os.path.join(cls.shared, "logits.safetensors"), SIZE, views=3, mixed=1)
        cls.reference = os.path.join(cls.shared, "reference")
        done = subprocess.run(cls.command(cls.reference), check=True, capture_output=True, text=True)
        cls.warnings = warnings(done.stderr)

    @classmethod
    def command(cls, output, *more, threads=1):
        return [DISTILL, "--data", cls.data, "--teacher-logits", cls.logits, "--output", output, "--epochs",
                str(EPOCHS), "--batch-size", "11", "--learning-rate", "0.05", "--seed", "7", "--threads", str(threads),
                "--no-report", *map(str, more)]

    def run_ranks(self, ranks, *command):
        return self.run_program(*mpirun(ranks, *command), env=ENVIRONMENT, timeout=300)

    def assert_same_run(self, output, reference=None):
        reference = reference or self.reference
        for name in ("student.safetensors", "last.safetensors", "predict.csv", "summary.txt"):
            self.assertEqual(read(output, name), read(reference, name), name)
        self.assertEqual(lasting_columns(output), lasting_columns(reference))

    def stop_when_saved(self, output, command, environment):
        """Starts ranks that write to `output`, and stops one of them when the state is there: all of them stop."""
        process = subprocess.Popen(mpirun(2, *command), env=environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        state = os.path.join(output, "last.safetensors")
        deadline = time.monotonic() + 120
        while process.poll() is None and not os.path.exists(state) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(processes_of(output, command[0])[-1], signal.SIGTERM)
        _, messages = process.communicate(timeout=120)
        self.assertIn("stopped by SIGTERM after", messages)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM, messages)


class Training(Ranks):
    def test_any_number_of_ranks_and_threads_writes_the_files_of_one_process(self):
        # Four of them write and read one cache of the decoded pictures.
        for ranks, threads, more in ((2, 1, ()), (3, 2, ()), (4, 1, ("--cache", self.path("pictures.cache")))):
            with self.subTest(ranks=ranks, threads=threads):
                output = self.path(f"ranks-{ranks}")
                done = self.run_ranks(ranks, *self.command(output, *more, threads=threads))
                self.assert_same_run(output)
                self.assertEqual(done.stdout.count("student: "), 1, done.stdout)
                self.assertEqual(warnings(done.stderr), self.warnings)
                self.assertEqual(len(self.warnings), 2, self.warnings)
                self.assertEqual(done.stderr.count(f"epoch {EPOCHS}/{EPOCHS}  loss"), 1, done.stderr)

    def test_a_killed_rank_ends_all_and_the_run_resumes_with_another_number_of_ranks(self):
        output = self.path("killed")
        chance = random.Random(3)
        for ranks, resume in ((2, ()), (3, ("--resume",))):
            process = subprocess.Popen(mpirun(ranks, *self.command(output, "--save-seconds", 0, *resume)),
                                       env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            state = os.path.join(output, "last.safetensors")
            before = os.path.getmtime(state) if os.path.exists(state) else 0
            deadline = time.monotonic() + 120
            while process.poll() is None and time.monotonic() < deadline:
                if os.path.exists(state) and os.path.getmtime(state) > before:
                    break
                time.sleep(0.01)
            members = processes_of(output)
            self.assertEqual(len(members), ranks, "the run ended before it could be killed")
            os.kill(chance.choice(members), signal.SIGKILL)
            process.wait(timeout=30)
            self.assertNotEqual(process.returncode, 0)
            self.assertEqual(processes_of(output), [])
        self.run_program(*self.command(output, "--resume"))
        self.assert_same_run(output)

    def test_a_stopped_run_saves_its_state_and_resumes_with_the_same_bits(self):
        output = self.path("stopped")
        self.stop_when_saved(output, self.command(output), ENVIRONMENT)
        self.run_ranks(3, *self.command(output, "--resume"))
        self.assert_same_run(output)

    def test_norms_of_each_rank_are_named_in_the_state(self):
        output = self.path("norms")
        self.run_ranks(2, *self.command(output, "--norms", "rank", threads=1))
        self.assertNotEqual(read(output, "student.safetensors"), read(self.reference, "student.safetensors"))
        again = self.path("again")
        self.run_ranks(2, *self.command(again, "--norms", "rank", threads=2))
        self.assertEqual(read(output, "student.safetensors"), read(again, "student.safetensors"))
        done = subprocess.run(mpirun(3, *self.command(output, "--norms", "rank", "--resume")), env=ENVIRONMENT,
                              capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("the interrupted run had norm_ranks 2, this one has 3", done.stderr)
        self.assertIn("--norms rank is for several ranks", self.refusal(*self.command(again, "--norms", "rank")))

    def test_a_rank_that_fails_ends_all_with_its_message(self):
        # The shell that starts the ranks gives one of them another file.
        other = self.path("other-logits.safetensors")
        logits_of(self.data, other, SIZE, views=3, seed=8, mixed=1)
        command = " ".join(self.command(self.path("failed")))
        script = (f'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then exec {command.replace(self.logits, other)}; '
                  f"else exec {command}; fi")
        done = subprocess.run(mpirun(2, "sh", "-c", script), env=ENVIRONMENT, capture_output=True, text=True,
                              timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("rank 1 of 2: error: the first rank reads other pictures or teacher logits", done.stderr)

    def test_what_ranks_cannot_do_is_one_line(self):
        for more, message in ((("--teacher", self.logits), "--teacher answers in one process alone"),
                              (("--epochs", "none"), "--epochs")):
            with self.subTest(more=more):
                command = [word for word in self.command(self.path("refused"), *more)
                           if more[0] != "--teacher" or word not in ("--teacher-logits",)]
                if more[0] == "--teacher":
                    command.remove(self.logits)
                done = subprocess.run(mpirun(2, *command), env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
                self.assertNotEqual(done.returncode, 0)
                self.assertEqual(done.stderr.count("error: "), 1, done.stderr)
                self.assertIn(message, done.stderr)


@unittest.skipUnless(os.path.exists(DISTILL_ON_DEVICE), "the program for the processor's threads was not built")
class Devices(Ranks):
    """One GPU per rank; the processor's threads stand for them."""

    def on_device(self, output, *more):
        return [DISTILL_ON_DEVICE, *self.command(output, "--device", "cuda", *more)[1:]]

    def test_ranks_that_are_stopped_and_resumed_by_more_write_the_files_of_one_process(self):
        alone, output = self.path("alone"), self.path("ranks")
        one_thread = {**ENVIRONMENT, "OMP_NUM_THREADS": "1"}
        self.run_program(*self.on_device(alone))
        self.stop_when_saved(output, self.on_device(output), one_thread)
        self.run_program(*mpirun(3, *self.on_device(output, "--resume")), env=one_thread, timeout=300)
        self.assert_same_run(output, alone)

    def test_norms_of_each_rank_are_refused(self):
        done = subprocess.run(mpirun(2, *self.on_device(self.path("refused"), "--norms", "rank")), env=ENVIRONMENT,
                              capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--norms rank works on the CPU alone", done.stderr)


class Logits(Ranks):
    def test_ranks_write_the_logits_file_of_one_process_and_no_other(self):
        teacher = self.path("teacher.safetensors")
        self.run_program(TRAIN_TEACHER, "--data", self.data, "--output", teacher, "--stored-size", SIZE, "--epochs", 1,
                         "--threads", 1)
        options = ["--data", self.data, "--teacher", teacher, "--stored-size", str(SIZE), "--views", "2", "--mixed",
                   "1", "--threads", "1", "--output"]
        alone = self.path("alone.safetensors")
        printed = self.run_program(PRECOMPUTE, *options, alone).stdout
        for ranks in (2, 3):
            with self.subTest(ranks=ranks):
                folder = self.path(str(ranks))
                os.mkdir(folder)
                of_ranks = os.path.join(folder, "logits.safetensors")
                done = self.run_ranks(ranks, PRECOMPUTE, *options, of_ranks)
                self.assertEqual(read(of_ranks), read(alone))
                self.assertEqual(os.listdir(folder), ["logits.safetensors"])
                self.assertEqual(done.stdout.replace(of_ranks, alone), printed)


if __name__ == "__main__":
    unittest.main()
