//! Bounds the work of one check: in steps, in stack and in processor time.
//!
//! The library has no budget of its own, and a small schema can be expensive: alternatives that refer to their own
//! schema are tried for each of the others, level by level, which doubles the work with each level of the input. So
//! [`super::compile`] puts the keyword [`KEYWORD`] first into each subschema. The keyword fits everything, and counts
//! what its subschema costs for this value. When the budget is used up it unwinds to [`within`]: no verdict of the
//! keyword could end the work, because `not` and `anyOf` go on after either.
//!
//! Steps decide, so that an input has the same result whenever it is checked. The time of the processor is a second
//! bound, for what the steps underestimate. It is the thread's own: a machine that is busy with other work refuses
//! nothing that an idle one takes.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use jsonschema::{Keyword, ValidationError};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

/// The keyword that counts. A schema of a plugin cannot have it: its own is removed.
pub(super) const KEYWORD: &str = "coinslot:cost";

/// The longest string that is matched against a pattern, in bytes. A match cannot be interrupted.
const LONGEST_MATCH: usize = 64 << 10;

/// The steps after which the clock is read. A small check ends before, and does without.
const STEPS_PER_LOOK: u64 = 256;

thread_local! {
    /// The budget of the check that runs on this thread, if one does.
    static BUDGET: Cell<Option<Spending>> = const { Cell::new(None) };
}

/// The bounds of one check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// One step is the work for one small value and one small subschema: some 50 nanoseconds.
    pub(super) steps: u64,
    /// Bytes of stack below the caller of [`within`].
    pub(super) stack: usize,
    /// Time of the processor for this thread.
    pub(super) cpu: Duration,
    /// Values that errors may hold copies of. An error of an alternative holds the value that does not fit, with all
    /// that is in it.
    pub(super) copies: u64,
}

/// The budget was used up, and nothing is known about the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CheckExhausted;

#[derive(Clone, Copy)]
struct Spending {
    steps: u64,
    stack: usize,
    /// The address of a local variable of [`within`]. The stack grows away from it.
    stack_base: usize,
    cpu: Duration,
    copies: u64,
    /// The thread's time at the first look.
    began: Option<Duration>,
    /// The steps left when the clock is read next.
    look_at: u64,
}

/// Runs a check with a budget. Fails when the budget is used up.
pub(super) fn within<T>(budget: Budget, check: impl FnOnce() -> T) -> Result<T, CheckExhausted> {
    let base = 0_u8;
    BUDGET.set(Some(Spending {
        steps: budget.steps,
        stack: budget.stack,
        stack_base: (&raw const base).addr(),
        cpu: budget.cpu,
        copies: budget.copies,
        began: None,
        look_at: budget.steps.saturating_sub(STEPS_PER_LOOK),
    }));
    let checked = catch_unwind(AssertUnwindSafe(check));
    BUDGET.set(None);
    checked.map_err(
        |panic: Box<dyn Any + Send>| if panic.is::<CheckExhausted>() { CheckExhausted } else { resume_unwind(panic) },
    )
}

/// Takes steps from the budget of this thread. Unwinds to [`within`] when there are none left.
fn spend(steps: u64) {
    let Some(mut spending) = BUDGET.get() else { return };
    let here = 0_u8;
    let depth = (&raw const here).addr().abs_diff(spending.stack_base);
    let left = spending.steps.checked_sub(steps).filter(|_| depth <= spending.stack);
    let Some(left) = left else { exhausted() };
    spending.steps = left;
    if left <= spending.look_at {
        let now = cpu_time();
        if now.saturating_sub(*spending.began.get_or_insert(now)) > spending.cpu {
            exhausted();
        }
        spending.look_at = left.saturating_sub(STEPS_PER_LOOK);
    }
    BUDGET.set(Some(spending));
}

/// Takes a value from the budget that an error about it may copy, and the parts of the schema that it may quote. To copy
/// a value is a step of its own.
fn copy(value: &Value, quoted: u64) {
    let Some(mut spending) = BUDGET.get().filter(|spending| spending.copies != u64::MAX) else { return };
    let left = spending.copies.checked_sub(quoted).and_then(|left| without(left, value));
    let left = left.unwrap_or_else(|| exhausted());
    let copied = std::mem::replace(&mut spending.copies, left) - left;
    BUDGET.set(Some(spending));
    spend(copied);
}

/// The rest of a number after all values within this one, and their texts. None if it does not reach.
fn without(mut left: u64, value: &Value) -> Option<u64> {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        let texts = match value {
            Value::String(text) => text.len(),
            Value::Object(fields) => fields.keys().map(String::len).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => 0,
        };
        left = left.checked_sub(1 + texts as u64 / 64)?;
        match value {
            // No more are listed than may be left.
            Value::Array(items) if items.len() as u64 <= left => open.extend(items),
            Value::Object(fields) if fields.len() as u64 <= left => open.extend(fields.values()),
            Value::Array(_) | Value::Object(_) => return None,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Some(left)
}

/// The time that this thread has had on a processor.
pub(super) fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

fn exhausted() -> ! {
    BUDGET.set(None);
    // It is no panic: no hook runs, and nothing is printed.
    resume_unwind(Box::new(CheckExhausted))
}

/// The cost of one subschema, as [`super::compile`] estimates it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Steps for any value.
    pub(super) base: u64,
    /// Steps for each entry of an object or an array.
    pub(super) entry: u64,
    /// The weight of the patterns that a string is matched against.
    pub(super) patterns: u64,
    /// The weight of the patterns that each name of an object is matched against.
    pub(super) name_patterns: u64,
    /// Entries of an array are compared with each other.
    pub(super) unique: bool,
}

