//! A rule: its texts, and the function that finds the places where it is broken.

use super::scanner::Scanner;
use crate::review::types::Severity;

/// A rule. In `message`, `{}` stands for the detail of the hit.
#[derive(Debug)]
pub(in super::super) struct Rule {
    pub(in super::super) id: &'static str,
    pub(in super::super) severity: Severity,
    pub(in super::super) message: &'static str,
    pub(in super::super) suggestion: &'static str,
    pub(in super::super) find: fn(&mut Scanner<'_, '_>),
}
