use std::collections::HashMap;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::*;
use crate::javascript::source::on_a_large_stack;

/// Modules by their names. Those whose names begin with `pure` can be left out.
struct Made(HashMap<&'static str, &'static str>);

impl Files for Made {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|text| (*text).to_owned())
    }

    fn target(&self, _importer: &str, specifier: &str) -> Option<String> {
        self.0.contains_key(specifier).then(|| specifier.to_owned())
    }

    fn is_without_effects(&self, name: &str) -> bool {
        name.starts_with("pure")
    }
}

/// The text of each module that is left, without spaces and empty statements.
fn left(modules: &[(&'static str, &'static str)]) -> HashMap<String, String> {
    let made = shorter(&Made(modules.iter().copied().collect()), "entry");
    for (name, text) in &made {
        let old = modules.iter().find(|(other, _)| other == name).expect("a module").1;
        assert_eq!(text.lines().count(), old.lines().count(), "{text}");
    }
    let words = |text: String| text.split_whitespace().filter(|word| *word != ";").collect::<Vec<_>>().join(" ");
    made.into_iter().map(|(name, text)| (name, words(text))).collect()
}

/// The time of the processor that this thread has used.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a time that is not negative")
}

#[test]
fn what_a_statement_that_stays_refers_to_stays() {
    let left = left(&[
        ("entry", "import { a } from 'pure';\na();\n"),
        (
            "pure",
            "const used = 1;\nconst unused = [used];\nexport function a() { return used; }\nexport const b = () => 2;\n\
             export class C { m() { return b } }\nexport const d = /*@__PURE__*/ make();\nfunction make() {}\n",
        ),
    ]);
    assert_eq!(left["pure"], "const used = 1; export function a() { return used; }");
}

#[test]
fn statements_with_effects_stay_with_all_that_they_need() {
    let source = "let count = 0;\nexport const a = 1;\nregister(helper);\nfunction helper() { return count }\n\
                  export const size = document.size;\nclass X { static { count++ } }\n";
    let left = left(&[("entry", "import { a } from 'pure';\na;\n"), ("pure", source)]);
    assert_eq!(left["pure"], source.split_whitespace().collect::<Vec<_>>().join(" "));
}

#[test]
fn of_a_namespace_the_members_that_are_read_stay() {
    let modules = [
        ("pure/index", "import * as z from 'pure/all';\nexport * from 'pure/all';\nexport { z };\nexport default z;\n"),
        ("pure/all", "export * from 'pure/schemas';\nexport * as locales from 'pure/locales';\n"),
        (
            "pure/schemas",
            "export function object() { return string }\nexport function string() {}\nexport const n = 1;\n",
        ),
        ("pure/locales", "export const de = 'Ungültig';\n"),
    ];
    for import in ["import * as z from 'pure/index'", "import { z } from 'pure/index'", "import z from 'pure/index'"] {
        let text: &'static str = format!("{import};\nz.object().n;\n").leak();
        let left = left(&[&[("entry", text)], &modules[..]].concat());
        assert!(
            left["pure/schemas"].contains("object") && left["pure/schemas"].contains("function string"),
            "{import}"
        );
        assert!(!left["pure/schemas"].contains("const n"), "{import}: {left:?}");
        assert!(!left.contains_key("pure/locales") && !left["pure/all"].contains("locales"), "{import}: {left:?}");
    }
    // What is read by a name that is not known, or handed on, needs all.
    for use_of in ["z[name]", "f(z)", "({ ...z })", "export { z }", "const { n } = z"] {
        let text: &'static str = format!("import * as z from 'pure/index';\n{use_of};\n").leak();
        let left = left(&[&[("entry", text)], &modules[..]].concat());
        assert!(left["pure/locales"].contains("de") && left["pure/schemas"].contains("n = 1"), "{use_of}: {left:?}");
    }
    let left = left(&[&[("entry", "import * as z from 'pure/index';\nz.locales.de;\n")], &modules[..]].concat());
    assert!(left["pure/locales"].contains("de") && !left.contains_key("pure/schemas"), "{left:?}");
}

