#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains recipes with several seeds each and writes a table of their accuracies.

    bench/accuracy.py patient short labels-alone --data DIR --teacher teacher.safetensors --programs build/release \\
        --output build/accuracy --seeds 1 2 3

A recipe is a file of examples/recipes/ or a path. The output folder holds results.md and results.csv (mean and standard
deviation over the seeds), runs.csv (one row per run), and each run's own folder, runs/RECIPE/seed-N. Recipes with the
same views share one logits file. After an interruption the same command goes on; finished runs are kept, and recipes and
seeds can be added. The table is written anew after each run.

--hold-out 0.1 moves a tenth of each class from the labeled pictures to a validation set of its own, so that choices
need not be made on the data's validation pictures: the output folder gets a copy of the data made of links, in which
validation/ holds those pictures.
"""

import argparse
import csv
import hashlib
import json
import math
import os
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tools", "shared"))

import fingerprints  # noqa: E402
import homework_folders  # noqa: E402
import recipes  # noqa: E402

# Columns of metrics.csv and what the tables call them.
FIGURES = {"validation_loss": "validation loss", "validation_accuracy": "accuracy",
           "validation_cross_entropy": "cross-entropy", "validation_teacher_agreement": "agreement with the teacher"}


class Refusal(Exception):
    """A failure that the user can mend; the message is one line."""


def add_hold_out(parser):
    parser.add_argument("--hold-out", type=float, default=0, metavar="FRACTION",
                        help="part of the labeled pictures to validate on, in place of the data's validation pictures")
    parser.add_argument("--hold-out-seed", type=int, default=1, metavar="N", help="chooses these pictures (1)")


def check_hold_out(parser, options):
    if not 0 <= options.hold_out < 1:
        parser.error(f"--hold-out is {options.hold_out}; it must be at least 0 and below 1")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("recipes", nargs="+", metavar="RECIPE", help="name of a file in examples/recipes/, or a path")
    add("--data", required=True, metavar="DIR", help="folder with training/ and validation/")
    add("--teacher", metavar="FILE", help="the teacher's weights, safetensors; not needed for labels alone")
    add("--programs", required=True, metavar="DIR", help="build folder with precompute_logits and distill_food11")
    add("--output", required=True, metavar="DIR", help="folder for the runs and the tables")
    add("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="N", help="one run of each recipe per seed (1 2 3)")
    add_hold_out(parser)
    add("--threads", type=int, default=os.cpu_count() or 1, metavar="N", help="CPU threads (all)")
    add("--device", default="cpu", choices=("cpu", "cuda"), help="where teacher and students run (cpu)")
    add("--precision", default="float32", choices=("float32", "tf32", "bf16"), help="of a GPU (float32)")
    add("--build", action="store_true", help="bring the programs in --programs up to date first")
    options = parser.parse_args()
    check_hold_out(parser, options)
    if options.threads < 1:
        parser.error(f"--threads is {options.threads}; it must be at least 1")
    for seed in options.seeds:
        if not 0 <= seed < 2**64:
            parser.error(f"--seeds: {seed} is not in 0..2^64-1")
    options.seeds = list(dict.fromkeys(options.seeds))
    return options


# --------------------------------------------------------------------------------------------- data

def held_out(splits, fraction, seed):
    """The paths of the labeled pictures to validate on: `fraction` of each class, at least one picture, chosen by the
    hashes of seed and path, so that most of the choice stays when pictures are added."""
    classes = {}
    for path, label in splits["labeled"]:
        classes.setdefault(label, []).append(path)
    chosen = set()
    for label, paths in classes.items():
        if len(paths) < 2:
            raise Refusal(f"class {label} has one labeled picture, so none can be held out; leave out --hold-out")
        count = min(max(round(len(paths) * fraction), 1), len(paths) - 1)
        paths.sort(key=lambda path: hashlib.sha256(f"{seed}\0{path}".encode()).digest())
        chosen.update(paths[:count])
    return chosen


def link_data(data, target, fraction, seed):
    """Writes the data folder of --hold-out, which appears complete or not at all. Testing pictures are left out."""
    _, splits = homework_folders.list_pictures(data)
    chosen = held_out(splits, fraction, seed)
    training = homework_folders.first_folder(data, homework_folders.TRAINING)
    labeled = f"{training}/labeled" if os.path.isdir(os.path.join(data, training, "labeled")) else training
    begun = target + ".partial"
    shutil.rmtree(begun, ignore_errors=True)
    for split in ("labeled", "unlabeled"):
        for path, _ in splits[split]:
            if archive := homework_folders.archive_of(os.path.join(data, path)):
                raise Refusal(f"{archive}: pictures in archives cannot be held out; unpack it, or leave out --hold-out")
            link = f"validation/{path[len(labeled) + 1:]}" if path in chosen else path
            place = os.path.join(begun, link)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.symlink(os.path.abspath(os.path.join(data, path)), place)
    os.rename(begun, target)


def data_folder(options):
    if not options.hold_out:
        return options.data
    target = os.path.join(options.output, "data", f"hold-out-{options.hold_out:g}-seed-{options.hold_out_seed}")
    if not os.path.isdir(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        link_data(options.data, target, options.hold_out, options.hold_out_seed)
    return target


# --------------------------------------------------------------------------------------------- runs

class RunFolder:
    """The folder of a run, and what the tables call it. `results` are the files that a finished run has."""

    def __init__(self, folder, name, seed, results=("summary.txt",)):
        self.folder, self.name, self.seed, self.results = folder, name, seed, results

    def finished(self):
        # distill_food11 writes them at the end, and removes them after an epoch of a run that goes on.
        return all(os.path.exists(os.path.join(self.folder, name)) for name in self.results)

    def epochs(self):
        """The rows of metrics.csv, one per finished epoch."""
        try:
            with open(os.path.join(self.folder, "metrics.csv"), newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
        except FileNotFoundError:
            return []

    def result(self):
        """The figures of the kept epoch."""
        with open(os.path.join(self.folder, "summary.txt"), encoding="utf-8") as file:
            kept = re.search(r"^kept: epoch (\d+),", file.read(), re.MULTILINE)
        rows = self.epochs()
        row = next((row for row in rows if kept and row["epoch"] == kept[1]), None)
        if row is None:
            raise Refusal(f"{self.folder}: its summary.txt and metrics.csv do not fit together; remove the folder, and "
                          "the run is made again")
        figures = {name: float(row[column]) if row[column] else None for column, name in FIGURES.items()}
        return {"recipe": self.name, "seed": self.seed, "kept epoch": int(kept[1]), **figures,
                "seconds": round(sum(float(row["seconds"]) for row in rows), 2)}


class Run(RunFolder):
    """One recipe with one seed."""

    def __init__(self, options, recipe, seed, predicts):
        super().__init__(os.path.join(options.output, "runs", recipe.name, f"seed-{seed}"), recipe.name, seed,
                         ["summary.txt", *(["predict.csv"] if predicts else [])])
        self.recipe, self.log = recipe, self.folder + ".log"


def require_same_settings(options, recipe, data):
    """Records what the runs of a recipe depend on, and refuses to mix them with runs of other settings."""
    path = os.path.join(options.output, "runs", recipe.name, "settings.json")
    settings = {"options": recipe.options, "data": os.path.abspath(data), "device": options.device,
                "precision": options.precision}
    if recipe.needs_teacher():
        settings["teacher"] = fingerprints.file_fingerprint(options.teacher)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        for name in settings.keys() | found.keys():
            if settings.get(name) != found.get(name):
                raise Refusal(f"{recipe.path}: {os.path.dirname(path)} holds runs of this recipe with other {name}; name "
                              "another --output, or remove that folder")
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".partial", "w", encoding="utf-8") as file:
        json.dump(settings, file, indent=1)
    os.replace(file.name, path)


def last_error(log):
    with open(log, errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    return next((line.removeprefix("error: ") for line in reversed(lines) if "error" in line.lower()),
                lines[-1] if lines else "no message")


def logged(command, log, on_second=lambda: None):
    """Runs a command with its output in a file. An interruption is passed on, so that the program can save its state."""
    with open(log, "w") as file:
        file.write("$ " + shlex.join(command) + "\n")
        file.flush()
        try:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            raise Refusal(f"{command[0]}: {error.strerror}; name the build folder of the programs with "
                          "--programs") from None
        try:
            while True:
                try:
                    status = process.wait(timeout=1)
                    break
                except subprocess.TimeoutExpired:
                    on_second()
        except BaseException:
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise
    if status != 0:
        raise Refusal(f"{last_error(log)} (the whole output is in {log})")


def duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Progress:
    """A line on a terminal, and the time that the runs still need, from the epochs so far."""

    def __init__(self, runs, pictures):
        self.runs, self.pictures = runs, pictures
        self.on_terminal = sys.stderr.isatty()

    def seconds_per_epoch(self, recipe):
        """None before any run has finished an epoch."""
        own = [float(row["seconds"]) for run in self.runs if run.recipe is recipe for row in run.epochs()]
        if own:
            return statistics.fmean(own)
        rates = [float(row["seconds"]) / self.pictures[run.recipe.name] for run in self.runs for row in run.epochs()]
        return statistics.fmean(rates) * self.pictures[recipe.name] if rates else None

    def eta(self):
        left = 0
        for run in self.runs:
            if run.finished():
                continue
            rate = self.seconds_per_epoch(run.recipe)
            if rate is None:
                return "unknown"
            left += rate * max(run.recipe.number("distill_food11", "epochs") - len(run.epochs()), 0)
        return duration(left)

    def show(self, run):
        if self.on_terminal:
            done, epochs = sum(run.finished() for run in self.runs), run.recipe.number("distill_food11", "epochs")
            text = (f"run {done + 1}/{len(self.runs)}  {run.recipe.name}, seed {run.seed}: epoch {len(run.epochs())}/"
                    f"{epochs}  ETA {self.eta()}")
            sys.stderr.write(f"\r{text[:79]:79}")
            sys.stderr.flush()

    def print(self, text):
        if self.on_terminal:
            sys.stderr.write(f"\r{'':79}\r")
            sys.stderr.flush()
        print(text, flush=True)


def store_logits(options, recipe, data, splits):
    target = os.path.join(options.output, "logits", fingerprints.logits_name(data, splits, options.teacher,
                                                                             recipe.options["precompute_logits"]))
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        began = time.monotonic()
        print(f"{recipe.name}: storing the teacher's logits ({target})", flush=True)
        logged([os.path.join(options.programs, recipes.PROGRAMS["precompute_logits"]), "--data", data, "--teacher",
                options.teacher, "--output", target, "--threads", str(options.threads), "--device", options.device,
                "--precision", options.precision, "--resume", *recipe.words("precompute_logits")], target + ".log")
        print(f"{recipe.name}: logits stored in {duration(time.monotonic() - began)}", flush=True)
    return target


def train(options, run, data, logits, progress):
    command = [os.path.join(options.programs, recipes.PROGRAMS["distill_food11"]), "--data", data, "--output",
               run.folder, "--seed", str(run.seed), "--threads", str(options.threads), "--device", options.device,
               "--precision", options.precision, *run.recipe.words("distill_food11", options.teacher)]
    if logits:
        command += ["--teacher-logits", logits]
    if os.path.exists(os.path.join(run.folder, "last.safetensors")):
        command.append("--resume")
    logged(command, run.log, lambda: progress.show(run))


# ------------------------------------------------------------------------------------------- tables

def mean_and_deviation(values):
    """(mean, standard deviation of the sample), each None where there is none."""
    values = [value for value in values if value is not None]
    return (statistics.fmean(values) if values else None, statistics.stdev(values) if len(values) > 1 else None)


def spread_text(mean, deviation, digits):
    if mean is None:
        return "–"
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")


def difference_text(results, first):
    """Accuracy minus that of the first recipe with the same seed: mean ± standard error."""
    accuracies = {result["seed"]: result["accuracy"] for result in first}
    pairs = [result["accuracy"] - accuracies[result["seed"]] for result in results if result["seed"] in accuracies]
    if results is first or not pairs:
        return "–"
    text = f"{100 * statistics.fmean(pairs):+.2f}"
    return text if len(pairs) < 2 else f"{text} ± {100 * statistics.stdev(pairs) / math.sqrt(len(pairs)):.2f}"


def write_text(path, text):
    with open(path + ".partial", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(file.name, path)


def write_rows(path, rows):
    with open(path + ".partial", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(file.name, path)


def summarize(results):
    """Mean and deviation of each figure over the runs of a recipe."""
    row = {"recipe": results[0]["recipe"], "seeds": len(results)}
    for name in (*FIGURES.values(), "kept epoch", "seconds"):
        row[f"{name} mean"], row[f"{name} deviation"] = mean_and_deviation([result[name] for result in results])
    return row


def markdown(groups, count, where):
    """The table of the results of each recipe, measured on `count` pictures."""
    table = [f"| recipe | seeds | accuracy | minus {groups[0][0]['recipe']}, points | cross-entropy | agreement with the "
             "teacher | kept epoch | training time |", "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for results in groups:
        row = summarize(results)

        def spread(name, digits):
            return spread_text(row[f"{name} mean"], row[f"{name} deviation"], digits)
        table.append(f"| {row['recipe']} | {len(results)} | {spread('accuracy', 4)} | {difference_text(results, groups[0])} "
                     f"| {spread('cross-entropy', 4)} | {spread('agreement with the teacher', 3)} "
                     f"| {row['kept epoch mean']:.0f} | {duration(row['seconds mean'])} |")
    accuracy = statistics.fmean(result["accuracy"] for result in groups[0])
    error = math.sqrt(accuracy * (1 - accuracy) / count)
    return "\n".join([*table, "", "Mean ± standard deviation over the seeds; the difference has the standard error of its "
                      f"mean. Measured on {count} pictures {where}; one accuracy has a standard error of {error:.4f}.", ""])


def write_tables(options, chosen, runs, validation_count):
    """results.md, results.csv and runs.csv of the finished runs; returns the Markdown table."""
    groups = [[run.result() for run in runs if run.recipe is recipe and run.finished()] for recipe in chosen]
    groups = [group for group in groups if group]
    text = markdown(groups, validation_count, f"held out of the labeled ones ({options.hold_out:g} of each class, seed "
                    f"{options.hold_out_seed})" if options.hold_out else "of validation/")
    write_text(os.path.join(options.output, "results.md"), text)
    write_rows(os.path.join(options.output, "results.csv"), [summarize(group) for group in groups])
    write_rows(os.path.join(options.output, "runs.csv"), [result for group in groups for result in group])
    return text


# --------------------------------------------------------------------------------------------- main

def require_teacher(recipe, options):
    """Raises Refusal where a recipe needs a teacher, or the teacher's file is missing."""
    if recipe.needs_teacher() and not options.teacher:
        raise Refusal(f"{recipe.path}: needs a teacher; name its weights with --teacher")
    if options.teacher and not os.path.isfile(options.teacher):
        raise Refusal(f"{options.teacher}: no such file")


