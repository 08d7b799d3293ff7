# SPDX-License-Identifier: MIT
"""Code and pages use the terms of docs/terminology.md, and the script that checks this finds what it looks for."""
import sys
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tools" / "developer"))
import check_words  # noqa: E402

FOUND = [
    ("// on the way back\n", (1, "way back")),
    ("int x;\n/// the gradient on the way\n/// back to it\n", (2, "way back")),
    ("using Sink = int;\n", (1, "Sink")),
    ("compared and held against the CPU\n", (1, "held against")),
    ("doubles a chunk\n", (1, "doubles a chunk")),
    ("5 ms a step\n", (1, "ms a step")),
    ("one layer a line\n", (1, "layer a line")),
    ("saved twice a minute\n", (1, "twice a minute")),
    ("a pass that takes the activation behind it along\n", (1, "takes the activation behind it along")),
    ("the total goes back from rank to rank\n", (1, "goes back from")),
    ("sums wait behind gradients\n", (1, "wait behind")),
    ("Room for ten sums\n", (1, "Room for")),
    ("void normaliseAll();\n", (1, "normaliseAll")),
    ("int neighbour_count;\n", (1, "neighbour_count")),
    ("\n\nlabelled\n", (3, "labelled")),
]
RIGHT = ["NullSink", "every layer a stage of its own", "doubles per chunk", "backward", "normalized", "take a channel", "compared with", "a housefly"]


class Words(unittest.TestCase):
    def test_of_the_tree_are_those_of_the_field(self):
        self.assertEqual(list(check_words.finds(SOURCE)), [])


class Checker(unittest.TestCase):
    def test_finds_a_word_and_its_line(self):
        for text, expected in FOUND:
            with self.subTest(text=text):
                self.assertEqual([find[:2] for find in check_words.find_words(text)], [expected])

    def test_leaves_other_words_alone(self):
        for text in RIGHT:
            with self.subTest(text=text):
                self.assertEqual(list(check_words.find_words(text)), [])


if __name__ == "__main__":
    unittest.main()
