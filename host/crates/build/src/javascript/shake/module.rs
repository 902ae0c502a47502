//! Reads the declarations, imports, exports and references of a module, statement by statement.

use std::collections::HashMap;

use oxc_allocator::Allocator;
use oxc_ast::ast::{
    ExportDefaultDeclarationKind, ExportFromDeclaration, Expression, ImportDeclarationSpecifier, Statement,
};
use oxc_ast_visit::Visit;
use oxc_ecmascript::side_effects::MayHaveSideEffects;
use oxc_parser::Parser;
use oxc_semantic::{Scoping, SemanticBuilder};
use oxc_span::{GetSpan, SourceType, Span};

use super::references::{EffectContext, References};
use crate::javascript::source::on_a_large_stack;

/// A module: its statements, and the names of its top level.
#[derive(Debug, Default)]
pub(in crate::javascript) struct Module {
    pub(in crate::javascript) statements: Vec<Item>,
    /// Imported names: the specifier, and what it imports.
    pub(in crate::javascript) imports: HashMap<String, (String, Imported)>,
    pub(in crate::javascript) exports: HashMap<String, Export>,
    /// The statements `export * from`, and their specifiers.
    pub(in crate::javascript) stars: Vec<(usize, String)>,
    /// The statements that declare a name of the top level.
    pub(in crate::javascript) declared: HashMap<String, Vec<usize>>,
    /// The specifiers of all its imports.
    pub(in crate::javascript) sources: Vec<String>,
    /// The module evaluates text, or imports a module whose name only its evaluation shows.
    pub(in crate::javascript) is_opaque: bool,
}

/// A statement of the top level.
#[derive(Debug)]
pub(in crate::javascript) struct Item {
    pub(in crate::javascript) span: (usize, usize),
    pub(in crate::javascript) kind: Kind,
    /// Its evaluation may do more than to declare names.
    pub(in crate::javascript) has_effect: bool,
    pub(in crate::javascript) uses: Vec<Use>,
    /// Specifiers of `import()`.
    pub(in crate::javascript) dynamic: Vec<String>,
}

#[derive(Debug)]
pub(in crate::javascript) enum Kind {
    Code,
    /// `export` before a declaration.
    Declaration,
    /// `import ..`, with its parts.
    Import(Vec<Name>, Source),
    /// `export { .. }` and `export { .. } from`, with its parts.
    Export(Vec<Name>, Option<Source>),
    /// `export * from`, and `export * as name from`.
    All(Option<String>, Source),
}

/// The specifier of a module, and where it begins in the text.
#[derive(Clone, Debug)]
pub(in crate::javascript) struct Source {
    pub(in crate::javascript) specifier: String,
    pub(in crate::javascript) at: usize,
}

/// A part of an import or of an export: the name that tells whether it is needed, and its text.
#[derive(Debug)]
pub(in crate::javascript) struct Name {
    pub(in crate::javascript) name: String,
    pub(in crate::javascript) span: (usize, usize),
    /// It stands in braces.
    pub(in crate::javascript) is_listed: bool,
}

/// A reference to a name of the top level, with the members that are read of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::javascript) struct Use {
    pub(in crate::javascript) name: String,
    pub(in crate::javascript) path: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::javascript) enum Imported {
    Name(String),
    Namespace,
}

#[derive(Clone, Debug)]
pub(in crate::javascript) enum Export {
    /// A name of the module's own, which may be an import.
    Local(String),
    /// `export default name`: this statement, and the name.
    Alias(usize, String),
    /// `export default` of anything else.
    Statement(usize),
    From(String, Imported),
}

/// Reads a module. None if it is no JavaScript: its evaluation reports the mistake in detail.
pub(in crate::javascript) fn read(text: &str) -> Option<Module> {
    on_a_large_stack(|| Ok(read_here(text))).ok().flatten()
}

pub(super) fn read_here(text: &str) -> Option<Module> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, text, SourceType::mjs()).parse();
    if !parsed.diagnostics.is_empty() {
        return None;
    }
    let semantic = SemanticBuilder::new().build(&parsed.program).semantic;
    let scoping = semantic.scoping();
    let mut module = Module::default();
    for statement in &parsed.program.body {
        module.add(statement, scoping);
    }
    module.declare(scoping);
    Some(module)
}

fn place(span: Span) -> (usize, usize) {
    (span.start as usize, span.end as usize)
}