def read_recipes(options):
    chosen = [recipes.read(name) for name in options.recipes]
    names = [recipe.name for recipe in chosen]
    for recipe in chosen:
        if names.count(recipe.name) > 1:
            raise Refusal(f"{recipe.path}: two recipes have the name {recipe.name}; rename one of the files")
        require_teacher(recipe, options)
    if options.build:
        command = ["cmake", "--build", options.programs, "-j", str(options.threads), "--target", "precompute_logits",
                   "distill_food11"]
        os.makedirs(options.output, exist_ok=True)
        logged(command, os.path.join(options.output, "build.log"))
    for recipe in chosen:
        recipes.check(recipe, options.programs)
    return chosen


def measure(options):
    chosen = read_recipes(options)
    data = data_folder(options)
    _, splits = homework_folders.list_pictures(data)
    for recipe in chosen:
        require_same_settings(options, recipe, data)
    counts = {split: len(pictures) for split, pictures in splits.items()}
    pictures = {recipe.name: counts["labeled"] + (counts["unlabeled"] if recipe.needs_teacher() else 0)
                for recipe in chosen}
    # One seed of every recipe before the next seed, so that an early table compares all recipes.
    predicts = bool(homework_folders.first_folder(data, homework_folders.TESTING))
    runs = [Run(options, recipe, seed, predicts) for seed in options.seeds for recipe in chosen]
    logits = {recipe.name: store_logits(options, recipe, data, splits)
              for recipe in chosen if recipe.has_logits() and not all(run.finished() for run in runs
                                                                      if run.recipe is recipe)}
    progress = Progress(runs, pictures)
    for number, run in enumerate(runs, 1):
        if not run.finished():
            train(options, run, data, logits.get(run.recipe.name), progress)
        result = run.result()
        agreement = result["agreement with the teacher"]
        progress.print(f"run {number}/{len(runs)}  {run.recipe.name}, seed {run.seed}: accuracy {result['accuracy']:.4f}  "
                       f"cross-entropy {result['cross-entropy']:.4f}  "
                       + ("" if agreement is None else f"agreement {agreement:.3f}  ")
                       + f"{duration(result['seconds'])}  ETA {progress.eta()}")
        table = write_tables(options, chosen, runs, counts["validation"])
    print(f"\n{table}\ntables: {os.path.join(options.output, 'results.md')}, results.csv and runs.csv beside it")


def interrupt(*_):
    raise KeyboardInterrupt


def run(output, work):
    """Calls `work`; a failure becomes one line. Returns the program's exit status."""
    signal.signal(signal.SIGTERM, interrupt)
    try:
        work()
    except (Refusal, recipes.RecipeError, homework_folders.PictureError) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or output}: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted; finished runs are kept, and the same command goes on", file=sys.stderr)
        return 130
    else:
        return 0
    return 1


def main():
    options = arguments()
    return run(options.output, lambda: measure(options))


if __name__ == "__main__":
    sys.exit(main())
