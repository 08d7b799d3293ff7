#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tests of bench/accuracy.py, bench/search.py and of recipes. Exits with 77 (skipped) where a Python package or a program
is missing."""

import csv
import os
import re
import shutil
import signal
import statistics
import subprocess
import time
import unittest

import programs
from programs import ProgramTest, lines, read, write

import homework_folders
import recipes

BUILD = os.environ.get("BANTAM_PROGRAMS", os.path.join(programs.SOURCE, "build", "release"))
SEARCH = os.path.join(programs.SOURCE, "bench", "search.py")
ACCURACY = os.path.join(programs.SOURCE, "bench", "accuracy.py")
DISTILL = os.path.join(programs.SOURCE, "tools", "distill")
TRAIN_TEACHER = programs.program("tools/sample_data/train_sample_teacher")
for needed in recipes.PROGRAMS.values():
    programs.program(needed)
SIZE = 54
LABELED, UNLABELED = 4, 3  # per class, and in all

TAUGHT = f"[precompute_logits]\nviews = 2\nstored-size = {SIZE}\n\n[distill_food11]\nepochs = 2\nno-report\n"
ALONE = f"# Labels alone.\n[distill_food11]\nepochs = 1\nno-report\nstored-size = {SIZE}\n"


class Accuracy(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.draw_shared_data("--size", SIZE, "--labeled-per-class", LABELED, "--unlabeled", UNLABELED,
                             "--validation-per-class", 1, "--testing", 2)
        cls.teacher = os.path.join(cls.shared, "teacher.safetensors")
        subprocess.run([TRAIN_TEACHER, "--data", cls.data, "--output", cls.teacher, "--stored-size", str(SIZE),
                        "--epochs", "1"], check=True, capture_output=True)

    def recipe(self, name, text):
        return write(text, self.path(f"{name}.ini"))

    def command(self, *recipe_files, seeds=(1,), output="out", data=None, more=()):
        return (ACCURACY, *recipe_files, "--data", data or self.data, "--teacher", self.teacher, "--programs", BUILD,
                "--output", self.path(output), "--threads", 1, "--seeds", *seeds, *more)

    def rows(self, name, output="out"):
        return list(csv.DictReader(lines(self.path(output), name)))


class Tables(Accuracy):
    def test_recipes_and_seeds_become_means_and_deviations(self):
        taught, same, alone = (self.recipe("taught", TAUGHT), self.recipe("same", TAUGHT.replace("= 2\nno", "= 1\nno")),
                               self.recipe("alone", ALONE))
        done = self.run_program(*self.command(taught, same, alone, seeds=(1, 2)))
        runs = self.rows("runs.csv")
        self.assertEqual([(run["recipe"], run["seed"]) for run in runs],
                         [(name, seed) for name in ("taught", "same", "alone") for seed in "12"])
        # Both recipes have the same views, and so the same logits.
        self.assertEqual(sum(name.endswith(".safetensors") for name in os.listdir(self.path("out", "logits"))), 1)
        for run in runs:
            folder = self.path("out", "runs", run["recipe"], f"seed-{run['seed']}")
            self.assertIn(f"kept: epoch {run['kept epoch']},", read(folder, "summary.txt").decode())
            epochs = list(csv.DictReader(lines(folder, "metrics.csv")))
            self.assertEqual(len(epochs), 2 if run["recipe"] == "taught" else 1)
            kept = epochs[int(run["kept epoch"]) - 1]
            for column, name in (("validation_accuracy", "accuracy"), ("validation_cross_entropy", "cross-entropy")):
                self.assertEqual(float(run[name]), float(kept[column]))
            self.assertEqual(run["agreement with the teacher"] == "", run["recipe"] == "alone")
            self.assertAlmostEqual(float(run["seconds"]), sum(float(epoch["seconds"]) for epoch in epochs))
        for row in self.rows("results.csv"):
            own = [float(run["cross-entropy"]) for run in runs if run["recipe"] == row["recipe"]]
            self.assertAlmostEqual(float(row["cross-entropy mean"]), statistics.fmean(own))
            self.assertAlmostEqual(float(row["cross-entropy deviation"]), statistics.stdev(own))
        table = read(self.path("out"), "results.md").decode()
        self.assertIn(table, done.stdout)
        self.assertRegex(table, r"\n\| alone \| 2 \| 0\.[0-9]{4} ± 0\.[0-9]{4} \| [+-][0-9.]+ ± [0-9.]+ \| ")
        self.assertIn("Measured on 11 pictures of validation/", table)
        self.assertEqual(len(re.findall(r"^run [1-6]/6  ", done.stdout, re.MULTILINE)), 6)

    def test_a_hold_out_takes_its_validation_from_the_labeled_pictures(self):
        alone = self.recipe("alone", ALONE)
        self.run_program(*self.command(alone, more=("--hold-out", 0.25)))
        self.assertIn("Measured on 11 pictures held out of the labeled ones", read(self.path("out"), "results.md").decode())
        folder = self.path("out", "data", "hold-out-0.25-seed-1")
        before, after = (homework_folders.list_pictures(data) for data in (self.data, folder))
        self.assertEqual(before[0], after[0])
        files = {split: sorted(os.path.realpath(os.path.join(folder, path)) for path, _ in pictures)
                 for split, pictures in after[1].items()}
        self.assertEqual([len(files[split]) for split in ("labeled", "unlabeled", "validation")],
                         [(LABELED - 1) * 11, UNLABELED, 11])
        self.assertEqual(sorted(files["labeled"] + files["validation"]),
                         sorted(os.path.realpath(os.path.join(self.data, path)) for path, _ in before[1]["labeled"]))
        labels = {os.path.realpath(os.path.join(self.data, path)): label for path, label in before[1]["labeled"]}
        for path, label in after[1]["validation"]:
            self.assertEqual(labels[os.path.realpath(os.path.join(folder, path))], label)
        self.assertFalse(os.path.exists(os.path.join(folder, "testing")))
        self.run_program(*self.command(alone, output="other", more=("--hold-out", 0.25, "--hold-out-seed", 2)))
        _, other = homework_folders.list_pictures(self.path("other", "data", "hold-out-0.25-seed-2"))
        self.assertNotEqual(after[1]["validation"], other["validation"])


class Continued(Accuracy):
    def test_finished_runs_are_kept_and_an_interrupted_one_goes_on(self):
        first, long = self.recipe("first", ALONE), self.recipe("long", ALONE.replace("epochs = 1", "epochs = 8"))
        process = subprocess.Popen([str(word) for word in self.command(first, long)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        begun = self.path("out", "runs", "long", "seed-1", "metrics.csv")
        deadline = time.monotonic() + 120
        while not os.path.exists(begun) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
        self.assertEqual(process.returncode, 130, errors)
        self.assertIn("interrupted; finished runs are kept, and the same command goes on", errors)
        student = self.path("out", "runs", "first", "seed-1", "student.safetensors")
        before, epochs = os.stat(student).st_mtime_ns, len(lines(begun)) - 1
        self.assertLess(epochs, 8)
        self.assertEqual([run["recipe"] for run in self.rows("runs.csv")], ["first"])

        self.run_program(*self.command(first, long))
        self.assertEqual(os.stat(student).st_mtime_ns, before)
        self.assertEqual(len(lines(begun)) - 1, 8)
        self.assertIn("--resume", lines(self.path("out", "runs", "long", "seed-1.log"))[0])
        self.assertEqual([run["recipe"] for run in self.rows("runs.csv")], ["first", "long"])

        self.recipe("first", ALONE + "alpha = 0.5\n")
        self.assertEqual(self.refusal(*self.command(first)),
                         f"error: {first}: {self.path('out', 'runs', 'first')} holds runs of this recipe with other "
                         "options; name another --output, or remove that folder")

    def test_a_run_that_fails_ends_the_command_with_its_message(self):
        data = shutil.copytree(self.data, self.path("food"))
        shutil.rmtree(os.path.join(data, "training", "labeled", "10"))
        for picture in os.listdir(os.path.join(data, "validation", "10")):
            os.remove(os.path.join(data, "validation", "10", picture))
        os.rmdir(os.path.join(data, "validation", "10"))
        line = self.refusal(*self.command(self.recipe("alone", ALONE), data=data))
        self.assertRegex(line, r"^error: .*10 classes.*\(the whole output is in .*/runs/alone/seed-1\.log\)$")


# Stands in for cmake: the programs are those of the build, and every network of the search is trained as mobile-98k.
CMAKE = """#!/bin/sh
while [ "$1" != -B ] && [ "$1" != --build ]; do shift; done
mkdir -p "$2/examples" "$2/tools"
cat > "$2/examples/distill_food11" <<'END'
#!/bin/sh
for word; do
    shift
    case $word in candidate-*) word=mobile-98k ;; esac
    set -- "$@" "$word"