impl Cost {
    /// The cost as the value of [`KEYWORD`].
    pub(super) fn to_value(self) -> Value {
        serde_json::json!([self.base, self.entry, self.patterns, self.name_patterns, u64::from(self.unique)])
    }

    fn of_value(value: &Value) -> Self {
        let part = |index: usize| value.get(index).and_then(Value::as_u64).unwrap_or(1);
        Self { base: part(0), entry: part(1), patterns: part(2), name_patterns: part(3), unique: part(4) > 0 }
    }

    /// The steps of one application to a value.
    fn steps(self, value: &Value) -> u64 {
        let extra = match value {
            Value::String(text) if self.patterns > 0 => matching(text, self.patterns),
            // Its characters are counted for some keywords.
            Value::String(text) => text.len() as u64 / 4096,
            Value::Array(items) => {
                let entries = self.entry.saturating_mul(items.len() as u64);
                entries.saturating_add(if self.unique { comparing(items) } else { 0 })
            }
            Value::Object(fields) => {
                let names = if self.name_patterns > 0 {
                    fields.keys().map(|name| matching(name, self.name_patterns)).fold(0, u64::saturating_add)
                } else {
                    0
                };
                self.entry.saturating_mul(fields.len() as u64).saturating_add(names)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        };
        self.base.saturating_add(extra)
    }
}

/// The steps of comparing all entries of an array. Scalars are hashed; of nested arrays and objects many may have the
/// same hash, and then each is compared with each.
fn comparing(items: &[Value]) -> u64 {
    let nested = items.iter().filter(|item| item.is_array() || item.is_object()).count() as u64;
    nested.saturating_mul(nested) / 4
}

/// The steps of matching a text against some patterns.
fn matching(text: &str, patterns: u64) -> u64 {
    if text.len() > LONGEST_MATCH { u64::MAX } else { patterns.saturating_mul(1 + text.len() as u64 / 4) }
}

/// The keyword [`KEYWORD`] of one subschema.
pub(super) struct CostKeyword(Cost);

impl CostKeyword {
    pub(super) fn new(value: &Value) -> Self {
        Self(Cost::of_value(value))
    }
}

impl<'i> Keyword<'i> for CostKeyword {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        spend(self.0.steps(instance));
        copy(instance, self.0.base);
        Ok(())
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        spend(self.0.steps(instance));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn recursing(depth: usize) -> usize {
        spend(0);
        if depth == 0 { 0 } else { std::hint::black_box(recursing(depth - 1) + 1) }
    }

    #[test]
    fn each_bound_ends_a_check() {
        let all = Budget { steps: 1_000, stack: 1 << 20, cpu: SECOND, copies: u64::MAX };
        assert_eq!(within(all, || (0..1_000).for_each(|_| spend(1))), Ok(()));
        assert_eq!(within(all, || (0..1_001).for_each(|_| spend(1))), Err(CheckExhausted));
        assert_eq!(within(all, || recursing(1_000)), Ok(1_000));
        assert_eq!(within(Budget { stack: 4 << 10, ..all }, || recursing(100_000)), Err(CheckExhausted));
        let short = Budget { steps: u64::MAX, cpu: Duration::from_millis(20), ..all };
        let begun = Instant::now();
        let endless = || {
            loop {
                spend(1);
            }
        };
        assert_eq!(within::<()>(short, endless), Err(CheckExhausted));
        assert!(begun.elapsed() < 60 * SECOND);
        assert_eq!(within(all, || spend(1_000)), Ok(()), "an exhausted budget leaves nothing behind");
    }

    /// A check that other work keeps from the processor: it sleeps for as long as ten times its own time.
    #[test]
    fn the_time_of_other_work_is_not_counted() {
        let budget = Budget { steps: 10_000, stack: 1 << 20, cpu: Duration::from_millis(100), copies: u64::MAX };
        let interrupted = || {
            (0..5_000).for_each(|_| spend(1));
            std::thread::sleep(SECOND);
            (0..5_000).for_each(|_| spend(1));
        };
        assert_eq!(within(budget, interrupted), Ok(()));
    }

    #[test]
    fn a_copy_counts_with_all_that_is_in_it_and_is_work() {
        let value = serde_json::json!({ "a": [1, 2, [3]], "b": "x".repeat(640) });
        assert_eq!(without(100, &value), Some(100 - 7 - 10));
        assert_eq!((without(17, &value), without(16, &value)), (Some(0), None));
        let few = Budget { steps: 1_000, stack: 1 << 20, cpu: SECOND, copies: 40 };
        assert_eq!(within(few, || (0..2).for_each(|_| copy(&value, 3))), Ok(()));
        assert_eq!(within(few, || (0..3).for_each(|_| copy(&value, 3))), Err(CheckExhausted));
        let idle = Budget { steps: 39, ..few };
        assert_eq!(within(idle, || copy(&value, 3)), Ok(()));
        assert_eq!(within(idle, || (0..2).for_each(|_| copy(&value, 3))), Err(CheckExhausted));
    }

    #[test]
    fn long_texts_are_not_matched() {
        let cost = Cost { base: 1, entry: 1, patterns: 1, name_patterns: 1, unique: false };
        assert_eq!(cost.steps(&Value::String("a".repeat(LONGEST_MATCH))), 2 + LONGEST_MATCH as u64 / 4);
        assert_eq!(cost.steps(&Value::String("a".repeat(LONGEST_MATCH + 1))), u64::MAX);
        assert_eq!(Cost::of_value(&cost.to_value()), cost);
    }
}
