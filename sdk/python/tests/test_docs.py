"""Runs every block of Python of the documentation."""

import importlib.util
import os
import re
import sys
import tempfile
import unittest

from support import ROOT, PluginTest, define

from coinslot import testing

PAGE = os.path.join(ROOT, "host", "docs", "python.md")


def blocks() -> list[str]:
    with open(PAGE, encoding="utf-8") as file:
        return re.findall(r"^```python\n(.*?)^```$", file.read(), re.DOTALL | re.MULTILINE)


class Documentation(PluginTest):
    def test_every_block_is_a_plugin(self):
        plugins = [block for block in blocks() if block.startswith("# app.py\n")]
        self.assertGreater(len(plugins), 8)
        for block in plugins:
            with self.subTest(block[:200]):
                define(block)
                self.assertTrue(testing.manifest())

    def test_the_tests_of_the_page_pass(self):
        define(blocks()[0])
        (tests,) = (block for block in blocks() if block.startswith("# test_app.py\n"))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "documented_test.py")
            with open(path, "w", encoding="utf-8") as file:
                file.write(tests)
            spec = importlib.util.spec_from_file_location("documented_test", path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        result = unittest.defaultTestLoader.loadTestsFromModule(module).run(unittest.TestResult())
        self.assertEqual((result.testsRun, result.failures + result.errors), (2, []))

    def test_what_the_page_says_of_its_endpoints(self):
        page = {path: block for block in blocks() for path in re.findall(r'^@\w+\("([^"]+)"', block, re.MULTILINE)}
        define(page["/pixel/{red}/{green}/{blue}"])
        self.assertTrue(testing.call("GET", "/pixel/255/0/0").body.startswith(b"\x89PNG"))
        self.assertEqual(testing.call("POST", "/checksum", body=b"123456789").text, "cbf43926\n")
        define(page["/print"])
        self.assertEqual(testing.quote("POST", "/print", json={"pages": ["a", "b"]}), "0.010")
        define(page["/labels"])
        answer = testing.call("POST", "/labels", json={"text": "a", "size": "large", "copies": 11})
        self.assertEqual(self.refused(answer, 400, "invalid_body", "/body"), "/body at most 10 large labels")
        answer = testing.call("POST", "/labels", json={"text": "a", "copies": 101})
        self.assertEqual(self.refused(answer, 400, "invalid_body", "/body/copies"), "/body/copies must be at most 100")
        define(page["/rate/{currency}"])
        testing.stub_fetch("https://api.example.com/rates*", json={"rates": {"EUR": 0.9}})
        self.assertEqual(testing.call("GET", "/rate/eur").json(), 0.9)

    def tearDown(self):
        sys.modules.pop("app", None)


if __name__ == "__main__":
    unittest.main()
