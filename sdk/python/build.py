"""Builds a plugin in Python into a component: `python3 build.py --source app.py --out OUT.wasm --wit DIR --sdk DIR
--cache DIR`.

Needs Python 3.10 or newer, and pip or venv. Progress goes to stdout, problems to stderr. Ends with 65 for a mistake in
the plugin, with 69 if this Python lacks something, and with 70 if the tool fails.
"""

import argparse
import os
import sys
import tempfile
import time

OLDEST = (3, 10)
UNAVAILABLE = 69


class Parser(argparse.ArgumentParser):
    """Ends with 64 (EX_USAGE) for wrong options."""

    def error(self, message):
        self.exit(64, f"{message}\n{self.format_usage()}")


def arguments(argv):
    parser = Parser(description="Builds a plugin in Python into a component.")
    parser.add_argument("--source", required=True, help="the plugin's module, such as app.py")
    parser.add_argument("--out", required=True, help="the component to write")
    parser.add_argument("--wit", required=True, help="the folder with plugin.wit")
    parser.add_argument("--sdk", required=True, help="the folder that holds the package `coinslot`")
    parser.add_argument("--cache", required=True, help="the folder for the tool and for requirements")
    parser.add_argument("--name", help="the plugin's name, if pyproject.toml does not say it")
    parser.add_argument("--version", help="the plugin's version, if pyproject.toml does not say it")
    parser.add_argument("--brief", action="store_true", help="print no progress but for what is installed")
    return parser.parse_args(argv)


def build(options) -> None:
    from coinslot_build.checked import check
    from coinslot_build.component import componentize, write_out
    from coinslot_build.outcome import say
    from coinslot_build.project import Project
    from coinslot_build.toolchain import requirements, tool

    def progress(text: str) -> None:
        if not options.brief:
            say(text)

    started = time.monotonic()
    options.cache, options.sdk = os.path.abspath(options.cache), os.path.abspath(options.sdk)
    project = Project(options.source, options.name, options.version)
    packages = requirements(options.cache, project)
    with tempfile.TemporaryDirectory(prefix="coinslot-build-") as work:
        found = check(project, options.sdk, packages, work)
        count, seconds = found["endpoints"], time.monotonic() - started
        progress(f"checked {project.module}.py: {count} endpoint{'s' if count != 1 else ''} ({seconds:.1f} s)")
        tool(options.cache)
        progress("building the component (some seconds)")
        built = componentize(project, options, packages, found, work)
        write_out(built, options.out)
    size = os.path.getsize(options.out) / 1e6
    progress(f"built {project.name} {project.version}: {size:.1f} MB in {time.monotonic() - started:.1f} s")


def main(argv) -> int:
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:2]))
        print(
            f"a plugin in Python is built by Python 3.10 or newer, and this is {found}: https://python.org",
            file=sys.stderr,
        )
        return UNAVAILABLE
    # An older Python cannot read these.
    from coinslot_build.outcome import Stop

    options = arguments(argv)
    try:
        build(options)
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
