# SPDX-License-Identifier: MIT
"""Recipes: files with the options of precompute_logits and distill_food11. Needs Python alone.

A recipe has one section per program and one line per option, without the dashes. A switch is a line without a value.
Without [precompute_logits] the student learns from the labels alone.

    [precompute_logits]
    views = 8

    [distill_food11]
    epochs = 120
    learning-rate = 0.1
"""

import configparser
import difflib
import os
import re
import subprocess

SOURCE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
FOLDER = os.path.join(SOURCE, "examples", "recipes")
ENDING = ".ini"
PROGRAMS = {"precompute_logits": os.path.join("tools", "precompute_logits"),
            "distill_food11": os.path.join("examples", "distill_food11")}
DEFAULTS = {"epochs": 100, "views": 8}  # of the programs
# What the command line of the program that reads the recipe decides: files, the machine, and which run to go on with.
# With an online teacher a recipe has `teacher` without a value, since the file is not the recipe's.
NOT_OF_A_RECIPE = {
    "precompute_logits": {"help", "data", "teacher", "output", "threads", "device", "precision", "resume", "shard", "merge",
                          "verify", "verify-seed"},
    "distill_food11": {"help", "data", "teacher-logits", "output", "weights", "seed", "threads", "device", "precision",
                       "resume", "extend", "overwrite", "predict-only", "list-students", "summary"},
}


class RecipeError(ValueError):
    """What is wrong with a recipe; the message is one line naming its file."""


class Recipe:
    """`name`, `path`, and `options`: program -> option -> value, None for a switch."""

    def __init__(self, name, path, options):
        self.name, self.path, self.options = name, path, options

    def has_logits(self):
        return "precompute_logits" in self.options

    def number(self, program, option):
        """A whole number that times are estimated from; the program's default where the recipe has none."""
        value = self.options[program].get(option, "")
        return int(value) if re.fullmatch("[0-9]{1,9}", value or "") else DEFAULTS[option]

    def words(self, program, teacher=None, without=()):
        """The options of a program as words of its command line; `without` names options to leave out."""
        words = []
        for option, value in self.options.get(program, {}).items():
            if option in without:
                continue
            words.append(f"--{option}")
            if value is not None:
                words.append(value)
            elif option == "teacher":
                words.append(teacher)
        return words

    def needs_teacher(self):
        return self.has_logits() or "teacher" in self.options["distill_food11"]


def find(name):
    """The path of a recipe: `name` itself where it is a file, else that of a file in examples/recipes/."""
    if name.endswith(ENDING) or os.sep in name:
        return name
    known = sorted(file[:-len(ENDING)] for file in os.listdir(FOLDER) if file.endswith(ENDING))
    if name not in known:
        raise RecipeError(f"there is no recipe '{name}'; there are {', '.join(known)}, or name a file that ends with "
                          f"{ENDING}")
    return os.path.join(FOLDER, name + ENDING)


def read(name):
    """Reads a recipe by name or path. `check` then compares its options with those of the programs."""
    path = find(name)
    parser = configparser.RawConfigParser(allow_no_value=True, delimiters=("=",), comment_prefixes=("#",),
                                          default_section="", empty_lines_in_values=False)
    parser.optionxform = str
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except configparser.MissingSectionHeaderError as error:
        raise RecipeError(f"{path}:{error.lineno}: comes before any section; begin with [distill_food11]") from None
    except configparser.DuplicateOptionError as error:
        raise RecipeError(f"{path}:{error.lineno}: names {error.option} a second time; remove one of them") from None
    except configparser.DuplicateSectionError as error:
        raise RecipeError(f"{path}:{error.lineno}: begins [{error.section}] a second time; join the two") from None
    except configparser.ParsingError as error:
        raise RecipeError(f"{path}:{error.errors[0][0]}: is not `option = value`; correct the line") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: is not UTF-8 text; write it again") from None
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from None
    for section in parser.sections():
        if section not in PROGRAMS:
            raise RecipeError(f"{path}: has the section [{section}]; there are [" + "] and [".join(PROGRAMS) + "]")
        for option, value in parser.items(section):
            if value is not None and "\n" in value:
                raise RecipeError(f"{path}: {option}: the line after it is indented; begin each option at the left")
    if "distill_food11" not in parser:
        raise RecipeError(f"{path}: has no section [distill_food11]; add it")
    options = {section: dict(parser.items(section)) for section in parser.sections()}
    return Recipe(os.path.splitext(os.path.basename(path))[0], path, options)


def known_options(help_text):
    """option -> whether it has a value, from what a program prints for --help."""
    found = re.finditer(r"^  (?:-\w,)?--([a-z][\w-]*)(?:( [A-Z]+\b)|$|  )", help_text, re.MULTILINE)
    return {match[1]: match[2] is not None for match in found}


def output_of(command):
    try:
        return subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise RecipeError(f"{command[0]}: {error.strerror}; name the build folder of the programs with "
                          "--programs") from None


def check(recipe, programs):
    """Raises RecipeError for the first option that the programs in the build folder `programs` do not know, or do not
    take with its value."""
    for section, options in recipe.options.items():
        program = os.path.join(programs, PROGRAMS[section])
        known = known_options(output_of([program, "--help"]).stdout)
        for option, value in options.items():
            check_option(recipe.path, section, option, value, known)
        # distill_food11 checks all of its options before it prints a summary, precompute_logits while it parses them.
        trial = ["--summary"] if section == "distill_food11" else ["--data", "", "--teacher", "", "--output", ""]
        done = output_of([program, *recipe.words(section, teacher=recipe.path), *trial])
        if done.returncode == 2 or (section == "distill_food11" and done.returncode != 0):
            reason = done.stderr.strip().splitlines()[-1].removeprefix("error: ").removesuffix("; see --help")
            raise RecipeError(f"{recipe.path}: [{section}] {reason}")


def check_option(path, section, option, value, known):
    if option in NOT_OF_A_RECIPE[section]:
        raise RecipeError(f"{path}: [{section}] {option} is not for recipes; the command line sets it")
    if option not in known:
        near = difflib.get_close_matches(option, known.keys() - NOT_OF_A_RECIPE[section], 1)
        raise RecipeError(f"{path}: [{section}] {option}: there is no such option; " +
                          (f"did you mean {near[0]}?" if near else f"{section} --help lists them"))
    if (section, option) == ("distill_food11", "teacher"):
        if value is not None:
            raise RecipeError(f"{path}: [{section}] teacher is written without a value; the command line names the file")
    elif known[option] and not value:
        raise RecipeError(f"{path}: [{section}] {option}: has no value; write {option} = VALUE")
    elif not known[option] and value is not None:
        raise RecipeError(f"{path}: [{section}] {option} is a switch; write it without a value")
