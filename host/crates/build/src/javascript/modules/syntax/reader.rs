//! Visits the nodes of a module, and notes the places that bundling changes and the names that it imports and exports.

use oxc_ast::ast::{
    Argument, ArrowFunctionExpression, AssignmentExpression, AssignmentTarget, BinaryExpression, BinaryOperator,
    CallExpression, ConditionalExpression, ExportAllDeclaration, ExportFromDeclaration, Expression, Function,
    IdentifierReference, IfStatement, ImportDeclaration, ImportDeclarationSpecifier, ImportExpression,
    LogicalExpression, LogicalOperator, ObjectPropertyKind, TryStatement,
};
use oxc_ast_visit::{Visit, walk};
use oxc_semantic::Scoping;
use oxc_span::{GetSpan, Span};
use oxc_syntax::scope::ScopeFlags;

use super::{Dynamic, Place, Syntax};

/// The value of `process.env.NODE_ENV`, as in every bundle for production.
const NODE_ENV: &str = "production";
const NODE_ENV_EXPRESSION: [&str; 3] = ["process", "env", "NODE_ENV"];

/// The longest specifier that is put together of texts, in bytes, and the most that one call may choose from.
const LONGEST: usize = 4 << 10;
const MOST_CHOICES: usize = 64;

pub(super) struct Reader<'s> {
    pub(super) text: &'s str,
    pub(super) scoping: &'s Scoping,
    /// The number of functions around the node that is visited.
    functions: usize,
    /// The number of `try` with a `catch` around it, in its function.
    tries: usize,
    /// Where the `import()` begins whose failure the call that is visited catches.
    caught: Option<u32>,
    pub(super) found: Syntax,
}

fn place(span: Span) -> Place {
    (span.start as usize, span.end as usize)
}

impl<'s> Reader<'s> {
    pub(super) fn new(text: &'s str, scoping: &'s Scoping) -> Self {
        Self { text, scoping, functions: 0, tries: 0, caught: None, found: Syntax::default() }
    }

    fn is_global(&self, name: &IdentifierReference<'_>) -> bool {
        name.reference_id.get().is_none_or(|id| !self.scoping.has_binding(id))
    }

    fn is_global_named(&self, expression: &Expression<'_>, name: &str) -> bool {
        matches!(expression, Expression::Identifier(it) if it.name == name && self.is_global(it))
    }

    fn is_node_env(&self, expression: &Expression<'_>) -> bool {
        let Expression::StaticMemberExpression(variable) = expression else { return false };
        let Expression::StaticMemberExpression(env) = &variable.object else { return false };
        let [process, env_name, node_env] = NODE_ENV_EXPRESSION;
        variable.property.name == node_env
            && env.property.name == env_name
            && self.is_global_named(&env.object, process)
    }

    /// The value of a comparison of `process.env.NODE_ENV`, which decides whether what it guards is bundled.
    fn known(&self, test: &Expression<'_>) -> Option<bool> {
        let Expression::BinaryExpression(it) = test.get_inner_expression() else { return None };
        let BinaryExpression { left, right, operator, .. } = &**it;
        let other = match (left, right) {
            (left, Expression::StringLiteral(other)) if self.is_node_env(left) => other,
            (Expression::StringLiteral(other), right) if self.is_node_env(right) => other,
            _ => return None,
        };
        let is_equal = other.value == NODE_ENV;
        match operator {
            BinaryOperator::Equality | BinaryOperator::StrictEquality => Some(is_equal),
            BinaryOperator::Inequality | BinaryOperator::StrictInequality => Some(!is_equal),
            _ => None,
        }
    }

    /// The specifiers of `require('..')`.
    fn required(&self, it: &CallExpression<'_>) -> Vec<String> {
        let specifier = it.arguments.first().and_then(Argument::as_expression);
        let specifier = specifier.filter(|_| self.is_global_named(&it.callee, "require"));
        specifier.and_then(|specifier| self.texts(specifier)).unwrap_or_default()
    }

