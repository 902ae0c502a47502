//! Puts the steps of a payment into the order of time.
//!
//! Times are whole seconds, as the ledger keeps them; durations that were measured are microseconds. Steps of one second
//! stand in the order of the life of a payment: the attempts that were given back, the way to the settlement, what the
//! events tell in their own order, the answer, what was fetched again, and the uses of its pass.

use coinslot_ledger::reports::{FailedPayment, PaymentStory, RefundState};
use coinslot_ledger::{EventKind, PaymentEvent, PaymentState, RepetitionOutcome};
use coinslot_x402::UnixTime;

use super::{StepName, StepRecord};
use crate::operate::time;

/// The place of a step in its second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// An attempt that was given back, by the number of its failure and the step in it.
    GivenBack(u64, u8),
    /// On the way to the settlement, in the order in which they are added.
    Way,
    /// By twice the number of its event, or one more for what followed it.
    Event(u64),
    Answer,
    Fetched,
    PassUsed,
}

/// The steps, while they are put into their order.
struct Steps {
    /// With the time by which each is sorted.
    steps: Vec<(UnixTime, Rank, Option<UnixTime>, StepRecord)>,
    /// The time of the step before: a step without one stands behind it.
    last: UnixTime,
}

impl Steps {
    /// Adds a step. One without a time stands behind the one that was added before it.
    fn add(&mut self, rank: Rank, at: Option<UnixTime>, record: StepRecord) {
        self.last = at.unwrap_or(self.last);
        self.steps.push((self.last, rank, at, record));
    }

    /// The steps in their order, with the time since the step before.
    fn sorted(mut self) -> Vec<StepRecord> {
        self.steps.sort_by_key(|(at, rank, ..)| (*at, *rank));
        let mut before = None;
        let records = self.steps.into_iter().map(|(_, _, at, mut record)| {
            record.at = at.map(time::shown);
            let since = |before: UnixTime| at.map(|at| at.0.saturating_sub(before.0));
            record.seconds_after = before.and_then(since);
            before = at.or(before);
            record
        });
        records.collect()
    }
}

fn named(step: StepName) -> StepRecord {
    StepRecord { step, ..StepRecord::default() }
}

/// The time so many microseconds later.
fn later(at: UnixTime, microseconds: Option<u64>) -> UnixTime {
    at.plus(microseconds.unwrap_or_default() / 1_000_000)
}

/// Every step of the payment.
pub(super) fn steps(story: &PaymentStory) -> Vec<StepRecord> {
    let mut steps = Steps { steps: Vec::new(), last: UnixTime(0) };
    given_back(story, &mut steps);
    way(story, &mut steps);
    for event in story.events.iter().filter(|event| !matches!(event.kind, EventKind::Paid | EventKind::Failed)) {
        let record = StepRecord {
            transaction: event.transaction.clone().filter(|_| event.kind == EventKind::Refunded),
            reason: event.reason.clone(),
            after_work: event.after_work,
            sender: by_hand(story).filter(|_| event.kind == EventKind::Refunded),
            ..named(StepName::of(event.kind))
        };
        steps.add(Rank::Event(event.number * 2), Some(event.at), record);
    }
    untold_end(story, &mut steps);
    refunds(story, &mut steps);
    for repetition in &story.repetitions {
        let (step, rank) = match repetition.outcome {
            RepetitionOutcome::Run => (StepName::RunAgain, Rank::Event(repetition.after_event * 2 + 1)),
            RepetitionOutcome::Answer => (StepName::AskedAgain, Rank::Fetched),
        };
        let record = StepRecord { request_id: repetition.request_id.clone(), ..named(step) };
        steps.add(rank, Some(repetition.at), record);
    }
    for pass_use in story.pass_uses.iter().rev() {
        let reason = Some(pass_use.outcome.replace('_', " ")).filter(|outcome| outcome != "served");
        let record = StepRecord { request_id: pass_use.request_id.clone(), reason, ..named(StepName::PassUsed) };
        steps.add(Rank::PassUsed, Some(pass_use.at), record);
    }
    steps.sorted()
}

/// The attempts after which the payment was given back. Events are kept for longer than their lines.
fn given_back(story: &PaymentStory, steps: &mut Steps) {
    let is_of = |event: &PaymentEvent, failure: &FailedPayment| {
        event.at == failure.at && event.reason.as_ref() == Some(&failure.reason)
    };
    let events = story.events.iter().filter(|event| event.kind == EventKind::Failed);
    for event in events.filter(|event| !story.failures.iter().any(|failure| is_of(event, failure))) {
        let record = StepRecord {
            reason: event.reason.clone(),
            request_id: event.request_id.clone(),
            ..named(StepName::GivenBack)
        };
        steps.add(Rank::GivenBack(0, 0), Some(event.at), record);
    }
    for failure in story.failures.iter().rev() {
        let request_id = failure.request_id.clone();
        for (part, at, record) in [
            (0, failure.claimed_at, StepRecord { request_id, ..named(StepName::Claimed) }),
            (1, failure.run_at, named(StepName::Started)),
            (2, Some(failure.at), StepRecord { reason: Some(failure.reason.clone()), ..named(StepName::GivenBack) }),
        ] {
            if at.is_some() {
                steps.add(Rank::GivenBack(failure.number, part), at, record);
            }
        }
    }
}

