//! Combines several facilitators into one: the first whose circuit is closed is called, and the next when it cannot
//! be.
//!
//! A verification writes nothing, so it may go to another member at any time. A settlement moves
//! money, so it goes to another member only if it is certain that the first never had it: there was
//! no connection, or its circuit is open. Once a settlement may have arrived at a member it stays
//! there (`affinity`), however it ends and however often it is asked for: two facilitators with the same
//! authorisation would pay gas for one transfer, and the loser would call it refused.

mod affinity;
mod member;
#[cfg(test)]
mod tests;
mod via;

use std::time::Duration;

use async_trait::async_trait;
use coinslot_x402::facilitator::{PaymentRequest, Supported};

use crate::facilitator::{
    AccountSignature, Facilitator, FacilitatorStatus, Readiness, Settlement, SignatureVerdict, Unavailable,
    Verification,
};
use affinity::{Affinities, SettleAt};

use member::Sending;
pub use member::{MEMBER_BREAKER, Member};

/// The time for which a payment is remembered beyond its time to be settled.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(10 * 60);

/// Several facilitators, in the order of preference.
#[derive(Debug)]
pub struct FacilitatorPool {
    members: Vec<Member>,
    affinities: Affinities,
}

impl FacilitatorPool {
    /// A pool of these members, the preferred one first.
    pub fn new(members: Vec<Member>) -> Self {
        Self { members, affinities: Affinities::default() }
    }

    /// Verifies with the first member that can settle and answers. Only an answer is believed, a failure passes on.
    async fn verify_with_any(&self, request: &PaymentRequest) -> Verification {
        let mut why = Vec::new();
        for (index, member) in self.members.iter().enumerate() {
            // A member without gas would call the payment valid, and not settle it. One whose circuit is open is told
            // from that below.
            if member.facilitator().readiness() != Readiness::Ready {
                why.push(format!("{}: cannot settle now", member.name()));
                continue;
            }
            let Ok(permit) = member.breaker().admit() else {
                why.push(circuit_open(member));
                continue;
            };
            match member.verify(permit, request).await {
                Verification::Unavailable(error) => why.push(format!("{}: {}", member.name(), error.message)),
                verdict => {
                    if self.has_choice() && matches!(verdict, Verification::Valid { .. }) {
                        self.affinities.verified(request.fingerprint(), index, remember_for(request));
                    }
                    return verdict;
                }
            }
        }
        Verification::Unavailable(Unavailable { message: why.join("; ") })
    }

    /// A pool of one member need not remember where a payment was verified.
    fn has_choice(&self) -> bool {
        self.members.len() > 1
    }

    /// Settles with the only member. A settlement is remembered only if it will be asked for again.
    async fn settle_with_only(&self, only: &Member, request: &PaymentRequest) -> Settlement {
        // An open circuit holds back only a settlement that may have arrived before, which is asked for again. The
        // first settlement of a payment is tried in any case: there is no other member, and the work may be done.
        let (permit, sending) = if self.may_have_arrived(request) {
            match only.breaker().admit_uncounted(Duration::MAX) {
                Ok(permit) => (permit, Sending::Repeated),
                Err(_) => {
                    return Settlement::Unknown { transaction: None, message: circuit_open(only), unanswered: false };
                }
            }
        } else {
            (only.breaker().admit().unwrap_or_else(|_| only.breaker().admit_anyway()), Sending::First)
        };
        match only.settle(permit, request, sending).await {
            Ok(settlement) => {
                if let Settlement::Unknown { .. } = settlement {
                    let payment = request.fingerprint();
                    if self.affinities.begin(payment, 0, remember_for(request)) {
                        self.affinities.sent(&payment);
                    }
                }
                settlement
            }
            // Sent by another call, before this one or beside it.
            Err(message) if self.may_have_arrived(request) => {
                Settlement::Unknown { transaction: None, message, unanswered: false }
            }
            Err(message) => Settlement::NotSent { message },
        }
    }

    /// True if a settlement of this payment may have arrived at a member.
    fn may_have_arrived(&self, request: &PaymentRequest) -> bool {
        // The fingerprint is a digest of the whole payment, and few payments are asked for twice.
        !self.affinities.is_empty() && matches!(self.affinities.members_for(&request.fingerprint()), SettleAt::Only(_))
    }

