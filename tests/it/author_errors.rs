//! Makes each mistake that authors make, in each language, and reads what they read: the file, the line and the remedy.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use coinslot_tests::{DevHost, binary, guest, run};

/// The exit codes of `coinslot build`.
const WRONG_SOURCE: i32 = 65;
const NO_TOOL: i32 = 69;
const WRONG_FILE: i32 = 74;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn with(dir: &Path, environment: &[(&str, &Path)], arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(dir).args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    command.output().expect("the coinslot binary")
}

/// A mistake: its name, the module, and what its author reads.
type Mistake = (&'static str, &'static str, &'static [&'static str]);

const TYPESCRIPT: &[Mistake] = &[
    (
        "missing price",
        "import { get } from 'coinslot';\nget('/a', { summary: 'A' }, () => 'a');\n",
        &[
            "plugin.ts:2:1: GET /a: what does it cost? Write price: '0.01'",
            "\n  get('/a', { summary: 'A' }, () => 'a');\n  ^",
        ],
    ),
    (
        "price of the wrong type",
        "import { get } from 'coinslot';\nget('/a', { price: 0.01 }, () => 'a');\n",
        &["plugin.ts:2:1: GET /a: a price is text", "price: '0.01'"],
    ),
    (
        "wrong path",
        "import { get } from 'coinslot';\n\nget('/a/{id', { price: '0.01' }, () => 'a');\n",
        &["plugin.ts:3:1: GET /a/{id: the path: ", "as in /items/{name}"],
    ),
    (
        "path without a slash",
        "import { get } from 'coinslot';\nget('a', { price: '0.01' }, () => 'a');\n",
        &["plugin.ts:2:1: ", "slash"],
    ),
    (
        "wrong type in a schema",
        "import { get } from 'coinslot';\nget('/a', { price: '0.01', query: { type: 'objekt' } }, () => 'a');\n",
        &["plugin.ts:2:1: GET /a: query: { type: \"objekt\" } is no type: there are string, number, "],
    ),
    (
        "exception",
        "interface A { b: number }\nconst a: A = null!;\na.b;\n",
        &["plugin.ts:3:1: cannot read property 'b' of null", "\n  a.b;\n  ^"],
    ),
    (
        "exception in a function",
        "function f(a: string[]) {\n  return a[0].length;\n}\nf([]);\n",
        &["plugin.ts:2:", ": cannot read property 'length' of undefined", "at f (plugin.ts:2:", "plugin.ts:4:1"],
    ),
    ("exception that is no error", "throw 'no';\n", &["plugin.ts: the module threw \"no\"", "throw new Error(..)"]),
    (
        "endless loop",
        "for (;;) {}\n",
        &["plugin.ts: the top level of the module did not end within", "runs once, when the plugin is built"],
    ),
    (
        "endless wait",
        "import { get } from 'coinslot';\nawait new Promise(() => {});\nget('/a', { price: '0.01' }, () => 'a');\n",
        &["plugin.ts:2:1: this waits for a promise that nothing settles", "\n  await new Promise(() => {});\n  ^"],
    ),
    (
        "unknown package",
        "import { load } from 'yaml';\nload('');\n",
        &["plugin.ts:1:22: the package `yaml` is not installed: npm install yaml"],
    ),
    (
        "module of Node.js",
        "import fs from 'node:fs';\nfs.readFileSync('');\n",
        &["plugin.ts:1:16: `node:fs` is part of Node.js"],
    ),
    ("unknown file", "import './missing';\n", &["plugin.ts:1:8: there is no file `./missing`"]),
    (
        "links in a circle",
        "import { a } from './circle.ts';\na();\n",
        &["plugin.ts:1:19: there is no file `./circle.ts`"],
    ),
    (
        "unknown name of the SDK",
        "import { got } from 'coinslot';\ngot('/a', { price: '0.01' }, () => 'a');\n",
        &[
            "plugin.ts:1:10: `coinslot` has no `got`: it has ",
            "get, ",
            "\n  import { got } from 'coinslot';\n           ^^^",
        ],
    ),
    (
        "unknown name of a file",
        "import { one } from './numbers.ts';\none();\n",
        &["plugin.ts:1:10: `./numbers.ts` has no `one`: it has two"],
    ),
    ("syntax error", "const a = (;\n", &["plugin.ts:1:12: ", "\n  const a = (;\n"]),
    (
        "clock at the top level",
        "const now = Date.now();\n",
        &["plugin.ts:1:", "runs once, when the plugin is built", "handler"],
    ),
    ("no endpoint", "export const a = 1;\n", &["plugin.ts: this plugin has no endpoint", "get('/hello'"]),
    (
        "recursion without end",
        "const f = (n: number): number => 1 + f(n + 1);\nf(1);\n",
        &["plugin.ts: calls, or", "nested too deeply for the stack", "calls itself without end"],
    ),
    (
        "too much memory",
        "const all: unknown[] = [];\nfor (;;) all.push(new Uint8Array(1 << 20));\n",
        &["plugin.ts:2:", "out of memory: a module may take 256 MiB while it is built"],
    ),
    ("no error", "throw null;\n", &["plugin.ts: the module threw null, which is no Error"]),
    (
        "import of a URL",
        "import one from 'https://shop.example/one.js';\none();\n",
        &["plugin.ts:1:17: `https://shop.example/one.js` cannot be imported: imports are files and packages"],
    ),
];

