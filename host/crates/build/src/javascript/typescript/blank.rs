//! Overwrites the types of a TypeScript module with spaces.
//!
//! Syntax that this module does not know stays in the text, and the caller notices: it compares the result with what
//! the transformer makes of the file.

use oxc_ast::ast::{
    AccessorProperty, ArrowFunctionExpression, Class, Declaration, ExportDefaultDeclarationKind,
    ExportNamedDeclaration, FormalParameter, ImportDeclaration, ImportDeclarationSpecifier, MethodDefinition,
    MethodDefinitionType, Program, PropertyDefinition, PropertyDefinitionType, PropertyKey, Statement, TSAsExpression,
    TSIndexSignature, TSNonNullExpression, TSSatisfiesExpression, TSThisParameter, TSTypeAnnotation, TSTypeAssertion,
    TSTypeParameterDeclaration, TSTypeParameterInstantiation, VariableDeclarator,
};
use oxc_ast_visit::{Visit, walk};
use oxc_semantic::Scoping;
use oxc_span::{GetSpan, Span};

/// The module without its types. None if that would not be UTF-8, which a wrong span could cause.
pub(super) fn types(source: &str, program: &Program<'_>, scoping: &Scoping) -> Option<String> {
    let mut blank = Blank { source, text: source.as_bytes().to_vec(), scoping };
    blank.visit_program(program);
    String::from_utf8(blank.text).ok()
}

struct Blank<'s> {
    source: &'s str,
    text: Vec<u8>,
    scoping: &'s Scoping,
}

/// Words before a declaration that are TypeScript's.
const MODIFIERS: [&str; 7] = ["public", "private", "protected", "readonly", "override", "abstract", "declare"];

impl Blank<'_> {
    fn between(&mut self, from: u32, to: u32) {
        if let Some(text) = self.text.get_mut(from as usize..to as usize) {
            text.iter_mut().filter(|byte| !matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        }
    }

    fn span(&mut self, span: Span) {
        self.between(span.start, span.end);
    }

    /// Leaves a semicolon, without which the lines before and after could become one statement.
    fn statement(&mut self, span: Span) {
        self.span(span);
        self.put(span.start, b';');
    }

    fn put(&mut self, at: u32, byte: u8) {
        if let Some(place) = self.text.get_mut(at as usize) {
            *place = byte;
        }
    }

    fn slice(&self, from: u32, to: u32) -> &str {
        self.source.get(from as usize..to as usize).unwrap_or_default()
    }

    /// Overwrites the modifiers of TypeScript between the beginning of a declaration and its name.
    fn modifiers(&mut self, from: u32, to: u32) {
        let mut at = from;
        while let Some(word) = self.slice(at, to).split_inclusive(|c: char| !c.is_ascii_alphabetic()).next() {
            let length = u32::try_from(word.len()).unwrap_or(u32::MAX);
            let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphabetic());
            if MODIFIERS.contains(&bare) {
                self.between(at, at + u32::try_from(bare.len()).unwrap_or(0));
            }
            at = at.saturating_add(length);
        }
    }

    /// Overwrites `?` and `!` behind a name. What follows is its type, its value, or its end.
    fn marks(&mut self, from: u32, to: u32) {
        let marks: Vec<u32> = (from..)
            .zip(self.slice(from, to).bytes())
            .take_while(|(_, byte)| matches!(byte, b'?' | b'!' | b']' | b' ' | b'\n' | b'\r' | b'\t'))
            .filter_map(|(at, byte)| matches!(byte, b'?' | b'!').then_some(at))
            .collect();
        marks.into_iter().for_each(|at| self.put(at, b' '));
    }

    /// Overwrites the rest of an expression with its type. A line that goes on with a bracket would join it then.
    fn suffix(&mut self, from: u32, to: u32) {
        self.between(from, to);
        let rest = self.source.get(to as usize..).unwrap_or_default();
        let next = rest.trim_start_matches([' ', '\t']);
        if next.starts_with(['\n', '\r']) && next.trim_start().starts_with(['(', '[', '`']) && to > from {
            self.put(to - 1, b';');
        }
    }

    /// Overwrites a member of a list with the comma behind it, or the one before it if it is the last.
    fn member(&mut self, span: Span, list: Span) {
        self.span(span);
        let behind = self.slice(span.end, list.end);
        if let Some(at) = behind.find(|c: char| !c.is_whitespace()).filter(|at| behind[*at..].starts_with(',')) {
            self.put(span.end + u32::try_from(at).unwrap_or(0), b' ');
        }
    }

    /// True if nothing but types refers to an import.
    fn is_only_a_type(&self, specifier: &ImportDeclarationSpecifier<'_>) -> bool {
        let Some(symbol) = specifier.local().symbol_id.get() else { return false };
        let mut values = self.scoping.get_resolved_references(symbol).filter(|reference| !reference.is_type());
        values.next().is_none()
    }
}

