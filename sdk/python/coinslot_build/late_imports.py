"""Finds imports inside functions of a plugin and of what it imports, and does them while the plugin is built.

A component has no files to import from when a request runs.
"""

import ast
import importlib
import os
import sys

from .hints import CLIENTS, clients
from .watch import Scan

# Modules that no endpoint needs at run time, and that would make the component larger.
_NEVER = {
    "pdb",
    "doctest",
    "unittest",
    "tkinter",
    "idlelib",
    "ensurepip",
    "pip",
    "venv",
    "turtle",
    "test",
    "pydoc",
    "multiprocessing",
    "subprocess",
    "ctypes",
    "sqlite3",
    "curses",
    "readline",
    "webbrowser",
    "ssl",
    "pytest",
    "http.server",
    "socketserver",
    "distutils",
    "setuptools",
    "pkg_resources",
    "lib2to3",
    "cProfile",
    "profile",
    "tracemalloc",
    "rlcompleter",
    "code",
    "codeop",
    "IPython",
    "wsgiref",
    "xmlrpc",
    "concurrent.futures.process",
}


class LateImports:
    """One scan. `paths` are the folders of the requirements, and `note` tells the author something."""

    def __init__(self, root: str, module: str, paths: list[str], trace, note):
        self.root, self.paths, self.trace, self.note = root, paths, trace, note
        self.uses: set[str] = set()  # names that the plugin takes from the SDK
        self.reported: dict[str, str] = {}  # modules that are imported late, and where
        self._files = {os.path.join(root, module + ".py"): module}
        self._imported: set[str] = set()

    def scan(self) -> None:
        """Finds late imports in the plugin and in what it imports, and does them now, to find theirs."""
        seen = set()
        while True:
            self._files |= self._loaded_files()
            fresh = [item for item in self._files.items() if item[0] not in seen]
            if not fresh:
                break
            for filename, name in fresh:
                seen.add(filename)
                found = self._scan_file(filename, name)
                if found is None:
                    continue
                self.uses |= found.names
                for late, line in found.late:
                    if self._import(late, filename, line):
                        self.reported.setdefault(late, f"{self.trace.short(filename)}:{line}")
        self._note_reported()

    def _note_reported(self) -> None:
        ours = {
            late: place
            for late, place in self.reported.items()
            if late.partition(".")[0] not in sys.stdlib_module_names
        }
        if ours:
            shown = ", ".join(f"{late} ({place})" for late, place in list(ours.items())[:8])
            self.note(
                f"imported inside functions, and therefore now, when the plugin is built: {shown}"
                + (f" and {len(ours) - 8} more" if len(ours) > 8 else "")
            )

    def _loaded_files(self) -> dict[str, str]:
        out = {}
        roots = tuple(path + os.sep for path in (self.root, *self.paths))
        for name, module in list(sys.modules.items()):
            filename = getattr(module, "__file__", None) or ""
            if filename.startswith(roots) and filename.endswith(".py"):
                out[filename] = name
        return out

    def _scan_file(self, filename: str, name: str):
        try:
            with open(filename, "rb") as file:
                tree = ast.parse(file.read())
        except (OSError, SyntaxError, ValueError, RecursionError):
            return None
        package = name if filename.endswith("__init__.py") else name.rpartition(".")[0]
        found = Scan(package)
        found.visit(tree)
        if self.trace.is_author(filename):
            for client, line in clients(tree):
                self.note(f"{self.trace.short(filename)}:{line}: {CLIENTS[client]}")
        return found

    def _import(self, name: str, filename: str, line: int) -> bool:
        """True if the name is a module that was not loaded by itself."""
        parts = name.split(".")
        if (
            parts[0] in _NEVER
            or name in _NEVER
            or any(part.startswith("test") for part in parts)
            or parts[0] == "coinslot"
        ):
            return False
        if name in sys.modules:
            return name in self._imported
        if len(parts) > 1 and hasattr(sys.modules.get(".".join(parts[:-1])), parts[-1]):
            return False
        try:
            importlib.import_module(name)
        except Exception as error:
            is_module = isinstance(error, ModuleNotFoundError) and error.name == name
            parent_known = len(parts) > 1 and ".".join(parts[:-1]) in sys.modules
            if self.trace.is_author(filename) and not (is_module and parent_known):
                self.note(
                    f"{self.trace.short(filename)}:{line}: {name} cannot be imported, and will not be there at "
                    f"run time: {error}"
                )
            return False
        self._imported.add(name)
        return True
