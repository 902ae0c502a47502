"""Watches what a module does while it is imported, and finds what it imports later."""

import ast
import random
import types

# What the clock and randomness are to the interpreter: the type or module of a built-in function, and its name.
_CLOCK = {
    ("time", name)
    for name in (
        "time",
        "time_ns",
        "monotonic",
        "monotonic_ns",
        "perf_counter",
        "perf_counter_ns",
        "localtime",
        "gmtime",
        "ctime",
    )
}
_CLOCK |= {("datetime", name) for name in ("now", "utcnow")} | {("date", "today"), ("datetime", "today")}
_RANDOM = {
    ("posix", "urandom"),
    ("nt", "urandom"),
    ("Random", "random"),
    ("Random", "getrandbits"),
    ("SystemRandom", "random"),
    ("SystemRandom", "getrandbits"),
}


class Frozen:
    """Notes each call of the clock or of randomness that the plugin's module makes while it is imported."""

    def __init__(self, is_author):
        self.is_author, self.found = is_author, {}

    def __call__(self, frame, event, function):
        if event != "c_call":
            return
        owner = getattr(function, "__self__", None)
        kind = owner.__name__ if isinstance(owner, (types.ModuleType, type)) else type(owner).__name__
        what = (kind, function.__name__)
        if what not in _CLOCK and what not in _RANDOM:
            return
        # A generator with a seed of its own is the same in each build, on purpose.
        if kind == "Random" and owner is not random._inst:
            return
        place = self._author_frame(frame)
        if place:
            self.found.setdefault(place, "the clock" if what in _CLOCK else "randomness")

    def _author_frame(self, frame):
        """The nearest line of the plugin; None if the call belongs to an import of another module."""
        while frame is not None:
            filename = frame.f_code.co_filename
            if self.is_author(filename):
                return filename, frame.f_lineno
            if frame.f_code.co_name == "<module>" or filename.startswith("<frozen importlib"):
                return None
            frame = frame.f_back
        return None


# Functions of the key-value store that need an interface of their own.
SWAPS = {"compare_and_swap", "update_json"}


class Scan(ast.NodeVisitor):
    """The imports inside functions, and the names that a file takes from `coinslot`."""

    def __init__(self, package: str):
        self.package, self.depth = package, 0
        self.late: list[tuple[str, int]] = []
        self.aliases: set[str] = set()
        self.names: set[str] = set()

    def _function(self, node):
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def visit_If(self, node):
        name = getattr(node.test, "id", getattr(node.test, "attr", None))
        if name != "TYPE_CHECKING":
            self.generic_visit(node)

    def visit_Import(self, node):
        for alias in node.names:
            if alias.name == "coinslot":
                self.aliases.add(alias.asname or alias.name)
            if self.depth:
                self.late.append((alias.name, node.lineno))

    def visit_ImportFrom(self, node):
        base = node.module or ""
        if node.level:
            parts = self.package.split(".")
            parts = parts[: len(parts) - node.level + 1]
            base = ".".join([*parts, base] if base else parts)
        if base == "coinslot":
            self.names |= {alias.name for alias in node.names}
        if self.depth and base:
            self.late.append((base, node.lineno))
            self.late += [(f"{base}.{alias.name}", node.lineno) for alias in node.names if alias.name != "*"]

    def visit_Attribute(self, node):
        if node.attr in SWAPS:
            self.names.add(node.attr)
        if isinstance(node.value, ast.Name) and node.value.id in self.aliases:
            self.names.add(node.attr)
        self.generic_visit(node)
