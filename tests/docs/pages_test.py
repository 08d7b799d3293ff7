# SPDX-License-Identifier: MIT
"""The pages show code that is compiled, and name files and identifiers that exist.

A block of code after a line `<!-- from PATH -->` is the content of that file, without its license line.
"""
import re
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
PAGES = [SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md"))]
# Where a path on a page may begin.
ROOTS = [SOURCE, SOURCE / "include", SOURCE / "include" / "bantam", SOURCE / "docs", SOURCE / "tests"]
FOLDERS = "|".join(path.name for root in ROOTS for path in root.iterdir() if path.is_dir() and path.name[0] != ".")


def shown_files(text):
    """(path, code) of each block on a page that shows a file."""
    return re.findall(r"^<!-- from (\S+) -->\n```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def content(path):
    """A source file without its license line."""
    return (SOURCE / path).read_text().split("\n", 1)[1]


def named_paths(text):
    """Files and folders of the source that a page names or links to."""
    names = re.findall(rf"(?<![\w/.-])(?:include/)?(?:bantam/)?(?:{FOLDERS})/[\w./-]*\w/?", text)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", prose)
    return [name for name in names if not name.startswith("build/")] + links


def exists(name, page):
    """Whether there is such a file or folder, or the source of such a program."""
    return any((root / (name + end)).exists() for root in [*ROOTS, page.parent] for end in ("", ".cpp", ".cu"))


def terms(text):
    """(term, identifiers, file) of the rows of docs/terminology.md."""
    for row in re.findall(r"^\| \*\*(.+?)\*\* \|.*\| (.+) \|$", text, re.MULTILINE):
        names = re.findall(r"`([^`]+)`", row[1])
        yield row[0], names[:-1], names[-1]


class Pages(unittest.TestCase):
    def test_code_is_that_of_the_file_it_names(self):
        for page in PAGES:
            for path, code in shown_files(page.read_text()):
                with self.subTest(page=page.name, path=path):
                    self.assertEqual(code, content(path))

    def test_every_example_is_shown(self):
        shown = {path for page in PAGES for path, _ in shown_files(page.read_text())}
        written = {path.relative_to(SOURCE).as_posix() for path in (SOURCE / "tests/docs").rglob("*.hpp")}
        self.assertEqual(shown, written)

    def test_named_files_exist(self):
        for page in PAGES:
            for name in named_paths(page.read_text()):
                with self.subTest(page=page.name, name=name):
                    self.assertTrue(exists(name, page))

    def test_terms_occur_in_the_files_they_name(self):
        rows = list(terms((SOURCE / "docs/terminology.md").read_text()))
        self.assertGreaterEqual(len(rows), 20)
        for term, names, file in rows:
            text = (SOURCE / "include/bantam" / file).read_text()
            for name in names:
                with self.subTest(term=term, name=name):
                    self.assertRegex(text, rf"\b{re.escape(name)}\b")


class Checks(unittest.TestCase):
    PAGE = "<!-- from a.hpp -->\n```cpp\nint a;\n```\n`include/bantam/cpu/none.hpp` and [a page](none.md)\n"

    def test_find_code_and_paths(self):
        self.assertEqual(shown_files(self.PAGE), [("a.hpp", "int a;\n")])
        self.assertEqual(named_paths(self.PAGE), ["include/bantam/cpu/none.hpp", "none.md"])
        for name in named_paths(self.PAGE):
            self.assertFalse(exists(name, SOURCE / "README.md"))
        self.assertTrue(exists("cpu/model.hpp", SOURCE / "README.md"))

    def test_find_terms(self):
        row = "| **tile** | What a step computes. | `tile_rows` in `cpu/kernels/gemm.hpp` |\n"
        self.assertEqual(list(terms(row)), [("tile", ["tile_rows"], "cpu/kernels/gemm.hpp")])


if __name__ == "__main__":
    unittest.main()
