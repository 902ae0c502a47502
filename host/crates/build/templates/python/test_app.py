import unittest

import app  # noqa: F401, whose endpoints are called
from coinslot.testing import call


class Count(unittest.TestCase):
    def test_it_counts_the_words_of_a_text(self):
        answer = call("POST", "/{{name}}/count", json={"text": "one three"})
        self.assertEqual((answer.status, answer.price), (200, "0.001"))
        self.assertEqual(answer.json(), {"words": 2, "longest": "three"})

    def test_a_text_without_words_is_refused(self):
        self.assertEqual(call("POST", "/{{name}}/count", json={"text": " "}).status, 400)
