//! Compares the ledger with the chain, payment by payment, for the payments to known receivers.
//!
//! Pure: the ledger's rows come in, and the payments that the chain shows; the caller asks the chain. A payment is
//! identified by its token, payer and nonce, so that a transaction that settles many is no exception. The chain is
//! the truth, the ledger is our memory of it.

mod chain;
mod compare;
mod difference;
mod side;
mod totals;

pub use chain::{ChainPayment, Coverage, Spend, TxOutcome};
pub use compare::Comparison;
pub use difference::{Difference, DifferenceKind};
pub use side::{LOOK_BACK, LedgerSide, SKEW, Scope, Scopes};
pub use totals::{PaymentSum, TokenReceiver, Totals};