done
exec {program} "$@"
END
chmod +x "$2/examples/distill_food11"
"""


class Search(Accuracy):
    def search(self, *more):
        environment = dict(os.environ, PATH=self.path("bin") + os.pathsep + os.environ["PATH"])
        return subprocess.run([SEARCH, self.recipe("alone", ALONE), "--data", self.data, "--output", self.path("found"),
                               "--threads", "1", "--candidates", "4", "--epochs", "1", *more],
                              env=environment, capture_output=True, text=True)

    def test_the_best_of_each_round_go_on_and_the_winner_is_a_student(self):
        cmake = write(CMAKE.format(program=os.path.join(BUILD, "examples", "distill_food11")), self.path("bin", "cmake"))
        os.chmod(cmake, 0o755)
        done = self.search()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        rows = list(csv.DictReader(lines(self.path("found"), "search.csv")))
        # Four networks and the baseline for one epoch, then the best two for three.
        self.assertEqual([(row["round"], row["epochs"]) for row in rows], [("1", "1")] * 5 + [("2", "3")] * 3)
        for number, count in (("1", 2), ("2", 1)):
            own = [row for row in rows if row["round"] == number]
            self.assertEqual(own, sorted(own, key=lambda row: float(row["validation loss"])))
            best = [row["network"] for row in own if row["network"] != "mobile-98k"]
            after = {row["network"] for row in rows if row["round"] == "2"} - {"mobile-98k"}
            self.assertEqual(after if number == "1" else {best[0]}, set(best[:count]))
        for row in rows:
            self.assertTrue(90_000 <= int(row["parameters"]) <= 100_000, row)
        # The compiler counts the same in the winner's header.
        parameters = next(row["parameters"] for row in rows if row["network"] == best[0])
        source = write(f"""#include "{self.path('found', 'winner', 'search_winner.hpp')}"
            static_assert(bantam::parameter_count<students::search_winner::Network<11, 128>> == {parameters});""",
                       self.path("count.cpp"))
        subprocess.run([os.environ.get("CXX", "c++"), "-std=c++20", "-fsyntax-only", "-I",
                        os.path.join(programs.SOURCE, "include"), source], check=True)
        # The same command does nothing anew.
        self.assertEqual(self.search().stdout.splitlines()[-8:], done.stdout.splitlines()[-8:])
        self.assertEqual(list(csv.DictReader(lines(self.path("found"), "search.csv"))), rows)
        other = self.search("--budget", "60000")
        self.assertEqual(other.returncode, 1)
        self.assertIn("holds the networks of another search; name another --output, or remove it", other.stderr)


class BadRecipes(Accuracy):
    def assert_refused(self, expected, text):
        path = self.recipe("bad", text)
        self.assertEqual(self.refusal(*self.command(path)), f"error: {path}{expected}")
        self.assertFalse(os.path.exists(self.path("out")))

    def test_a_recipe_that_is_no_recipe_is_refused_with_its_line(self):
        self.assert_refused(":1: comes before any section; begin with [distill_food11]", "epochs = 1\n")
        self.assert_refused(":3: names epochs a second time; remove one of them",
                            "[distill_food11]\nepochs = 1\nepochs = 2\n")
        self.assert_refused(":2: begins [distill_food11] a second time; join the two",
                            "[distill_food11]\n[distill_food11]\n")
        self.assert_refused(": has the section [student]; there are [precompute_logits] and [distill_food11]",
                            "[student]\n")
        self.assert_refused(": has no section [distill_food11]; add it", "[precompute_logits]\nviews = 2\n")
        self.assert_refused(": epochs: the line after it is indented; begin each option at the left",
                            "[distill_food11]\nepochs = 1\n  alpha = 1\n")

    def test_an_option_that_the_programs_do_not_take_is_named(self):
        section = "[distill_food11]\n"
        self.assert_refused(": [distill_food11] epocs: there is no such option; did you mean epochs?", section + "epocs = 1\n")
        self.assert_refused(": [distill_food11] xyz: there is no such option; distill_food11 --help lists them",
                            section + "xyz = 1\n")
        self.assert_refused(": [distill_food11] epochs: has no value; write epochs = VALUE", section + "epochs =\n")
        self.assert_refused(": [distill_food11] no-report is a switch; write it without a value",
                            section + "no-report = 1\n")
        self.assert_refused(": [distill_food11] seed is not for recipes; the command line sets it", section + "seed = 1\n")
        self.assert_refused(": [distill_food11] epochs is 0; it must be in 1..1000000", section + "epochs = 0\n")
        self.assert_refused(": [distill_food11] --keep: best not in {loss,accuracy,last}", section + "keep = best\n")
        path = self.recipe("bad", "[precompute_logits]\nviews = 0\n" + section)
        self.assertTrue(self.refusal(*self.command(path)).startswith(
            f"error: {path}: [precompute_logits] --views: Value 0 not in range "))

    def test_what_else_is_wrong_is_refused_before_any_run(self):
        alone = self.recipe("alone", ALONE)
        self.assertEqual(self.refusal(*self.command("nowhere")),
                         "error: there is no recipe 'nowhere'; there are averaged, high-resolution, labels-alone, many-views, "
                         "patient, short, or name a file that ends with .ini")
        self.assertEqual(self.refusal(*self.command(alone, alone)),
                         f"error: {alone}: two recipes have the name alone; rename one of the files")
        self.assertEqual(self.refusal(ACCURACY, "patient", "--data", self.data, "--programs", BUILD, "--output",
                                      self.path("out")).split(": ", 2)[2],
                         "needs a teacher; name its weights with --teacher")
        self.assertIn("name the build folder of the programs with --programs",
                      self.refusal(ACCURACY, alone, "--data", self.data, "--programs", self.folder, "--output",
                                   self.path("out")))
        for wrong in (("--hold-out", 1), ("--hold-out", -0.1), ("--threads", 0)):
            self.assertIn(f"error: {wrong[0]} is", subprocess.run([str(word) for word in self.command(alone, more=wrong)],
                                                                  capture_output=True, text=True).stderr)


class Kept(Accuracy):
    def test_the_programs_know_every_option_of_the_recipes_here(self):
        names = sorted(os.listdir(recipes.FOLDER))
        self.assertGreater(len(names), 3)
        for name in names:
            recipe = recipes.read(name.removesuffix(".ini"))
            recipes.check(recipe, BUILD)
            self.assertGreater(recipe.number("distill_food11", "epochs"), 1)

    def test_distill_takes_a_recipe_and_what_the_command_line_replaces(self):
        recipe = self.recipe("mine", TAUGHT + "alpha = 0.5\n")
        done = self.run_program(DISTILL, "--data", self.data, "--teacher", self.teacher, "--output", self.path("run"),
                                "--cache", self.path("cache"), "--programs", BUILD, "--recipe", recipe, "--views", 3,
                                "--threads", 1, "--", "--epochs", 1, "--keep", "last")
        stored, trained = (line.split() for line in done.stdout.splitlines() if line.startswith("$ "))
        self.assertEqual(stored[stored.index("--views") + 1], "3")
        self.assertEqual([word for word in trained if word in ("--alpha", "0.5", "--epochs", "1", "--keep", "--no-report")],
                         ["1", "1", "--no-report", "--alpha", "0.5", "--epochs", "1", "--keep"])
        self.assertEqual(len(lines(self.path("run"), "metrics.csv")), 1 + 1)


if __name__ == "__main__":
    unittest.main()
