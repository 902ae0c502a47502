"""Installs componentize-py and the requirements of plugins, once, into a cache that several builds share."""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

from .local_files import local_files
from .outcome import PLUGIN_FAULT, UNAVAILABLE, Stop, say
from .project import Project

TOOL = "0.25.1"

# The wheels of componentize-py, by the hashes of PyPI: Linux (x86_64, aarch64), macOS (x86_64, arm64), Windows.
HASHES = (
    "8623cd8cab8453cb0cd8bf03f3c7103420d06f2f3d360186a280a70a1ca5e89f",
    "7b6a87c520358166843af0daa86d2312d7af4cbcbbf1e598951085cf7f2991ca",
    "65fbc4a94df1de8acf7da50a1f5ed1711230188844e53e6332d99029be4e0afa",
    "a556991534cc496207a9d2ca733c4b0f17ed38ef56a8d6b5f1847fdf1225dd1b",
    "c7fd552fb0849858b0c1e8981543ed5dff4b0cc1597a8ea0bc26a495786dc0c6",
)

NATIVE = (".so", ".pyd", ".dylib", ".dll")

# Runs a module as `python -m` does, but does not look for it in the current folder, which may be anybody's.
RUN_MODULE = (
    "import sys; sys.path[:] = [path for path in sys.path if path]; module = sys.argv.pop(1); import runpy; "
    "runpy.run_module(module, run_name='__main__', alter_sys=True)"
)

# Packages whose code is native, and what to write instead.
IMPOSSIBLE = {
    "pydantic_core": "pydantic 2 needs pydantic-core, which is native code without a build for WASI: write "
    "pydantic==1.10.26, whose models work, or use dataclasses",
    "orjson": "orjson is native code without a build for WASI: use json of Python",
    "msgspec": "msgspec is native code without a build for WASI: use dataclasses",
    "numpy": "numpy is native code without a build for WASI: use math, statistics and lists",
    "pandas": "pandas is native code without a build for WASI: use csv and dataclasses",
    "lxml": "lxml is native code without a build for WASI: use xml.etree or html.parser",
    "cryptography": "cryptography is native code without a build for WASI: use hashlib and hmac",
    "PIL": "Pillow is native code without a build for WASI",
}


def tool(cache: str) -> str:
    """The folder with componentize-py."""

    def fill(folder):
        say(f"installing componentize-py {TOOL} (once, 48 MB on disk)")
        pins = os.path.join(folder, "pins.txt")
        with open(pins, "w") as file:
            file.write(f"componentize-py=={TOOL} " + " ".join(f"--hash=sha256:{sha}" for sha in HASHES) + "\n")
        failed = install(cache, folder, pins, "--require-hashes", "--no-deps", "--only-binary=:all:")
        if failed:
            raise Stop(UNAVAILABLE, install_problem(failed, f"componentize-py {TOOL}"))

    return cached(cache, f"componentize-py-{TOOL}-{key(sys.executable, *HASHES)[:8]}", fill)


def requirements(cache: str, project: Project) -> str | None:
    """The folder with the plugin's requirements, without native code; None if there are none."""
    if not project.requirements:
        return None
    text = "\n".join(project.requirements) + "\n"

    def fill(folder):
        count = len(project.requirements)
        say(f"installing {count} requirement{'s' if count > 1 else ''} of {project.requirements_file}")
        part = os.path.join(folder, "requirements.part.txt")
        with open(part, "w", encoding="utf-8") as out:
            out.write(text)
        # A list that names other files finds them from its own place, and packages from the current folder.
        own = os.path.join(project.folder, "requirements.txt")
        failed = install(cache, folder, own if os.path.isfile(own) else part, cwd=project.folder)
        if failed:
            raise Stop(PLUGIN_FAULT, f"{project.requirements_file}: {install_problem(failed, 'a requirement')}")
        os.unlink(part)
        refuse_impossible(folder, project.requirements_file)
        for parent, _, names in os.walk(folder):
            for name in names:
                if name.endswith(NATIVE):
                    os.unlink(os.path.join(parent, name))

    # A requirement without a version is what it was at the first build, until the file changes.
    local = local_files(project.requirements, project.folder)
    parts = [project.folder, *local] if local else []
    return cached(cache, f"requirements-{key(text, this_python(), sys.platform, *parts)}", fill)


