"""Runs the check of a plugin in a Python of its own, and reads what it found."""

import json
import os
import subprocess
import sys

from .outcome import PLUGIN_FAULT, Stop, say
from .project import Project
from .toolchain import run

# Seconds that a check may take, for a module that waits. One that computes is stopped earlier, by `check.py`.
LONGEST = 120


def check(project: Project, sdk: str, packages, work: str) -> dict:
    """Runs the plugin's module in this Python. Raises Stop for a mistake."""
    result = os.path.join(work, "check.json")
    paths = [packages] if packages else []
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "check.py")
    started = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [
        sys.executable,
        "-I",
        "-S",
        "-B",
        "-X",
        "utf8",
        "-c",
        started,
        script,
        project.source,
        result,
        *paths,
        sdk,
    ]
    # As in the component, no file of the plugin is in the current folder.
    try:
        done = run(command, cwd=work, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        raise Stop(
            PLUGIN_FAULT,
            f"{project.module}.py: the top level of the module did not end within {LONGEST} seconds: it runs once, when "
            "the plugin is built, so begin nothing there that waits or never ends",
        ) from None
    try:
        with open(result, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        raise Stop(
            PLUGIN_FAULT,
            f"{project.module}.py: it ended Python while it was imported\n{(done.stdout + done.stderr).strip()}",
        ) from None
    printed = (done.stdout + done.stderr).strip()
    if found["problems"] and found["is_certain"]:
        raise Stop(PLUGIN_FAULT, "\n".join(found["problems"]))
    for note in (*found["problems"], *found["notes"]):
        say(f"note: {note}")
    if printed:
        say(printed)
    return found
