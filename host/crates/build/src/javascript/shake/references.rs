//! Collects what a statement refers to, and tells whether its evaluation may have an effect.

use std::collections::HashSet;

use oxc_ast::ast::{CallExpression, Expression, IdentifierReference, ImportExpression, StaticMemberExpression};
use oxc_ast_visit::{Visit, walk};
use oxc_ecmascript::GlobalContext;
use oxc_ecmascript::side_effects::{MayHaveSideEffectsContext, PropertyReadSideEffects};
use oxc_semantic::Scoping;

use super::module::Use;

/// The levels of members that are distinguished: `z.coerce.number` has two.
const LONGEST_PATH: usize = 4;

/// Collects the references of a statement to names of the top level.
pub(super) struct References<'s> {
    scoping: &'s Scoping,
    pub(super) uses: Vec<Use>,
    seen: HashSet<Use>,
    /// Specifiers of `import()`.
    pub(super) dynamic: Vec<String>,
    /// The statement evaluates text, or imports a module whose name only its evaluation shows.
    pub(super) is_opaque: bool,
}

impl<'s> References<'s> {
    pub(super) fn new(scoping: &'s Scoping) -> Self {
        Self { scoping, uses: Vec::new(), seen: HashSet::new(), dynamic: Vec::new(), is_opaque: false }
    }

    fn refer(&mut self, it: &IdentifierReference<'_>, path: Vec<String>) {
        let symbol = it.reference_id.get().and_then(|id| self.scoping.get_reference(id).symbol_id());
        let Some(symbol) = symbol else { return };
        if self.scoping.symbol_scope_id(symbol) != self.scoping.root_scope_id() {
            return;
        }
        let found = Use { name: it.name.to_string(), path };
        // One statement may refer to many thousands: a table.
        if self.seen.insert(found.clone()) {
            self.uses.push(found);
        }
    }
}

impl<'a> Visit<'a> for References<'_> {
    fn visit_identifier_reference(&mut self, it: &IdentifierReference<'a>) {
        self.refer(it, Vec::new());
    }

    fn visit_static_member_expression(&mut self, it: &StaticMemberExpression<'a>) {
        let mut path = vec![it.property.name.to_string()];
        let mut object = &it.object;
        while let Expression::StaticMemberExpression(member) = object {
            path.push(member.property.name.to_string());
            object = &member.object;
        }
        if let Expression::Identifier(base) = object {
            path.reverse();
            path.truncate(LONGEST_PATH);
            self.refer(base, path);
        } else {
            // The members between have no other expressions. Visited one by one, each would look for the base again.
            self.visit_expression(object);
        }
    }

    fn visit_import_expression(&mut self, it: &ImportExpression<'a>) {
        match &it.source {
            Expression::StringLiteral(source) => self.dynamic.push(source.value.to_string()),
            _ => self.is_opaque = true,
        }
        walk::walk_import_expression(self, it);
    }

    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        self.is_opaque |= matches!(&it.callee, Expression::Identifier(name) if name.name == "eval");
        walk::walk_call_expression(self, it);
    }
}

/// Trusts the annotations of pure calls, and counts every read of a property and of an unknown global as an effect.
pub(super) struct EffectContext<'s>(pub(super) &'s Scoping);

impl<'a> GlobalContext<'a> for EffectContext<'_> {
    fn is_global_reference(&self, reference: &IdentifierReference<'a>) -> bool {
        reference.reference_id.get().is_some_and(|id| !self.0.has_binding(id))
    }
}

impl<'a> MayHaveSideEffectsContext<'a> for EffectContext<'_> {
    fn annotations(&self) -> bool {
        true
    }

    fn manual_pure_functions(&self, _callee: &Expression<'_>) -> bool {
        false
    }

    fn property_read_side_effects(&self) -> PropertyReadSideEffects {
        PropertyReadSideEffects::All
    }

    fn unknown_global_side_effects(&self) -> bool {
        true
    }
}
