"""Holds what a plugin declares beside its endpoints: name, version, and a check of its configuration."""

import re

from ._errors import DefinitionError


class Plugin:
    """What the plugin says about itself beside its endpoints."""

    name: str | None = None
    version: str | None = None
    check_config = None


def plugin(*, name: str | None = None, version: str | None = None) -> None:
    """Names the plugin. Without it, name and version are those of pyproject.toml, else of the file."""
    if name is not None and not re.fullmatch(r"[a-z][a-z0-9-]{0,63}", name):
        raise DefinitionError(
            f"plugin(name={name!r}): a name has lower-case letters, digits and hyphens, at most 64, "
            "and starts with a letter"
        )
    if version is not None and not re.fullmatch(r"\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?", version):
        raise DefinitionError(f'plugin(version={version!r}): a version has three numbers, as in "1.4.0"')
    Plugin.name, Plugin.version = name or Plugin.name, version or Plugin.version


def check_config(function):
    """Checks the operator's configuration when the plugin is loaded: a ValueError or Refusal is shown to the operator,
    and the plugin is not loaded."""
    Plugin.check_config = function
    return function
