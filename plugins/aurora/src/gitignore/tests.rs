use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::*;

fn file(list: &str) -> String {
    render(&parse(list).expect("known stacks"))
}

fn patterns(file: &str) -> Vec<&str> {
    file.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).collect()
}

#[test]
fn at_least_a_hundred_stacks_of_every_kind_are_known() {
    let mut kinds: BTreeMap<_, usize> = BTreeMap::new();
    for stack in stacks() {
        *kinds.entry(stack.kind).or_default() += 1;
        assert!(stack.patterns().count() > 0, "{} is empty", stack.id);
    }
    assert_eq!(kinds.keys().copied().collect::<Vec<_>>(), ["editor", "framework", "language", "os", "tool"]);
    assert!(kinds.values().sum::<usize>() >= 100, "{kinds:?}");
}

#[test]
fn every_name_and_alias_means_exactly_one_stack() {
    let mut seen = BTreeMap::new();
    for stack in stacks() {
        for name in std::iter::once(stack.id).chain(stack.aliases()) {
            assert_eq!(seen.insert(name, stack.id), None, "{name} is claimed twice");
            assert_eq!(name, name.to_ascii_lowercase());
        }
    }
}

#[test]
fn aliases_letter_case_and_separators_do_not_matter() {
    let ids = |list: &str| parse(list).expect("known").iter().map(|stack| stack.id).collect::<Vec<_>>();
    assert_eq!(ids("js"), ["node"]);
    assert_eq!(ids("Rust,PY+osx"), ["rust", "python", "macos"]);
    assert_eq!(ids("rust node, macos,,"), ["rust", "node", "macos"]);
    assert_eq!(ids("node,js,npm"), ["node"]);
    assert_eq!(ids("c++,c"), ["cpp", "c"]);
}

#[test]
fn a_union_has_headings_in_order_and_no_pattern_twice() {
    let file = file("rust,node,python,macos,secrets");
    let headings: Vec<_> = file.lines().filter(|line| line.starts_with("# ===")).collect();
    assert_eq!(headings[..4], ["# === Rust ===", "# === Node.js ===", "# === Python ===", "# === macOS ==="]);
    for wanted in ["/target/", "node_modules/", "__pycache__/", ".DS_Store"] {
        assert!(patterns(&file).contains(&wanted), "{wanted}");
    }
    let (before_keep, _) = file.split_once("# === Kept").unwrap_or((&file, ""));
    let lines = patterns(before_keep);
    assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len());
}

#[test]
fn an_unknown_stack_names_the_nearest() {
    let problem = parse("rust,pyhton").expect_err("a typing slip");
    assert_eq!(problem.code(), "unknown_stack");
    assert!(matches!(&problem, Problem::Unknown { name, nearest } if name == "pyhton" && nearest[0] == "python"));
    assert!(parse("reactt").expect_err("slip").to_string().contains("react"));
    assert!(matches!(parse("zzzzqqqq"), Err(Problem::Unknown { nearest, .. }) if nearest.is_empty()));
}

#[test]
fn an_empty_or_endless_list_is_refused() {
    assert_eq!(parse(" , +"), Err(Problem::Missing));
    assert!(Problem::Missing.to_string().len() < 2000, "a refusal's message is limited");
    assert_eq!(parse(&"rust,".repeat(25)), Err(Problem::TooMany(25)));
    assert!(parse(&"x".repeat(1 << 20)).expect_err("huge").to_string().len() < 2000);
}

/// Git cannot re-include a file whose directory is ignored, so no stack may ignore a directory that
/// another one keeps something in.
#[test]
fn no_stack_ignores_the_directory_of_a_kept_path() {
    let mut wrong = Vec::new();
    for keeper in stacks() {
        for kept in keeper.patterns().filter_map(|line| line.strip_prefix('!')) {
            let (path, _) = example(kept);
            for stack in stacks() {
                for pattern in stack.patterns().filter(|line| !line.starts_with('!')) {
                    if glob::ignores_parent(pattern, &path) {
                        wrong.push(format!("{}: {pattern} hides {}: !{kept}", stack.id, keeper.id));
                    }
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// The judge is git itself.
#[test]
fn git_agrees_about_what_the_union_ignores_and_keeps() {
    let dir = std::env::temp_dir().join(format!("aurora-gitignore-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory");
    let git = |args: &[&str]| {
        Command::new("git").current_dir(&dir).args(args).output().expect("git runs: the repository came through it")
    };
    assert!(git(&["init", "-q"]).status.success());
    // Java ignores jars after Gradle keeps its wrapper, and secrets ignore keystores after Android keeps one.
    std::fs::write(dir.join(".gitignore"), file("gradle,java,android,secrets,node,python,vscode,rust,rails"))
        .expect("written");
    let ignored = |path: &str| git(&["check-ignore", "-q", "--no-index", path]).status.success();
    for path in [
        "lib/a.jar",
        "release.keystore",
        "node_modules/x/y.js",
        ".env.local",
        ".vscode/private.json",
        "target/x",
        "tmp/a",
    ] {
        assert!(ignored(path), "{path} should be ignored");
    }
    for path in [
        "gradle/wrapper/gradle-wrapper.jar",
        "debug.keystore",
        ".env.example",
        ".vscode/settings.json",
        "src/main.rs",
        "tmp/.keep",
    ] {
        assert!(!ignored(path), "{path} should be kept");
    }
    std::fs::remove_dir_all(&dir).expect("removed");
}
