use std::collections::BTreeSet;

use super::*;

/// `(rule, code that breaks it, code like it that does not)`.
mod examples;

fn run(language: Language, code: &str) -> Review {
    review(&Submission { code: code.into(), language: Some(language), filename: None }).expect("a known language")
}

fn breaks(language: Language, code: &str, rule: &str) -> bool {
    run(language, code).counts.rules.contains_key(rule)
}

fn all_examples() -> impl Iterator<Item = (Language, &'static str, &'static str, &'static str)> {
    let of = |language, list: &'static [(&str, &str, &str)]| {
        list.iter().map(move |(rule, bad, good)| (language, *rule, *bad, *good))
    };
    of(Language::Rust, examples::RUST)
        .chain(of(Language::Python, examples::PYTHON))
        .chain(of(Language::Javascript, examples::SCRIPT))
        .chain(of(Language::Typescript, examples::TYPED))
        .chain(of(Language::Go, examples::GO))
}

#[test]
fn every_rule_finds_its_bad_example_and_spares_the_good_one() {
    let mut wrong = Vec::new();
    for (language, rule, bad, good) in all_examples() {
        if !breaks(language, bad, rule) {
            wrong.push(format!("{rule} misses: {bad}"));
        }
        if breaks(language, good, rule) {
            wrong.push(format!("{rule} blames: {good}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_an_example_and_every_language_at_least_twelve_rules_of_its_own() {
    let shown: BTreeSet<_> = all_examples().map(|(_, rule, ..)| rule).collect();
    for language in Language::ALL {
        let own = rules::of(language).filter(|rule| !rule.id.starts_with("common/")).count();
        assert!(own >= 12, "{language:?} has {own}");
        for rule in rules::of(language) {
            assert!(shown.contains(rule.id) || examples::BUILT.contains(&rule.id), "{} has no example", rule.id);
        }
    }
}

fn in_string(language: Language, code: &str) -> String {
    let escaped = code.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    match language {
        Language::Rust => format!("pub const X: &str = \"{escaped}\";\n"),
        Language::Python => format!("x = \"{escaped}\"\n"),
        Language::Go => format!("package p\n\nvar x = \"{escaped}\"\n"),
        _ => format!("export const x = \"{escaped}\";\n"),
    }
}

fn in_comment(language: Language, code: &str) -> String {
    let sign = if language == Language::Python { "#" } else { "//" };
    code.lines().map(|line| format!("{sign} {line}\n")).collect()
}

/// The property that a search by regular expression lacks.
#[test]
fn what_stands_in_a_string_or_a_comment_is_not_reported() {
    for (language, rule, bad, _) in all_examples() {
        let about_comments = matches!(rule, "common/todo" | "ts/suppressed");
        let about_strings = matches!(rule, "common/secret" | "common/plain-http");
        if !about_strings && !about_comments {
            let quoted = in_string(language, bad);
            assert!(!breaks(language, &quoted, rule), "{rule} is fooled by the string in: {quoted}");
        }
        if !about_comments {
            let commented = in_comment(language, bad);
            assert!(!breaks(language, &commented, rule), "{rule} is fooled by the comment in: {commented}");
        }
    }
}

#[test]
fn raw_strings_templates_and_nested_comments_fool_nothing() {
    for (language, code) in [
        (Language::Rust, "fn f() -> &'static str { r##\"x.unwrap() \"# panic!(\"y\") todo!()\"## }"),
        (Language::Rust, "/* a /* b */ x.unwrap(); todo!() */ fn f() {}"),
        (Language::Rust, "fn f<'a>(x: &'a str) -> char { let c = '\"'; let _d = '\\''; c } // \" x.unwrap()"),
        (Language::Python, "\"\"\"\neval(x)\nexcept:\n\"\"\"\nx = r'\\' if 1 else 2 # '"),
        (Language::Javascript, "const a = `eval(x) ${name} var y; debugger`;\nconst b = /eval(x)/;"),
        (Language::Go, "package p\n\nvar x = `\npanic(\"x\")\ndefer f()\n`\n"),
    ] {
        let review = run(language, code);
        assert!(review.findings.is_empty(), "{code}: {:?}", review.findings);
    }
    let inside = run(Language::Javascript, "const a = `x ${eval(y)} z`;");
    assert_eq!(inside.findings[0].rule, "js/eval", "code in a template is code");
}

#[test]
fn findings_point_at_the_place_and_stand_worst_first() {
    let review = run(Language::Rust, "fn f(x: Option<u8>) -> u8 {\n    let y = x.unwrap();\n    todo!()\n}\n");
    let found: Vec<_> = review.findings.iter().map(|finding| (finding.rule, finding.line, finding.column)).collect();
    assert_eq!(found, [("rust/todo-macro", 3, 5), ("rust/unwrap", 2, 15)]);
    assert_eq!(review.findings[1].excerpt, "let y = x.unwrap();");
    assert!(
        review.summary.starts_with("1 error, 1 warning and 0 remarks in 4 lines of code in 1 function."),
        "{}",
        review.summary
    );
}

#[test]
fn clean_code_is_called_clean() {
    let review = run(Language::Go, "package p\n\n// Add adds.\nfunc Add(a, b int) int {\n\treturn a + b\n}\n");
    assert!(review.findings.is_empty(), "{:?}", review.findings);
    assert!(review.summary.starts_with("No rule was broken"));
    assert!(review.rules_applied >= 21);
}

#[test]
fn size_depth_and_width_of_functions_are_measured() {
    let long = format!("fn long() {{\n{}}}\n", "    work();\n".repeat(81));
    assert!(breaks(Language::Rust, &long, "common/long-function"));
    let short = format!("fn short() {{\n{}}}\n", "    work();\n".repeat(79));
    assert!(!breaks(Language::Rust, &short, "common/long-function"));
    let deep = "function f(a) {\n if (a) { for (;;) { while (a) { if (a) { try { if (a) { g(); } } catch (e) { h(e); } } } } }\n}\n";
    assert!(breaks(Language::Javascript, deep, "common/deep-nesting"));
    let flat = "function f(a) { return { b: { c: { d: { e: { g: { h: a } } } } } }; }\n";
    assert!(!breaks(Language::Javascript, flat, "common/deep-nesting"), "literals are not blocks");
    let python: String = (0..7).map(|depth| format!("{}if a:\n", "    ".repeat(depth + 1))).collect();
    assert!(breaks(Language::Python, &format!("def f(a):\n{python}{}pass\n", "    ".repeat(8)), "common/deep-nesting"));
    assert!(breaks(Language::Go, "func f(a, b, c, d, e, g, h, i int) {}", "common/many-parameters"));
    assert!(!breaks(
        Language::Rust,
        "fn f(a: HashMap<A, B>, b: (u8, u8, u8, u8, u8, u8, u8)) {}",
        "common/many-parameters"
    ));
    let branchy = format!("def f(a):\n{}", "    if a:\n        g()\n".repeat(21));
    assert!(breaks(Language::Python, &branchy, "common/complex-function"));
}

#[test]
fn metrics_count_lines_once() {
    let metrics =
        run(Language::Python, "# a\n\ndef f(x):  # b\n    \"\"\"Doc\n\n    more.\"\"\"\n    return x if x else 1\n")
            .metrics;
    assert_eq!((metrics.lines, metrics.code_lines, metrics.comment_lines, metrics.blank_lines), (7, 5, 1, 1));
    assert_eq!((metrics.functions, metrics.longest_function, metrics.branches), (1, 4, 1));
    assert_eq!(metrics.longest_function_name.as_deref(), Some("f"));
}

#[test]
fn tests_may_unwrap() {
    let code = "#[cfg(test)]\nmod tests {\n    #[test]\n    fn f() { x.unwrap(); }\n}\n";
    assert!(!breaks(Language::Rust, code, "rust/unwrap"));
    assert!(breaks(Language::Rust, "#[cfg(not(test))]\nmod m { fn f() { x.unwrap(); } }\n", "rust/unwrap"));
    let named =
        Submission { code: "fn f() { x.unwrap(); }".into(), language: None, filename: Some("tests/a.rs".into()) };
    assert!(review(&named).expect("rust").findings.is_empty());
}

#[test]
fn the_language_is_told_from_the_name_or_the_code_or_not_at_all() {
    let told = |code: &str, filename: Option<&str>| {
        check(&Submission { code: code.into(), language: None, filename: filename.map(Into::into) })
    };
    assert_eq!(told("x", Some("a/b.tsx")), Ok(Language::Typescript));
    assert_eq!(told("use std::io;\nfn main() {\n    let mut x = 1;\n}", None), Ok(Language::Rust));
    assert_eq!(told("import os\n\ndef f(x):\n    return x\n", None), Ok(Language::Python));
    assert_eq!(told("package main\n\nimport \"fmt\"\n\nfunc main() {\n\tfmt.Println(1)\n}", None), Ok(Language::Go));
    assert_eq!(told("const x = require('a');\nx.on('y', () => {\n});\n", None), Ok(Language::Javascript));
    assert_eq!(
        told("interface A {\n  b: string;\n}\nexport const f = (a: A): number => {\n  return 1;\n}\n", None),
        Ok(Language::Typescript)
    );
    assert_eq!(told("hello, world", None), Err(Problem::UnknownLanguage));
    assert_eq!(told(" \n", None), Err(Problem::Empty));
    assert!(matches!(told(&"x".repeat(LONGEST_CODE + 1), None), Err(Problem::TooLong(_))));
}

#[test]
fn broken_code_is_reviewed_without_a_fault() {
    for language in Language::ALL {
        for (_, _, bad, _) in all_examples() {
            for cut in (0..bad.len()).filter(|at| bad.is_char_boundary(*at)) {
                let _ = review(&Submission { code: bad[..cut].into(), language: Some(language), filename: None });
                let _ = review(&Submission { code: bad[cut..].into(), language: Some(language), filename: None });
            }
        }
    }
}

#[test]
fn hostile_code_gets_a_bounded_answer() {
    for piece in [
        "((((",
        "x.unwrap();",
        "fn a(){",
        "for for for ",
        "def f():\n",
        "let g = m.lock();\n",
        "`${",
        "/*",
        "if (a = b) {",
        "})]",
        "a=>{",
    ] {
        let code = piece.repeat(LONGEST_CODE / piece.len());
        for language in Language::ALL {
            let review = run(language, &code);
            assert!(review.findings.len() <= MOST_FINDINGS, "{language:?} {piece}");
        }
    }
}
