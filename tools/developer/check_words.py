#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Finds words that this project replaced by the terms of the field (docs/terminology.md) and British spellings.

    tools/developer/check_words.py [SOURCE_FOLDER]

Prints one line per find (file, line, word, what to write instead) and exits with 1 where there is one. The ctest
`structure.words` runs it on the tree and on a sample of every word.
"""
import bisect
import itertools
import re
import sys
from pathlib import Path

# Regular expressions for whole words, without regard to case, and what to write instead.
WORDS = {
    # The passes and what a kernel reads and writes.
    r"ways? back|there and back|on the way there": "backward; forward and backward",
    r"hooks?": "Source, Epilogue",
    r"sinks?": "Epilogue",
    r"PlainMap|PlainSource": "MemorySource",
    r"LazyMap|ActivatedSource": "NormActSource",
    r"ConvGradient|StoredGradient|LastGradient|NormGradientSource": "NormBackwardSource",
    r"AsSummed": "IdentityEpilogue",
    r"AddBias|after_bias": "BiasEpilogue",
    r"FinishSink": "NormActEpilogue",
    r"add_moments|MomentSink": "MomentsEpilogue",
    r"StageSink": "ActBackwardEpilogue",
    r"NoSink": "NullSink",
    r"RowProduct": "ImplicitGemm",
    r"WeightProduct": "WeightGradient",
    r"put_tile": "store_tile",
    # Windows and slices.
    r"RowWindow": "LineBuffer",
    r"winners": "argmax",
    r"piece_count|piece_of|share_of": "slice_count, ceil_div, even_split",
    r"own_by_warp|own_here": "per_warp, per_thread",
    r"at_once|load_some|not_below": "unroll, load_n, clamp",
    r"takes_few_instructions": "cheap",
    r"whole_numbers|scalars_a_number": "align_up, storage_per_compute",
    r"FusedRun|is_run|run_stages": "FusedConvBlocks",
    r"StageClock|set_clock": "StageProfiler",
    # Riddles and personified code.
    r"held? (?:it |them |each |every \w+ )?against|holds (?:\w+ ){0,4}against": "compare with",
    r"(?:keep|keeps|wait|waits) (?:for )?(?:nobody|anybody|anyone)": "does not block; needs no barrier",
    r"hears? from|is asked for|what becomes of": "say what calls or produces it",
    r"takes? (?:\w+ ){0,6}along|taken along|taking along": "fuses",
    r"nobody": "say it in the passive",
    r"(?:go|goes|come|comes) back from|waits? (?:behind|for ever|forever|outside)": "say what sends or blocks",
    r"(?:no |is |there is )?room for": "memory for; what fits",
    # "a channel" in the meaning of "per channel".
    r"(?:scalars?|elements?|doubles|floats|bytes|numbers?|rows?|sums?|values?|positions|pixels|registers|views|pictures"
    r"|once|one|kept|columns?|layer(?= a line)|ms) an? (?:channel|thread|sample|chunk|batch|step|epoch|row|pixel|position|line"
    r"|block|warp|worker|convolution|element|column|map|stage|layer)": "per",
    r"(?:once|twice) a (?:second|minute|hour|batch)": "every 30 s",
    # The layout of the source.
    r"the house|(?:rooms?|house) of (?:the|a)|own rooms?": "layout, folder",
    # American spelling, as in the ecosystem.
    r"\w*(?:initialis|normalis|optimis|serialis|quantis|organis|recognis|summaris|vectoris|minimis|maximis|generalis"
    r"|specialis|parallelis|synchronis|randomis|regularis|standardis|utilis|visualis)(?:e|es|ed|er|ers|ing|ation)\w*":
        "-ize, -ization",
    r"\w*colour\w*": "color",
    r"\w*behaviour\w*": "behavior",
    r"\w*neighbour\w*": "neighbor",
    r"\w*(?:favour|honour|flavour)\w*": "-or",
    r"\w*(?:labell|modell|cancell|travell)(?:ed|ing)\w*": "labeled, modeled, canceled, traveled",
    r"(?:centre|grey|fibre|metre|catalogue|defence|licence)s?": "American spelling",
}
# Finds that are right: (end of the path, the word as found).
ALLOWED = {
    ("tests/reference/make_layer_reference.py", "hook"),  # PyTorch's
    ("tests/reference/make_layer_reference.py", "hooks"),
    ("examples/web/page.html", "labelledby"),  # an attribute of HTML
    ("tools/shared/report/script.js", "labelledby"),
}

FOLDERS = ("bench", "cmake", "docs", "examples", "include", "tests", "tools")
FILES = ("README.md", "CMakeLists.txt", "CMakePresets.json", "meson.build", "tools/distill")
ENDINGS = {".cmake", ".cpp", ".css", ".cu", ".hpp", ".html", ".in", ".js", ".json", ".md", ".py", ".sh", ".txt"}
# The files that must spell the words out.
SPELLED_OUT = {"tools/developer/check_words.py", "tests/structure/words_test.py"}

PATTERN = re.compile("|".join(f"(?P<w{i}>(?<!\\w)(?:{words})(?!\\w))" for i, words in enumerate(WORDS)), re.IGNORECASE)


def find_words(text):
    """(line number, word, what to write instead) for every find in `text`. A find may run over a line's end."""
    lines = re.split(r"\n[ \t]*(?:///?<?|#|\*)?[ \t]*", text)  # a comment's lines without what opens them
    ends = list(itertools.accumulate(len(line) + 1 for line in lines))
    for match in PATTERN.finditer(" ".join(lines)):
        instead = list(WORDS.values())[int(match.lastgroup[1:])]
        yield bisect.bisect_right(ends, match.start()) + 1, match.group(), instead


def finds(source_folder):
    """One line per find under `source_folder`."""
    root = Path(source_folder)
    files = [root / name for name in FILES]
    for folder in FOLDERS:
        files += sorted(path for path in (root / folder).rglob("*") if path.suffix in ENDINGS)
    for file in files:
        path = file.relative_to(root).as_posix()
        if path in SPELLED_OUT:
            continue
        for line, word, instead in find_words(file.read_text()):
            if not any(path.endswith(end) and word == allowed for end, allowed in ALLOWED):
                yield f"{path}:{line}: `{word}`: write {instead}"


def main():
    default = Path(__file__).resolve().parents[2]
    found = list(finds(sys.argv[1] if len(sys.argv) > 1 else default))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