    /// Settles with the first member that the payment may go to.
    ///
    /// The order of steps is what keeps two members from the same payment. [`Affinities::begin`] marks the member
    /// before a byte is sent, so that a call for the same payment that runs beside this one finds the mark and stays at
    /// that member. The mark is taken back only if nothing was sent and no other call is under way; then, and only
    /// then, the loop goes on to the next member.
    async fn settle_with_any(&self, request: &PaymentRequest) -> Settlement {
        let payment = request.fingerprint();
        let place = self.affinities.members_for(&payment);
        let order: Vec<usize> = match place {
            SettleAt::Only(index) => vec![index],
            SettleAt::Preferably(index) => {
                std::iter::once(index).chain((0..self.members.len()).filter(|other| *other != index)).collect()
            }
            SettleAt::Any => (0..self.members.len()).collect(),
        };
        // The payment has been verified, and its seller may have done the work: when every circuit is open, a try may
        // still succeed.
        let sending = if matches!(place, SettleAt::Only(_)) { Sending::Repeated } else { Sending::First };
        let insist = sending == Sending::First && self.members.iter().all(|member| member.breaker().check().is_err());
        let mut why = Vec::new();
        // An earlier settlement may have arrived, or one that runs beside this one.
        let mut perhaps_sent = sending == Sending::Repeated;
        for index in order {
            let member = &self.members[index];
            let admitted = match sending {
                Sending::First => member.breaker().admit(),
                // A look at the member is the trial.
                Sending::Repeated => member.breaker().admit_uncounted(Duration::MAX),
            };
            let permit = match admitted {
                Ok(permit) => permit,
                Err(_) if insist => member.breaker().admit_anyway(),
                Err(_) => {
                    why.push(circuit_open(member));
                    continue;
                }
            };
            if !self.affinities.begin(payment, index, remember_for(request)) {
                why.push("it is being settled elsewhere".to_owned());
                perhaps_sent = true;
                break;
            }
            match member.settle(permit, request, sending).await {
                Ok(settlement) => {
                    self.affinities.sent(&payment);
                    return settlement;
                }
                Err(not_sent) => {
                    why.push(not_sent);
                    if !self.affinities.not_sent(&payment) {
                        perhaps_sent = true;
                        break;
                    }
                }
            }
        }
        let message = why.join("; ");
        if perhaps_sent {
            Settlement::Unknown { transaction: None, message, unanswered: false }
        } else {
            Settlement::NotSent { message }
        }
    }

    async fn supported_by_any(&self) -> Result<Supported, Unavailable> {
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
                (Err(error), _) => why.push(format!("{}: {error}", member.name())),
            }
        }
        all.ok_or_else(|| Unavailable { message: why.join("; ") })
    }
}

fn circuit_open(member: &Member) -> String {
    format!("{}: its circuit is open after failures", member.name())
}

/// The time for which a payment is remembered: until no chain takes it any more.
fn remember_for(request: &PaymentRequest) -> Duration {
    // The requirements are ours, and ask for a day at most. A larger number is cut, so that every entry expires.
    Duration::from_secs(request.max_timeout_seconds().min(7 * 24 * 60 * 60)) + KEPT_AFTER_EXPIRY
}

#[async_trait]
impl Facilitator for FacilitatorPool {
    async fn verify(&self, request: &PaymentRequest) -> Verification {
        self.verify_with_any(request).await
    }

    async fn settle(&self, request: &PaymentRequest) -> Settlement {
        match &self.members[..] {
            [only] => self.settle_with_only(only, request).await,
            _ => self.settle_with_any(request).await,
        }
    }

    /// As ready as its readiest member.
    fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::Down;
        for member in &self.members {
            match member.readiness() {
                Readiness::Ready => return Readiness::Ready,
                Readiness::NoGas => readiness = Readiness::NoGas,
                Readiness::Down => {}
            }
        }
        readiness
    }

    fn statuses(&self) -> Vec<FacilitatorStatus> {
        self.members.iter().map(Member::status).collect()
    }

    /// The verdict of the first member that can ask a contract.
    async fn check_contract_signature(&self, request: &PaymentRequest) -> SignatureVerdict {
        let mut why = Vec::new();
        for member in &self.members {
            match member.facilitator().check_contract_signature(request).await {
                SignatureVerdict::Unavailable(error) => why.push(format!("{}: {error}", member.name())),
                verdict @ (SignatureVerdict::Valid | SignatureVerdict::Invalid { .. }) => return verdict,
            }
        }
        SignatureVerdict::Unavailable(Unavailable { message: why.join("; ") })
    }

    /// The verdict of the first member that can ask a contract.
    async fn check_account_signature(&self, signed: &AccountSignature) -> SignatureVerdict {
        let mut why = Vec::new();
        for member in &self.members {
            match member.facilitator().check_account_signature(signed).await {
                SignatureVerdict::Unavailable(error) => why.push(format!("{}: {error}", member.name())),
                verdict @ (SignatureVerdict::Valid | SignatureVerdict::Invalid { .. }) => return verdict,
            }
        }
        SignatureVerdict::Unavailable(Unavailable { message: why.join("; ") })
    }

    async fn watch(&self) {
        let mut watches = tokio::task::JoinSet::new();
        for member in self.members.clone() {
            watches.spawn(async move { member.watch().await });
        }
        // The tasks never end; dropping this future ends them.
        while watches.join_next().await.is_some() {}
        std::future::pending().await
    }

    async fn supported(&self) -> Result<Supported, Unavailable> {
        self.supported_by_any().await
    }
}
