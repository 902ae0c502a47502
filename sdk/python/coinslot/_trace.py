"""Reports an uncaught exception in the author's words: files and lines of the plugin, without frames of libraries."""

import itertools
import os
import sys

_SDK = os.path.dirname(os.path.abspath(__file__))
_STDLIB = os.path.dirname(os.path.abspath(os.__file__))

# The folder of the plugin's source; None where it is not known, as in a test.
author_root: str | None = None

# Equal frames that are shown before the others are counted, as Python itself does it.
_REPEATED = 3
# The most frames that are shown: the log of a request is bounded, and has the request's own lines, too.
_MOST_FRAMES = 40

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


# The advice for a variable that is not there.
NO_ENVIRONMENT = (
    'a plugin has no environment variables: read what operators set with config("name") inside an endpoint; secrets are '
    "added by the host to outgoing requests"
)


def is_environment(error: BaseException) -> bool:
    """True for the KeyError of `os.environ["NAME"]`."""
    last = frames(error)[-1:]
    return isinstance(error, KeyError) and bool(last) and last[0][0] in ("<frozen os>", os.__file__)


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
    """The lines of the author's frames. Those of libraries are left out: the headline has their message."""
    out = []
    for frame, group in itertools.groupby(frame for frame in frames(error) if is_author(frame[0])):
        times = sum(1 for _ in group)
        out += [_frame_text(frame)] * min(times, _REPEATED)
        if times > _REPEATED:
            more = times - _REPEATED
            out.append(f"  [Previous line repeated {more} more time{'s' if more > 1 else ''}]")
    if len(out) > _MOST_FRAMES:
        # Two functions that call each other are no repetition of one line.
        half = _MOST_FRAMES // 2
        out[half:-half] = [f"  [{len(out) - 2 * half} frames left out]"]
    return out


def _frame_text(frame: tuple[str, int, str]) -> str:
    filename, line, name = frame
    text = f"  {short(filename)}:{line} in {name}"
    if filename not in sources:
        remember(filename)
    lines = sources.get(filename, ())
    return f"{text}\n    {lines[line - 1].strip()}" if 0 < line <= len(lines) else text


def _advice(error: BaseException) -> list[str]:
    if isinstance(error, ModuleNotFoundError) and author_root is not None:
        return [
            f"  a plugin has the modules that were imported when it was built: write `import {error.name}` at the "
            "top of the module"
        ]
    if is_environment(error):
        return [f"  {NO_ENVIRONMENT}"]
    if isinstance(error, (FileNotFoundError, PermissionError)) and author_root is not None:
        return ["  a plugin has no files: read them at the top of the module, when the plugin is built"]
    return []