    /// The texts that a specifier may be. None if one of them is computed.
    fn texts(&self, specifier: &Expression<'_>) -> Option<Vec<String>> {
        match specifier.get_inner_expression() {
            Expression::StringLiteral(text) => Some(vec![text.value.to_string()]),
            Expression::TemplateLiteral(it) if it.expressions.is_empty() => {
                let text = it.quasis.first()?.value.cooked.as_ref()?;
                Some(vec![text.to_string()])
            }
            Expression::ConditionalExpression(it) => {
                let known = self.known(&it.test);
                let sides = [(&it.consequent, Some(false)), (&it.alternate, Some(true))];
                let sides = sides.into_iter().filter(|(_, unless)| known != *unless);
                let sides: Option<Vec<_>> = sides.map(|(side, _)| self.texts(side)).collect();
                sides.map(|sides| sides.concat()).filter(|texts| texts.len() <= MOST_CHOICES)
            }
            Expression::BinaryExpression(it) if it.operator == BinaryOperator::Addition => {
                let sides = [self.texts(&it.left)?, self.texts(&it.right)?];
                let [[left], [right]] = sides.each_ref().map(Vec::as_slice) else { return None };
                (left.len() + right.len() <= LONGEST).then(|| vec![format!("{left}{right}")])
            }
            _ => None,
        }
    }

    /// Visits a function: a `try` around it catches nothing of what a call of it throws.
    fn within(&mut self, visit: impl FnOnce(&mut Self)) {
        let tries = std::mem::take(&mut self.tries);
        self.functions += 1;
        visit(self);
        self.functions -= 1;
        self.tries = tries;
    }

    fn is_exports(&self, expression: &Expression<'_>) -> bool {
        self.is_global_named(expression, "exports")
            || matches!(expression, Expression::StaticMemberExpression(it) if self.is_module_exports(&it.object, &it.property.name))
    }

    fn is_module_exports(&self, object: &Expression<'_>, property: &str) -> bool {
        property == "exports" && self.is_global_named(object, "module")
    }

    /// Notes the names of `module.exports = { .. }` and `module.exports = require('..')`.
    fn exports_of(&mut self, value: &Expression<'_>) {
        match value {
            Expression::ObjectExpression(object) => {
                let names = object.properties.iter().filter_map(|property| match property {
                    ObjectPropertyKind::ObjectProperty(property) => property.key.static_name(),
                    ObjectPropertyKind::SpreadProperty(_) => None,
                });
                self.found.exports.extend(names.map(|name| name.to_string()));
            }
            Expression::CallExpression(call) => self.found.reexports.extend(self.required(call)),
            Expression::AssignmentExpression(it) => self.exports_of(&it.right),
            _ => {}
        }
    }

    fn import(&mut self, specifier: &str, name: &str) {
        self.found.imports.entry(specifier.to_owned()).or_default().insert(name.to_owned());
    }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_import_declaration(&mut self, it: &ImportDeclaration<'a>) {
        let source = it.source.value.as_str();
        self.found.before.insert(source.to_owned());
        for specifier in it.specifiers.iter().flatten() {
            match specifier {
                ImportDeclarationSpecifier::ImportSpecifier(it) => self.import(source, &it.imported.name()),
                ImportDeclarationSpecifier::ImportDefaultSpecifier(_) => self.import(source, "default"),
                ImportDeclarationSpecifier::ImportNamespaceSpecifier(it) => {
                    let local = it.local.name.to_string();
                    self.found.namespaces.push((source.to_owned(), place(it.span), local));
                }
            }
        }
    }

    fn visit_export_from_declaration(&mut self, it: &ExportFromDeclaration<'a>) {
        self.found.before.insert(it.source.value.to_string());
        for specifier in &it.specifiers {
            self.import(it.source.value.as_str(), &specifier.local.name());
        }
    }

    fn visit_export_all_declaration(&mut self, it: &ExportAllDeclaration<'a>) {
        let source = it.source.value.to_string();
        self.found.before.insert(source.clone());
        let Some(name) = &it.exported else {
            self.found.stars.entry(source).or_default().push(place(it.source.span));
            return;
        };
        let (begin, end) = place(name.span());
        if let Some(star) = self.text.get(it.span.start as usize..begin).and_then(|text| text.find('*')) {
            let text = self.text[begin..end].to_owned();
            self.found.namespaces.push((source, (it.span.start as usize + star, end), text));
        }
    }

