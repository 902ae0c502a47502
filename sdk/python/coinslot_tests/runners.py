"""Finds the tests of a plugin, and runs them by pytest or by unittest."""

import contextlib
import importlib
import importlib.util
import inspect
import io
import os
import sys
import traceback
import unittest

from .report import Reports, short

# Folders in which no tests of a plugin are looked for: those of `files.rs` of the builder.
_OTHERS = ("node_modules", "__pycache__", "venv", "target", "dist", "build", "site-packages")


def run(root: str, module: str | None, only: str, reports: Reports) -> None:
    files = test_files(root, module)
    if not files:
        reports.start(0)
    elif importlib.util.find_spec("pytest"):
        by_pytest(root, files, only, reports)
    else:
        by_unittest(root, files, only, reports)
    reports.end()


def test_files(root: str, module: str | None) -> list[str]:
    """The files of tests, sorted: those of the folder, or the one of a module."""
    if module is not None:
        stem = os.path.splitext(module)[0]
        beside = (os.path.join(root, name) for name in (f"test_{stem}.py", f"{stem}_test.py"))
        return [path for path in beside if os.path.isfile(path)]
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _OTHERS]
        found += [os.path.join(folder, name) for name in names if is_test(name)]
    return sorted(found)


def is_test(name: str) -> bool:
    return name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))


# --- pytest ---


class PytestReporter:
    """A plugin of pytest that reports each test once, after its teardown."""

    def __init__(self, root: str, only: str, reports: Reports):
        self.root, self.only, self.reports = root, only, reports
        self.worst = None

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if self.only in item.nodeid]

    def pytest_collection_finish(self, session):
        self.reports.start(len(session.items))

    def pytest_collectreport(self, report):
        if report.failed:
            self.reports.begin(report.nodeid)
            self.reports.end_of_test(report.nodeid, "failed", message=_last_lines(report.longreprtext))

    def pytest_runtest_logstart(self, nodeid, location):
        self.worst = None
        self.reports.begin(nodeid, self._place(location))

    def pytest_runtest_logreport(self, report):
        is_worse = report.failed or (report.skipped and self.worst is None)
        if is_worse and not (self.worst is not None and self.worst.failed):
            self.worst = report
        if report.when != "teardown":
            return
        at, worst = self._place(report.location), self.worst
        output = "".join(text for _, text in (worst or report).sections)
        if worst is None:
            self.reports.end_of_test(report.nodeid, "passed", at, output=output)
        elif worst.skipped:
            self.reports.end_of_test(report.nodeid, "skipped", at)
        else:
            message, frames = self._reason(worst)
            self.reports.end_of_test(report.nodeid, "failed", at, message, frames, output)

    def _reason(self, report):
        crash = getattr(report.longrepr, "reprcrash", None)
        if crash is None:
            return _last_lines(report.longreprtext), []
        entries = getattr(getattr(report.longrepr, "reprtraceback", None), "reprentries", [])
        places = [getattr(entry, "reprfileloc", None) for entry in entries]
        found = [(os.path.join(self.root, place.path), place.lineno) for place in places if place] or [
            (crash.path, crash.lineno)
        ]
        mine = [(path, line) for path, line in found if short(path, self.root) != path] or found[-1:]
        return crash.message, [f"at {short(path, self.root)}:{line}" for path, line in reversed(mine)]

    def _place(self, location):
        path, line, _ = location
        return f"{path}:{line + 1}" if line is not None else path


def by_pytest(root: str, files: list[str], only: str, reports: Reports) -> None:
    import pytest

    options = ["--rootdir", root, "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", *files]
    pytest.main(options, plugins=[PytestReporter(root, only, reports)])


def _last_lines(text: str) -> str:
    """The error at the end of a report, without the frames above it."""
    lines = text.strip().splitlines()
    errors = [line[1:].strip() for line in lines if line.startswith("E ")]
    return "\n".join(errors or lines[-8:])


# --- unittest ---


class UnittestResult(unittest.TestResult):
    """A result that reports each test as soon as it has ended."""

    def __init__(self, root: str, reports: Reports):
        super().__init__()
        self.root, self.reports = root, reports
        self.output, self.held = io.StringIO(), None
        self.outcome, self.message, self.frames = "passed", None, []

    def startTest(self, test):
        super().startTest(test)
        self.outcome, self.message, self.frames = "passed", None, []
        self.output, self.held = io.StringIO(), contextlib.ExitStack()
        self.held.enter_context(contextlib.redirect_stdout(self.output))
        self.held.enter_context(contextlib.redirect_stderr(self.output))
        self.reports.begin(test.id(), self._place(test))

    def stopTest(self, test):
        super().stopTest(test)
        self.held.close()
        output = self.output.getvalue()[-65536:]
        self.reports.end_of_test(test.id(), self.outcome, self._place(test), self.message, self.frames, output)

    def addError(self, test, error):
        super().addError(test, error)
        if isinstance(test, unittest.TestCase):
            self._fail(error)
        else:
            # An error of a class or a module: no test of it begins.
            self.reports.begin(str(test))
            self._fail(error)
            self.reports.end_of_test(str(test), "failed", None, self.message, self.frames)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._fail(error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self._fail(error, f"{subtest._subDescription()} ")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.outcome = "skipped"

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.outcome, self.message = "failed", "it is marked as an expected failure, and passes"

    def _fail(self, error, prefix=""):
        if self.outcome == "failed":
            return
        kind, value, trace = error
        self.outcome = "failed"
        self.message = prefix + "".join(traceback.format_exception_only(kind, value)).strip()
        frames = traceback.extract_tb(trace)
        mine = [f for f in frames if os.path.isfile(f.filename) and not short(f.filename, self.root) == f.filename]
        self.frames = [f"at {short(frame.filename, self.root)}:{frame.lineno}" for frame in reversed(mine)]

    def _place(self, test):
        method = getattr(test, getattr(test, "_testMethodName", ""), None)
        code = getattr(inspect.unwrap(method), "__code__", None) if method else None
        return f"{short(code.co_filename, self.root)}:{code.co_firstlineno}" if code else None


def by_unittest(root: str, files: list[str], only: str, reports: Reports) -> None:
    loader, suite, broken = unittest.TestLoader(), unittest.TestSuite(), []
    for file in files:
        folder, name = os.path.split(file)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        try:
            suite.addTests(loader.loadTestsFromModule(_imported(file, name)))
        except BaseException:
            broken.append((short(file, root), sys.exc_info()))
    chosen = unittest.TestSuite(test for test in _flat(suite) if only in test.id())
    reports.start(chosen.countTestCases() + len(broken))
    result = UnittestResult(root, reports)
    for name, error in broken:
        result.outcome = "passed"
        reports.begin(name)
        result._fail(error)
        reports.end_of_test(name, "failed", None, result.message, result.frames)
    chosen.run(result)


def _imported(file: str, name: str):
    """The module of a file, by its own name: files of one name in two folders are two modules."""
    module = os.path.splitext(name)[0]
    found = sys.modules.get(module)
    if found is not None and getattr(found, "__file__", None) != file:
        del sys.modules[module]
    return importlib.import_module(module)


def _flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flat(test)
        else:
            yield test