/// The place of each `await` was counted from the beginning of its file, with a copy of the file: minutes, and gigabytes.
#[test]
fn a_module_with_very_many_waits_is_told_in_time_and_in_few_words() {
    let waits = "await 1;\n".repeat(100_000);
    let dir = plugin(&format!("if (get.length > 99) {{\n{waits}}}\nawait new Promise(() => {{}});\n"));
    let begun = std::time::Instant::now();
    let output = run(dir.path(), &["build"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(WRONG_SOURCE), "{said}");
    assert!(said.contains("plugin.ts:3:1, ") && said.contains("one of these") && said.len() < 4_000, "{said}");
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

/// A build failed with `[object Object]` when its module had printed 64 KiB.
#[test]
fn a_module_may_print_as_much_as_it_likes_and_the_end_is_shown() {
    let dir =
        plugin("for (let i = 0; i < 20_000; i++) console.log('line', i);\nget('/a', { free: true }, () => 'a');\n");
    let output = run(dir.path(), &["build"]);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("line 19999") && said.len() < 1 << 20, "{} bytes", said.len());
}

/// A caller who reads of a metered price pays by it, and no host of this version can take that payment.
#[test]
fn a_metered_price_is_refused_by_every_tool_before_a_host_is() {
    let dir = plugin("get('/a', { upTo: '0.05' }, () => 'a');\n");
    let built = run(dir.path(), &["build", "-o", "metered.wasm"]);
    let said = stderr(&built);
    assert!(built.status.success() && said.contains("GET /a: upTo: hosts of this version"), "{said}");
    assert!(said.contains("(plugin.ts:2:1)"), "{said}");
    for arguments in [&["inspect", "metered.wasm"][..], &["test", "--only", "contract", "metered.wasm"]] {
        let output = run(dir.path(), arguments);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("GET /a: this version sells nothing at a metered price (`up-to`; "), "{said}");
    }
}

#[test]
fn a_mistake_in_typescript_is_told_with_its_line_and_what_to_write() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("numbers.ts"), "export const two = 2;\n").expect("written");
    std::os::unix::fs::symlink("circle.ts", dir.path().join("circle.ts")).expect("a link");
    for (mistake, source, expected) in TYPESCRIPT {
        fs::write(dir.path().join("plugin.ts"), source).expect("written");
        let output = run(dir.path(), &["build"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(WRONG_SOURCE), "{mistake}: {said}");
        for part in *expected {
            assert!(said.contains(part), "{mistake} should say {part:?}:\n{said}");
        }
        for frame in ["coinslot.js", "wasm", "quickjs"] {
            assert!(!said.contains(frame), "{mistake}: what the engine is made of says nothing: {said}");
        }
    }
    let nothing = run(dir.path(), &["build", "other"]);
    assert_eq!(nothing.status.code(), Some(2));
}

