//! Counts the failures of paid calls by payer: several payers open the circuit of all paid calls, and one payer only
//! its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use coinslot_base::breaker::{Breaker, BreakerChange, BreakerOpen, BreakerPermit, BreakerSettings};
use parking_lot::Mutex;

use super::TRIAL_PATIENCE;
use super::permit::CircuitPermit;

/// Payers that are remembered for a failure. The one that failed longest ago is forgotten for another.
const MAX_PAYERS: usize = 1024;

/// The circuit of the paid calls of one build.
///
/// A paid call that fails is not charged, or leaves a debt that its payer may fetch. So one payer can repeat an input
/// that makes the plugin fail as often as it wants, with the money for one payment. Therefore a payer counts once until
/// a call of any payer succeeds, and as many payers as `failures` open the circuit: the plugin fails for all of them.
/// The trial of the open circuit goes to a payer that has not failed, unless none comes for [`TRIAL_PATIENCE`].
///
/// A plugin may have fewer payers than that. So each payer that has failed has a circuit of its own, in which all of
/// its failures in a row count, and which refuses this payer alone. It closes as any circuit does.
///
/// Any paid call in a shared instance may be the cause of the instance's failure. The failure counts once, for all of
/// their payers together, and only if none of them has been counted or the call is the trial. In its own circuit each of
/// the payers has it counted: the payer that makes the instances fail is in all of them, and the others succeed where
/// it is not. If an unpaid call is in the instance, too, the failure counts for no paid call: see [`CircuitPermit`].
#[derive(Debug)]
pub(super) struct PaidCircuit {
    all_payers: Arc<Breaker>,
    settings: BreakerSettings,
    /// The payers that have failed and not succeeded since.
    failing: Mutex<HashMap<Arc<str>, FailingPayer>>,
}

#[derive(Debug)]
struct FailingPayer {
    own: Arc<Breaker>,
    /// True if a failure of the payer has counted for the circuit of all payers since the last success.
    is_counted: bool,
    failed: Instant,
}

/// A paid call that is at work.
#[derive(Debug)]
pub(super) struct PaidCall {
    circuit: Arc<PaidCircuit>,
    payer: Arc<str>,
    run: PaidRun,
}

/// The run of a paid call.
#[derive(Debug)]
enum PaidRun {
    /// The first run, with the permit of the payer's own circuit. None if the payer had no circuit when the call began.
    First(Option<BreakerPermit>),
    /// A run that has failed before. Its retries have pauses of their own, and its failure counts only if it is the
    /// trial.
    Repeated,
}

/// The changes that a failure caused.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PaidFailure {
    pub(super) all_payers: Option<BreakerChange>,
    pub(super) own: Option<BreakerChange>,
}

/// The name by which a payer is counted. An address may be written in upper and lower case.
pub(crate) fn payer_key(payer: &str) -> Arc<str> {
    payer.to_ascii_lowercase().into()
}

impl PaidCircuit {
    pub(super) fn new(plugin: &Arc<str>, settings: BreakerSettings) -> Arc<Self> {
        let all_payers = Breaker::new(Arc::clone(plugin), settings);
        Arc::new(Self { all_payers, settings, failing: Mutex::default() })
    }

    pub(super) fn all_payers(&self) -> &Breaker {
        &self.all_payers
    }

    /// The own circuit of a payer, if it has one.
    pub(super) fn of_payer(&self, payer: &str) -> Option<Arc<Breaker>> {
        self.failing.lock().get(&*payer_key(payer)).map(|failing| Arc::clone(&failing.own))
    }

    /// Lets a call of this payer through if neither its own circuit nor that of all payers refuses it.
    pub(super) fn admit(self: &Arc<Self>, payer: &str) -> Result<CircuitPermit, BreakerOpen> {
        let (own, permit) = match self.of_payer(payer) {
            Some(own) => (Some(own.admit()?), self.all_payers.admit_patiently(TRIAL_PATIENCE)?),
            None => (None, self.all_payers.admit()?),
        };
        Ok(CircuitPermit::paid(permit, self.call(payer, PaidRun::First(own))))
    }

    /// Lets a run through that has failed before. It is the trial only if no other call has been for [`TRIAL_PATIENCE`]
    /// after the pause.
    pub(super) fn admit_repeated(self: &Arc<Self>, payer: &str) -> Result<CircuitPermit, BreakerOpen> {
        let permit = self.all_payers.admit_uncounted(TRIAL_PATIENCE)?;
        Ok(CircuitPermit::paid(permit, self.call(payer, PaidRun::Repeated)))
    }

