"""Reports an uncaught exception in the author's words: files and lines of the plugin, without frames of libraries."""

import os
import sys

_SDK = os.path.dirname(os.path.abspath(__file__))
_STDLIB = os.path.dirname(os.path.abspath(os.__file__))

# The folder of the plugin's source; None where it is not known, as in a test.
author_root: str | None = None

# The source lines of the plugin's files. A component has no files at run time, so the build fills it.
sources: dict[str, list[str]] = {}


def short(filename: str) -> str:
    """A file's path from the folder that its module was found in."""
    roots = [author_root or "", *sys.path]
    for root in sorted({os.path.abspath(root) for root in roots if root}, key=len, reverse=True):
        if filename.startswith(root.rstrip("/") + os.sep):
            return filename[len(root.rstrip("/")) + 1 :]
    return os.path.basename(filename)


def is_author(filename: str) -> bool:
    """True for a file of the plugin itself: neither of this SDK, nor of Python, nor of a dependency."""
    if filename.startswith(("<", _SDK + os.sep)):
        return False
    if author_root is not None:
        return filename.startswith(author_root.rstrip("/") + os.sep) and "site-packages" not in filename
    return not filename.startswith(_STDLIB + os.sep) and "site-packages" not in filename


def remember(filename: str) -> None:
    """Keeps the lines of a source file for reports at run time."""
    try:
        with open(filename, encoding="utf-8") as file:
            sources[filename] = file.read().splitlines()
    except (OSError, UnicodeDecodeError):
        pass


def frames(error: BaseException) -> list[tuple[str, int, str]]:
    """File, line and function of each frame, the innermost last."""
    out, traceback = [], error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        out.append((code.co_filename, traceback.tb_lineno, code.co_name))
        traceback = traceback.tb_next
    return out


def headline(error: BaseException) -> str:
    """`ZeroDivisionError: division by zero at fee (app.py:12)`."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    mine = [frame for frame in frames(error) if is_author(frame[0])]
    if not mine:
        return text
    filename, line, name = mine[-1]
    return f"{text} at {name} ({short(filename)}:{line})"


def report(title: str, error: BaseException) -> str:
    """The lines for the log: what failed and why, then the author's frames, the innermost last."""
    lines = [f"{title}: {headline(error)}"]
    lines += _frame_lines(error)
    cause, seen = error.__cause__ or (None if error.__suppress_context__ else error.__context__), {id(error)}
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        lines.append(f"  caused by {headline(cause)}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    lines += _advice(error)
    return "\n".join(lines) + "\n"


def _frame_lines(error: BaseException) -> list[str]:
    every = frames(error)
    mine = [frame for frame in every if is_author(frame[0])]
    shown = mine or [frame for frame in every if not frame[0].startswith("<")]
    if mine and every[-1] != mine[-1] and not every[-1][0].startswith((_SDK, "<")):
        shown = [*mine, every[-1]]
    out = []
    for filename, line, name in shown:
        out.append(f"  {short(filename)}:{line} in {name}")
        if filename not in sources:
            remember(filename)
        lines = sources.get(filename, ())
        if 0 < line <= len(lines):
            out.append(f"    {lines[line - 1].strip()}")
    return out


def _advice(error: BaseException) -> list[str]:
    if isinstance(error, ModuleNotFoundError) and author_root is not None:
        return [
            f"  a plugin has the modules that were imported when it was built: write `import {error.name}` at the "
            "top of the module"
        ]
    if isinstance(error, (FileNotFoundError, PermissionError)) and author_root is not None:
        return ["  a plugin has no files: read them at the top of the module, when the plugin is built"]
    return []