const PYTHON: &[Mistake] = &[
    (
        "missing price",
        "from coinslot import get\n\n@get('/a')\ndef a():\n    return 'a'\n",
        &["app.py:3: a (GET /a): what does it cost? Write price=\"0.01\""],
    ),
    (
        "price of the wrong type",
        "from coinslot import get\n\n@get('/a', price=0.01)\ndef a():\n    return 'a'\n",
        &["app.py:3: a (GET /a): a price is text", "write price=\"0.01\""],
    ),
    (
        "wrong path",
        "from coinslot import get\n\n@get('/a/{id', price='0.01')\ndef a(id: str):\n    return 'a'\n",
        &["app.py:3: a (GET /a/{id): the path '/a/{id': ", "as in /items/{id}"],
    ),
    (
        "wrong type",
        "from coinslot import get\n\n@get('/a', price='0.01')\ndef a(n: complex):\n    return 'a'\n",
        &["app.py:3: a (GET /a): the type of `n`: complex is not a type that JSON can hold: make it a dataclass"],
    ),
    ("exception", "TABLE = {}\nFIRST = TABLE['missing']\n", &["app.py:2: KeyError: 'missing'"]),
    (
        "endless loop",
        "n = 0\nwhile True:\n    n += 1\n",
        // Where the machine is busy, the longer time of the clock may end it, which does not know the line.
        &["app.py:", "the top level of the module did not end within", "runs once, when the plugin is built"],
    ),
    (
        "unknown package",
        "import yaml\n",
        &["app.py:1: there is no module yaml: write its package into requirements.txt"],
    ),
    ("unknown name of the SDK", "from coinslot import gets\n", &["app.py:1: coinslot has no gets: did you mean get?"]),
    (
        "syntax error",
        "from coinslot import get\n\n@get('/a', price='0.01'\ndef a():\n    return 'a'\n",
        &["app.py:3: SyntaxError: '(' was never closed", "\n    @get('/a', price='0.01'\n"],
    ),
    (
        "parameter of another framework",
        "from coinslot import get\n\n@get('/a/:id', price='0.01')\ndef a(id: str) -> str:\n    return id\n",
        &["app.py:3: a (GET /a/:id): the path has :id, which is taken letter by letter: a parameter is {id}"],
    ),
    (
        "price that no token has",
        "from coinslot import get\n\n@get('/a', price='0.00000001')\ndef a() -> str:\n    return 'a'\n",
        &["app.py:3: a (GET /a): price='0.00000001' is finer than the smallest unit of USDC"],
    ),
    (
        "variable of the environment",
        "import os\nHOME = os.environ['HOME']\n",
        &["app.py:2: there is no HOME in os.environ: a plugin has no environment variables", "config(\"name\")"],
    ),
    (
        "client that opens sockets",
        "import requests\n",
        &["app.py:1: requests opens sockets, and a plugin has none: write `from coinslot import fetch`"],
    ),
    (
        "clock at the top level",
        "import time\nNOW = time.time()\n",
        &["app.py:2: the clock is used while the module is imported", "Move it into the endpoint"],
    ),
    (
        "no endpoint",
        "a = 1\n",
        &["app.py:1: it has no endpoints: write @get(\"/path\", price=\"0.01\") above a function"],
    ),
];