/// True for a declaration that is nothing at run time.
fn is_type(declaration: &Declaration<'_>) -> bool {
    match declaration {
        Declaration::TSTypeAliasDeclaration(_)
        | Declaration::TSInterfaceDeclaration(_)
        | Declaration::TSGlobalDeclaration(_) => true,
        Declaration::VariableDeclaration(it) => it.declare,
        Declaration::FunctionDeclaration(it) => it.declare || it.body.is_none(),
        Declaration::ClassDeclaration(it) => it.declare,
        Declaration::TSEnumDeclaration(it) => it.declare,
        Declaration::TSExternalModuleDeclaration(_) => true,
        Declaration::TSNamespaceDeclaration(it) => it.declare,
        Declaration::TSImportEqualsDeclaration(it) => it.import_kind.is_type(),
    }
}

fn name_end(key: &PropertyKey<'_>) -> u32 {
    key.span().end
}

impl<'a> Visit<'a> for Blank<'_> {
    fn visit_statement(&mut self, it: &Statement<'a>) {
        let is_type = match it {
            Statement::ExportDeclaration(export) => is_type(&export.declaration),
            Statement::ExportNamedDeclaration(export) => export.export_kind.is_type(),
            Statement::ExportFromDeclaration(export) => export.export_kind.is_type(),
            Statement::ExportAllDeclaration(export) => export.export_kind.is_type(),
            Statement::ExportDefaultDeclaration(export) => match &export.declaration {
                ExportDefaultDeclarationKind::TSInterfaceDeclaration(_) => true,
                ExportDefaultDeclarationKind::FunctionDeclaration(function) => function.body.is_none(),
                _ => false,
            },
            other => other.as_declaration().is_some_and(is_type),
        };
        if is_type { self.statement(it.span()) } else { walk::walk_statement(self, it) }
    }

    fn visit_import_declaration(&mut self, it: &ImportDeclaration<'a>) {
        let Some(specifiers) = &it.specifiers else { return };
        let is_type = |specifier: &ImportDeclarationSpecifier<'a>| match specifier {
            ImportDeclarationSpecifier::ImportSpecifier(named) if named.import_kind.is_type() => true,
            other => self.is_only_a_type(other),
        };
        let gone: Vec<bool> = specifiers.iter().map(is_type).collect();
        if it.import_kind.is_type() || (!gone.is_empty() && gone.iter().all(|gone| *gone)) {
            self.statement(it.span);
            return;
        }
        for (specifier, _) in specifiers.iter().zip(gone).filter(|(_, gone)| *gone) {
            self.member(specifier.span(), it.span);
        }
    }

    fn visit_export_named_declaration(&mut self, it: &ExportNamedDeclaration<'a>) {
        for specifier in it.specifiers.iter().filter(|specifier| specifier.export_kind.is_type()) {
            self.member(specifier.span, it.span);
        }
    }

    fn visit_ts_type_annotation(&mut self, it: &TSTypeAnnotation<'a>) {
        self.span(it.span);
    }

    fn visit_ts_type_parameter_declaration(&mut self, it: &TSTypeParameterDeclaration<'a>) {
        self.span(it.span);
    }

    fn visit_ts_type_parameter_instantiation(&mut self, it: &TSTypeParameterInstantiation<'a>) {
        self.span(it.span);
    }

    fn visit_ts_this_parameter(&mut self, it: &TSThisParameter<'a>) {
        let end = self.source.len();
        self.member(it.span, Span::new(it.span.start, u32::try_from(end).unwrap_or(u32::MAX)));
    }

    fn visit_ts_index_signature(&mut self, it: &TSIndexSignature<'a>) {
        self.span(it.span);
    }

    fn visit_ts_as_expression(&mut self, it: &TSAsExpression<'a>) {
        self.visit_expression(&it.expression);
        self.suffix(it.expression.span().end, it.span.end);
    }

    fn visit_ts_satisfies_expression(&mut self, it: &TSSatisfiesExpression<'a>) {
        self.visit_expression(&it.expression);
        self.suffix(it.expression.span().end, it.span.end);
    }

    fn visit_ts_non_null_expression(&mut self, it: &TSNonNullExpression<'a>) {
        self.visit_expression(&it.expression);
        self.suffix(it.expression.span().end, it.span.end);
    }

    fn visit_ts_type_assertion(&mut self, it: &TSTypeAssertion<'a>) {
        self.between(it.span.start, it.expression.span().start);
        self.visit_expression(&it.expression);
    }

    fn visit_variable_declarator(&mut self, it: &VariableDeclarator<'a>) {
        if it.definite {
            self.marks(it.id.span().end, it.span.end);
        }
        walk::walk_variable_declarator(self, it);
    }

    fn visit_formal_parameter(&mut self, it: &FormalParameter<'a>) {
        if it.optional {
            self.marks(it.pattern.span().end, it.span.end);
        }
        walk::walk_formal_parameter(self, it);
    }

    /// The type of an answer may end on another line than it begins, and `=>` must be on the line of its parenthesis.
    fn visit_arrow_function_expression(&mut self, it: &ArrowFunctionExpression<'a>) {
        walk::walk_arrow_function_expression(self, it);
        let Some(answer) = &it.return_type else { return };
        if self.slice(answer.span.start, answer.span.end).contains('\n') {
            let before = self.slice(it.span.start, answer.span.start).rfind(')');
            if let Some(at) = before {
                self.put(it.span.start + u32::try_from(at).unwrap_or(0), b' ');
                self.put(answer.span.end - 1, b')');
            }
        }
    }

    fn visit_class(&mut self, it: &Class<'a>) {
        if it.r#abstract {
            let end = it.id.as_ref().map_or(it.body.span.start, |id| id.span.start);
            self.modifiers(it.span.start, end);
        }
        if let (Some(first), Some(last)) = (it.implements.first(), it.implements.last()) {
            let before = self.slice(it.span.start, first.span.start).rfind("implements").unwrap_or(0);
            self.between(it.span.start + u32::try_from(before).unwrap_or(0), last.span.end);
        }
        walk::walk_class(self, it);
    }

    fn visit_method_definition(&mut self, it: &MethodDefinition<'a>) {
        let is_type = it.r#type == MethodDefinitionType::TSAbstractMethodDefinition || it.value.body.is_none();
        if is_type {
            self.span(it.span);
            return;
        }
        self.modifiers(it.span.start, it.key.span().start);
        if it.optional {
            self.marks(name_end(&it.key), it.value.span.start.max(name_end(&it.key) + 1));
        }
        walk::walk_method_definition(self, it);
    }

    fn visit_property_definition(&mut self, it: &PropertyDefinition<'a>) {
        if it.declare || it.r#type == PropertyDefinitionType::TSAbstractPropertyDefinition {
            self.span(it.span);
            return;
        }
        self.modifiers(it.span.start, it.key.span().start);
        if it.optional || it.definite {
            self.marks(name_end(&it.key), it.span.end);
        }
        walk::walk_property_definition(self, it);
    }

    fn visit_accessor_property(&mut self, it: &AccessorProperty<'a>) {
        self.modifiers(it.span.start, it.key.span().start);
        if it.definite {
            self.marks(name_end(&it.key), it.span.end);
        }
        walk::walk_accessor_property(self, it);
    }
}