impl Module {
    fn add(&mut self, statement: &Statement<'_>, scoping: &Scoping) {
        let index = self.statements.len();
        let mut found = References::new(scoping);
        let mut has_effect = false;
        let kind = match statement {
            Statement::ImportDeclaration(it) => {
                let source = self.source(it.source.value.as_str(), it.source.span);
                let specifiers = it.specifiers.iter().flatten();
                let names: Vec<Name> = specifiers.map(|specifier| self.import(specifier, &source.specifier)).collect();
                has_effect = names.is_empty();
                Kind::Import(names, source)
            }
            Statement::ExportNamedDeclaration(it) => {
                let names = it.specifiers.iter().map(|specifier| {
                    let name = specifier.exported.name().to_string();
                    let local = specifier.local.name().to_string();
                    self.exports.insert(name.clone(), Export::Local(local));
                    Name { name, span: place(specifier.span), is_listed: true }
                });
                Kind::Export(names.collect(), None)
            }
            Statement::ExportFromDeclaration(it) => self.export_from(it),
            Statement::ExportAllDeclaration(it) => {
                let source = self.source(it.source.value.as_str(), it.source.span);
                let name = it.exported.as_ref().map(|name| name.name().to_string());
                match &name {
                    Some(name) => {
                        let from = Export::From(source.specifier.clone(), Imported::Namespace);
                        self.exports.insert(name.clone(), from);
                    }
                    None => self.stars.push((index, source.specifier.clone())),
                }
                Kind::All(name, source)
            }
            Statement::ExportDeclaration(it) => {
                has_effect = it.declaration.may_have_side_effects(&EffectContext(scoping));
                found.visit_declaration(&it.declaration);
                Kind::Declaration
            }
            Statement::ExportDefaultDeclaration(it) => {
                has_effect = self.export_default(index, &it.declaration, scoping, &mut found);
                Kind::Code
            }
            other => {
                has_effect = other.may_have_side_effects(&EffectContext(scoping));
                found.visit_statement(other);
                Kind::Code
            }
        };
        self.is_opaque |= found.is_opaque;
        self.sources.extend(found.dynamic.iter().cloned());
        let (uses, dynamic) = (found.uses, found.dynamic);
        self.statements.push(Item { span: place(statement.span()), kind, has_effect, uses, dynamic });
    }

    fn export_from(&mut self, it: &ExportFromDeclaration<'_>) -> Kind {
        let source = self.source(it.source.value.as_str(), it.source.span);
        let names = it.specifiers.iter().map(|specifier| {
            let name = specifier.exported.name().to_string();
            let imported = Imported::Name(specifier.local.name().to_string());
            self.exports.insert(name.clone(), Export::From(source.specifier.clone(), imported));
            Name { name, span: place(specifier.span), is_listed: true }
        });
        Kind::Export(names.collect(), Some(source))
    }

    fn source(&mut self, specifier: &str, span: Span) -> Source {
        self.sources.push(specifier.to_owned());
        Source { specifier: specifier.to_owned(), at: span.start as usize }
    }

    fn import(&mut self, specifier: &ImportDeclarationSpecifier<'_>, source: &str) -> Name {
        let (imported, is_listed) = match specifier {
            ImportDeclarationSpecifier::ImportSpecifier(it) => (Imported::Name(it.imported.name().to_string()), true),
            ImportDeclarationSpecifier::ImportDefaultSpecifier(_) => (Imported::Name("default".to_owned()), false),
            ImportDeclarationSpecifier::ImportNamespaceSpecifier(_) => (Imported::Namespace, false),
        };
        let name = specifier.local().name.to_string();
        self.imports.insert(name.clone(), (source.to_owned(), imported));
        Name { name, span: place(specifier.span()), is_listed }
    }

    /// Notes the default export, and tells whether its evaluation may have an effect.
    fn export_default(
        &mut self,
        index: usize,
        declaration: &ExportDefaultDeclarationKind<'_>,
        scoping: &Scoping,
        found: &mut References<'_>,
    ) -> bool {
        found.visit_export_default_declaration_kind(declaration);
        let is_name = declaration.as_expression().is_some_and(|it| matches!(it, Expression::Identifier(_)));
        let export = match found.uses.first() {
            Some(name) if is_name => Export::Alias(index, name.name.clone()),
            Some(_) | None => Export::Statement(index),
        };
        if matches!(export, Export::Alias(..)) {
            found.uses.clear();
        }
        self.exports.insert("default".to_owned(), export);
        match declaration {
            ExportDefaultDeclarationKind::FunctionDeclaration(_) => false,
            ExportDefaultDeclarationKind::ClassDeclaration(class) => {
                class.may_have_side_effects(&EffectContext(scoping))
            }
            other => other.as_expression().is_none_or(|it| it.may_have_side_effects(&EffectContext(scoping))),
        }
    }

    /// Finds the statements that declare the names of the top level. A `var` may stand deep in one.
    fn declare(&mut self, scoping: &Scoping) {
        for symbol in scoping.get_bindings(scoping.root_scope_id()).values() {
            let name = scoping.symbol_name(*symbol);
            if self.imports.contains_key(name) {
                continue;
            }
            let again = scoping.symbol_redeclarations(*symbol).iter().map(|declaration| declaration.span);
            for span in std::iter::once(scoping.symbol_span(*symbol)).chain(again) {
                let at = span.start as usize;
                // They stand in the order of the text: a search from the first one takes seconds of a long module.
                let statement = self.statements.partition_point(|item| item.span.1 <= at);
                if self.statements.get(statement).is_none_or(|item| at < item.span.0) {
                    continue;
                }
                self.declared.entry(name.to_owned()).or_default().push(statement);
                if matches!(self.statements[statement].kind, Kind::Declaration) {
                    self.exports.insert(name.to_owned(), Export::Local(name.to_owned()));
                }
            }
        }
    }
}
