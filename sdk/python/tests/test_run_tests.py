"""Runs the tests of plugins by `run_tests.py`, and reads its reports."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from support import SDK

PLUGIN = """from coinslot import get


@get("/hello/{name}", price="0.001", summary="Says hello")
def hello(name: str) -> str:
    return f"Hello, {name}!"
"""

TESTS = """import unittest

import app
from coinslot.testing import call


class Hello(unittest.TestCase):
    def test_it_greets(self):
        print("said")
        self.assertEqual(call("GET", "/hello/Ada").text, "Hello, Ada!")

    def test_it_is_wrong(self):
        for name in ("Ada", ""):
            with self.subTest(name):
                self.assertEqual(call("GET", f"/hello/{name}").status, 200)

    @unittest.skip("not yet")
    def test_later(self):
        pass
"""


class Runs(unittest.TestCase):
    def run_on(self, files, plugin=".", *options):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = os.path.join(folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            script = os.path.join(SDK, "run_tests.py")
            places = ["--plugin", plugin, "--sdk", SDK, "--cache", os.path.join(folder, "cache")]
            done = subprocess.run(
                # Without site-packages there is no pytest.
                [sys.executable, "-S", "-B", script, *places, *options],
                cwd=folder,
                capture_output=True,
                text=True,
            )
        return done, [json.loads(line) for line in done.stdout.splitlines()]

    def results(self, reports):
        return {report["name"]: report for report in reports if report["event"] == "test"}

    def test_each_test_is_reported_and_nothing_else_is_on_stdout(self):
        done, reports = self.run_on({"app.py": PLUGIN, "tests/test_app.py": TESTS})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(reports[0], {"event": "start", "tests": 3})
        self.assertEqual(reports[-1], {"event": "end", "passed": 1, "failed": 1, "skipped": 1})
        results = self.results(reports)
        greets, wrong = results["test_app.Hello.test_it_greets"], results["test_app.Hello.test_it_is_wrong"]
        self.assertEqual((greets["outcome"], greets["output"]), ("passed", "said\n"))
        self.assertEqual(greets["at"], "tests/test_app.py:8")
        self.assertIn("AssertionError: 404 != 200", wrong["error"]["message"])
        self.assertEqual(wrong["error"]["frames"], ["at tests/test_app.py:15"])
        self.assertEqual(results["test_app.Hello.test_later"]["outcome"], "skipped")

    def test_tests_are_chosen_by_a_part_of_their_names(self):
        _, reports = self.run_on({"app.py": PLUGIN, "test_app.py": TESTS}, "app.py", "--only=greets")
        self.assertEqual(list(self.results(reports)), ["test_app.Hello.test_it_greets"])

    def test_a_file_that_cannot_be_imported_is_a_failure(self):
        _, reports = self.run_on({"app.py": PLUGIN, "test_app.py": "import nothing_of_this_name\n"})
        error = self.results(reports)["test_app.py"]["error"]
        self.assertIn("No module named 'nothing_of_this_name'", error["message"])
        self.assertEqual(error["frames"], ["at test_app.py:1"])

    def test_a_plugin_that_is_not_there_is_a_mistake_of_its_author(self):
        done, reports = self.run_on({}, "app.py")
        self.assertEqual((done.returncode, reports), (65, []))
        self.assertIn("there is no such file", done.stderr)


if __name__ == "__main__":
    unittest.main()
