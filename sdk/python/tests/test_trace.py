"""What the log says of an exception that an endpoint did not catch."""

import asyncio
import json
import os
import unittest

import support  # noqa: F401

from coinslot import _trace  # noqa: E402


def deep(n):
    return deep(n + 1)


def ping(n):
    return pong(n)


def pong(n):
    return ping(n)


def report(function, *arguments) -> list[str]:
    try:
        function(*arguments)
    except Exception as error:
        return _trace.report("GET /a failed", error).splitlines()
    raise AssertionError("it did not fail")


class Reports(unittest.TestCase):
    def test_a_line_that_repeats_is_counted(self):
        """A recursion without end filled the log of its request, and the request's own prints were lost."""
        lines = report(deep, 0)
        self.assertTrue(lines[0].startswith("GET /a failed: RecursionError: maximum recursion depth exceeded"), lines)
        self.assertEqual(sum("in deep" in line for line in lines), 3, lines)
        self.assertRegex(lines[-1], r"^  \[Previous line repeated \d{3} more times\]$")
        self.assertLess(len(lines), 15)

    def test_functions_that_call_each_other_without_end_are_shown_at_both_ends(self):
        lines = report(ping, 0)
        self.assertRegex("\n".join(lines), r"\n  \[\d{3} frames left out\]\n")
        self.assertLess(len(lines), 90)

    def test_no_line_is_one_of_a_library(self):
        """The lines of the SDK and of asyncio told the author nothing."""

        def decode():
            json.loads("{")

        async def late():
            raise ValueError("x")

        for function in (decode, lambda: asyncio.run(late())):
            lines = report(function)
            files = [line.split(":")[0].strip() for line in lines[1:] if " in " in line and not line.startswith("    ")]
            self.assertEqual(set(files), {os.path.basename(__file__)}, lines)
        # Nothing of the plugin ran: its route and the message are all there is.
        self.assertEqual(len(report(json.loads, "{")[1:]) % 2, 0)
        self.assertNotIn("decoder.py", "\n".join(report(json.loads, "{")))

    def test_a_variable_of_the_environment_has_its_remedy(self):
        lines = report(lambda: os.environ["NO_SUCH_VARIABLE"])
        self.assertIn("a plugin has no environment variables", lines[-1])


if __name__ == "__main__":
    unittest.main()