#[test]
fn modules_with_effects_are_evaluated_and_stay_as_they_are() {
    let left = left(&[
        ("entry", "import { a } from 'pure';\na;\n"),
        (
            "pure",
            "import x, { y } from 'effects';\nimport { z } from 'pure/z';\nexport const a = 1;\n\
             export const b = [x, y, z];\n",
        ),
        ("pure/z", "export const z = 1;\nexport const other = 2;\n"),
        ("effects", "import { other } from 'pure/z';\nexport default 1;\nexport const y = 2, unused = 3;\n"),
    ]);
    assert_eq!(left["pure"], "import 'effects'; export const a = 1;");
    assert_eq!(left["pure/z"], "export const other = 2;");
    assert!(!left.contains_key("effects"));
}

#[test]
fn names_are_taken_out_of_lists_and_lines_and_columns_stay() {
    let source = "import d, { a as b, c } from 'pure/2'; export const e = b; // é\nexport { d, c as f };\n";
    let made = shorter(
        &Made(HashMap::from([
            ("entry", "import { e } from 'pure';\ne;\n"),
            ("pure", source),
            ("pure/2", "export const a = 1, c = 2;\nexport default 3;\n"),
        ])),
        "entry",
    );
    assert_eq!(made["pure"].find("export const e"), source.find("export const e"), "{}", made["pure"]);
    assert!(
        made["pure"].starts_with("import {a as b} from 'pure/2';") && !made["pure"].contains("export {"),
        "{made:?}"
    );
    assert!(!made["pure/2"].contains("default"), "{made:?}");
}

#[test]
fn what_cannot_be_foreseen_is_left_alone() {
    for entry in ["import { a } from 'pure';\neval('a');\n", "import { a } from 'pure';\nimport(a);\n"] {
        assert!(left(&[("entry", entry), ("pure", "export const a = 1, b = 2;\n")]).is_empty());
    }
    let left =
        left(&[("entry", "(await import('pure')).b;\n"), ("pure", "export const a = 1;\nexport const b = 2;\n")]);
    assert_eq!(left["pure"], "export const a = 1; export const b = 2;");
}

/// Each name was looked for from the first statement on, and each import compared with all uses.
#[test]
fn the_time_of_a_module_with_many_names_and_imports_grows_with_its_length() {
    use std::fmt::Write as _;

    let mut text = String::new();
    for i in 0..60_000 {
        let _ = writeln!(text, "import {{ a as a{i} }} from 'pure'; const n{i} = a{i};");
    }
    let names: Vec<String> = (0..60_000).map(|i| format!("n{i}")).collect();
    let _ = writeln!(text, "console.log([{}]);", names.join(","));
    // A chain of members of no name; each level takes stack of the parser.
    let _ = writeln!(text, "console.log(f(){});", ".m".repeat(20_000));
    let entry: &'static str = Box::leak(text.into_boxed_str());
    // The time of the processor, because other processes take some of the clock's. The parser has a thread of its own.
    let parsed = on_a_large_stack(|| {
        let begun = cpu_time();
        module::read_here(entry);
        Ok(cpu_time() - begun)
    });
    let begun = cpu_time();
    let left = left(&[("entry", entry), ("pure", "export const a = 1;\n")]);
    assert_eq!(left["pure"], "export const a = 1;");
    let used = parsed.expect("a thread") + (cpu_time() - begun);
    assert!(used > Duration::ZERO && used.as_secs() < 30, "{used:?}");
}

/// Each looked through the rest of the chain, by a function that called itself for each: the process ended.
#[test]
fn a_long_chain_of_modules_that_export_all_of_the_next_is_followed() {
    let text = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let mut modules = vec![("entry", "import { a } from 'pure0';\na();\n")];
    modules.extend((0..4_000).map(|n| (text(format!("pure{n}")), text(format!("export * from 'pure{}';\n", n + 1)))));
    modules.push(("pure4000", "export const a = () => 1;\nexport const b = 2;\n"));
    let left = left(&modules);
    assert_eq!(left["pure4000"], "export const a = () => 1;");
    assert_eq!(left["pure3999"], "export * from 'pure4000';");
}
