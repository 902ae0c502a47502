"""Reads what stands beside a plugin's module: its name, version and requirements."""

import os
import re
import sys

from .outcome import PLUGIN_FAULT, UNAVAILABLE, Stop


# The usual names of a main module. The first one that is there is the project's.
_USUAL = ("app", "plugin", "main", "index", "__init__")


class Project:
    """What stands beside the plugin's module: its name, version and requirements."""

    def __init__(self, source: str, name, version):
        self.source = os.path.abspath(source)
        if not os.path.isfile(self.source):
            raise Stop(PLUGIN_FAULT, f"{source}: there is no such file")
        self.folder, file = os.path.split(self.source)
        self.module, extension = os.path.splitext(file)
        if extension != ".py":
            raise Stop(PLUGIN_FAULT, f"{file}: a plugin in Python is a module, such as app.py")
        if self.module in sys.stdlib_module_names or self.module in ("coinslot", "coinslot_entry", "wit_world"):
            raise Stop(PLUGIN_FAULT, f"{file}: this name belongs to another module; call it app.py")
        project = self._pyproject()
        self.name = plugin_name(name or self._own_name(project))
        self.version = version or plugin_version(project.get("version") or "0.1.0")
        self.requirements, self.requirements_file = self._requirements(project)

    def _own_name(self, project) -> str:
        """The project's name for its main module, and the file's for any other: plugins that lie beside each other
        would all have the project's."""
        usual = [other for other in _USUAL if os.path.isfile(os.path.join(self.folder, f"{other}.py"))]
        if usual[:1] == [self.module] and project.get("name"):
            return str(project["name"])
        return os.path.basename(self.folder) if self.module.lower() in _USUAL else self.module

    def _pyproject(self) -> dict:
        path = os.path.join(self.folder, "pyproject.toml")
        if not os.path.isfile(path):
            return {}
        loads = toml_loads()
        with open(path, encoding="utf-8") as file:
            text = file.read()
        try:
            project = loads(text).get("project", {})
        except ValueError as error:
            raise Stop(PLUGIN_FAULT, f"pyproject.toml: {error}") from None
        return project if isinstance(project, dict) else {}

    def _requirements(self, project):
        path = os.path.join(self.folder, "requirements.txt")
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                lines = file.read().splitlines()
            return [line for line in lines if line.strip() and not line.lstrip().startswith("#")], "requirements.txt"
        return list(project.get("dependencies", [])), "pyproject.toml"


def toml_loads():
    try:
        import tomllib
    except ImportError:  # Python 3.10
        try:
            from pip._vendor import tomli as tomllib
        except ImportError:
            raise Stop(UNAVAILABLE, "pyproject.toml needs Python 3.11 or newer: https://python.org") from None
    return tomllib.loads


def plugin_name(text: str) -> str:
    """A name that the contract allows. tests/fixtures/plugin-names.txt has the rule of all builders."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", text).lower()
    return re.sub(r"^[^a-z]+", "", name)[:64].rstrip("-") or "plugin"


def plugin_version(text: str) -> str:
    """A version of Python's as a semantic one: 1.2 is 1.2.0."""
    found = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(.*)", text)
    if not found:
        return "0.1.0"
    major, minor, patch, rest = found.groups()
    rest = re.sub(r"[^0-9A-Za-z]+", ".", rest).strip(".")
    return ".".join(str(int(part or 0)) for part in (major, minor, patch)) + (f"-{rest}" if rest else "")
