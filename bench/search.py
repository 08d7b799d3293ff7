#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Searches for a better student: samples networks that fit a budget, trains them briefly, and goes on with the best.

    bench/search.py patient --data DIR --teacher teacher.safetensors --output build/search --candidates 18 --epochs 4

The networks are those of one family: a dense stem, then stages of depthwise-separable, inverted-residual or
depthwise-first blocks. What is sampled is the kind of block, kernel size, number of blocks, activation, growth of the
widths, resolution and head. The widths are then made as large as the budget allows; the compiler counts.

Each round trains every network from random weights for a whole schedule of so many epochs, all from one seed, and keeps
the third with the lowest validation loss. The next round has three times the epochs (successive halving, Jamieson and
Talwalkar, 2016). The baseline is trained in every round. The last network is printed as a type and written as a student's
header, which -DBANTAM_STUDENT_FOLDERS=OUTPUT/winner brings into the programs.

OUTPUT/search.md and search.csv have a row for each training, students/ holds the types of all networks. After an
interruption the same command goes on.
"""

import argparse
import copy
import json
import math
import os
import random
import re
import subprocess
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "bench"))
sys.path.insert(0, os.path.join(SOURCE, "tools", "shared"))

import accuracy  # noqa: E402
import homework_folders  # noqa: E402
import recipes  # noqa: E402

KEPT = 3  # a round keeps one in so many networks, and has so many times the epochs of the one before
# What the widths of a sampled network are multiplied by: first steps of a quarter, then finer ones above the best.
COARSE = [step / 4 for step in range(2, 11)]
FINE = [step / 32 for step in range(1, 8)]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("recipe", metavar="RECIPE", help="name of a file in examples/recipes/, or a path; --epochs replaces its epochs")
    add("--data", required=True, metavar="DIR", help="folder with training/ and validation/")
    add("--teacher", metavar="FILE", help="the teacher's weights, safetensors; not needed for labels alone")
    add("--output", required=True, metavar="DIR", help="folder for the programs, the runs and the tables")
    add("--candidates", type=int, default=18, metavar="N", help="networks in the first round (18)")
    add("--epochs", type=int, default=4, metavar="N", help="epochs of the first round (4)")
    add("--budget", type=int, default=100_000, metavar="N", help="parameters, non-trainable ones included (100000)")
    add("--max-multiply-adds", type=float, default=100, metavar="MILLION", help="of a network, in millions (100)")
    add("--image-size", type=int, default=128, metavar="N", help="the students' pictures (128)")
    add("--baseline", default="mobile-98k", metavar="NAME", help="a file of examples/students/ (mobile-98k)")
    add("--search-seed", type=int, default=1, metavar="N", help="chooses the networks (1)")
    add("--seed", type=int, default=1, metavar="N", help="of each training (1)")
    accuracy.add_hold_out(parser)
    add("--threads", type=int, default=os.cpu_count() or 1, metavar="N", help="CPU threads (all)")
    options = parser.parse_args()
    for name, least in (("candidates", 2), ("epochs", 1), ("budget", 1), ("threads", 1), ("image_size", 32)):
        if getattr(options, name) < least:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be at least {least}")
    accuracy.check_hold_out(parser, options)
    options.device, options.precision = "cpu", "float32"
    options.programs = os.path.join(options.output, "programs")
    return options


# --------------------------------------------------------------------------------------- the family

def sample(choose):
    """The choices of one network; `choose` is a random.Random."""
    block = choose.choice(("separable", "separable", "inverted", "depthwise-first"))
    few = block == "separable"
    return {
        "block": block,
        "activation": choose.choice(("ReLU6", "HardSwish")),
        "kernel": choose.choice((3, 5, 5, 7)),
        "stem": choose.choice((12, 16, 24)),
        "expansion": choose.choice((2, 3, 4)),
        # Stride of the block that begins each stage; the stem has stride 2.
        "strides": choose.choice(((1, 2, 2, 2), (1, 1, 2, 2), (2, 1, 2, 2), (1, 2, 2, 1))),
        # Blocks with a shortcut after the one that begins the stage.
        "blocks": [0, choose.randint(0, 2), choose.randint(1, 3 if few else 2), choose.randint(1, 3 if few else 2)],
        "growth": choose.choice((1.4, 1.6, 1.8, 2.0)),
        "head": choose.choice((0, 0, 1.5, 2.5)),
    }


def rounded(width):
    """A width as a multiple of four."""
    return max(4 * round(width / 4), 8)


def layers(genes, factor):
    """The network's layers as C++ types, with widths `factor` times those of the family."""
    act, kernel, expansion = genes["activation"], genes["kernel"], genes["expansion"]
    without_bias = "ConvOptions{.bias = false}"

    def separable(width, stride, size):
        return f"DepthwiseSeparable<{width}, {stride}, {size}, {act}>"

    def begin(width, stride, size):
        if genes["block"] == "inverted" and stride == 2:
            return f"InvertedResidual<{width}, 2, {expansion}, {size}, {act}>"
        return separable(width, stride, size)

    def repeated(width):
        if genes["block"] == "separable":
            return f"Residual<{separable(width, 1, kernel)}>"
        if genes["block"] == "inverted":
            return f"InvertedResidual<{width}, 1, {expansion}, {kernel}, {act}>"
        return (f"Residual<DepthwiseConv2d<{kernel}, 1, {without_bias}>, BatchNorm2d, "
                f"PointwiseConv2d<{width * expansion}, {without_bias}>, BatchNorm2d, {act}, "
                f"PointwiseConv2d<{width}, {without_bias}>, BatchNorm2d>")

    result = [f"Conv2d<{genes['stem']}, 3, 2, {without_bias}>", "BatchNorm2d", act]
    width = 24.0 * factor
    for stage, (stride, blocks) in enumerate(zip(genes["strides"], genes["blocks"])):
        channels = rounded(width)
        result.append(begin(channels, stride, 3 if stage == 0 else min(kernel, 5)))
        result += [repeated(channels)] * blocks
        width *= genes["growth"]
    if genes["head"]:
        result += [f"PointwiseConv2d<{rounded(channels * genes['head'])}, {without_bias}>", "BatchNorm2d", act]
    return [*result, "GlobalAveragePool", "Linear<Classes>"]