#[test]
fn a_mistake_in_python_is_told_with_its_line_and_what_to_write() {
    let dir = tempfile::tempdir().expect("a folder");
    for (mistake, source, expected) in PYTHON {
        fs::write(dir.path().join("app.py"), source).expect("written");
        let output = run(dir.path(), &["build"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(WRONG_SOURCE), "{mistake}: {said}");
        for part in *expected {
            assert!(said.contains(part), "{mistake} should say {part:?}:\n{said}");
        }
        assert!(!said.contains("site-packages") && !said.contains("/sdk/python"), "{mistake}: {said}");
    }
}

const RUST: &[Mistake] = &[
    (
        "missing price",
        "#[endpoint(get, \"/a\", summary = \"A\")]\nfn a() -> Text { Text::from(\"a\") }\n",
        &["src/lib.rs:2:", "price = \"0.01\""],
    ),
    (
        "price of the wrong type",
        "#[endpoint(get, \"/a\", price = 0.01, summary = \"A\")]\nfn a() -> Text { Text::from(\"a\") }\n",
        &["src/lib.rs:2:31", "\"0.01\""],
    ),
    (
        "wrong path",
        "#[endpoint(get, \"/a/{id\", free, summary = \"A\")]\nfn a() -> Text { Text::from(\"a\") }\n",
        &["src/lib.rs:2:17", "{id"],
    ),
    (
        "wrong type",
        "#[endpoint(get, \"/a\", free, summary = \"A\")]\nfn a(_n: u8) -> Text { Text::from(\"a\") }\n",
        &["src/lib.rs:3:"],
    ),
    (
        "unknown import",
        "use yaml::load;\n#[endpoint(get, \"/a\", free, summary = \"A\")]\nfn a() -> Text { load(\"a\") }\n",
        &["src/lib.rs:2:5", "yaml", "cargo add yaml"],
    ),
    (
        "syntax error",
        "#[endpoint(get, \"/a\", free, summary = \"A\")]\nfn a() -> Text { Text::from(\"a\" }\n",
        &["src/lib.rs:3:", "mismatched closing delimiter"],
    ),
];

#[test]
fn a_mistake_in_rust_is_told_with_its_line_and_what_to_write() {
    let dir = tempfile::tempdir().expect("a folder");
    let made = run(dir.path(), &["new", "mistaken", "--lang", "rust"]);
    assert!(made.status.success(), "{}", stderr(&made));
    // What the plugin depends on is compiled once for all runs of the tests.
    let target = binary().parent().expect("target/PROFILE").with_file_name("author-errors");
    for (mistake, source, expected) in RUST {
        let source = format!("use coinslot_sdk::{{Text, endpoint}};\n{source}");
        fs::write(dir.path().join("mistaken/src/lib.rs"), source).expect("written");
        let output = with(dir.path(), &[("CARGO_TARGET_DIR", &target)], &["build", "mistaken"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(WRONG_SOURCE), "{mistake}: {said}");
        for part in *expected {
            assert!(said.contains(part), "{mistake} should say {part:?}:\n{said}");
        }
    }
}

/// TypeScript has no toolchain that could be missing.
#[test]
fn a_toolchain_that_is_missing_is_told_with_how_to_get_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let nothing = dir.path().join("nothing");
    fs::create_dir(&nothing).expect("a folder");
    for (lang, advice) in [("python", "https://python.org"), ("rust", "https://rustup.rs")] {
        assert!(run(dir.path(), &["new", lang, "--lang", lang]).status.success());
        let output = with(dir.path(), &[("PATH", &nothing)], &["build", lang]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(NO_TOOL), "{lang}: {said}");
        assert!(said.contains(advice), "{lang}: {said}");
    }
    assert!(run(dir.path(), &["new", "typed", "--lang", "ts"]).status.success());
    let output = with(dir.path(), &[("PATH", &nothing)], &["build", "typed"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// The other engine is built by tools of npm, and the SDK is not made for it.
#[test]
fn another_engine_says_what_it_needs() {
    let dir = plugin("get('/a', { free: true }, () => 'a');\n");
    let build = |path: Option<&Path>| {
        let environment = path.map(|path| ("PATH", path));
        with(dir.path(), environment.as_slice(), &["build", "--engine", "starlingmonkey"])
    };
    let sdk = build(None);
    assert_eq!(sdk.status.code(), Some(WRONG_SOURCE));
    assert!(
        stderr(&sdk).contains("plugin.ts:1:21: the SDK `coinslot` runs in the embedded engine"),
        "{}",
        stderr(&sdk)
    );
    fs::write(dir.path().join("plugin.ts"), "export const manifest = { describe() {} };\n").expect("written");
    let jco = build(None);
    assert_eq!(jco.status.code(), Some(NO_TOOL));
    let said = stderr(&jco);
    assert!(
        said.contains("there is no jco in ") && said.contains("npm install --save-dev @bytecodealliance/jco@"),
        "{said}"
    );
    let node = build(Some(&dir.path().join("nothing")));
    assert_eq!(node.status.code(), Some(NO_TOOL));
    assert!(stderr(&node).contains("https://nodejs.org"), "{}", stderr(&node));
    fs::write(dir.path().join("app.py"), "").expect("written");
    let python = run(dir.path(), &["build", "app.py", "--engine", "starlingmonkey"]);
    assert_eq!(python.status.code(), Some(2), "{}", stderr(&python));
}

/// `coinslot build` ended with 65 for whatever went wrong, as if the sources were.
#[test]
fn a_file_that_cannot_be_written_is_no_mistake_of_the_sources() {
    let dir = plugin("get('/a', { free: true }, () => 'a');\n");
    let output = run(dir.path(), &["build", "-o", "plugin.ts/a.wasm"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(WRONG_FILE), "{said}");
    assert!(said.contains("plugin.ts: "), "{said}");
}

#[test]
fn the_folder_of_a_component_is_made_and_none_for_a_build_that_fails() {
    let dir = plugin("get('/a', { free: true }, () => 'a');\n");
    let output = run(dir.path(), &["build", "-o", "new/folder/a.wasm"]);
    assert!(output.status.success() && dir.path().join("new/folder/a.wasm").is_file(), "{}", stderr(&output));
    fs::write(dir.path().join("plugin.ts"), "const a = (;\n").expect("written");
    assert!(!run(dir.path(), &["build", "-o", "other/a.wasm"]).status.success());
    assert!(!dir.path().join("other").exists());
}

/// A plugin in TypeScript checks its input by the author's own schema, which no key of a configuration reaches.
#[tokio::test]
async fn an_operator_reads_that_the_checks_of_a_plugin_in_typescript_cannot_be_switched_off() {
    let query = "{ type: 'object', properties: { n: { type: 'integer' } } }";
    let dir = plugin(&format!("get('/a', {{ price: '0.01', query: {query} }}, () => 'a');\n"));
    assert!(run(dir.path(), &["build", "-o", "strict.wasm"]).status.success());
    let builder = DevHost::builder().plugin("strict.wasm", &dir.path().join("strict.wasm"));
    let name = dir.path().file_name().expect("a name").to_string_lossy().to_lowercase();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
    fs::write(builder.path("coinslot.toml"), format!("[plugin.{name}]\nvalidate = \"off\"\n")).expect("a file");
    let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;
    let log = host.log();
    assert!(
        log.contains(&format!("plugin.{name}.validate: \"off\" has no effect on GET /a: the plugin checks")),
        "{log}"
    );
    assert_eq!(reqwest::get(host.url("/a?n=x")).await.expect("an answer").status(), 400);
}

/// Another user who could write to the cache could plant an engine and an SDK, which this user would then run.
#[test]
fn nothing_is_taken_from_a_cache_that_others_can_write_to() {
    let dir = plugin("get('/a', { free: true }, () => 'a');\n");
    let caches = dir.path().join("caches");
    let made = with(dir.path(), &[("XDG_CACHE_HOME", &caches)], &["build", "-o", "a.wasm"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let cache = folder_in(&folder_in(&caches));
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("a mode");
    let typescript = with(dir.path(), &[("XDG_CACHE_HOME", &caches)], &["build", "-o", "a.wasm"]);
    let said = stderr(&typescript);
    assert!(typescript.status.success() && said.contains("each build compiles the engine anew"), "{said}");
    fs::write(dir.path().join("app.py"), "from coinslot import get\n").expect("written");
    let python = with(dir.path(), &[("XDG_CACHE_HOME", &caches)], &["build", "app.py"]);
    let said = stderr(&python);
    assert_eq!(python.status.code(), Some(WRONG_FILE), "{said}");
    assert!(said.contains("chmod 700") && said.contains("XDG_CACHE_HOME"), "{said}");
}

/// Both wrote into one file `plugin.part`.
#[test]
fn two_builds_of_a_plugin_at_once_do_not_meet() {
    let dir = tempfile::tempdir().expect("a folder");
    // The first build ends after the second one, whose script fails if the file of the first is in its way.
    let [first, second] = ["status", "echo"].map(guest);
    let script = format!(
        "wait_for() {{ while [ ! -e \"$1\" ]; do sleep 0.05; done; }}\n\
         if mkdir first 2>/dev/null; then\n  cp {} \"$1\"\n  touch written\n  wait_for second\n\
         else\n  wait_for written\n  [ -e \"$1\" ] && touch second && exit 1\n  cp {} \"$1\"\n  touch second\nfi\n",
        first.display(),
        second.display()
    );
    fs::write(dir.path().join("build.sh"), script).expect("a script");
    let start = |out: &str| {
        let mut command = Command::new(binary());
        command.current_dir(dir.path()).args(["build", ".", "-o", out]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the coinslot binary")
    };
    let builds = [start("a.wasm"), start("a.wasm")].map(|build| build.wait_with_output().expect("its end"));
    assert!(builds.iter().all(|build| build.status.success()), "{builds:?}");
    let printed = builds.map(|build| String::from_utf8_lossy(&build.stdout).into_owned());
    assert!(printed.iter().all(|text| text.contains("a.wasm")), "{printed:?}");
    let left: Vec<PathBuf> = fs::read_dir(dir.path()).expect("a folder").flatten().map(|entry| entry.path()).collect();
    assert!(!left.iter().any(|path| path.extension().is_some_and(|extension| extension == "part")), "{left:?}");
    let made = fs::read(dir.path().join("a.wasm")).expect("a component");
    assert!([first, second].iter().any(|guest| fs::read(guest).expect("a guest") == made));
}

/// The name of a folder was cut at its last dot.
#[test]
fn a_folder_with_a_dot_in_its_name_is_built_under_all_of_it() {
    let dir = plugin("get('/a', { free: true }, () => 'a');\n");
    let folder = dir.path().join("shop.v2");
    fs::create_dir(&folder).expect("a folder");
    fs::rename(dir.path().join("plugin.ts"), folder.join("plugin.ts")).expect("moved");
    let output = run(dir.path(), &["build", "shop.v2"]);
    assert!(output.status.success() && folder.join("shop.v2.wasm").is_file(), "{}", stderr(&output));
    let shown = run(dir.path(), &["inspect", "shop.v2/shop.v2.wasm"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("shop-v2"));
}

#[tokio::test]
async fn a_failure_of_a_handler_is_logged_with_its_line() {
    let dir = plugin(
        "get('/a', { free: true }, () => {\n  const table: Record<string, string[]> = {};\n  return table.b[0];\n});\n",
    );
    assert!(run(dir.path(), &["build", "-o", "failing.wasm"]).status.success());
    let host = DevHost::builder().plugin("failing.wasm", &dir.path().join("failing.wasm")).start().await;
    assert_eq!(reqwest::get(host.url("/a")).await.expect("an answer").status(), 500);
    let log = host.log();
    assert!(log.contains("GET /a failed: TypeError: cannot read property '0' of undefined at plugin.ts:4:"), "{log}");
}

/// The request's line had the engine's panic, which names no file of the author's.
#[tokio::test]
async fn a_quote_that_fails_and_a_handler_that_waits_for_ever_are_told_in_the_authors_words() {
    let dir = plugin(
        "get('/a', { quoted: '1', quote: () => {\n  throw new TypeError('no rates');\n} }, () => 'a');\n\
         get('/b', { free: true }, () => new Promise(() => {}));\n",
    );
    assert!(run(dir.path(), &["build", "-o", "failing.wasm"]).status.success());
    let host = DevHost::builder().plugin("failing.wasm", &dir.path().join("failing.wasm")).start().await;
    for path in ["/a", "/b"] {
        assert!(reqwest::get(host.url(path)).await.expect("an answer").status().is_server_error(), "{path}");
    }
    let log = host.log();
    assert!(log.contains("its quote failed: TypeError: no rates at "), "{log}");
    assert!(log.contains("plugin.ts:3:") && !log.contains("interpreter.rs"), "{log}");
    assert!(log.contains("its handler waits for what never comes"), "{log}");
}

/// A folder with a `plugin.ts` that imports `get`.
fn plugin(source: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("plugin.ts"), format!("import {{ get }} from 'coinslot';\n{source}")).expect("written");
    dir
}

/// The only folder in a folder.
fn folder_in(path: &Path) -> PathBuf {
    let mut entries = fs::read_dir(path).expect("a folder").flatten().map(|entry| entry.path());
    entries.find(|path| path.is_dir()).expect("a folder in it")
}
