//! One payment as reports show it, and the choice of payments for a report.

use alloy_primitives::hex;
use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};

use super::ReportError;
use crate::PaymentState;
use crate::number::from_sqlite;

/// One payment with everything that the file says of it, except its signed payment and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRow {
    /// The number of the row: with the time of the claim, its place in a list.
    pub number: u64,
    pub payment_id: String,
    pub state: PaymentState,
    pub flow: String,
    pub network: Network,
    pub asset: String,
    pub payer: String,
    pub nonce: String,
    pub amount: Amount,
    pub pay_to: String,
    /// The money is worth nothing.
    pub testnet: bool,
    pub endpoint: String,
    pub plugin: String,
    pub generation: u64,
    /// SHA-256 of the signed payment, in hex.
    pub payment_digest: String,
    /// SHA-256 of the request, in hex.
    pub request_digest: String,
    pub identifier: Option<String>,
    /// True if a settlement is recorded.
    pub paid: bool,
    pub reason: Option<String>,
    pub transaction: Option<String>,
    pub valid_before: UnixTime,
    /// Duration of the verification, in microseconds.
    pub verify_us: Option<u64>,
    /// Duration of the guest's run, in microseconds.
    pub run_us: Option<u64>,
    /// Duration of the settlement, in microseconds.
    pub settle_us: Option<u64>,
    pub created_at: UnixTime,
    pub updated_at: UnixTime,
    /// The id of the HTTP request that claimed it. None of an older row.
    pub request_id: Option<String>,
    /// The transaction that paid the money back, of a refunded payment.
    pub refund_transaction: Option<String>,
}

/// [`PaymentRow::received`] as a condition on the view `payment`.
pub(super) const RECEIVED: &str = "(state IN ('settled', 'delivered', 'owed', 'refunding', 'refunded') OR (state = 'executing' AND settlement IS NOT NULL))";

/// The columns of the view `payment` that [`PaymentRow::read`] expects, in its order.
pub(super) const COLUMNS: &str =
    "payment_id, state, flow, network, asset, payer, nonce, amount, pay_to, testnet, endpoint, plugin,
     generation, payment, request, identifier, settlement IS NOT NULL, reason, tx, valid_before,
     verify_us, run_us, settle_us, created_at, updated_at, request_id, refund_tx, id";

impl PaymentRow {
    /// True if the money came to the receiver. A payment that is settled first has it there while it executes. A refund
    /// is paid from another wallet: see [`PaymentRow::refund_transaction`].
    pub fn received(&self) -> bool {
        match self.state {
            PaymentState::Settled
            | PaymentState::Delivered
            | PaymentState::Owed
            | PaymentState::Refunding
            | PaymentState::Refunded => true,
            PaymentState::Executing => self.paid,
            PaymentState::Reserved | PaymentState::Settling | PaymentState::Unknown | PaymentState::Refused => false,
        }
    }

    /// The place of the payment in a list.
    pub fn place(&self) -> ListPlace {
        ListPlace { created_at: self.created_at, number: self.number }
    }

    /// Reads a row of [`COLUMNS`].
    pub(super) fn read(row: &rusqlite::Row<'_>) -> Result<Self, ReportError> {
        let payment_id: String = row.get(0)?;
        let state: String = row.get(1)?;
        Ok(Self {
            state: PaymentState::parse(&state).ok_or_else(|| ReportError::Malformed {
                payment: payment_id.clone(),
                column: "state",
                value: state.clone(),
            })?,
            flow: row.get(2)?,
            network: network(&payment_id, &row.get::<_, String>(3)?)?,
            asset: row.get(4)?,
            payer: row.get(5)?,
            nonce: row.get(6)?,
            amount: amount(&payment_id, &row.get::<_, String>(7)?)?,
            pay_to: row.get(8)?,
            testnet: row.get(9)?,
            endpoint: row.get(10)?,
            plugin: row.get(11)?,
            generation: from_sqlite(row.get(12)?),
            payment_digest: hex::encode(row.get::<_, Vec<u8>>(13)?),
            request_digest: hex::encode(row.get::<_, Vec<u8>>(14)?),
            identifier: row.get(15)?,
            paid: row.get(16)?,
            reason: row.get(17)?,
            transaction: row.get::<_, Option<String>>(18)?.filter(|transaction| !transaction.is_empty()),
            valid_before: UnixTime(from_sqlite(row.get(19)?)),
            verify_us: row.get::<_, Option<i64>>(20)?.map(from_sqlite),
            run_us: row.get::<_, Option<i64>>(21)?.map(from_sqlite),
            settle_us: row.get::<_, Option<i64>>(22)?.map(from_sqlite),
            created_at: UnixTime(from_sqlite(row.get(23)?)),
            updated_at: UnixTime(from_sqlite(row.get(24)?)),
            request_id: row.get(25)?,
            refund_transaction: row.get(26)?,
            number: from_sqlite(row.get(27)?),
            payment_id,
        })
    }
}