def type_text(network):
    return "bantam::Network<Image<Size, Size, 3>,\n    " + ",\n    ".join(network) + ">"


# --------------------------------------------------------------------------------------- candidates

class Candidate:
    """`name` as --student knows it, its layers, and what the compiler counts."""

    def __init__(self, name, network, parameters, multiply_adds):
        self.name, self.network, self.parameters, self.multiply_adds = name, network, parameters, multiply_adds

    def header(self, name=None):
        space = (name or self.name).replace("-", "_")
        return f"""// SPDX-License-Identifier: MIT
// Written by bench/search.py: {self.parameters} parameters, {self.multiply_adds / 1e6:.1f} million multiply-adds.
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/layers/all.hpp>

namespace students::{space} {{

using namespace bantam;

template <int Classes, int Size>
using Network = {type_text(self.network)};

inline constexpr const char* accuracy = "-";

}}  // namespace students::{space}
"""


def counts(options, networks, classes):
    """(parameters, multiply-adds) of each network, from the compiler."""
    folder = os.path.join(options.output, "counts")
    os.makedirs(folder, exist_ok=True)
    source, program = os.path.join(folder, "counts.cpp"), os.path.join(folder, "counts")
    lines = ["#include <bantam/core/network.hpp>", "#include <bantam/layers/all.hpp>", "#include <cstdio>",
             "using namespace bantam;", "constexpr int Size = " + str(options.image_size) + ";",
             f"constexpr int Classes = {classes};", "template <class Net> void print() {",
             '    std::printf("%lld %lld\\n", static_cast<long long>(parameter_count<Net>),',
             "                static_cast<long long>(multiply_adds<Net>));", "}", "int main() {",
             *(f"    print<{type_text(network)}>();" for network in networks), "}"]
    with open(source, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    accuracy.logged([os.environ.get("CXX", "c++"), "-std=c++20", "-O0", "-I", os.path.join(SOURCE, "include"), source,
                     "-o", program], os.path.join(folder, "counts.log"))
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    return [tuple(map(int, line.split())) for line in printed.splitlines()]


def counted_versions(options, genes, factors, classes):
    """For each network and each of its factors: ((parameters, multiply-adds), layers, factor)."""
    versions = [[(layers(choice, factor), factor) for factor in group] for choice, group in zip(genes, factors)]
    counted = iter(counts(options, [network for group in versions for network, _ in group], classes))
    return [[(next(counted), network, factor) for network, factor in group] for group in versions]


def largest_in_budget(options, genes, classes):
    """Of each sampled network the widest version that the budget allows, as ((parameters, multiply-adds), layers, factor);
    None where it uses less than nine tenths of the budget, or too many multiply-adds."""
    def widest(group):
        return max((version for version in group if version[0][0] <= options.budget), key=lambda version: version[0][0],
                   default=None)
    coarse = [widest(group) for group in counted_versions(options, genes, [COARSE] * len(genes), classes)]
    fine = counted_versions(options, genes, [[found[2] + step for step in FINE] if found else [] for found in coarse],
                            classes)
    result = []
    for found, group in zip(coarse, fine):
        best = widest([*group, found]) if found else None
        fits = best and best[0][0] >= 0.9 * options.budget and best[0][1] <= 1e6 * options.max_multiply_adds
        result.append(best if fits else None)
    return result


def draw_candidates(options, classes):
    """The networks of the first round. They are stored, so that the same command goes on with them."""
    path = os.path.join(options.output, "candidates.json")
    settings = {name: getattr(options, name) for name in ("candidates", "budget", "max_multiply_adds", "image_size",
                                                          "search_seed")} | {"classes": classes}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            stored = json.load(file)
        if stored["settings"] != settings:
            raise accuracy.Refusal(f"{path}: holds the networks of another search; name another --output, or remove it")
        return [Candidate(**candidate) for candidate in stored["candidates"]]
    choose = random.Random(options.search_seed)
    candidates = []
    for _ in range(10):
        genes = [sample(choose) for _ in range(options.candidates)]
        for fitting in largest_in_budget(options, genes, classes):
            if fitting and len(candidates) < options.candidates and all(fitting[1] != other.network
                                                                        for other in candidates):
                candidates.append(Candidate(f"candidate-{len(candidates) + 1}", fitting[1], *fitting[0]))
        if len(candidates) == options.candidates:
            break
    else:
        raise accuracy.Refusal(f"only {len(candidates)} networks of the family fit --budget {options.budget} and "
                               f"--max-multiply-adds {options.max_multiply_adds:g}; choose other limits")
    accuracy.write_text(path, json.dumps({"settings": settings,
                                          "candidates": [vars(candidate) for candidate in candidates]}, indent=1))
    return candidates


def build(options, students, classes):
    """Builds the programs with these students."""
    folder = os.path.join(options.output, "students")
    log = os.path.join(options.output, "build.log")
    print(f"building {len(students)} networks", flush=True)
    accuracy.logged(["cmake", "-S", SOURCE, "-B", options.programs, "-DCMAKE_BUILD_TYPE=Release",
                     "-DBANTAM_BUILD_TESTS=OFF", "-DBANTAM_BUILD_BENCH=OFF", "-DBANTAM_CUDA=OFF",
                     f"-DBANTAM_CLASSES={classes}", f"-DBANTAM_IMAGE_SIZE={options.image_size}",
                     f"-DBANTAM_STUDENT_FOLDERS={os.path.abspath(folder)}", "-DBANTAM_INT8_STUDENTS=none",
                     f"-DBANTAM_STUDENTS={';'.join(students)}"], log)
    accuracy.logged(["cmake", "--build", options.programs, "-j", str(options.threads), "--target", "distill_food11",
                     "precompute_logits"], log)


# ------------------------------------------------------------------------------------------- rounds

def recipe_of(recipe, student, epochs):
    changed = copy.deepcopy(recipe)
    changed.name = f"{student}-{epochs}-epochs"
    changed.options["distill_food11"].update({"student": student, "epochs": str(epochs)})
    return changed


def write_log(options, rows):
    """search.md and search.csv: every training so far, the rounds in order, the best of a round first."""
    accuracy.write_rows(os.path.join(options.output, "search.csv"), rows)
    lines = ["| round | epochs | network | parameters | multiply-adds | validation loss | accuracy | agreement | time |",
             "|---:|---:|---|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        agreement = row["agreement with the teacher"]
        lines.append(f"| {row['round']} | {row['epochs']} | {row['network']} | {row['parameters']:,} | "
                     f"{row['multiply-adds'] / 1e6:.1f} M | {row['validation loss']:.4f} | {row['accuracy']:.4f} | "
                     f"{'–' if agreement is None else format(agreement, '.3f')} | {accuracy.duration(row['seconds'])} |")
    accuracy.write_text(os.path.join(options.output, "search.md"), "\n".join(lines) + "\n")


def round_rows(number, epochs, candidates, results):
    rows = []
    for candidate, result in sorted(zip(candidates, results), key=lambda pair: pair[1]["validation loss"]):
        figures = {name: result[name] for name in ("validation loss", "accuracy", "cross-entropy",
                                                   "agreement with the teacher", "seconds")}
        rows.append({"round": number, "epochs": epochs, "network": candidate.name, "parameters": candidate.parameters,
                     "multiply-adds": candidate.multiply_adds, **figures, "layers": ", ".join(candidate.network)})
    return rows


def baseline_candidate(options):
    """The baseline with the counts that the program prints."""
    listed = recipes.output_of([os.path.join(options.programs, recipes.PROGRAMS["distill_food11"]), "--list-students"])
    match = re.search(rf"^{re.escape(options.baseline)}\s+([\d,]+)\s+([\d,]+)", listed.stdout, re.MULTILINE)
    if match is None:
        raise accuracy.Refusal(f"--baseline: there is no student '{options.baseline}' in examples/students/")
    return Candidate(options.baseline, [], *(int(number.replace(",", "")) for number in match.groups()))


def run_round(options, recipe, data, splits, candidates, epochs, number, rows):
    """Trains all candidates; returns their results in order."""
    pictures = len(splits["labeled"]) + (len(splits["unlabeled"]) if recipe.needs_teacher() else 0)
    changed = [recipe_of(recipe, candidate.name, epochs) for candidate in candidates]
    for one in changed:
        recipes.check(one, options.programs)
    logits = accuracy.store_logits(options, recipe, data, splits) if recipe.has_logits() else None
    runs = [accuracy.Run(options, one, options.seed, False) for one in changed]
    progress = accuracy.Progress(runs, {one.name: pictures for one in changed})
    for one in changed:
        accuracy.require_same_settings(options, one, data)
    results = []
    for index, (candidate, run) in enumerate(zip(candidates, runs), 1):
        if not run.finished():
            accuracy.train(options, run, data, logits, progress)
        results.append(run.result())
        progress.print(f"round {number}, {index}/{len(runs)}  {candidate.name}: loss "
                       f"{results[-1]['validation loss']:.4f}  accuracy {results[-1]['accuracy']:.4f}  "
                       f"{accuracy.duration(results[-1]['seconds'])}  ETA of the round {progress.eta()}")
        write_log(options, rows + round_rows(number, epochs, candidates[:index], results))
    return results


def search(options):
    recipe = recipes.read(options.recipe)
    accuracy.require_teacher(recipe, options)
    data = accuracy.data_folder(options)
    class_names, splits = homework_folders.list_pictures(data)
    os.makedirs(os.path.join(options.output, "students"), exist_ok=True)
    candidates = draw_candidates(options, len(class_names))
    for candidate in candidates:
        path = os.path.join(options.output, "students", candidate.name.replace("-", "_") + ".hpp")
        if not os.path.exists(path):  # a newer file would be compiled again
            with open(path, "w", encoding="utf-8") as file:
                file.write(candidate.header())
    rows, number, epochs = [], 0, options.epochs
    while len(candidates) > 1:
        number += 1
        build(options, [options.baseline, *(candidate.name for candidate in candidates)], len(class_names))
        baseline = baseline_candidate(options)
        results = run_round(options, recipe, data, splits, [baseline, *candidates], epochs, number, rows)
        rows += round_rows(number, epochs, [baseline, *candidates], results)
        ranked = sorted(zip(results[1:], candidates), key=lambda pair: pair[0]["validation loss"])
        candidates = [candidate for _, candidate in ranked[:math.ceil(len(candidates) / KEPT)]]
        epochs *= KEPT
    winner = os.path.join(options.output, "winner", "search_winner.hpp")
    os.makedirs(os.path.dirname(winner), exist_ok=True)
    with open(winner, "w", encoding="utf-8") as file:
        file.write(candidates[0].header("search-winner"))
    print(f"\n{candidates[0].name}, {candidates[0].parameters:,} parameters:\n\n{type_text(candidates[0].network)}\n\n"
          f"student: {winner}\ntried: {os.path.join(options.output, 'search.md')}, search.csv beside it")


def main():
    options = arguments()
    return accuracy.run(options.output, lambda: search(options))


if __name__ == "__main__":
    sys.exit(main())
