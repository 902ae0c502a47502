//! Bounds the work of making one value of a schema: a schema of a few hundred bytes can ask for more than any machine has.

use std::cell::Cell;

use serde_json::Value;

/// The most steps for one value. A step is a value, a character, or a part of a schema that is copied: a long text has
/// one for each [`TEXT`] bytes.
const MAX_STEPS: usize = 500_000;

/// The bytes of a text that is copied in one step.
const TEXT: usize = 64;

/// The steps that are left.
#[derive(Debug)]
pub(super) struct Steps(Cell<usize>);

impl Steps {
    /// The steps for one value.
    pub(super) fn all() -> Self {
        Self(Cell::new(MAX_STEPS))
    }

    /// Takes steps. None if so many are not left: then none are.
    pub(super) fn take(&self, steps: usize) -> Option<()> {
        let left = self.0.get().checked_sub(steps);
        self.0.set(left.unwrap_or(0));
        left.map(drop)
    }

    /// Takes the steps of a copy of this value.
    pub(super) fn take_copy(&self, value: &Value) -> Option<()> {
        match value {
            Value::Array(items) => {
                self.take(1 + items.len())?;
                items.iter().try_for_each(|item| self.take_inner(item))
            }
            Value::Object(fields) => {
                self.take(1 + fields.len())?;
                fields.values().try_for_each(|field| self.take_inner(field))
            }
            Value::String(text) => self.take(1 + text.len() / TEXT),
            Value::Null | Value::Bool(_) | Value::Number(_) => self.take(1),
        }
    }

    fn take_inner(&self, value: &Value) -> Option<()> {
        match value {
            Value::Array(_) | Value::Object(_) => self.take_copy(value),
            Value::String(text) => self.take(text.len() / TEXT),
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(()),
        }
    }
}