def refuse_impossible(folder: str, where: str) -> None:
    for package, text in IMPOSSIBLE.items():
        if os.path.isdir(os.path.join(folder, package)):
            raise Stop(PLUGIN_FAULT, f"{where}: {text}")


def pip(cache: str) -> list[str]:
    """The command of pip: this Python's own, else that of a private environment."""
    if run([sys.executable, "-c", RUN_MODULE, "pip", "--version"]).returncode == 0:
        return [sys.executable, "-c", RUN_MODULE, "pip"]

    def make(folder):
        if run([sys.executable, "-I", "-c", "import venv, ensurepip"]).returncode:
            raise Stop(
                UNAVAILABLE,
                f"Python {this_python()} has neither pip nor venv: install python3-pip or python3-venv "
                "(Debian, Ubuntu: apt install python3-venv), or take Python from https://python.org",
            )
        made = run([sys.executable, "-I", "-m", "venv", folder])
        if made.returncode:
            raise Stop(UNAVAILABLE, f"a private environment cannot be made: {last_line(made.stderr + made.stdout)}")

    # An environment knows its own path, and so is not renamed.
    folder = os.path.join(cache, f"pip-{key(sys.executable, sys.version)}")
    python = os.path.join(folder, "Scripts" if os.name == "nt" else "bin", "python")
    os.makedirs(cache, exist_ok=True)
    with locked(f"{folder}.lock"):
        if run_ok([python, "-c", RUN_MODULE, "pip", "--version"]):
            return [python, "-c", RUN_MODULE, "pip"]
        shutil.rmtree(folder, ignore_errors=True)
        make(folder)
    return [python, "-c", RUN_MODULE, "pip"]


def install(cache: str, folder: str, requirements: str, *options: str, cwd: str | None = None):
    """Installs into a folder. Returns what pip said if it failed."""
    command = [
        *pip(cache),
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--no-warn-conflicts",
        "--no-compile",
        "--target",
        folder,
        *options,
        "--requirement",
        requirements,
    ]
    done = run(command, cwd=cwd)
    return None if done.returncode == 0 else done.stderr + done.stdout


def install_problem(output: str, what: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip().startswith("ERROR:")]
    text = lines[0].removeprefix("ERROR: ") if lines else last_line(output)
    missing = re.search(r"No matching distribution found for (\S+)", output)
    if missing:
        text = f"pip finds no {missing[1]}, or no build of it for this machine"
    if re.search(
        r"NewConnectionError|NameResolution|Temporary failure|Connection refused|Max retries|timed out", output
    ):
        text = "pip does not reach the package index; the network is needed once"
    return f"{what} cannot be installed: {text}"


def cached(cache: str, name: str, fill) -> str:
    """A folder of the cache. `fill` fills a temporary one, which appears under its name in one step."""
    folder = os.path.join(cache, name)
    if os.path.isdir(folder):
        return folder
    os.makedirs(cache, exist_ok=True)
    with locked(os.path.join(cache, f"{name}.lock")):
        if os.path.isdir(folder):
            return folder
        part = tempfile.mkdtemp(prefix=f"{name}.", suffix=".part", dir=cache)
        try:
            fill(part)
            try:
                os.rename(part, folder)
            except OSError:
                if not os.path.isdir(folder):
                    raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


@contextlib.contextmanager
def locked(path: str):
    """Holds a lock file, so that two builds do not do the same work. Where the system has no such locks, the renames
    of `cached` are enough to keep the cache whole."""
    with open(path, "a") as file:
        try:
            import fcntl
        except ImportError:
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def run(command, **options):
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_REQUIRE_VIRTUALENV", "PIP_TARGET", "PIP_USER")
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", **options)


def run_ok(command) -> bool:
    try:
        return run(command).returncode == 0
    except OSError:
        return False


def this_python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was given"
