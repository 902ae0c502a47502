//! Several facilitators as one: the first that is well is asked, and the next when it cannot be.
//!
//! A verification writes nothing, so it may go to another member at any time. A settlement moves
//! money, so it goes to another member only if it is certain that the first never had it: there was
//! no connection, or its circuit is open. Once a settlement may have arrived somewhere it stays
//! there (`affinities`), however it ends and however often it is asked for: two facilitators with the same
//! authorisation would pay gas for one transfer, and the loser would call it refused.

mod affinity;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::local::Local;
use super::remote::{Attempt, Remote};
use super::{Answer, Facilitator, Readiness, Settlement, Unavailable, Verification};
use affinity::{Affinities, SettleAt};
use coinslot_base::breaker::{Breaker, BreakerChange, BreakerPermit, BreakerSettings};
use coinslot_x402::facilitator::{PaymentRequest, Supported};

/// How long a payment is remembered beyond the time that it may take to be settled.
const AFTERWARDS: Duration = Duration::from_secs(10 * 60);

/// The breaker of each member: three failures in a row; a second, and at most half a minute.
pub const MEMBER_BREAKER: BreakerSettings =
    BreakerSettings { failures: 3, pause: Duration::from_secs(1), longest: Duration::from_secs(30), jitter: true };

/// A facilitator and its state of health, which all pools share that it is a member of.
#[derive(Clone, Debug)]
pub struct Member(Arc<MemberState>);

#[derive(Debug)]
struct MemberState {
    name: String,
    via: Via,
    breaker: Arc<Breaker>,
}

#[derive(Debug)]
enum Via {
    Local(Arc<Local>),
    Remote(Arc<Remote>),
}

impl Member {
    /// The facilitator in this process.
    pub fn local(name: &str, local: Arc<Local>) -> Self {
        Self::new(name, Via::Local(local), MEMBER_BREAKER)
    }

    /// One over HTTP.
    pub fn remote(name: &str, remote: Arc<Remote>, settings: BreakerSettings) -> Self {
        Self::new(name, Via::Remote(remote), settings)
    }

    fn new(name: &str, via: Via, settings: BreakerSettings) -> Self {
        Self(Arc::new(MemberState { name: name.to_owned(), via, breaker: Breaker::new(name.into(), settings) }))
    }

    fn facilitator(&self) -> &dyn Facilitator {
        match &self.0.via {
            Via::Local(local) => local.as_ref(),
            Via::Remote(remote) => remote.as_ref(),
        }
    }

    /// One try to settle, with what it says of the member's health. An error says why nothing was sent.
    async fn settle(&self, permit: BreakerPermit, request: &PaymentRequest) -> Result<Settlement, String> {
        match self.attempt(request).await {
            Attempt::NotSent(message) => {
                self.failed(permit, &message);
                Err(format!("{}: {message}", self.0.name))
            }
            Attempt::Unclear(settlement) => {
                let message = match &settlement {
                    Settlement::Unknown { message, .. } => message.as_str(),
                    Settlement::Settled(_) | Settlement::Refused { .. } => "",
                };
                self.failed(permit, message);
                Ok(settlement)
            }
            Attempt::Answered(settlement) => {
                self.succeeded(permit);
                Ok(settlement)
            }
        }
    }

    fn succeeded(&self, permit: BreakerPermit) {
        if permit.succeeded() == Some(BreakerChange::Closed) {
            tracing::info!(facilitator = self.0.name, "the facilitator answers again");
        }
    }

    fn failed(&self, permit: BreakerPermit, why: &str) {
        if let Some(BreakerChange::Opened { .. }) = permit.failed() {
            tracing::warn!(facilitator = self.0.name, why, "the facilitator failed repeatedly: its circuit is open");
        }
    }

