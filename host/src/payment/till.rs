//! What every payment needs: the assets taken, who settles them, the ledger, a clock.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use alloy::primitives::Address;
use tokio_util::task::TaskTracker;

use super::{Finished, Problem};
use crate::facilitator::{Facilitator, Readiness};
use crate::ledger::{Ledger, PaymentId};
use crate::price::{Offer, Price};
use crate::x402::UnixTime;
use crate::x402::exact::Domain;

/// One asset that is taken, and who moves it.
#[derive(Clone, Debug)]
pub struct Tender {
    /// CAIP-2 and contract, as in [`crate::price::Asset`].
    pub asset: Arc<crate::price::Asset>,
    /// The contract's address.
    pub contract: Address,
    /// The token's EIP-712 domain.
    pub domain: Domain,
    /// Verifies and settles payments in this asset.
    pub facilitator: Arc<dyn Facilitator>,
    /// Whether the facilitator can ask a contract at the payer's address (ERC-1271). If not, a
    /// signature that is not the payer's own is refused without asking anybody.
    pub contract_payers: bool,
}

/// Settings of a [`Till`].
#[derive(Clone, Debug)]
pub struct TillConfig {
    /// Answers up to this size are kept for a client that lost its connection, in bytes.
    pub keep_answer_bytes: usize,
    /// For so long.
    pub keep_answers: Duration,
    /// Reads the clock.
    pub clock: fn() -> UnixTime,
}

/// Takes payments.
#[derive(Debug)]
pub struct Till {
    pub(super) tenders: Vec<Tender>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) config: TillConfig,
    work: TaskTracker,
}

impl Till {
    /// A till for these assets.
    pub fn new(tenders: Vec<Tender>, ledger: Arc<dyn Ledger>, config: TillConfig) -> Arc<Self> {
        Arc::new(Self { tenders, ledger, config, work: TaskTracker::new() })
    }

    pub(super) fn now(&self) -> UnixTime {
        (self.config.clock)()
    }

    /// The tender of a price. Offers are made of tenders, so it is there.
    pub(super) fn tender(&self, price: &Price) -> Option<&Tender> {
        self.tenders.iter().find(|tender| tender.asset == price.asset)
    }

    /// Whether a payment of this price would be settled, as far as is known.
    fn settles(&self, price: &Price) -> bool {
        self.tender(price).is_some_and(|tender| tender.facilitator.readiness() == Readiness::Ready)
    }

    /// Whether any payment for this offer would be settled.
    pub(super) fn sells(&self, offer: &Offer) -> bool {
        offer.prices().iter().any(|price| self.settles(price))
    }

    /// The prices whose payments would be settled, or all if none would.
    pub(super) fn open<'o>(&self, offer: &'o Offer) -> Cow<'o, Offer> {
        if offer.prices().iter().all(|price| self.settles(price)) {
            return Cow::Borrowed(offer);
        }
        let settled = offer.prices().iter().filter(|price| self.settles(price)).cloned().collect();
        Offer::new(settled).map_or(Cow::Borrowed(offer), Cow::Owned)
    }

    /// Runs the work to its end even if the caller goes away; shutdown waits for it. If it panics, what
    /// it had claimed by then is released, unless its settlement was sent: recovery finishes that.
    pub(super) async fn finish(
        self: &Arc<Self>,
        claimed: Arc<OnceLock<PaymentId>>,
        work: impl Future<Output = Result<Finished, Problem>> + Send + 'static,
    ) -> Result<Finished, Problem> {
        let till = Arc::clone(self);
        let guarded = async move {
            match tokio::spawn(work).await {
                Ok(done) => done,
                Err(error) => {
                    tracing::error!(%error, "a payment's task ended without an answer");
                    let Some(id) = claimed.get() else { return Err(Problem::Lost { payment_id: None }) };
                    if till.ledger.release(id).await.is_ok() {
                        tracing::info!(payment = %id, "its claim is released: nothing was sent");
                    }
                    Err(Problem::Lost { payment_id: Some(id.short()) })
                }
            }
        };
        match self.work.spawn(guarded).await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "a payment's guard ended without an answer");
                Err(Problem::Lost { payment_id: None })
            }
        }
    }

    /// Waits until every payment at work is finished. New ones may still be begun: close the door first.
    pub async fn drain(&self) {
        self.work.close();
        self.work.wait().await;
    }

    /// How many payments are at work.
    pub fn at_work(&self) -> usize {
        self.work.len()
    }
}