/// The steps of the row: the claim, the verification, the run, the settlement and the delivery.
fn way(story: &PaymentStory, steps: &mut Steps) {
    let (Some(row), times) = (&story.row, story.times) else { return };
    let upfront = row.flow == "upfront";
    steps.add(
        Rank::Way,
        Some(row.created_at),
        StepRecord { request_id: row.request_id.clone(), ..named(StepName::Claimed) },
    );
    let took = |took: Option<u64>, step: StepName| StepRecord { took_microseconds: took, ..named(step) };
    if row.verify_us.is_some() {
        steps.add(Rank::Way, Some(later(row.created_at, row.verify_us)), took(row.verify_us, StepName::Verified));
    }
    let paid = story.events.iter().find(|event| event.kind == EventKind::Paid);
    let number = paid.map_or(0, |event| event.number * 2);
    if !upfront {
        if times.run.is_some() {
            steps.add(Rank::Way, times.run, named(StepName::Started));
        }
        // Sent as soon as the plugin had answered.
        let answered = times.run.map(|run| later(run, row.run_us)).filter(|_| row.run_us.is_some()).or(times.sent);
        if answered.is_some() || row.run_us.is_some() {
            steps.add(Rank::Way, answered, took(row.run_us, StepName::Answered));
        }
    }
    if times.sent.is_some() || row.settle_us.is_some() {
        steps.add(Rank::Way, times.sent, named(StepName::Sent));
    }
    if row.paid || paid.is_some() {
        let record = StepRecord {
            transaction: row.transaction.clone(),
            block: times.block,
            ..took(row.settle_us, StepName::Paid)
        };
        steps.add(Rank::Event(number), paid.map(|event| event.at).or(times.paid), record);
    }
    if upfront && times.run.is_some() {
        steps.add(Rank::Event(number + 1), times.run, named(StepName::Started));
    }
    if upfront && (times.answered.is_some() || row.run_us.is_some()) {
        steps.add(Rank::Answer, times.answered, took(row.run_us, StepName::Answered));
    }
    if row.state == PaymentState::Delivered {
        steps.add(Rank::Answer, Some(row.updated_at), named(StepName::Delivered));
    }
}

/// The end that the state of the row tells, where the event of it is not kept any more.
fn untold_end(story: &PaymentStory, steps: &mut Steps) {
    let Some(row) = &story.row else { return };
    let told = match row.state {
        PaymentState::Owed => EventKind::Owed,
        PaymentState::Unknown => EventKind::Unknown,
        PaymentState::Refused => EventKind::Refused,
        PaymentState::Reserved
        | PaymentState::Executing
        | PaymentState::Settling
        | PaymentState::Settled
        | PaymentState::Delivered
        | PaymentState::Refunding
        | PaymentState::Refunded => return,
    };
    if !story.events.iter().any(|event| event.kind == told) {
        let record = StepRecord { reason: row.reason.clone(), ..named(StepName::of(told)) };
        steps.add(Rank::Event(0), Some(row.updated_at), record);
    }
}

/// The account that paid the debt by hand.
fn by_hand(story: &PaymentStory) -> Option<String> {
    let paid = story.refunds.iter().find(|refund| refund.nonce.is_none() && refund.state == RefundState::Paid)?;
    Some(paid.sender.clone())
}

/// The attempts to pay it back, the oldest first. The end of one stands behind what the events of its second tell.
fn refunds(story: &PaymentStory, steps: &mut Steps) {
    let told = story.events.iter().any(|event| event.kind == EventKind::Refunded);
    for refund in story.refunds.iter().rev() {
        let before = |event: &&PaymentEvent| event.kind == EventKind::Owed && event.at <= refund.begun_at;
        let debt = story.events.iter().rfind(before).map_or(0, |event| event.number * 2);
        // Of what an operator paid by hand, the host knows the end alone.
        let sent = refund.nonce.is_some().then(|| StepRecord {
            transaction: refund.transaction.clone(),
            ordered_by: Some(refund.ordered_by.as_str().to_owned()),
            ..named(StepName::RefundSent)
        });
        if let Some(sent) = sent {
            steps.add(Rank::Event(debt + 1), Some(refund.begun_at), sent);
        }
        let end = match refund.state {
            RefundState::Failed => StepName::RefundFailed,
            RefundState::Paid if !told => StepName::Refunded,
            RefundState::Paid | RefundState::Sent => continue,
        };
        let record = StepRecord {
            transaction: refund.transaction.clone().filter(|_| refund.fee.is_some()),
            reason: refund.reason.clone(),
            sender: by_hand(story).filter(|_| end == StepName::Refunded),
            ..named(end)
        };
        steps.add(Rank::Event(debt + 1), refund.ended_at, record);
    }
}