    async fn attempt(&self, request: &PaymentRequest) -> Attempt {
        match &self.0.via {
            // It may have sent its transaction whatever it says afterwards; a chain that does not
            // answer shows in its verifications.
            Via::Local(local) => Attempt::Answered(local.settle(request).await),
            Via::Remote(remote) => remote.attempt(request).await,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct FacilitatorPool {
    members: Vec<Member>,
    affinities: Affinities,
}

impl FacilitatorPool {
    /// A pool of these, the preferred first.
    pub fn new(members: Vec<Member>) -> Self {
        Self { members, affinities: Affinities::default() }
    }

    async fn verify_somewhere(&self, request: &PaymentRequest) -> Verification {
        let mut why = Vec::new();
        for (index, member) in self.members.iter().enumerate() {
            if member.facilitator().readiness() != Readiness::Ready {
                why.push(format!("{}: cannot settle now", member.0.name));
                continue;
            }
            let Ok(permit) = member.0.breaker.admit() else {
                why.push(paused(member));
                continue;
            };
            match member.facilitator().verify(request).await {
                Verification::Unavailable(error) => {
                    member.failed(permit, &error.message);
                    why.push(format!("{}: {}", member.0.name, error.message));
                }
                verdict => {
                    member.succeeded(permit);
                    if self.has_choice() && matches!(verdict, Verification::Valid { .. }) {
                        self.affinities.verified(request.fingerprint(), index, kept(request));
                    }
                    return verdict;
                }
            }
        }
        Verification::Unavailable(Unavailable { message: why.join("; ") })
    }

    /// Without one, it need not be remembered where a payment was verified.
    fn has_choice(&self) -> bool {
        self.members.len() > 1
    }

    /// Where there is nobody else, only a settlement that will be asked for again is remembered.
    async fn settle_at(&self, only: &Member, request: &PaymentRequest) -> Settlement {
        let permit = match only.0.breaker.admit() {
            Ok(permit) => permit,
            Err(_) if matches!(self.affinities.place(&request.fingerprint()), SettleAt::Bound(_)) => {
                return Settlement::Unknown { transaction: None, message: paused(only) };
            }
            Err(_) => only.0.breaker.admit_anyway(),
        };
        match only.settle(permit, request).await {
            Ok(settlement) => {
                if let Settlement::Unknown { .. } = settlement {
                    let payment = request.fingerprint();
                    if self.affinities.begin(payment, 0, kept(request)) {
                        self.affinities.sent(&payment);
                    }
                }
                settlement
            }
            Err(message) => Settlement::Unknown { transaction: None, message },
        }
    }

    async fn settle_somewhere(&self, request: &PaymentRequest) -> Settlement {
        if let [only] = &self.members[..] {
            return self.settle_at(only, request).await;
        }
        let payment = request.fingerprint();
        let place = self.affinities.place(&payment);
        let order: Vec<usize> = match place {
            SettleAt::Bound(index) => vec![index],
            SettleAt::Verified(index) => {
                std::iter::once(index).chain((0..self.members.len()).filter(|other| *other != index)).collect()
            }
            SettleAt::Free => (0..self.members.len()).collect(),
        };
        // The answer is made already: where everybody is paused, to try is better than not to.
        let insist =
            !matches!(place, SettleAt::Bound(_)) && self.members.iter().all(|member| member.0.breaker.check().is_err());
        let mut why = Vec::new();
        for index in order {
            let member = &self.members[index];
            let permit = match member.0.breaker.admit() {
                Ok(permit) => permit,
                Err(_) if insist => member.0.breaker.admit_anyway(),
                Err(_) => {
                    why.push(paused(member));
                    continue;
                }
            };
            if !self.affinities.begin(payment, index, kept(request)) {
                why.push("it is being settled elsewhere".to_owned());
                break;
            }
            match member.settle(permit, request).await {
                Ok(settlement) => {
                    self.affinities.sent(&payment);
                    return settlement;
                }
                Err(not_sent) => {
                    why.push(not_sent);
                    if !self.affinities.not_sent(&payment) {
                        break;
                    }
                }
            }
        }
        Settlement::Unknown { transaction: None, message: why.join("; ") }
    }

    async fn supported_anywhere(&self) -> Result<Supported, Unavailable> {
        let mut all: Option<Supported> = None;
        let mut why = Vec::new();
        for member in &self.members {
            match (member.facilitator().supported().await, &mut all) {
                (Ok(supported), None) => all = Some(supported),
                (Ok(supported), Some(all)) => {
                    let new = |kind: &coinslot_x402::facilitator::SupportedKind| {
                        !all.kinds.iter().any(|known| {
                            known.x402_version == kind.x402_version
                                && known.scheme == kind.scheme
                                && known.network == kind.network
                        })
                    };
                    let more: Vec<_> = supported.kinds.into_iter().filter(new).collect();
                    all.kinds.extend(more);
                }
                (Err(error), _) => why.push(format!("{}: {error}", member.0.name)),
            }
        }
        all.ok_or_else(|| Unavailable { message: why.join("; ") })
    }
}

fn paused(member: &Member) -> String {
    format!("{}: paused after failures", member.0.name)
}

/// How long the payment is remembered: until no chain takes it any more.
fn kept(request: &PaymentRequest) -> Duration {
    // The requirements are ours, and ask for a day at most.
    Duration::from_secs(request.max_timeout_seconds().min(7 * 24 * 60 * 60)) + AFTERWARDS
}

impl Facilitator for FacilitatorPool {
    fn verify<'a>(&'a self, request: &'a PaymentRequest) -> Answer<'a, Verification> {
        Box::pin(self.verify_somewhere(request))
    }

    fn settle<'a>(&'a self, request: &'a PaymentRequest) -> Answer<'a, Settlement> {
        Box::pin(self.settle_somewhere(request))
    }

    /// As ready as its readiest member.
    fn readiness(&self) -> Readiness {
        let ready = self.members.iter().any(|member| member.facilitator().readiness() == Readiness::Ready);
        if ready { Readiness::Ready } else { Readiness::NoGas }
    }

    fn supported(&self) -> Answer<'_, Result<Supported, Unavailable>> {
        Box::pin(self.supported_anywhere())
    }
}
