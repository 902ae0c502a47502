"""Tests the plugin in the machine's own Python: `PYTHONPATH=../../sdk/python python3 -m unittest`."""

import unittest

import app  # noqa: F401
from coinslot.testing import call


class Stats(unittest.TestCase):
    def test_a_sample(self):
        answer = call("POST", "/py/stats", json={"values": [4, 1, 2.5]})
        self.assertEqual((answer.status, answer.price), (200, "0.002"))
        found = answer.json()
        self.assertEqual((found["count"], found["sum"], found["median"], found["variance"]), (3, 7.5, 2.5, 2.25))
        self.assertEqual(list(found["quantiles"]), ["p05", "p25", "p50", "p75", "p95"])

    def test_few_values_have_no_variance(self):
        found = call("POST", "/py/stats", json={"values": [1]}).json()
        self.assertEqual((found["stddev"], found["skewness"]), (None, None))

    def test_what_is_no_sample_is_refused_before_payment(self):
        for values, pointer in (
            ([], "/body/values"),
            ([1, "2"], "/body/values/1"),
            ([True], "/body/values/0"),
            ([1e200], "/body/values/0"),
            ([0] * 10_001, "/body/values"),
            (None, "/body/values"),
        ):
            answer = call("POST", "/py/stats", json={"values": values})
            self.assertEqual((answer.status, answer.price, answer.json()["pointer"]), (400, None, pointer))


if __name__ == "__main__":
    unittest.main()
