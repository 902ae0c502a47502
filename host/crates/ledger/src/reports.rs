//! Reports on payments, read from the ledger's file beside the host that writes it.
//!
//! A [`LedgerReader`] is read-only and works without the host's lock: SQLite gives a reader one consistent state while
//! payments go on. Every report of one reader is made from the state that its first query met, so that a row that is
//! pruned meanwhile is counted once. Amounts are summed in atomic units of one asset on one network
//! and never across them; money on test networks is a kind of its own.

mod earnings;
mod error;
mod reader;
pub mod reconcile;
mod row;
#[cfg(test)]
mod tests;

pub use earnings::{Earnings, GroupBy, GroupKey, MoneyKind, PrunedTotal};
pub use error::ReportError;
pub use reader::{LedgerReader, Selection};
pub use row::{ClaimOrder, Filter, PaymentRow};
