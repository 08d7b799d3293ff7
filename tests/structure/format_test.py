# SPDX-License-Identifier: MIT
"""Every C++ file is formatted as .clang-format says."""
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
SKIPPED = 77

if shutil.which("clang-format-19") is None:
    print("skipped: clang-format-19 is missing; run tools/install_dependencies.sh test")
    sys.exit(SKIPPED)


class Format(unittest.TestCase):
    def test_all_files_are_formatted(self):
        result = subprocess.run([SOURCE / "tools/developer/format.sh", "--check"], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr + "run tools/developer/format.sh")

    def test_a_file_that_is_not_formatted_is_reported(self):
        command = ["clang-format-19", "--dry-run", "-Werror", "--assume-filename=include/bantam/planted.hpp"]
        for text, expected in (("int* p;\n", 0), ("int *p;\n", 1), ("void f() {\n  g();\n  h();\n}\n", 1)):
            with self.subTest(text=text):
                result = subprocess.run(command, cwd=SOURCE, input=text, capture_output=True, text=True)
                self.assertEqual(result.returncode, expected, result.stderr)


if __name__ == "__main__":
    unittest.main()