    fn call(self: &Arc<Self>, payer: &str, run: PaidRun) -> PaidCall {
        PaidCall { circuit: Arc::clone(self), payer: payer_key(payer), run }
    }

    /// Notes an answer. The failures of all payers are no longer in a row, and this payer is no longer one that fails.
    fn succeeded(&self, permit: BreakerPermit, payer: &str, run: PaidRun) -> Option<BreakerChange> {
        let own = match run {
            PaidRun::First(own) => own,
            PaidRun::Repeated => None,
        };
        let mut failing = self.failing.lock();
        let change = permit.succeeded();
        // A call from before the circuit opened says nothing about it.
        if self.all_payers.check().is_ok() {
            failing.values_mut().for_each(|failing| failing.is_counted = false);
        }
        if let Some(entry) = failing.get(payer) {
            own.unwrap_or_else(|| entry.own.admit_anyway()).succeeded();
            if entry.own.check().is_ok() {
                failing.remove(payer);
            }
        }
        change
    }

    /// Notes a failure of this call. `others` are the payers in its instance, whose calls may be the cause instead.
    fn failed(&self, permit: BreakerPermit, call: PaidCall, others: Vec<Arc<str>>) -> PaidFailure {
        let PaidCall { payer, run, .. } = call;
        if self.settings.failures == 0 {
            return PaidFailure::default();
        }
        let PaidRun::First(own) = run else { return PaidFailure { all_payers: permit.failed(), own: None } };
        let is_trial = permit.is_trial();
        let mut failing = self.failing.lock();
        let suspects: Vec<_> = others.into_iter().filter(|other| *other != payer).chain([Arc::clone(&payer)]).collect();
        let is_first = !suspects.iter().any(|suspect| failing.get(suspect).is_some_and(|failing| failing.is_counted));
        if is_first {
            for suspect in &suspects {
                self.entry(&mut failing, suspect).is_counted = true;
            }
        }
        let own = self.failed_alone(&mut failing, &payer, own);
        let all_payers = if is_first || is_trial { permit.failed() } else { None };
        PaidFailure { all_payers, own }
    }

    /// Notes a failure in the payer's own circuit.
    fn failed_alone(
        &self,
        failing: &mut HashMap<Arc<str>, FailingPayer>,
        payer: &Arc<str>,
        own: Option<BreakerPermit>,
    ) -> Option<BreakerChange> {
        let entry = self.entry(failing, payer);
        entry.failed = Instant::now();
        own.unwrap_or_else(|| entry.own.admit_anyway()).failed()
    }

    /// Returns the entry of a payer, and makes one if there is none.
    fn entry<'f>(&self, failing: &'f mut HashMap<Arc<str>, FailingPayer>, payer: &Arc<str>) -> &'f mut FailingPayer {
        if failing.len() >= MAX_PAYERS && !failing.contains_key(payer) {
            let oldest = failing.iter().min_by_key(|(_, failing)| failing.failed).map(|(payer, _)| Arc::clone(payer));
            oldest.and_then(|oldest| failing.remove(&oldest));
        }
        failing.entry(Arc::clone(payer)).or_insert_with(|| FailingPayer {
            own: Breaker::new(Arc::clone(payer), self.settings),
            is_counted: false,
            failed: Instant::now(),
        })
    }
}

impl PaidCall {
    pub(super) fn payer(&self) -> &Arc<str> {
        &self.payer
    }

    /// Notes that a response has begun: other calls of the payer need not wait for the end of its own trial.
    pub(super) fn responds(&mut self) {
        if let PaidRun::First(Some(own)) = &mut self.run {
            own.responds();
        }
    }

    pub(super) fn succeeded(self, permit: BreakerPermit) -> Option<BreakerChange> {
        let Self { circuit, payer, run } = self;
        circuit.succeeded(permit, &payer, run)
    }

    pub(super) fn failed(self, permit: BreakerPermit, others: Vec<Arc<str>>) -> PaidFailure {
        Arc::clone(&self.circuit).failed(permit, self, others)
    }

    /// Notes a failure that counts for all payers as that of another call in the same instance.
    pub(super) fn failed_with_another(self) -> PaidFailure {
        let Self { circuit, payer, run } = self;
        let PaidRun::First(own) = run else { return PaidFailure::default() };
        if circuit.settings.failures == 0 {
            return PaidFailure::default();
        }
        let own = circuit.failed_alone(&mut circuit.failing.lock(), &payer, own);
        PaidFailure { all_payers: None, own }
    }
}
