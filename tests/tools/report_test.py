#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tests of report.html and tools/compare_runs.py in headless Chromium. Exits with 77 (skipped) where it is missing."""

import csv
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
import time
import unittest

import programs
from programs import ProgramTest, lines, logits_of, read, write

DISTILL = programs.program("examples/distill_food11")
COMPARE = os.path.join(programs.SOURCE, "tools", "compare_runs.py")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    print("skipped: chromium is missing; run tools/install_dependencies.sh test")
    sys.exit(programs.SKIPPED)

SIZE = 32
EPOCHS = 3
CURVES = ["curve-loss", "curve-accuracy", "curve-agreement", "curve-learning-rate"]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(html.parser.HTMLParser):
    """The elements of a rendered page: (tag, attributes, text inside)."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append([tag, dict(attributes), ""])
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_startendtag(self, tag, attributes):
        self.elements.append([tag, dict(attributes), ""])

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for element in self.open:
            element[2] += data

    def all(self, tag, **attributes):
        return [element for element in self.elements
                if element[0] == tag and all(element[1].get(name) == value for name, value in attributes.items())]

    def by_id(self, name):
        return next((element for element in self.elements if element[1].get("id") == name), None)


def data_of(page):
    """The JSON in a page, as it was written."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL).group(1))


class Browser(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.draw_shared_data("--size", SIZE, "--labeled-per-class", 2, "--unlabeled", 9, "--validation-per-class", 2,
                             "--testing", 3)
        cls.logits = logits_of(cls.data, os.path.join(cls.shared, "logits.safetensors"), SIZE)
        cls.taught = cls.train("taught", "--teacher-logits", cls.logits, "--epochs", EPOCHS)
        cls.alone = cls.train("alone", "--stored-size", SIZE, "--epochs", 1)

    @classmethod
    def train(cls, name, *arguments):
        output = os.path.join(cls.shared, name)
        subprocess.run([DISTILL, "--data", cls.data, "--output", output, "--batch-size", "8", "--threads", "1",
                        *map(str, arguments)], check=True, capture_output=True)
        return output

    def render(self, path, *options):
        """The page as the browser shows it. Fails on any message to its console."""
        done = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                               f"--user-data-dir={self.path('profile')}", "--host-resolver-rules=MAP * ~NOTFOUND",
                               "--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom", *options,
                               f"file://{path}"], capture_output=True, text=True, timeout=100)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("CONSOLE", done.stderr)
        page = Page(done.stdout)
        self.assertEqual(page.all("html")[0][1].get("data-drawn"), "yes")
        return page

    def assert_self_contained(self, path):
        """Nothing in the file leads outside it, and the page forbids the browser to try."""
        text = read(path).decode()
        without_data = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.DOTALL)
        addresses = set(re.findall(r"""https?://[^"'\s)]+""", without_data))
        self.assertEqual(addresses, {"http://www.w3.org/2000/svg"})
        self.assertNotRegex(without_data, r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket")
        self.assertIn("default-src 'none'; img-src data:;", text)


class Report(Browser):
    def test_shows_every_section_of_a_taught_run(self):
        path = os.path.join(self.taught, "report.html")
        self.assert_self_contained(path)
        page = self.render(path)
        for name in ("curves", "classes", "calibration", "mistakes", "disagreements", "views", "network", "settings"):
            self.assertIsNotNone(page.by_id(name), name)
        for name in CURVES:
            self.assertEqual(page.by_id(name)[1].get("data-points"), str(EPOCHS), name)
            self.assertIn(f"epoch {page_kept(path)}", page.by_id(name)[2])
        # Two lines in the first three figures, one in the last; a table with a row per epoch behind each.
        drawn = [element for element in page.all("path") if element[1].get("class") == "line"]
        self.assertEqual(len(drawn), 7)
        self.assertTrue(all(len(re.findall("[ML]", element[1]["d"])) == EPOCHS for element in drawn))
        self.assertEqual(page.by_id("confusion")[1].get("data-points"), "121")
        self.assertEqual(page.by_id("reliability")[1].get("data-points"), "15")
        self.assertEqual(len([1 for element in page.all("summary") if element[2] == "Data table"]), 6)
        pictures = page.all("img")
        data = data_of(read(path).decode())
        self.assertEqual(len(pictures), len(data["validation"]["mistakes"]) + len(data["validation"]["disagreements"])
                         + 8 * 6)
        self.assertTrue(all(picture[1]["src"].startswith("data:image/jpeg;base64,/9j/") for picture in pictures))
        self.assertTrue(all(picture[1]["alt"] for picture in pictures))
        self.assertIn("finished, 3 epochs", page.all("header")[0][2])
        self.assertIn(f"--data {self.data}", page.by_id("settings")[2])

    def test_its_figures_agree_with_the_metrics_and_with_each_other(self):
        run = data_of(read(self.taught, "report.html").decode())
        rows = list(csv.DictReader(lines(self.taught, "metrics.csv")))
        self.assertEqual(run["metrics"]["validation_loss"], [float(row["validation_loss"]) for row in rows])
        kept = rows[run["kept_epoch"] - 1]
        validation = run["validation"]
        self.assertEqual((validation["epoch"], validation["pictures"]), (run["kept_epoch"], 22))
        confusion = validation["confusion"]
        self.assertEqual([sum(row) for row in confusion], [2] * 11)
        right = sum(confusion[label][label] for label in range(11))
        self.assertAlmostEqual(right / 22, float(kept["validation_accuracy"]), places=5)
        bins = [bin for bin in validation["reliability"] if bin["count"]]
        self.assertEqual(sum(bin["count"] for bin in bins), 22)
        self.assertAlmostEqual(sum(bin["count"] * bin["accuracy"] for bin in bins), right)
        self.assertAlmostEqual(sum(bin["count"] / 22 * abs(bin["accuracy"] - bin["confidence"]) for bin in bins),
                               validation["calibration_error"])
        mistakes = validation["mistakes"]
        self.assertEqual(len(mistakes), min(20, 22 - right))
        self.assertTrue(all(picture["answer"] != picture["label"] for picture in mistakes))
        self.assertTrue(all(picture["path"].split("/")[1] == run["classes"][picture["label"]] for picture in mistakes))
        self.assertEqual([picture["label_confidence"] for picture in mistakes],
                         sorted(picture["label_confidence"] for picture in mistakes))
        disagreements = validation["disagreements"]
        self.assertAlmostEqual(1 - float(kept["validation_teacher_agreement"]), len(disagreements) / 22, delta=2.5 / 22)
        self.assertTrue(all(picture["answer"] != picture["teacher_answer"] for picture in disagreements))
        self.assertEqual(sum(layer["parameters"] for layer in run["layers"]), run["parameters"])

    def test_a_run_without_teacher_and_with_one_epoch(self):
        page = self.render(os.path.join(self.alone, "report.html"), "--window-size=400,3000")
        self.assertIn("There is no teacher", page.by_id("curve-agreement")[2])
        self.assertIn("There is no teacher", page.by_id("disagreements")[2])
        self.assertEqual(page.by_id("curve-loss")[1].get("data-points"), "1")
        # A single value is a dot, since a line of one point is not visible.
        self.assertGreaterEqual(len(page.all("circle")), 2)

    def test_names_are_text_and_numbers_may_be_absent(self):
        hostile = "</script><img src=x onerror=console.error(1)>"
        run = data_of(read(self.taught, "report.html").decode())
        run["name"] = run["command"] = run["classes"][3] = run["settings"][0]["rows"][0][1] = hostile
        run["validation"]["mistakes"][0]["path"] = hostile
        run["metrics"]["validation_loss"] = [None, 2.0, None]
        text = read(self.taught, "report.html").decode()
        start, end = text.index('id="data">') + len('id="data">'), text.index("</script>")
        path = write(text[:start] + json.dumps(run).replace("<", "\\u003c") + text[end:], self.path("hostile.html"))
        page = self.render(path)
        self.assertEqual(page.all("h1")[0][2], hostile)
        self.assertEqual(page.all("img", src="x"), [])

    def test_a_hundred_classes_and_three_hundred_epochs(self):
        run = data_of(read(self.taught, "report.html").decode())
        run["classes"] = [f"class number {number}" for number in range(100)]
        run["metrics"] = {name: [value or 1] * 300 for name, (value, *_) in run["metrics"].items()}
        run["metrics"]["epoch"] = list(range(1, 301))
        run["validation"]["confusion"] = [[int(label == answer or answer == 7) for answer in range(100)]
                                          for label in range(100)]
        text = read(self.taught, "report.html").decode()
        start, end = text.index('id="data">') + len('id="data">'), text.index("</script>")
        page = self.render(write(text[:start] + json.dumps(run) + text[end:], self.path("large.html")))
        self.assertEqual(page.by_id("curve-loss")[1].get("data-points"), "300")
        self.assertEqual(page.by_id("confusion")[1].get("data-points"), "10000")

    def test_names_in_the_data_cannot_end_the_script(self):
        output = self.path("a<b>'& c")
        self.run_program(DISTILL, "--data", self.data, "--stored-size", SIZE, "--epochs", 1, "--threads", 1, "--output",
                         output)
        text = read(output, "report.html").decode()
        self.assertEqual(text.count("</script>"), 2)
        self.assertEqual(data_of(text)["name"], os.path.basename(output))
        self.assertTrue(data_of(text)["command"].endswith("--output '" + output.replace("'", "'\\''") + "'"))

    def test_it_is_left_out_on_request(self):
        output = self.train("unreported", "--stored-size", SIZE, "--epochs", 1, "--no-report")
        self.assertFalse(os.path.exists(os.path.join(output, "report.html")))
        self.assertTrue(os.path.exists(os.path.join(output, "predict.csv")))

    def test_after_an_interruption_it_shows_the_finished_epochs(self):
        output = self.path("killed")
        process = subprocess.Popen([DISTILL, "--data", self.data, "--stored-size", str(SIZE), "--epochs", "5000",
                                    "--threads", "1", "--output", output], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        report = os.path.join(output, "report.html")
        while process.poll() is None and time.monotonic() < deadline:
            if os.path.exists(report) and len(data_of(read(report).decode())["metrics"]["epoch"]) >= 2:
                break
            time.sleep(0.05)
        process.kill()
        process.wait()
        self.assertEqual(process.returncode, -9, "the run ended before it could be killed")
        page = self.render(os.path.join(output, "report.html"))
        self.assertRegex(page.all("header")[0][2], r"epoch \d+ of 5000")
        self.assertGreaterEqual(int(page.by_id("curve-loss")[1]["data-points"]), 2)
        self.assertIsNotNone(page.by_id("confusion"))


def page_kept(path):
    return data_of(read(path).decode())["kept_epoch"]


class Comparison(Browser):
    def test_shows_runs_side_by_side(self):
        bare = self.path("bare")
        os.makedirs(bare)
        shutil.copy(os.path.join(self.alone, "metrics.csv"), bare)
        target = self.path("comparison.html")
        done = self.run_program(sys.executable, COMPARE, self.taught, self.alone, bare, "--output", target)
        self.assertEqual(done.stdout, f"comparison: {target}\n")
        self.assert_self_contained(target)
        page = self.render(target)
        head = [element[2] for element in page.all("th", scope="col")][:4]
        self.assertEqual(head, ["Figure", "taught", "alone", "bare"])
        for name in CURVES:
            self.assertEqual(page.by_id(name)[1].get("data-points"), str(EPOCHS))
        self.assertIn("teacher", page.by_id("settings")[2])
        self.assertEqual(page.all("img"), [])

    def test_a_folder_without_a_run_is_named(self):
        line = self.refusal(sys.executable, COMPARE, self.taught, self.folder)
        self.assertEqual(line, f"error: {self.folder}: has neither report.html nor metrics.csv; name the output folder "
                               "of a training run")

    def test_a_file_that_was_changed_is_named(self):
        output = self.path("changed")
        shutil.copytree(self.alone, output)
        for name in ("report.html", "metrics.csv"):
            content = read(output, name)
            write(content.replace(b"e", b"E", 1) if name == "report.html" else content.replace(b"\n1,", b"\n2,"), output, name)
            done = self.run_program(sys.executable, COMPARE, output, "--output", self.path("page.html"))
            self.assertEqual(done.stderr, f"warning: {output}/{name}: was changed or damaged after it was written: "
                                          "checksums.txt has another hash\n")
            os.remove(os.path.join(output, name))

    def test_damaged_files_are_named(self):
        for name, content in (("report.html", "<html>"), ("metrics.csv", "a,b\n1,2\n")):
            output = os.path.dirname(write(content, self.path(name + ".run"), name))
            self.assertIn(f"error: {os.path.join(output, name)}: ", self.refusal(sys.executable, COMPARE, output))


if __name__ == "__main__":
    unittest.main()
