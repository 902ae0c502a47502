//! Asks a node whether payments were taken. A payment whose time is over at a final block, and that is unused there, can
//! never be used.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use coinslot_evm::abi::IEip3009::authorizationStateCall;
use coinslot_evm::{Chain, ChainSettings};
use coinslot_x402::Network;
use parking_lot::Mutex;
use tokio::time::Instant;
use url::Url;

use super::spending::CountedAuthorization;

/// The most payments that are asked about at once.
const MAX_ASKED: usize = 64;
/// The longest time of asking.
const LONGEST: Duration = Duration::from_secs(15);
/// The time for which the node is not asked again.
const PAUSE: Duration = Duration::from_secs(2);

/// The nonces of payments whose end a node has shown.
#[derive(Debug, Default)]
pub(super) struct Proven {
    /// Their time is over, and they can never be used.
    pub(super) unused: Vec<String>,
    /// They are used or cancelled.
    pub(super) used: Vec<String>,
}

/// Asks a node about payments, if there is one.
#[derive(Debug)]
pub(super) struct PaymentProof {
    rpc: Option<Url>,
    last: Mutex<Option<Instant>>,
}

impl PaymentProof {
    pub(super) fn new(rpc: Option<Url>) -> Self {
        Self { rpc, last: Mutex::default() }
    }

    /// Looks at payments of this payer. A node that does not answer proves nothing.
    pub(super) async fn look(&self, payer: Address, payments: Vec<CountedAuthorization>) -> Proven {
        let mut proven = Proven::default();
        let Some(rpc) = self.rpc.as_ref().filter(|_| !payments.is_empty()) else { return proven };
        {
            let mut last = self.last.lock();
            if last.is_some_and(|last| last.elapsed() < PAUSE) {
                return proven;
            }
            *last = Some(Instant::now());
        }
        let mut of_chain: BTreeMap<u64, Vec<CountedAuthorization>> = BTreeMap::new();
        for payment in payments.into_iter().take(MAX_ASKED) {
            if let Some(id) = Network::parse(&payment.network).ok().and_then(|network| network.chain_id()) {
                of_chain.entry(id).or_default().push(payment);
            }
        }
        let asked = async {
            for (id, payments) in of_chain {
                // A node is of one chain: those of others are not proven.
                if let Ok(chain) = Chain::connect(rpc, id, ChainSettings::default()).await {
                    look_on(&chain, payer, &payments, &mut proven).await;
                }
            }
        };
        let _ = tokio::time::timeout(LONGEST, asked).await;
        proven
    }
}

/// Looks at payments at the newest final block, as far as their time is over there.
async fn look_on(chain: &Chain, payer: Address, payments: &[CountedAuthorization], proven: &mut Proven) {
    let block = match chain.final_block().await {
        Ok(block) => block,
        Err(error) => {
            tracing::warn!(%error, "the node has no final block: it proves nothing about payments");
            return;
        }
    };
    for payment in payments.iter().filter(|payment| payment.expires <= block.time) {
        let (Ok(token), Ok(nonce)) = (payment.token.parse(), payment.nonce.parse::<B256>()) else { continue };
        let asked = authorizationStateCall { authorizer: payer, nonce };
        match chain.call_at::<authorizationStateCall>(token, &asked, &block).await {
            Ok(false) => proven.unused.push(payment.nonce.clone()),
            Ok(true) => proven.used.push(payment.nonce.clone()),
            Err(error) => tracing::debug!(%error, "a payment cannot be proven"),
        }
    }
}
