"""Makes the component with componentize-py, and says in the author's words why it failed."""

import contextlib
import os
import re
import shutil
import sys

from .outcome import PLUGIN_FAULT, TOOL_FAULT, Stop
from .project import Project
from .toolchain import run, tool

WORLD = """package coinslot:plugin@0.2.0;

world python-plugin {{
  include {world};
{imports}}}
"""

# Parts of the host that a component asks for only if its plugin uses them: the package, and names for its interfaces.
PARTS = {
    "config": ("wasi:config/imports@0.2.0-rc.1", {"wasi:config/store@0.2.0-rc.1": "config_store"}),
    "store": (
        "wasi:keyvalue/imports@0.2.0-draft",
        {
            "wasi:keyvalue/store@0.2.0-draft": "keyvalue_store",
            "wasi:keyvalue/atomics@0.2.0-draft": "keyvalue_atomics",
            "wasi:keyvalue/batch@0.2.0-draft": "keyvalue_batch",
        },
    ),
    "swap": ("coinslot:keyvalue/imports@0.1.0", {"coinslot:keyvalue/atomics@0.1.0": "keyvalue_swap"}),
}
# Names of the SDK, and the part that each needs.
USES = {
    **dict.fromkeys(("config", "config_all"), "config"),
    **dict.fromkeys(("store", "Bucket"), "store"),
    **dict.fromkeys(("compare_and_swap", "update_json"), "swap"),
}

ENTRY = """from coinslot import _component

_component.load({module!r}, {name!r}, {version!r}, {preload!r})

IncomingHandler, Manifest, Quote = _component.IncomingHandler, _component.Manifest, _component.Quote
"""


def componentize(project: Project, options, packages, found: dict, work: str) -> str:
    """Builds the component. Raises Stop with the cause."""
    needs = parts_of(found)
    wit = stage_wit(work, options.wit, needs, found["quotes"])
    entry = os.path.join(work, "entry")
    os.makedirs(entry)
    with open(os.path.join(entry, "coinslot_entry.py"), "w", encoding="utf-8") as file:
        file.write(
            ENTRY.format(module=project.module, name=project.name, version=project.version, preload=found["preload"])
        )
    out = os.path.join(work, "plugin.wasm")
    command = ["--wit-path", wit, "--world", "python-plugin"]
    for need in needs:
        for interface, name in PARTS[need][1].items():
            command += ["--import-interface-name", f"{interface}={name}"]
    command += ["componentize", "coinslot_entry", "--output", out]
    for path in (entry, project.folder, packages, os.path.abspath(options.sdk)):
        command += ["--python-path", path] if path else []
    folder = tool(options.cache)
    started = f"import sys; sys.path.insert(0, {folder!r}); import componentize_py; sys.exit(componentize_py.script())"
    done = run([sys.executable, "-I", "-c", started, *command], cwd=work)
    if done.returncode or not os.path.isfile(out):
        raise Stop(*cause(done.stderr + done.stdout, project))
    return out


def parts_of(found: dict) -> list[str]:
    """The parts of the host that the plugin uses, as far as its source tells."""
    needs = {USES[name] for name in found["uses"] if name in USES}
    if "*" in found["uses"] or not found["is_certain"]:
        needs |= {"config", "store"}
    if "swap" in needs and "store" not in needs:
        needs.discard("swap")  # a function of the plugin's own that happens to have the name
    return sorted(needs)


def stage_wit(work: str, wit: str, needs, quotes: bool) -> str:
    """A copy of the contract with the world of this plugin."""
    folder = os.path.join(work, "wit")
    os.makedirs(folder)
    for name in sorted(os.listdir(wit)):
        path = os.path.join(wit, name)
        if name.endswith(".wit"):
            shutil.copy(path, folder)
        elif name == "deps":
            shutil.copytree(path, os.path.join(folder, name))
    if "swap" in needs and not os.path.exists(os.path.join(folder, "deps", "coinslot-keyvalue.wit")):
        raise Stop(PLUGIN_FAULT, "store.compare_and_swap and store.update_json need a newer coinslot than this one")
    imports = "".join(f"  include {PARTS[need][0]};\n" for need in needs)
    with open(os.path.join(folder, "python-plugin.wit"), "w") as file:
        file.write(WORLD.format(world="endpoint-quoting" if quotes else "endpoint", imports=imports))
    return folder


FRAME = re.compile(r'^\s*File "([^"]+)", line (\d+)(?:, in (\S+))?')


def cause(output: str, project: Project):
    """The status and the lines that say why componentize-py failed: the author's line and Python's last word."""
    places, error = [], None
    for line in output.splitlines():
        frame = FRAME.match(line)
        if frame:
            local = os.path.basename(frame[1])
            is_known = os.path.exists(os.path.join(project.folder, local)) and "coinslot/" not in frame[1]
            places += [f"{local}:{frame[2]}"] if is_known and local != "coinslot_entry.py" else []
        found = re.match(
            r"\s*(?:\d+: )?(?:Traceback.*: )?([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)): (.+)", line
        )
        if found and "RuntimeError: unreachable" not in line:
            error = f"{found[1].rpartition('.')[2]}: {found[2]}"
    if error:
        text = error.removeprefix("DefinitionError: ")
        return (
            PLUGIN_FAULT,
            text if text is not error else f"{places[-1] if places else project.module + '.py'}: {error}",
        )
    lines = [line for line in output.splitlines() if line.strip()]
    return TOOL_FAULT, "componentize-py failed:\n" + "\n".join(lines[:12])


def write_out(built: str, out: str) -> None:
    """Puts the component in its place in one step, so that a host that watches the folder never sees half of it."""
    folder = os.path.dirname(os.path.abspath(out))
    os.makedirs(folder, exist_ok=True)
    part = f"{out}.{os.getpid()}.part"
    try:
        shutil.copyfile(built, part)
        os.replace(part, out)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(part)
