//! A source file with its functions, loops and tests: the input of the rules.

use std::ops::{Deref, Range};

use super::blocks;
use super::functions;
pub(crate) use super::functions::Function;
use super::syntax::Syntax;
use super::types::Language;

/// A source file. It derefs to its [`Syntax`].
#[derive(Debug)]
pub(crate) struct Code<'a> {
    syntax: Syntax<'a>,
    pub(crate) functions: Vec<Function<'a>>,
    /// The bodies of loops.
    loops: Vec<Range<usize>>,
    /// The bodies of tests.
    tests: Vec<Range<usize>>,
    /// The whole file is a test, by its name.
    test_file: bool,
}

impl<'a> Code<'a> {
    pub(crate) fn new(source: &'a str, language: Language, filename: &str) -> Self {
        let syntax = Syntax::new(source, language);
        let functions = functions::find(&syntax);
        let loops = blocks::loops(&syntax);
        let tests = blocks::tests(&syntax, &functions);
        Self { syntax, functions, loops, tests, test_file: is_test_file(filename) }
    }

    /// The innermost function around `at`.
    pub(crate) fn function_at(&self, at: usize) -> Option<&Function<'a>> {
        self.functions.iter().filter(|function| function.body.contains(&at)).min_by_key(|function| function.body.len())
    }

    /// Whether `at` is in a loop of the innermost function around it.
    pub(crate) fn in_loop(&self, at: usize) -> bool {
        let function = self.function_at(at).map_or(0..self.len(), |function| function.body.clone());
        self.loops.iter().any(|body| body.contains(&at) && body.start >= function.start && body.end <= function.end)
    }

    /// Whether `at` is in a test.
    pub(crate) fn in_test(&self, at: usize) -> bool {
        self.test_file || self.tests.iter().any(|range| range.contains(&at))
    }
}

impl<'a> Deref for Code<'a> {
    type Target = Syntax<'a>;

    fn deref(&self) -> &Syntax<'a> {
        &self.syntax
    }
}

/// Whether a file is a test, by its path.
fn is_test_file(name: &str) -> bool {
    let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let parts =
        name.split(['/', '\\']).any(|part| matches!(part, "tests" | "test" | "__tests__" | "testdata" | "benches"));
    parts
        || base.starts_with("test_")
        || base.ends_with("_test.go")
        || base.ends_with("_test.py")
        || base.contains(".test.")
        || base.contains(".spec.")
}
