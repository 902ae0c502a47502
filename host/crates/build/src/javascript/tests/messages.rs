//! Messages about sources that cannot be read, and about packages that need Node.js or what a build does not have.

use super::*;

#[test]
fn a_character_that_ends_the_source_for_the_engine_has_its_place() {
    for file in ["a.cjs", "a.mjs", "a.ts", "a.json"] {
        let told =
            printed(&format!("import './{file}';"), &[(file, "let a = 1;\nlet b = '\0';\n")]).expect_err("U+0000");
        assert!(told.starts_with(&format!("{file}:2:10: a source cannot have the character U+0000")), "{told}");
    }
    assert_eq!(printed("import './a.cjs';", &[("a.cjs", "console.log('\\0'.length);")]), lines(&["1"]));
}

#[test]
fn a_byte_order_mark_before_json_is_ignored() {
    let files = [("a.json", "\u{feff}{ \"a\": 1 }"), ("c.cjs", "exports.b = require('./a.json').a + 1;\n")];
    assert_eq!(
        printed("import a from './a.json';\nimport c from './c.cjs';\nconsole.log(a.a, c.b);", &files),
        lines(&["1 2"])
    );
}

#[test]
fn what_strict_mode_refuses_in_commonjs_is_told_with_the_reason() {
    for sloppy in ["exports.a = 010;", "with (Math) { abs(1) }", "exports.a = '\\010';", "<!-- a"] {
        let told = printed("import './c.cjs';", &[("c.cjs", sloppy)]).expect_err("sloppy");
        assert!(told.starts_with("c.cjs:1:") && told.contains("runs in strict mode"), "{told}");
    }
}

#[test]
fn a_global_of_node_is_told_with_what_to_do() {
    for (file, import) in [("node_modules/p/index.js", "p"), ("own.js", "./own.js")] {
        for name in ["Buffer", "process"] {
            let told =
                printed(&format!("import '{import}';"), &[(file, &format!("{name}.from('a');\n"))]).expect_err("none");
            let place = format!("{file}:1:1: ");
            assert!(told.starts_with(&place), "{told}");
            assert!(told.contains(&format!("`{name}` is part of Node.js, and a plugin runs without it")), "{told}");
        }
    }
    let told = printed("own();", &[]).expect_err("none");
    assert!(!told.contains("Node.js"), "{told}");
}

#[test]
fn a_package_that_is_random_while_it_is_loaded_is_named_as_one_that_cannot_be_used() {
    let p = "export const seed = Math.random();\n";
    let told = printed("import '@s/p';", &[("node_modules/@s/p/index.js", p)]).expect_err("refused");
    assert!(told.contains("the package @s/p calls it") && !told.contains("Move it"), "{told}");
    let told = printed("import '@s/p';", &[("node_modules/@s/p/index.js", "exports.a = crypto.randomUUID();\n")]);
    assert!(told.as_ref().is_err_and(|told| told.contains("the package @s/p calls it")), "{told:?}");
    let told = printed("Math.random();", &[]).expect_err("refused");
    assert!(told.contains("Move it into the handler"), "{told}");
}

#[test]
fn a_name_that_is_imported_twice_is_told_in_the_words_of_the_language() {
    let told = printed("import { a } from './a';\nimport { a } from './a';\na;", &[("a.js", "export const a = 1;\n")]);
    let told = told.expect_err("twice");
    assert!(told.starts_with("plugin.ts:") && !told.contains("Failed to declare"), "{told}");
}
