//! Reports on payments, read from the ledger's file beside the host that writes it.
//!
//! A [`LedgerReader`] is read-only and works without the host's lock, while payments go on. A sum is made from one
//! consistent state of the file, so that a row that is pruned meanwhile is counted once. A list is read in pages, each
//! from the state of its moment: SQLite cannot empty its log while a reader has an old state open, and a list can take
//! as long as the program that it is written to. Amounts are summed in atomic units of one asset on one network and
//! never across them; money on test networks is a kind of its own.

mod changes;
mod earnings;
mod error;
mod failures;
mod free_uses;
mod funnel;
mod passes;
mod reader;
pub mod reconcile;
mod refunds;
mod row;
mod selection;
mod stop;
mod story;
#[cfg(test)]
mod tests;
mod webhook_attempts;

pub use changes::ChangeFilter;
pub use earnings::{Earnings, GroupBy, GroupKey, MoneyKind, PrunedTotal};
pub use error::ReportError;
pub use failures::{FailedPayment, FailureFilter};
pub use free_uses::{FreeTotal, FreeUse, FreeUseFilter};
pub use funnel::{FunnelTotal, RefundFee};
pub use passes::Pass;
pub use reader::LedgerReader;
pub use refunds::{RefundRow, RefundState};
pub use row::{ClaimOrder, Filter, ListPlace, ListStart, PaymentRow};
pub use selection::Selection;
pub use stop::ReportStop;
pub use story::{PaymentStory, Repetition, StepTimes};
pub use webhook_attempts::{AttemptFilter, KeptAttempt};
