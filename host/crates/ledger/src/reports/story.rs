//! Reads everything that the ledger knows of one payment, also of one that was given back and has no row.

use coinslot_x402::UnixTime;
use rusqlite::params;

use super::row::time;
use super::selection::of_request;
use super::{FailedPayment, FailureFilter, FreeUse, LedgerReader, Pass, PaymentRow, RefundRow, ReportError};
use crate::number::{from_sqlite, to_sqlite};
use crate::{PaymentEvent, RepetitionOutcome};

/// The failures of one payment that a story tells, the newest. A payment that is given back may fail again.
const MOST_FAILURES: u32 = 100;

/// The uses of its pass that a story tells, the newest.
const MOST_USES: u32 = 100;

/// A payment with everything that happened to it, as far as the ledger still knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymentStory {
    /// None if the payment was given back, or its row is pruned.
    pub row: Option<PaymentRow>,
    /// The times of the row's steps.
    pub times: StepTimes,
    /// The oldest first.
    pub events: Vec<PaymentEvent>,
    /// The failures after which it was given back, the newest first.
    pub failures: Vec<FailedPayment>,
    /// The requests that presented it again, the oldest first.
    pub repetitions: Vec<Repetition>,
    /// The attempts to pay it back, the newest first.
    pub refunds: Vec<RefundRow>,
    /// The pass that it bought.
    pub pass: Option<Pass>,
    /// The requests that used its pass, the newest first.
    pub pass_uses: Vec<FreeUse>,
}

/// The times of the steps of a payment that its row keeps beside the first and the last. None: the step was not taken, or
/// the row is older than its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// The guest began to run, the first time.
    pub run: Option<UnixTime>,
    /// The settlement was sent.
    pub sent: Option<UnixTime>,
    /// The money had moved.
    pub paid: Option<UnixTime>,
    /// The guest had answered what was paid before.
    pub answered: Option<UnixTime>,
    /// The block of the transaction, where a node has shown it.
    pub block: Option<u64>,
}

/// A request that presented a claimed payment again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repetition {
    pub request_id: Option<String>,
    pub outcome: RepetitionOutcome,
    /// The number of the last event before it: times are whole seconds.
    pub after_event: u64,
    pub at: UnixTime,
}

impl PaymentStory {
    /// True if the ledger knows nothing of such a payment.
    pub fn is_empty(&self) -> bool {
        self.row.is_none() && self.events.is_empty() && self.failures.is_empty()
    }
}

impl LedgerReader {
    /// Reads everything about the payment of this id, as headers and logs have it, from one state of the ledger.
    pub fn story(&self, id: &str) -> Result<PaymentStory, ReportError> {
        self.in_one_state(|| {
            let row = self.payment(id)?;
            let (times, repetitions) = match &row {
                Some(row) => (self.step_times(row.number)?, self.repetitions(row.number)?),
                None => Default::default(),
            };
            let pass = row.as_ref().map(|row| self.pass_of(row.number)).transpose()?.flatten();
            let number = row.as_ref().map(|row| row.number).filter(|_| pass.is_some());
            let pass_uses = number.map(|number| self.uses_of_pass(number, MOST_USES)).transpose()?;
            let filter = FailureFilter { payment_id: Some(id.to_owned()), ..FailureFilter::default() };
            Ok(PaymentStory {
                times,
                repetitions,
                events: self.events_of(id)?,
                failures: self.failures_before(u64::MAX, filter, MOST_FAILURES).collect::<Result<_, _>>()?,
                refunds: self.refunds_of(id)?,
                pass_uses: pass_uses.unwrap_or_default(),
                pass,
                row,
            })
        })
    }

    fn step_times(&self, row: u64) -> Result<StepTimes, ReportError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT run_at, sent_at, paid_at, answered_at, block FROM progress LEFT JOIN settlement USING (id)
             WHERE progress.id = ?1",
        )?;
        let mut rows = statement.query([to_sqlite(row)])?;
        let Some(row) = rows.next()? else { return Ok(StepTimes::default()) };
        Ok(StepTimes {
            run: time(row, "run_at")?,
            sent: time(row, "sent_at")?,
            paid: time(row, "paid_at")?,
            answered: time(row, "answered_at")?,
            block: row.get::<_, Option<i64>>("block")?.map(from_sqlite),
        })
    }

    fn repetitions(&self, row: u64) -> Result<Vec<Repetition>, ReportError> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT request_id, outcome, event, at FROM repetition WHERE claim = ?1 ORDER BY id")?;
        let mut rows = statement.query([to_sqlite(row)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let outcome: String = row.get(1)?;
            found.push(Repetition {
                request_id: row.get(0)?,
                outcome: RepetitionOutcome::parse(&outcome)
                    .ok_or_else(|| ReportError::Query(format!("`{outcome}` is no outcome of a repetition")))?,
                after_event: from_sqlite(row.get(2)?),
                at: UnixTime(from_sqlite(row.get(3)?)),
            });
        }
        Ok(found)
    }

    /// True if a request of this id claimed a payment that has a row, or presented one again.
    pub fn has_request(&self, request_id: &str) -> Result<bool, ReportError> {
        let sql = format!("SELECT EXISTS ({})", of_request(1));
        Ok(self.connection().prepare_cached(&sql)?.query_row([request_id], |row| row.get(0))?)
    }

    /// The ids of payments without a row that a request claimed: they were given back, or are pruned. The events that are
    /// kept tell it, of which there are at most a hundred thousand.
    pub fn past_payments_of(&self, request_id: &str) -> Result<Vec<String>, ReportError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT payment_id FROM event WHERE request_id = ?1
                AND NOT EXISTS (SELECT 1 FROM claim WHERE claim.id = event.claim) GROUP BY payment_id
             ORDER BY max(id) DESC LIMIT 100",
        )?;
        let rows = statement.query_map(params![request_id], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
