//! Modules that only a call asks for: those that cannot be loaded do not fail the build.

use super::*;

const NEEDS_NODE: (&str, &str) = ("node_modules/q/index.mjs", "import './deep.mjs';\nexport const a = 1;\n");
const DEEP: (&str, &str) = ("node_modules/q/deep.mjs", "import fs from 'node:fs';\nexport default fs;\n");
const Q: (&str, &str) = ("node_modules/q/package.json", r#"{ "name": "q", "main": "index.mjs" }"#);
const FAULT: &str = "node_modules/q/deep.mjs:1:16: `node:fs` is part of Node.js";

/// An optional module failed the build, although the module that asks for it goes on without it.
#[test]
fn an_optional_module_that_needs_node_is_told_to_the_call() {
    let told = printed(
        "import { found } from 'p';\nconsole.log(found);",
        &[
            (
                "node_modules/p/index.js",
                "exports.found = 'none';\ntry { exports.found = require('q') } catch (error) {\n  \
                 console.log(error.code, error.message.split(':').slice(0, 4).join(':'));\n}\n",
            ),
            Q,
            NEEDS_NODE,
            DEEP,
        ],
    );
    assert_eq!(told, lines(&["MODULE_NOT_FOUND node_modules/q/deep.mjs:1:16: `node", "none"]));
}

#[test]
fn import_in_a_package_rejects_and_one_that_an_author_catches_does() {
    let files = [
        ("node_modules/p/index.mjs", "export const f = () => import('q').catch((error) => error.message);\n"),
        ("node_modules/p/package.json", r#"{ "name": "p", "main": "index.mjs" }"#),
        Q,
        NEEDS_NODE,
        DEEP,
    ];
    let told = printed("import { f } from 'p';\nconsole.log((await f()).split('\\n')[0]);", &files);
    assert!(told.as_ref().is_ok_and(|told| told.starts_with(FAULT)), "{told:?}");
    for caught in
        ["try { await import('q') } catch { console.log('no') }", "await import('q').catch(() => console.log('no'))"]
    {
        assert_eq!(printed(caught, &files), lines(&["no"]));
        assert_eq!(printed(&caught.replace("'q'", "'none'"), &files), lines(&["no"]));
    }
    for needed in ["await import('q');", "try { (() => import('q'))() } catch {}", "import('q').then(() => 1);"] {
        let told = printed(needed, &files).expect_err("nothing catches it");
        assert!(told.contains("`node:fs` is part of Node.js"), "{told}");
    }
}

#[test]
fn a_module_that_throws_while_it_is_loaded_fails_the_call_that_asks_for_it() {
    let throws = "export const a = 1;\nnull.x;\n";
    let told = printed(
        "import c from './c.cjs';\nimport p from 'p';\nconsole.log(c.a, p.a);\n\
         for (const f of [c.f, p.f]) try { f() } catch (error) { console.log(error.message.split('\\n')[0]) }",
        &[
            ("c.cjs", "exports.a = 1;\nexports.f = () => require('./m.mjs');\n"),
            ("m.mjs", "import './n.mjs';\n"),
            ("n.mjs", throws),
            ("node_modules/p/index.js", "exports.a = 2;\nexports.f = () => require('./late');\n"),
            ("node_modules/p/late.mjs", "import './strict.js';\n"),
            ("node_modules/p/strict.js", "exports.a = 010;\n"),
        ],
    );
    let told = told.expect("a component");
    let mut told = told.lines();
    assert_eq!(told.next(), Some("1 2"));
    assert!(told.next().is_some_and(|line| line.starts_with("n.mjs:2:1: cannot read property 'x' of null")));
    assert!(told.next().is_some_and(|line| line.starts_with("node_modules/p/strict.js:1:13: ")));
}

#[test]
fn a_module_that_throws_and_is_imported_at_a_top_fails_the_build() {
    let told = printed(
        "import c from './c.cjs';\nimport './m.mjs';\nconsole.log(c.a);",
        &[("c.cjs", "exports.f = () => require('./m.mjs');\n"), ("m.mjs", "null.x;\n")],
    )
    .expect_err("it throws");
    assert!(told.starts_with("m.mjs:1:1: cannot read property 'x' of null"), "{told}");
}
