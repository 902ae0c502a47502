//! Pays owed answers back on a real chain, and checks that each debt ends with its answer or with its money: never with
//! both, never with neither, whatever host, node and wallet do meanwhile.

mod books;
pub(crate) mod by_hand;
mod configured;
mod crashes;
mod faults;
mod hostile;
mod pages;
mod policy;
mod races;
mod restored;
pub(crate) mod seller;
mod stuck;

use std::time::Duration;

use seller::{Debt, Seller};

/// The price of an answer, in atomic units.
const CENT: u64 = 10_000;

/// The money of a payer at first, in atomic units.
const PAYER_HAS: u64 = 1_000_000_000;

/// The money of the wallet of refunds at first, in atomic units.
const WALLET_HAS: u64 = 10_000_000;

/// The longest wait for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A wallet of refunds that any answer of these tests can be paid back from, by command.
pub(crate) const BY_COMMAND: &str = "daily_budget = \"$20\"\n";
