//! Builds plugins of packages as npm has them, and reads what they print while they are built.

use std::path::Path;
use std::sync::LazyLock;

use super::build;

mod graph;
mod messages;
mod on_demand;

/// The compiled engine, which all tests share.
static CACHE: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

/// Builds a plugin whose main module is `plugin.ts`, unless the first file is another one.
fn built(files: &[(&str, &str)]) -> Result<(Vec<u8>, String), String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, text).expect("written");
    }
    let made = build(&folder.path().join(Path::new(files[0].0)), Some(CACHE.path()));
    made.map(|made| (made.component, made.output)).map_err(|error| error.to_string())
}

/// The lines that the plugin prints while it is built.
fn printed(plugin: &str, files: &[(&str, &str)]) -> Result<String, String> {
    let plugin = format!("{plugin}\nimport {{ get }} from 'coinslot';\nget('/', {{ free: true }}, () => 'x');\n");
    let all: Vec<_> = std::iter::once(("plugin.ts", plugin.as_str())).chain(files.iter().copied()).collect();
    built(&all).map(|(_, output)| output)
}

fn lines(lines: &[&str]) -> Result<String, String> {
    Ok(lines.join("\n"))
}

#[test]
fn commonjs_is_imported_by_its_default_its_names_and_its_namespace() {
    let ms = "var s = 1000;\nmodule.exports = function (n) { return n * s };\nmodule.exports.long = (n) => `${n} s`;\n";
    let told = printed(
        "import ms, { long } from 'ms';\nimport * as all from 'ms';\nimport local from './local.cjs';\n\
         console.log(ms(2), long(3), all.default(4), all.long(5), Object.keys(all).join(), local.name);",
        &[
            ("node_modules/ms/package.json", r#"{ "name": "ms", "main": "./index" }"#),
            ("node_modules/ms/index.js", ms),
            ("local.cjs", "exports.name = require('./name.json').name + __filename;\n"),
            ("name.json", r#"{ "name": "n" }"#),
        ],
    );
    assert_eq!(told, lines(&["2000 3 s 4000 5 s default,long n/local.cjs"]));
}

#[test]
fn the_default_of_compiled_ecmascript_is_its_own_unless_the_importer_follows_node() {
    let compiled =
        "Object.defineProperty(exports, '__esModule', { value: true });\nexports.default = 'own';\nexports.a = 1;\n";
    let files = [("node_modules/c/index.js", compiled)];
    let plugin = "import c from 'c';\nexport * from 'c';\nconsole.log(typeof c, c.default);";
    assert_eq!(printed(plugin, &files), lines(&["string undefined"]));
    let files = [files[0], ("package.json", r#"{ "name": "p", "type": "module" }"#)];
    assert_eq!(printed(plugin, &files), lines(&["object own"]));
}

#[test]
fn commonjs_runs_once_when_it_is_first_required_and_a_cycle_sees_what_there_is() {
    let told = printed(
        "import a from './a.cjs';\nimport './b.cjs';\nconsole.log(a.done, a.seen, a.rest);",
        &[
            (
                "a.cjs",
                "console.log('a');\nexports.early = 1;\nconst b = require('./b.cjs');\nexports.seen = b.seen;\nexports.done = true;\n\
              exports.rest = typeof require('./never.cjs').f;\n",
            ),
            ("b.cjs", "console.log('b');\nconst a = require('./a.cjs');\nexports.seen = Object.keys(a).join();\n"),
            ("never.cjs", "exports.f = () => require('./unread.cjs');\n"),
            ("unread.cjs", "console.log('unread');\n"),
        ],
    );
    assert_eq!(told, lines(&["a", "b", "true early function"]));
}

#[test]
fn require_gives_ecmascript_and_throws_where_node_would() {
    let told = printed(
        "import './c.cjs';",
        &[
            (
                "c.cjs",
                "const m = require('./m.mjs');\nconsole.log(m.a, m.default, m.__esModule, this === exports, global === globalThis);\n\
             for (const f of [() => require('none'), () => require('fs'), () => require('./' + ['x'])]) {\n\
             \x20 try { f() } catch (error) { console.log(error.code, error.message.slice(0, 40)) }\n}\n\
             if (process.env.NODE_ENV !== 'production') require('./dev.cjs');\nconsole.log(process.env.NODE_ENV);\n",
            ),
            ("m.mjs", "export const a = 1;\nexport default 2;\n"),
        ],
    );
    assert_eq!(
        told,
        lines(&[
            "1 2 true true true",
            "MODULE_NOT_FOUND the package `none` is not installed: npm",
            "MODULE_NOT_FOUND `fs` is part of Node.js, and a plugin ru",
            "MODULE_NOT_FOUND require(\"./x\") cannot be followed: a plu",
            "production",
        ])
    );
}

#[test]
fn an_error_of_commonjs_has_the_file_the_line_and_the_column_of_its_author() {
    let told = printed("import 'c';", &[("node_modules/c/index.js", "var a; a.b();\n")]).expect_err("it throws");
    assert!(told.starts_with("node_modules/c/index.js:1:8: cannot read property 'b' of undefined"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    let told =
        printed("import './c.cjs';", &[("c.cjs", "exports.a = 1;\nwith (Math) { abs(1) }\n")]).expect_err("sloppy");
    let rule = "'with' statements are not allowed: CommonJS becomes part of a module here, and runs in strict mode";
    assert!(told.starts_with(&format!("c.cjs:2:1: {rule}\n")), "{told}");
    for (sloppy, place) in [("var a = 010;", "c.cjs:1:9: "), ("var b; delete b;", "c.cjs:1:15: ")] {
        let told = printed("import './c.cjs';", &[("c.cjs", &format!("{sloppy}\nexports.a = 1;\n"))]);
        let told = told.expect_err("strict mode has no such statement");
        assert!(told.starts_with(place) && told.contains(": CommonJS becomes part of a module here"), "{told}");
    }
    let told = printed("import { shunk } from './c.cjs';\nshunk();", &[("c.cjs", "exports.chunk = 1;\n")])
        .expect_err("no name");
    assert!(told.starts_with("plugin.ts:1:10: `./c.cjs` has no `shunk`: it has chunk\n"), "{told}");
}

#[test]
fn a_package_for_browsers_is_taken_where_it_has_one_for_node_too() {
    let told = printed(
        "import { a } from 'conditions';\nimport b from 'field';\nimport c from 'map';\nconsole.log(a, b, c);",
        &[
            (
                "node_modules/conditions/package.json",
                r#"{ "type": "module", "exports": { "browser": "./b.js", "default": "./n.js" } }"#,
            ),
            ("node_modules/conditions/b.js", "export const a = 1;\n"),
            ("node_modules/conditions/n.js", "export { randomBytes as a } from 'node:crypto';\n"),
            ("node_modules/field/package.json", r#"{ "main": "./n.js", "browser": "./b.js" }"#),
            ("node_modules/field/b.js", "module.exports = 2;\n"),
            (
                "node_modules/map/package.json",
                r#"{ "main": "./n.js", "browser": { "./n.js": "./b.js", "fs": false } }"#,
            ),
            ("node_modules/map/b.js", "module.exports = 3 + Object.keys(require('fs')).length;\n"),
        ],
    );
    assert_eq!(told, lines(&["1 2 3"]));
}

#[test]
fn import_in_a_function_is_bundled_or_refused_at_its_line() {
    let told = printed(
        "const load = async () => [(await import('./o.ts')).a, (await import('./c.cjs')).default];\nconsole.log(String(await load()));",
        &[("o.ts", "export const a: number = 1;\n"), ("c.cjs", "module.exports = 2;\n")],
    );
    assert_eq!(told, lines(&["1,2"]));
    let told = printed("export const f = (a: string) =>\n  import(a);", &[]).expect_err("an expression");
    assert!(told.starts_with("plugin.ts:2:3: the module of this import() is only known when a request runs"), "{told}");
    let told = printed("export const f = () =>\n  import('./none.ts');", &[]).expect_err("no file");
    assert!(told.starts_with("plugin.ts:2:3: there is no file `./none.ts`"), "{told}");
    let files =
        [("node_modules/p/index.js", "export const f = () => import('node:fs').catch((error) => error.message);\n")];
    let told = printed("import { f } from 'p';\nconsole.log(await f());", &files).expect("it rejects");
    assert!(told.starts_with("`node:fs` is part of Node.js"), "{told}");
}

#[test]
fn a_package_that_reads_the_clock_while_it_is_loaded_is_loaded() {
    let files = [(
        "node_modules/clock/index.js",
        "const now = Date.now;\nexport const loaded = now();\nexport const read = () => now();\n",
    )];
    assert_eq!(printed("import { loaded } from 'clock';\nconsole.log(loaded);", &files), lines(&["0"]));
    let told = printed("import { read } from 'clock';\nread();", &files).expect_err("the author's call");
    assert!(told.contains("Date.now() is not available here") && told.starts_with("plugin.ts:2:1: "), "{told}");
}

#[test]
fn a_plugin_with_commonjs_has_the_same_bytes_each_time() {
    let files = [
        (
            "plugin.ts",
            "import { get, plugin } from 'coinslot';\nplugin({ name: 'p' });\nimport c from 'c';\nget('/', { free: true }, () => c.a);\n",
        ),
        ("node_modules/c/index.js", "exports.a = require('./d').d;\n"),
        ("node_modules/c/d.js", "exports.d = 'd';\n"),
        // Without it the plugin has the name of its folder, which is another one each time.
        ("package.json", r#"{ "name": "p" }"#),
    ];
    assert!(built(&files).expect("a component").0 == built(&files).expect("a component").0, "the bytes differ");
}

#[test]
fn what_a_module_prints_stands_below_the_error_that_ends_it() {
    let told = printed("console.log('hi');\nthrow new Error('boom');", &[]).expect_err("it throws");
    assert!(told.starts_with("plugin.ts:2:") && told.ends_with("\nbefore that, the module printed:\n  hi"), "{told}");
}
