"""Routing is that of the host and of the Rust SDK: they share a table of cases."""

import os
import unittest

from support import ROOT

from coinslot import _route

TABLE = os.path.join(ROOT, "tests", "fixtures", "path-templates.txt")


class Endpoint:
    def __init__(self, method, path):
        self.method, self.path = method, path
        self.pattern, self.specificity = _route.pattern(path), _route.specificity(path)


def decision(routes, method, path):
    endpoints = [Endpoint(*pair) for pair in zip(routes[::2], routes[1::2])]
    endpoint, found = _route.find(endpoints, method, path)
    if endpoint is None:
        return " ".join(["allow", *found]) if found else "none"
    return " ".join(["serve", endpoint.path, *(f"{name}={_route.decode(value)}" for name, value in found.items())])


class Templates(unittest.TestCase):
    def test_the_shared_table(self):
        routes, cases = [], 0
        with open(TABLE, encoding="utf-8") as file:
            lines = [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]
        for line in lines:
            kind, *words = line.split(" ")
            with self.subTest(line[:80]):
                cases += 1
                if kind == "valid":
                    self.assertIsNone(_route.problem(words[0]))
                    self.assertEqual(_route.parameters(words[0]), words[1:])
                elif kind == "invalid":
                    self.assertIsNotNone(_route.problem(line.split(" ", 2)[2] if len(words) > 1 else ""))
                elif kind in ("same", "different"):
                    self.assertEqual(_route.shape(words[0]) == _route.shape(words[1]), kind == "same")
                elif kind == "match":
                    expected = " ".join(["serve", words[0], *words[2:]])
                    self.assertEqual(decision(["GET", words[0]], "GET", words[1]), expected)
                elif kind == "mismatch":
                    self.assertEqual(decision(["GET", words[0]], "GET", words[1]), "none")
                elif kind == "routes":
                    routes = words
                elif kind == "request":
                    self.assertEqual(decision(routes, words[0], words[1]), " ".join(words[2:]))
                else:
                    self.fail(f"the table has a new kind of line: {kind}")
        self.assertGreater(cases, 90)

    def test_text_is_decoded_or_refused(self):
        self.assertEqual(_route.decode("a%20b%C3%A9+"), "a bé+")
        for bad in ("%", "%2", "%zz", "%ff"):
            with self.assertRaises(ValueError):
                _route.decode(bad)
        self.assertEqual(
            _route.parse_query("a=1&b=x+y&a=%26&c&=d"), {"a": ["1", "&"], "b": ["x y"], "c": [""], "": ["d"]}
        )
        self.assertEqual(_route.parse_query(None), {})

    def test_what_cannot_be_decoded_is_read_as_the_url_standard_has_it(self):
        found = _route.parse_query("q=100%&x=%ff&n=1")
        self.assertEqual(found, {"q": ["100%"], "x": ["\ufffd"], "n": ["1"]})
        marked = {name for name, (value,) in found.items() if isinstance(value, _route.NotEncoded)}
        self.assertEqual(marked, {"q", "x"})


if __name__ == "__main__":
    unittest.main()
