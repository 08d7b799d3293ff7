#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A few of the crashes of the campaign (tests/campaign/run.py). Exits with 77 (skipped) where a program was not built."""

import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import programs
from conversions import conversions
from crashes import Crashes

BUILD = os.path.dirname(os.path.dirname(programs.program("examples/distill_food11")))
programs.program("tools/sample_data/draw_sample_food11")


class Crash(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="bantam-test-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.crashes = Crashes(BUILD, cls.folder, epochs=2)

    def setUp(self):
        self.crashes.problems.clear()

    def assert_no_problem(self):
        self.assertEqual(self.crashes.problems, [])

    def test_a_run_killed_at_a_writing_call_ends_the_same(self):
        self.assertGreater(self.crashes.at_calls("kill_before", 4), 0)
        self.assertGreater(self.crashes.at_calls("kill_after", 4), 0)
        self.assert_no_problem()

    def test_a_run_killed_at_a_random_moment_ends_the_same(self):
        self.crashes.kill_at_random(4)
        self.assert_no_problem()

    def test_a_run_that_lost_its_power_ends_the_same(self):
        self.assertGreater(self.crashes.at_calls("power", 6), 0)
        self.assert_no_problem()

    def test_a_power_failure_is_seen_by_this_test_where_files_are_not_flushed(self):
        self.crashes.at_calls("power", 5, no_sync=1)
        self.assertNotEqual(self.crashes.problems, [])

    def test_a_failing_call_loses_nothing(self):
        self.crashes.at_calls("fail", 6)
        self.assert_no_problem()

    def test_a_call_that_fails_in_a_resumed_run_loses_nothing(self):
        resumed = self.crashes.resuming()
        self.assertGreater(resumed.at_calls("fail_reads", 5), 0)
        self.assertEqual(resumed.problems, [])

    def test_a_conversion_that_fails_leaves_the_older_file_or_the_whole_new_one(self):
        folder = os.path.join(self.folder, "conversions")
        os.mkdir(folder)
        conversion = next(conversions(folder))
        self.assertGreater(conversion.at_calls("fail", 3), 0)
        conversion.at_calls("power", 1)
        self.assertEqual(conversion.problems, [])


if __name__ == "__main__":
    unittest.main()
