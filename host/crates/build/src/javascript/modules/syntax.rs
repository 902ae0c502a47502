//! Reads of a module what bundling changes: its imports, `import()`, `require`, and `process.env.NODE_ENV`.

mod reader;

use std::collections::{BTreeMap, BTreeSet};

use oxc_allocator::Allocator;
use oxc_ast_visit::Visit;
use oxc_parser::Parser;
use oxc_semantic::SemanticBuilder;
use oxc_span::SourceType;

use self::reader::Reader;
use super::super::typescript;

/// A place in a text, in bytes.
pub(super) type Place = (usize, usize);

/// The places of a module that bundling changes, and the names that it imports and exports.
#[derive(Debug, Default)]
pub(super) struct Syntax {
    /// True if it refers to `module`, `exports` or `require`, and declares none of them.
    pub(super) is_commonjs: bool,
    /// The names that are imported, by specifiers.
    pub(super) imports: BTreeMap<String, BTreeSet<String>>,
    /// `* as name` of imports and exports: the specifier, the place, and the name.
    pub(super) namespaces: Vec<(String, Place, String)>,
    /// Specifiers of `export * from`, and their places.
    pub(super) stars: BTreeMap<String, Vec<Place>>,
    /// Specifiers of all imports and exports: what is evaluated before this module.
    pub(super) before: BTreeSet<String>,
    pub(super) dynamic: Vec<Dynamic>,
    /// The places of `process.env.NODE_ENV`.
    pub(super) node_env: Vec<Place>,
    /// Specifiers of `require`.
    pub(super) requires: BTreeSet<String>,
    /// Names that a module of CommonJS exports, as far as its text shows them, and specifiers whose names it exports, too.
    pub(super) exports: BTreeSet<String>,
    pub(super) reexports: BTreeSet<String>,
}

/// An `import()`.
#[derive(Debug)]
pub(super) struct Dynamic {
    /// The texts that its specifier may be. Empty if that is computed.
    pub(super) specifiers: Vec<String>,
    pub(super) place: Place,
    pub(super) is_in_function: bool,
    /// The module handles a failure: it stands in a `try`, or before `.catch`.
    pub(super) is_caught: bool,
}

/// The kind of program as which a text is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Module,
    CommonJs,
}

/// Reads a text. Fails with a message about the place that cannot be parsed.
pub(super) fn read(file: &str, text: &str, goal: Goal) -> Result<Syntax, String> {
    let allocator = Allocator::default();
    let kind = if goal == Goal::Module { SourceType::mjs() } else { SourceType::cjs() };
    let parsed = Parser::new(&allocator, text, kind).parse();
    if let Some(error) = parsed.diagnostics.into_iter().next() {
        return Err(typescript::message(file, text, &error));
    }
    let semantic = SemanticBuilder::new().build(&parsed.program).semantic;
    let mut reader = Reader::new(text, semantic.scoping());
    reader.visit_program(&parsed.program);
    Ok(reader.found)
}

/// True if a text has `import`, `export` or `import.meta`, also one that cannot be parsed to its end.
pub(super) fn is_module(text: &str) -> bool {
    let allocator = Allocator::default();
    Parser::new(&allocator, text, SourceType::mjs()).parse().module_record.has_module_syntax
}

/// The first fault of a module's text, with its place: of its grammar, or else of the rules of strict mode.
pub(super) fn fault(text: &str) -> Option<(String, Place)> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, text, SourceType::mjs()).parse();
    let of_grammar = parsed.diagnostics.into_iter().next();
    let error = of_grammar.or_else(|| {
        let checked = SemanticBuilder::new().with_check_syntax_error(true).build(&parsed.program);
        checked.diagnostics.into_iter().next()
    })?;
    let at = error.labels.first().map_or((0, 1), |at| (at.offset() as usize, (at.offset() + at.len()) as usize));
    Some((error.message.to_string(), at))
}
