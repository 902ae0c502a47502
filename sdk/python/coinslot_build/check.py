"""Checks a plugin in the machine's own Python, before it is built: its definitions, its imports, and what would be
frozen in the component.

`checked.py` runs this file as `python -I -S check.py SOURCE RESULT PATH..` and reads RESULT, which is JSON. The
plugin's own output goes to stdout and stderr.
"""

# Loaded before the folder of the plugin, which may have a module of this name, comes first on the path.
import ast  # noqa: F401
import contextlib
import difflib
import importlib
import json
import os
import re
import sys

# Lines that only newer Pythons read: `type`, type parameters, nested quotes in f-strings, `except A, B`.
_NEWER_SYNTAX = re.compile(r"^\s*type\s+\w|(def|class)\s+\w+\s*\[|\b[ft]r?[\"']|except\*?\s+[\w.]+\s*,")


# Seconds of processor time that the top level of a plugin may take.
LONGEST = 10


class TooLong(BaseException):
    """Ends a module that computes without end. No `except Exception` of its own catches it."""


@contextlib.contextmanager
def _bounded():
    """Raises TooLong in what takes too long, so that the traceback has its line. Systems without such timers wait."""
    try:
        import signal

        def stop(*_):
            raise TooLong

        signal.signal(signal.SIGVTALRM, stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
    except (ImportError, AttributeError):
        yield
        return
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


class Check:
    """One run: what is wrong, what the builder has to know, and what the author should know."""

    def __init__(self, source: str, paths: list[str]):
        self.root, self.module = os.path.dirname(source), os.path.splitext(os.path.basename(source))[0]
        self.paths = paths  # the folder of the requirements, which may be empty, and that of the SDK
        self.result = {
            "problems": [],
            "notes": [],
            "preload": [],
            "uses": [],
            "quotes": True,
            "endpoints": 0,
            "is_certain": True,
        }

    def run(self) -> dict:
        sys.path[:0] = [self.root, *self.paths]
        from coinslot import _endpoint, _serve, _trace
        from coinslot_build import hints
        from coinslot_build.late_imports import LateImports
        from coinslot_build.watch import Frozen

        _trace.author_root = self.root
        self.trace, self.hints = _trace, hints
        self.late_imports = LateImports(self.root, self.module, self.paths[:-1], _trace, self.note)
        watch = Frozen(_trace.is_author)
        # A component has none, and the build would fail later.
        os.environ.clear()
        try:
            sys.setprofile(watch)
            try:
                with _bounded():
                    importlib.import_module(self.module)
            finally:
                sys.setprofile(None)
            endpoints = _endpoint.complete()
        except BaseException as error:
            self._fail(error)
            self._scan()
            return self.result
        if not endpoints:
            self.problem(f'{self.module}.py:1: it has no endpoints: write @get("/path", price="0.01") above a function')
        for (filename, line), what in watch.found.items():
            self.problem(
                f"{_trace.short(filename)}:{line}: {what} is used while the module is imported, which happens once, "
                "when the plugin is built: every request would see the same value. Move it into the endpoint"
                + ("; for a fixed sequence write random.Random(42)" if what == "randomness" else "")
            )
        self.result["endpoints"] = len(endpoints)
        self.result["quotes"] = any(_serve.needs_quote(endpoint) for endpoint in endpoints)
        self._note_endpoints(endpoints)
        self._scan()
        return self.result

    def problem(self, text: str) -> None:
        self.result["problems"].append(text)

    def note(self, text: str) -> None:
        self.result["notes"].append(text)

    def _scan(self) -> None:
        found = self.late_imports
        found.scan()
        self.result["uses"], self.result["preload"] = sorted(found.uses), sorted(found.reported)

    def _note_endpoints(self, endpoints) -> None:
        for endpoint in endpoints:
            if endpoint.price_kind == "up_to":
                code = endpoint.function.__code__
                place = f"{self.trace.short(code.co_filename)}:{code.co_firstlineno}"
                self.note(
                    f"{place}: {endpoint.name} ({endpoint.method} {endpoint.path}): "
                    "hosts of this version sell nothing at a metered price (up_to=), and refuse the plugin when they load "
                    'it: write price="0.01", or quoted="0.50" with quote='
                )
            if self.hints.is_too_fine(endpoint.price):
                code = endpoint.function.__code__
                self.problem(
                    f"{self.trace.short(code.co_filename)}:{code.co_firstlineno}: {endpoint.name} ({endpoint.method} "
                    f"{endpoint.path}): {endpoint.price_kind}={endpoint.price!r} is finer than the smallest unit of USDC "
                    f"and the other dollars that hosts take, which have {self.hints.DECIMALS} decimals: write at least "
                    '"0.000001"'
                )
            if endpoint.returns_hint is _empty() and not endpoint.is_stream and not endpoint.option("mime_type"):
                code = endpoint.function.__code__
                self.note(
                    f"{self.trace.short(code.co_filename)}:{code.co_firstlineno}: {endpoint.name} does not say what it "
                    "returns, and is declared as application/json: write `-> str` for text, `-> bytes`, a dataclass, .."
                )

    def _fail(self, error: BaseException) -> None:
        from coinslot import DefinitionError

        mine = [frame for frame in self.trace.frames(error) if self.trace.is_author(frame[0])]
        place = f"{self.trace.short(mine[-1][0])}:{mine[-1][1]}: " if mine else ""
        if isinstance(error, DefinitionError):
            text = str(error)
            self.problem(text if ".py:" in text.partition(" ")[0] else place + text)
        elif isinstance(error, SyntaxError) and error.filename:
            self._syntax_error(error)
        elif isinstance(error, ModuleNotFoundError) and error.name:
            self._missing_module(error, place)
        elif isinstance(error, TooLong):
            self.problem(
                f"{place}the top level of the module did not end within {LONGEST} seconds: it runs once, when the plugin "
                "is built, so begin nothing there that waits or never ends"
            )
        elif isinstance(error, ImportError):
            self._missing_name(error, place)
            self._may_be_newer(error.name or "")
        elif self.trace.is_environment(error):
            self.problem(f"{place}there is no {error.args[0]} in os.environ: {self.trace.NO_ENVIRONMENT}")
        elif isinstance(error, FileNotFoundError) and not os.path.isabs(str(error.filename or "/")):
            self.problem(
                f"{place}there is no {error.filename}: the build runs elsewhere. Write the path from the module's own, "
                f'Path(__file__).with_name("{os.path.basename(str(error.filename))}")'
            )
        else:
            detail = self.trace.report("", error).splitlines()[1:]
            self.problem("\n".join([f"{place}{type(error).__name__}: {error}", *(detail if len(mine) > 1 else [])]))

    def _syntax_error(self, error: SyntaxError) -> None:
        line = (error.text or "").rstrip()
        lines = [f"{self.trace.short(error.filename)}:{error.lineno}: {type(error).__name__}: {error.msg}"]
        if line:
            indent = len(line) - len(line.lstrip())
            lines += ["    " + line.lstrip(), "    " + " " * max(0, (error.offset or 1) - 1 - indent) + "^"]
        self.problem("\n".join(lines))
        # The plugin runs on Python 3.14, which may know what this Python does not.
        is_newer = not isinstance(error, IndentationError) and _NEWER_SYNTAX.search(error.text or "")
        self.result["is_certain"] = sys.version_info >= (3, 14) or not is_newer

    def _missing_module(self, error, place: str) -> None:
        top = error.name.partition(".")[0]
        if not place:
            inner = self.trace.frames(error)[-1]
            place = f"{self.trace.short(inner[0])}:{inner[1]}: "
        installed = any(os.path.isdir(os.path.join(path, top)) for path in self.paths)
        if top in sys.stdlib_module_names:
            self.problem(f"{place}{error}: Python {sys.version_info[0]}.{sys.version_info[1]} on this machine lacks it")
            self.result["is_certain"] = False
        elif installed:
            self.problem(
                f"{place}there is no module {error.name}: the package has native code, and no build for WASI. Plugins "
                "take packages that are pure Python"
            )
        elif top in self.hints.CLIENTS:
            self.problem(f"{place}{self.hints.CLIENTS[top]}")
        else:
            self.problem(
                f"{place}there is no module {error.name}: write its package into requirements.txt beside "
                f"{self.module}.py, or into `dependencies` of pyproject.toml"
            )

    def _missing_name(self, error: ImportError, place: str) -> None:
        found = re.match(r"cannot import name '(\w+)' from '([\w.]+)'", str(error))
        if not found:
            self.problem(f"{place}{error}")
            return
        name, module = found.groups()
        there = getattr(sys.modules.get(module), "__all__", None) or dir(sys.modules.get(module))
        there = [other for other in there if not other.startswith("_")]
        close = difflib.get_close_matches(name, there, n=1)
        advice = f"did you mean {close[0]}?" if close else f"it has {', '.join(there[:40]) or 'nothing'}"
        self.problem(f"{place}{module} has no {name}: {advice}")

    def _may_be_newer(self, name: str) -> None:
        if name.partition(".")[0] in sys.stdlib_module_names and sys.version_info < (3, 14):
            self.result["is_certain"] = False


def _empty():
    import inspect

    return inspect.Parameter.empty


def main(source: str, result: str, *paths: str) -> None:
    found = Check(os.path.abspath(source), list(paths)).run()
    with open(result, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    # The folder of this file holds modules whose names are not for the plugin.
    main(*sys.argv[1:])