/// A choice of payments.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only in one of these states; every state if empty.
    pub states: Vec<PaymentState>,
    /// Only for this endpoint: `GET /api/gitignore`, or the path alone.
    pub endpoint: Option<String>,
    /// Only by this payer, in any case of letters.
    pub payer: Option<String>,
    /// Only claimed, or presented again, by the HTTP request of this id.
    pub request_id: Option<String>,
    /// Only claimed at this time or later.
    pub since: Option<UnixTime>,
    /// Only claimed before this time.
    pub until: Option<UnixTime>,
    pub order: ClaimOrder,
    /// Only what follows this in the order.
    pub after: Option<ListStart>,
    /// At most so many.
    pub limit: Option<u32>,
}

impl Filter {
    /// True if the filter chooses this payment. Its limit and its request are left out.
    pub(super) fn selects(&self, row: &PaymentRow) -> bool {
        let path = row.endpoint.split_once(' ').map_or(&*row.endpoint, |(_, path)| path);
        (self.states.is_empty() || self.states.contains(&row.state))
            && self.endpoint.as_ref().is_none_or(|wanted| *wanted == row.endpoint || wanted == path)
            && self.payer.as_ref().is_none_or(|payer| payer.eq_ignore_ascii_case(&row.payer))
            && self.since.is_none_or(|since| row.created_at >= since)
            && self.until.is_none_or(|until| row.created_at < until)
    }
}

/// A place in the order of claims. It stays where it is when the payment that was there is pruned or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPlace {
    pub created_at: UnixTime,
    pub number: u64,
}

impl std::fmt::Display for ListPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.created_at.0, self.number)
    }
}

/// The beginning of a list that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListStart {
    Place(ListPlace),
    /// The id of a payment, as headers and logs have it.
    Payment(String),
}

impl ListStart {
    /// Reads a place as it is displayed, or the id of a payment: 32 hexadecimal digits. None if it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((time, number)) = text.split_once('-') else {
            let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            return is_id.then(|| Self::Payment(text.to_owned()));
        };
        let number_of = |text: &str| text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
        let created_at = UnixTime(number_of(time)?);
        Some(Self::Place(ListPlace { created_at, number: number_of(number)? }))
    }
}

/// An order of payments by the time of their claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimOrder {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Parses an amount. `payment` names the row in an error.
pub(super) fn amount(payment: &str, digits: &str) -> Result<Amount, ReportError> {
    Amount::parse_atomic(digits).map_err(|_| ReportError::Malformed {
        payment: payment.to_owned(),
        column: "amount",
        value: digits.to_owned(),
    })
}

/// Parses a network. `payment` names the row in an error.
pub(super) fn network(payment: &str, text: &str) -> Result<Network, ReportError> {
    Network::parse(text).map_err(|_| ReportError::Malformed {
        payment: payment.to_owned(),
        column: "network",
        value: text.to_owned(),
    })
}

/// Reads a time that a row may lack.
pub(super) fn time(row: &rusqlite::Row<'_>, column: &str) -> Result<Option<UnixTime>, ReportError> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|time| UnixTime(from_sqlite(time))))
}