    fn visit_import_expression(&mut self, it: &ImportExpression<'a>) {
        self.found.dynamic.push(Dynamic {
            specifiers: self.texts(&it.source).unwrap_or_default(),
            place: place(it.span),
            is_in_function: self.functions > 0,
            is_caught: self.tries > 0 || self.caught == Some(it.span.start),
        });
        walk::walk_import_expression(self, it);
    }

    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        self.within(|reader| walk::walk_function(reader, it, flags));
    }

    fn visit_arrow_function_expression(&mut self, it: &ArrowFunctionExpression<'a>) {
        self.within(|reader| walk::walk_arrow_function_expression(reader, it));
    }

    fn visit_try_statement(&mut self, it: &TryStatement<'a>) {
        self.tries += usize::from(it.handler.is_some());
        self.visit_block_statement(&it.block);
        self.tries -= usize::from(it.handler.is_some());
        if let Some(handler) = &it.handler {
            self.visit_catch_clause(handler);
        }
        if let Some(finalizer) = &it.finalizer {
            self.visit_block_statement(finalizer);
        }
    }

    fn visit_expression(&mut self, it: &Expression<'a>) {
        if self.is_node_env(it) {
            self.found.node_env.push(place(it.span()));
        } else {
            walk::walk_expression(self, it);
        }
    }

    fn visit_identifier_reference(&mut self, it: &IdentifierReference<'a>) {
        self.found.is_commonjs |= matches!(it.name.as_str(), "require" | "module" | "exports") && self.is_global(it);
    }

    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        self.found.requires.extend(self.required(it));
        if let Expression::StaticMemberExpression(callee) = &it.callee
            && callee.property.name == "catch"
            && let Expression::ImportExpression(import) = callee.object.get_inner_expression()
        {
            self.caught = Some(import.span.start);
        }
        match &it.arguments[..] {
            // Object.defineProperty(exports, 'name', ..)
            [object, Argument::StringLiteral(name), _] => {
                let object = object.as_expression();
                if object.is_some_and(|it| self.is_exports(it)) && it.callee_name() == Some("defineProperty") {
                    self.found.exports.insert(name.value.to_string());
                }
            }
            // __exportStar(require('..'), exports), of TypeScript's helpers
            [Argument::CallExpression(call), Argument::Identifier(_)] if it.callee_name() == Some("__exportStar") => {
                self.found.reexports.extend(self.required(call));
            }
            _ => {}
        }
        walk::walk_call_expression(self, it);
    }

    fn visit_assignment_expression(&mut self, it: &AssignmentExpression<'a>) {
        if let AssignmentTarget::StaticMemberExpression(member) = &it.left {
            if self.is_exports(&member.object) {
                self.found.exports.insert(member.property.name.to_string());
            } else if self.is_module_exports(&member.object, &member.property.name) {
                self.exports_of(&it.right);
            }
        }
        walk::walk_assignment_expression(self, it);
    }

    fn visit_if_statement(&mut self, it: &IfStatement<'a>) {
        let known = self.known(&it.test);
        self.visit_expression(&it.test);
        if known != Some(false) {
            self.visit_statement(&it.consequent);
        }
        if let Some(alternate) = it.alternate.as_ref().filter(|_| known != Some(true)) {
            self.visit_statement(alternate);
        }
    }

    fn visit_conditional_expression(&mut self, it: &ConditionalExpression<'a>) {
        let known = self.known(&it.test);
        self.visit_expression(&it.test);
        if known != Some(false) {
            self.visit_expression(&it.consequent);
        }
        if known != Some(true) {
            self.visit_expression(&it.alternate);
        }
    }

    fn visit_logical_expression(&mut self, it: &LogicalExpression<'a>) {
        let known = self.known(&it.left);
        self.visit_expression(&it.left);
        let is_decided = match it.operator {
            LogicalOperator::And => known == Some(false),
            LogicalOperator::Or => known == Some(true),
            LogicalOperator::Coalesce => false,
        };
        if !is_decided {
            self.visit_expression(&it.right);
        }
    }
}
