"""What an author reads before anything is built: the check in the machine's own Python."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from unittest import mock

from support import ROOT, SDK

from coinslot_build import toolchain  # noqa: E402
from coinslot_build.checked import check  # noqa: E402
from coinslot_build.component import cause, parts_of  # noqa: E402
from coinslot_build.local_files import local_files  # noqa: E402
from coinslot_build.outcome import PLUGIN_FAULT, TOOL_FAULT, UNAVAILABLE, Stop  # noqa: E402
from coinslot_build.project import Project, plugin_name, plugin_version  # noqa: E402
from coinslot_build.toolchain import cached, install_problem, refuse_impossible  # noqa: E402

HELLO = '@get("/hello", price="0.001")\ndef hello() -> str:\n    return "hi"\n'


class CheckTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.packages = os.path.join(self.folder, "packages")
        os.mkdir(self.packages)
        self.plugin = os.path.join(self.folder, "shop")
        os.mkdir(self.plugin)

    def write(self, name: str, text: str, below: str | None = None) -> str:
        path = os.path.join(below or self.plugin, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def check(self, source: str, name: str = "app.py") -> dict:
        project = Project(self.write(name, source), None, None)
        with tempfile.TemporaryDirectory() as work:
            with contextlib.redirect_stdout(io.StringIO()):
                return check(project, SDK, self.packages, work)

    def problem(self, source: str) -> str:
        with self.assertRaises(Stop) as caught:
            self.check(source)
        self.assertEqual(caught.exception.status, PLUGIN_FAULT)
        return str(caught.exception)


class Problems(CheckTest):
    def test_mistakes_are_the_authors_lines(self):
        for source, expected in (
            (
                'from coinslot import get\n@get("/x")\ndef f(): ...\n',
                "app.py:2: f (GET /x): what does it cost? Write price=",
            ),
            (
                "from coinslot import get\n\ndef f(:\n    pass\n",
                "app.py:3: SyntaxError: invalid syntax\n    def f(:\n          ^",
            ),
            (
                "import nothing_like_it\n",
                "app.py:1: there is no module nothing_like_it: write its package into requirements.txt",
            ),
            ("from coinslot import gets\n", "app.py:1: coinslot has no gets: did you mean get?"),
            ("while True:\n    pass\n", "app.py:1: the top level of the module did not end within 10 seconds"),
            ("x = 1\n", "app.py:1: it has no endpoints: write @get("),
            (
                "def f():\n    return 1 / 0\n\nf()\n",
                "app.py:2: ZeroDivisionError: division by zero\n  app.py:4 in <module>\n"
                "    f()\n  app.py:2 in f\n    return 1 / 0",
            ),
            (
                "from coinslot import config\nA = config('a')\n",
                "app.py:2: RuntimeError: config does not exist while the plugin is built",
            ),
            (
                "open('data.csv')\n",
                "app.py:1: there is no data.csv: the build runs elsewhere. Write the path from the module's own, "
                'Path(__file__).with_name("data.csv")',
            ),
            ("import sys\nsys.exit(3)\n", "app.py:2: SystemExit: 3"),
            (
                "import os\nA = os.environ['PATH']\n",
                "app.py:2: there is no PATH in os.environ: a plugin has no environment variables: read what operators "
                'set with config("name")',
            ),
            (
                "from coinslot import get\n@get('/a/:id', price='0.01')\ndef a(id: str) -> str: ...\n",
                "app.py:2: a (GET /a/:id): the path has :id, which is taken letter by letter: a parameter is {id}, so "
                'write "/a/{id}"',
            ),
            (
                "from coinslot import get\n@get('/a', price='0.00000001')\ndef a() -> str: ...\n",
                "app.py:2: a (GET /a): price='0.00000001' is finer than the smallest unit of USDC",
            ),
            (
                "import httpx\n",
                "app.py:1: httpx opens sockets, and a plugin has none: write `from coinslot import fetch`",
            ),
            (
                "def f():\nreturn 1\n",
                "app.py:2: IndentationError: expected an indented block after function definition on line 1\n"
                "    return 1\n    ^",
            ),
            ("import os\nos._exit(3)\n", "app.py: it ended Python while it was imported"),
        ):
            with self.subTest(source):
                found = self.problem(source)
                self.assertTrue(found.startswith(expected), found)

    def test_a_mistake_in_a_file_beside_the_module(self):
        self.write("shapes.py", "from coinslot import *\n\nX = Y\n")
        self.assertEqual(
            self.problem("import shapes\n"),
            "app.py:1: NameError: name 'Y' is not defined\n  app.py:1 in <module>\n"
            "    import shapes\n  shapes.py:3 in <module>\n    X = Y".replace("app.py:1: N", "shapes.py:3: N"),
        )

    def test_a_line_of_a_mistake_is_shown_once(self):
        # Newer Pythons read other f-strings, but no other indentation: the build went on for a second message.
        for source in ("def f():\nreturn f'1'\n", "def f(:\n    pass\n"):
            lines = self.problem(source).splitlines()
            self.assertEqual(len(lines), 3, lines)

    @unittest.skipIf(sys.version_info >= (3, 12), "this Python reads it")
    def test_newer_syntax_is_left_to_the_build(self):
        self.assertFalse(self.check("type A = int\n")["is_certain"])

    def test_a_package_that_lacks_native_code(self):
        self.write("fast/__init__.py", "from fast import _native\n", self.packages)
        self.write("faster/__init__.py", "import faster._native\n", self.packages)
        self.assertIn(
            "app.py:1: there is no module faster._native: the package has native code", self.problem("import faster\n")
        )


class Frozen(CheckTest):
    def test_the_clock_and_randomness_are_refused(self):
        for line, what in (
            ("import time; T = time.time()", "the clock"),
            ("from datetime import datetime; T = datetime.now()", "the clock"),
            ("import datetime; T = datetime.date.today()", "the clock"),
            ("import random; R = random.random()", "randomness"),
            ("import random; R = random.randint(1, 6)", "randomness"),
            ("import secrets; K = secrets.token_hex()", "randomness"),
            ("import uuid; K = uuid.uuid4()", "randomness"),
            ("import os; K = os.urandom(8)", "randomness"),
            ("import random; R = random.SystemRandom().random()", "randomness"),
            ("import random\nL = [1, 2]\ndef mix():\n    random.shuffle(L)\nmix()", "randomness"),
        ):
            with self.subTest(line):
                found = self.problem(f"from coinslot import get\n{line}\n{HELLO}")
                place = "app.py:5" if "mix" in line else "app.py:2"
                self.assertTrue(found.startswith(f"{place}: {what} is used while the module is imported"), found)

    def test_what_is_the_same_in_each_build_is_taken(self):
        for line in (
            "import random, uuid, secrets, tempfile",
            "import random; R = random.Random(42).random()",
            "from datetime import date; D = date(2026, 1, 1)",
            "import time; time.strftime",
            "import random\ndef roll():\n    return random.random()",
        ):
            with self.subTest(line):
                self.assertEqual(self.check(f"from coinslot import get\n{line}\n{HELLO}")["problems"], [])


class Imports(CheckTest):
    def test_late_imports_are_found_and_done(self):
        self.write(
            "slug/__init__.py",
            "def slugify(t):\n    import text_decode\n    from . import deep\n    import numpy_like\n",
            self.packages,
        )
        self.write("slug/deep.py", "", self.packages)
        self.write("text_decode.py", "def f():\n    import wave\n", self.packages)
        found = self.check(f"from coinslot import get\nimport slug\n{HELLO}    import helper\n")
        self.write("helper.py", "")
        self.assertEqual(found["preload"], ["slug.deep", "text_decode", "wave"])
        self.assertIn("imported inside functions, and therefore now, when the plugin is built: ", found["notes"][-1])
        self.assertIn("text_decode (slug/__init__.py:2)", found["notes"][-1])
        self.assertIn("app.py:6: helper cannot be imported, and will not be there at run time", found["notes"][0])

    def test_what_the_plugin_takes_from_the_host_is_found(self):
        for line, uses in (
            ("from coinslot import get, store", "store"),
            ("import coinslot\nfrom coinslot import get\ndef f():\n    coinslot.config('a')", "config"),
            ("from coinslot import get\ndef f():\n    from coinslot import config_all", "config_all"),
        ):
            with self.subTest(line):
                self.assertIn(uses, self.check(f"{line}\n{HELLO}")["uses"])

    def test_the_parts_of_the_host_that_a_component_asks_for(self):
        for uses, parts in (
            ([], []),
            (["config"], ["config"]),
            (["store", "update_json"], ["store", "swap"]),
            (["update_json"], []),
            (["*"], ["config", "store"]),
        ):
            self.assertEqual(parts_of({"uses": uses, "is_certain": True}), parts)
        self.assertEqual(parts_of({"uses": [], "is_certain": False}), ["config", "store"])

    def test_whether_it_quotes(self):
        self.assertFalse(self.check(f"from coinslot import get\n{HELLO}")["quotes"])
        self.assertTrue(
            self.check(f"from coinslot import get\n{HELLO.replace('hello()', 'hello(n: int = 1)')}")["quotes"]
        )

    def test_a_client_that_opens_sockets_is_noted_where_it_is_installed(self):
        self.write("requests.py", "", self.packages)
        found = self.check(f"from coinslot import get\nfrom requests import __name__ as n\n{HELLO}")
        self.assertIn("app.py:2: requests opens sockets, and a plugin has none", found["notes"][0])

    def test_a_function_without_a_return_type_is_noted(self):
        found = self.check(f"from coinslot import get\n{HELLO.replace(' -> str', '')}")
        self.assertIn("app.py:2: hello does not say what it returns", found["notes"][0])


    def test_a_metered_price_that_no_host_takes_is_noted(self):
        found = self.check("from coinslot import get\n\n@get('/a', up_to='0.05')\ndef a() -> str:\n    return 'a'\n")
        self.assertIn("app.py:3: a (GET /a): hosts of this version sell nothing at a metered price", found["notes"][0])


class Projects(CheckTest):
    def project(self, name="app.py", **files):
        for file, text in files.items():
            self.write(file.replace("_", "."), text)
        return Project(self.write(name, ""), None, None)

    def test_the_shared_table_of_names(self):
        with open(os.path.join(ROOT, "tests", "fixtures", "plugin-names.txt"), encoding="utf-8") as file:
            lines = [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]
        for line in lines:
            name, text = line.split(" ", 1)
            self.assertEqual(plugin_name(text), name, text)
        self.assertGreater(len(lines), 10)

    def test_name_and_version(self):
        self.assertEqual(self.project().name, "shop")
        self.assertEqual(self.project("Text_tools.py").name, "text-tools")
        project = self.project(
            pyproject_toml='[project]\nname = "My.Shop"\nversion = "1.2rc1"\ndependencies = ["a==1"]\n'
        )
        self.assertEqual((project.name, project.version), ("my-shop", "1.2.0-rc1"))
        self.assertEqual((project.requirements, project.requirements_file), (["a==1"], "pyproject.toml"))
        project = self.project(requirements_txt="# x\n\nmarkdown==3.7\n")
        self.assertEqual((project.requirements, project.requirements_file), (["markdown==3.7"], "requirements.txt"))

    def test_plugins_beside_one_project_have_names_of_their_own(self):
        file = '[project]\nname = "store"\nversion = "1.2.3"\n'
        self.write("words.py", "")
        names = [self.project(name, pyproject_toml=file).name for name in ("dice.py", "main.py", "app.py", "main.py")]
        self.assertEqual(names, ["dice", "store", "store", "shop"])
        self.assertEqual(self.project("dice.py").version, "1.2.3")

    def test_files_that_cannot_be_a_plugin(self):
        for name in ("json.py", "coinslot.py", "app.txt"):
            with self.subTest(name), self.assertRaises(Stop):
                self.project(name)
        with self.assertRaises(Stop):
            Project(os.path.join(self.plugin, "none.py"), None, None)

    def test_versions_become_semantic(self):
        for python, semantic in (("1", "1.0.0"), ("1.2.3", "1.2.3"), ("1.2.3.dev4", "1.2.3-dev4"), ("01.2", "1.2.0")):
            self.assertEqual(plugin_version(python), semantic)

    def test_packages_that_cannot_work(self):
        os.mkdir(os.path.join(self.packages, "pydantic_core"))
        with self.assertRaises(Stop) as caught:
            refuse_impossible(self.packages, "requirements.txt")
        self.assertIn("requirements.txt: pydantic 2 needs pydantic-core", str(caught.exception))
        self.assertIn("pydantic==1.10", str(caught.exception))


class Installation(unittest.TestCase):
    def test_a_failed_installation_says_why(self):
        none = "ERROR: Could not find a version\nERROR: No matching distribution found for nothing==3\n"
        for output, reason in (
            (none, "pip finds no nothing==3, or no build of it for this machine"),
            ("WARNING: NewConnectionError(..)\n" + none, "pip does not reach the package index"),
            ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\nmore\n", "THESE PACKAGES DO NOT MATCH THE HASHES"),
            ("boom\n", "boom"),
        ):
            self.assertIn(f"x cannot be installed: {reason}", install_problem(output, "x"))

    def test_a_python_without_pip_and_venv_is_told_how_to_get_them(self):
        def lacks(command, **options):
            return subprocess.CompletedProcess(command, 1, "", "No module named pip")

        with tempfile.TemporaryDirectory() as cache, mock.patch.object(toolchain, "run", lacks):
            with self.assertRaises(Stop) as caught:
                toolchain.pip(cache)
        self.assertEqual(caught.exception.status, UNAVAILABLE)
        self.assertIn("has neither pip nor venv: install python3-pip or python3-venv", str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))


def wheel(folder: str, version: str) -> None:
    """Writes the package `lib`, whose module knows its version."""
    info = "lib-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(folder, "lib-1.0-py3-none-any.whl"), "w") as archive:
        archive.writestr("lib.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: lib\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


class Requirements(CheckTest):
    def installed(self, plugin: str, lines: str) -> str:
        """The version of `lib` that a build of the plugin in this folder gets."""
        folder = os.path.join(self.folder, plugin)
        if lines:
            self.write("requirements.txt", lines.replace("FOLDER", folder), folder)
        project = Project(self.write("app.py", HELLO, folder), None, None)
        with contextlib.redirect_stdout(io.StringIO()):
            packages = toolchain.requirements(os.path.join(self.folder, "cache"), project)
        with open(os.path.join(packages, "lib.py"), encoding="utf-8") as file:
            return file.read().partition("'")[2].rstrip("'\n")

    def test_a_package_in_the_plugins_folder_is_that_plugins(self):
        """The cache went by the text of the requirements, so the second plugin got the package of the first."""
        for lines, files in (
            ("./lib-1.0-py3-none-any.whl\n", {}),
            ("lib @ file://FOLDER/lib-1.0-py3-none-any.whl\n", {}),
            ("--no-index\n--find-links=./\nlib==1.0\n", {}),
            ("-r more.txt\n", {"more.txt": "./lib-1.0-py3-none-any.whl\n"}),
            ("", {"pyproject.toml": '[project]\ndependencies = ["./lib-1.0-py3-none-any.whl"]\n'}),
        ):
            found = []
            for plugin, version in (("one", "one"), ("two", "two"), ("two", "three")):
                folder = os.path.join(self.folder, plugin)
                if version != "three":
                    shutil.rmtree(folder, ignore_errors=True)
                os.makedirs(folder, exist_ok=True)
                for name, text in files.items():
                    self.write(name, text, folder)
                wheel(folder, version)
                found.append(self.installed(plugin, lines))
            self.assertEqual(found, ["one", "two", "three"], lines or files)

    def test_what_the_text_alone_says_is_shared(self):
        for lines in (
            ["markdown==3.7", "jinja2[i18n]>=3; python_version > '3'"],
            ["--no-binary :all:", "a @ https://b.c/d-1.whl"],
        ):
            self.assertEqual(local_files(lines, self.folder), [], lines)

    def test_a_further_list_is_followed_once(self):
        self.write("a.txt", "-r b.txt\n")
        self.write("b.txt", "-r a.txt\n-c c.txt\n")
        self.write("c.txt", "x==1\n")
        names = {line.partition(" ")[0] for line in local_files(["-r a.txt"], self.plugin)}
        self.assertEqual({os.path.basename(name) for name in names}, {"a.txt", "b.txt", "c.txt"})

    def test_modules_of_the_current_folder_are_not_run(self):
        for name in ("pip", "venv", "ensurepip", "runpy"):
            self.write(f"{name}.py", "open('ran', 'w').close()\n")
        before = os.getcwd()
        os.chdir(self.plugin)
        self.addCleanup(os.chdir, before)
        command = toolchain.pip(os.path.join(self.folder, "cache"))
        self.assertEqual(toolchain.run([*command, "--version"]).returncode, 0)
        self.assertFalse(os.path.exists("ran"))


class Cache(CheckTest):
    def test_a_failed_fill_leaves_nothing(self):
        cache, calls = os.path.join(self.folder, "cache"), []

        def fail(folder):
            self.write("half", "", folder)
            raise Stop(1, "no")

        def fill(folder):
            calls.append(folder)
            self.write("whole", "", folder)

        with self.assertRaises(Stop):
            cached(cache, "tool", fail)
        self.assertEqual(os.listdir(cache), ["tool.lock"])
        for _ in range(2):
            self.assertEqual(os.listdir(cached(cache, "tool", fill)), ["whole"])
        self.assertEqual(len(calls), 1)

    def test_the_cause_of_a_failed_build(self):
        project = Project(self.write("app.py", ""), None, None)
        output = (
            "AssertionError: \nStack backtrace:\n   0: x\nTraceback (most recent call last):\n"
            '  File "/0/coinslot_entry.py", line 3, in <module>\n  File "/1/app.py", line 7, in <module>\n    f()\n'
            "ValueError: not this\n\nCaused by:\n    0: error while executing at wasm backtrace:\n"
            "    3: wasm trap: wasm `unreachable` instruction executed\n"
        )
        self.assertEqual(cause(output, project), (PLUGIN_FAULT, "app.py:7: ValueError: not this"))
        self.assertEqual(cause("no such\nworld\n", project)[0], TOOL_FAULT)


if __name__ == "__main__":
    unittest.main()
