"""Runs the tests of a plugin in Python: `python3 run_tests.py --plugin DIR|app.py --sdk DIR --cache DIR [--only TEXT]`.

The tests are the `test_*.py` and `*_test.py` of the folder, or `test_app.py` beside `app.py`. They run by pytest, if this
Python has it, and by unittest otherwise. Each report is a line of JSON on stdout, as soon as it is known; everything
else goes to stderr. Ends with 65 for a mistake in the plugin's files, and with 69 if this Python lacks something.
"""

import argparse
import os
import sys

OLDEST = (3, 10)
UNAVAILABLE = 69


def arguments(argv):
    parser = argparse.ArgumentParser(description="Runs the tests of a plugin in Python.")
    parser.add_argument("--plugin", required=True, help="the plugin's folder, or its module")
    parser.add_argument("--sdk", required=True, help="the folder that holds the package `coinslot`")
    parser.add_argument("--cache", required=True, help="the folder for requirements")
    parser.add_argument("--only", default="", help="run the tests whose name has this text")
    return parser.parse_args(argv)


def main(argv) -> int:
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:2]))
        print(f"tests in Python run in Python 3.10 or newer, and this is {found}: https://python.org", file=sys.stderr)
        return UNAVAILABLE
    # An older Python cannot read these.
    from coinslot_build.outcome import Stop
    from coinslot_build.project import Project
    from coinslot_build.toolchain import requirements
    from coinslot_tests.report import Reports
    from coinslot_tests.runners import run

    options = arguments(argv)
    plugin = os.path.abspath(options.plugin)
    root, module = (plugin, "app.py") if os.path.isdir(plugin) else os.path.split(plugin)
    # Tests print where they like: only reports go to what was stdout.
    with Reports(os.dup(1)) as reports:
        os.dup2(2, 1)
        try:
            packages = requirements(os.path.abspath(options.cache), Project(os.path.join(root, module), None, None))
        except Stop as stop:
            print(stop, file=sys.stderr)
            return stop.status
        # The folder of this file holds modules whose names are not for the plugin.
        own = os.path.dirname(os.path.abspath(__file__))
        sys.path[:] = [path for path in sys.path if path not in ("", own)]
        sys.path[:0] = [root, *([packages] if packages else []), os.path.abspath(options.sdk)]
        os.chdir(root)
        run(root, None if os.path.isdir(plugin) else module, options.only, reports)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
