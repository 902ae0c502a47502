//! Transactions of one key, in one order: nonces without gaps and without collisions.
//!
//! A nonce is taken only when the gas estimate has passed, and given back when the node refuses the
//! transaction; one lock covers taking, signing and handing over. The hash is told to the caller
//! before the first byte leaves, so that no transaction exists that nobody remembers. When a reply
//! is lost, the next nonce is asked from the chain again.

use std::sync::Arc;
use std::time::Duration;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, B256, Bytes, TxKind, U64, U256};
use alloy::rpc::types::{FeeHistory, TransactionRequest};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{CallError, Chain, Key};

/// The most that a transaction may cost.
#[derive(Clone, Copy, Debug)]
pub struct GasLimits {
    /// `maxFeePerGas` in wei. When the chain's base fee is above it, nothing is sent.
    pub max_fee_per_gas: u128,
    /// Gas units of one transaction.
    pub max_gas: u64,
}

impl Default for GasLimits {
    /// 50 gwei; a transfer by authorisation takes 60 to 90 thousand gas, contract wallets more.
    fn default() -> Self {
        Self { max_fee_per_gas: 50_000_000_000, max_gas: 500_000 }
    }
}

/// A signed transaction, as it goes to the node. Handing it over again is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub hash: B256,
    pub raw: Bytes,
}

/// Why a transaction was not sent, or not surely.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It would revert. Nothing was sent.
    #[error("the transaction would revert: {0}")]
    Reverts(String),
    /// Our own account, our own limits or the node stand against it. Nothing was sent.
    #[error("the transaction cannot be sent: {0}")]
    Refused(String),
    /// The node did not answer before anything was sent.
    #[error("{0}")]
    Unreachable(CallError),
    /// The node did not answer when it was sent. It may be in a block soon, or never.
    #[error("no reply when sending {hash}: {error}")]
    Lost { hash: B256, error: CallError },
}

/// Sends the transactions of one key. There must be one per key and chain.
#[derive(Debug)]
pub struct Sender {
    chain: Arc<Chain>,
    key: Key,
    limits: GasLimits,
    /// The nonce of the next transaction; none when only the chain knows.
    next: Mutex<Option<u64>>,
    fees: Mutex<Option<(Instant, Fees)>>,
}

#[derive(Clone, Copy, Debug)]
struct Fees {
    base: u128,
    tip: u128,
}

/// What a node's refusal says about the nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The node has this very transaction already.
    Known,
    /// Another transaction has the nonce.
    NonceTaken,
    /// Anything else.
    Other,
}

impl Refusal {
    /// From the texts of geth, reth, Nethermind, Erigon and anvil.
    pub(crate) fn of(text: &str) -> Self {
        let text = text.to_lowercase();
        if text.contains("already known") || text.contains("already imported") || text.contains("alreadyknown") {
            Self::Known
        } else if text.contains("nonce too low")
            || text.contains("oldnonce")
            || text.contains("replacement transaction underpriced")
            || text.contains("nonce is too low")
        {
            Self::NonceTaken
        } else {
            Self::Other
        }
    }
}

impl Sender {
    /// A sender for a key that nobody else uses on this chain.
    pub fn new(chain: Arc<Chain>, key: Key, limits: GasLimits) -> Self {
        Self { chain, key, limits, next: Mutex::new(None), fees: Mutex::new(None) }
    }

    /// Who pays for the gas.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Sends a call. `remember` is told the transaction before it leaves, and again with another one
    /// should the first have lost its nonce.
    pub async fn send(&self, to: Address, data: Bytes, mut remember: impl FnMut(Sent)) -> Result<B256, SendError> {
        let gas = self.gas(to, &data).await?;
        let fees = self.fees().await?;
        if fees.base > self.limits.max_fee_per_gas {
            return Err(SendError::Refused(format!(
                "the base fee is {} wei, above the limit of {}",
                fees.base, self.limits.max_fee_per_gas
            )));
        }
        let max_fee = self.max_fee(fees);
        let mut next = self.next.lock().await;
        let mut refusal = String::new();
        for _ in 0..4 {
            // Taken out: if this future is dropped half way, the chain is asked again.
            let nonce = match next.take() {
                Some(nonce) => nonce,
                None => self.pending_nonce().await?,
            };
            let sent = self.sign(TxEip1559 {
                chain_id: self.chain.chain_id(),
                nonce,
                gas_limit: gas,
                max_fee_per_gas: max_fee,
                max_priority_fee_per_gas: fees.tip.min(max_fee),
                to: TxKind::Call(to),
                value: U256::ZERO,
                access_list: Default::default(),
                input: data.clone(),
            })?;
            remember(sent.clone());
            match self.hand_over(&sent).await {
                Ok(()) => {
                    *next = Some(nonce + 1);
                    return Ok(sent.hash);
                }
                Err(CallError::Unreachable(error)) => {
                    // The reply is lost, perhaps not the transaction.
                    return match self.chain.knows(sent.hash).await {
                        Ok(true) => {
                            *next = Some(nonce + 1);
                            Ok(sent.hash)
                        }
                        _ => Err(SendError::Lost { hash: sent.hash, error: CallError::Unreachable(error) }),
                    };
                }
                Err(CallError::Refused(text) | CallError::Reverted(text)) => {
                    if Refusal::of(&text) != Refusal::NonceTaken {
                        *next = Some(nonce);
                        return Err(SendError::Refused(text));
                    }
                    refusal = text;
                }
            }
        }
        Err(SendError::Refused(refusal))
    }

    /// What a node wants to see in the account before it takes a transaction of so much gas, in wei.
    pub async fn cost(&self, gas: u64) -> Result<U256, SendError> {
        Ok(U256::from(self.max_fee(self.fees().await?)).saturating_mul(U256::from(gas)))
    }

    fn max_fee(&self, fees: Fees) -> u128 {
        fees.base.saturating_mul(2).saturating_add(fees.tip).min(self.limits.max_fee_per_gas)
    }

    /// Gives a signed transaction to the node; that the node has it already is as good.
    pub async fn hand_over(&self, sent: &Sent) -> Result<(), CallError> {
        let told: Result<B256, _> = self.chain.request("eth_sendRawTransaction", (sent.raw.clone(),)).await;
        match told {
            Ok(_) => Ok(()),
            Err(CallError::Refused(text)) if Refusal::of(&text) == Refusal::Known => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What the call needs, and a quarter more. The estimate is also the last simulation.
    async fn gas(&self, to: Address, data: &Bytes) -> Result<u64, SendError> {
        let request = TransactionRequest::default().from(self.address()).to(to).input(data.clone().into());
        let estimate: Result<U64, _> = self.chain.request("eth_estimateGas", (request, "latest")).await;
        match estimate {
            Ok(gas) if gas.to::<u64>() > self.limits.max_gas => {
                Err(SendError::Reverts(format!("it takes {gas} gas, more than the limit of {}", self.limits.max_gas)))
            }
            Ok(gas) => {
                let gas: u64 = gas.to();
                Ok((gas + gas / 4).min(self.limits.max_gas))
            }
            Err(CallError::Reverted(text)) => Err(SendError::Reverts(text)),
            Err(CallError::Refused(text)) => Err(SendError::Refused(text)),
            Err(error @ CallError::Unreachable(_)) => Err(SendError::Unreachable(error)),
        }
    }

    /// The base fee of the next block, and the tip that half of the recent transactions paid. Read
    /// at most every two seconds.
    async fn fees(&self) -> Result<Fees, SendError> {
        let mut known = self.fees.lock().await;
        if let Some((read, fees)) = *known
            && read.elapsed() < Duration::from_secs(2)
        {
            return Ok(fees);
        }
        let history: FeeHistory = self
            .chain
            .request("eth_feeHistory", (U64::from(10), "latest", [50.0]))
            .await
            .map_err(SendError::Unreachable)?;
        let mut tips: Vec<u128> = history
            .reward
            .unwrap_or_default()
            .iter()
            .filter_map(|block| block.first().copied())
            .filter(|tip| *tip > 0)
            .collect();
        tips.sort_unstable();
        let fees = Fees {
            base: history.base_fee_per_gas.last().copied().unwrap_or(0),
            tip: tips.get(tips.len() / 2).copied().unwrap_or(1_000_000),
        };
        *known = Some((Instant::now(), fees));
        Ok(fees)
    }

    async fn pending_nonce(&self) -> Result<u64, SendError> {
        let nonce: U64 = self
            .chain
            .request("eth_getTransactionCount", (self.address(), "pending"))
            .await
            .map_err(SendError::Unreachable)?;
        Ok(nonce.to())
    }

    fn sign(&self, transaction: TxEip1559) -> Result<Sent, SendError> {
        let signature =
            self.key.sign(transaction.signature_hash()).map_err(|error| SendError::Refused(error.to_string()))?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        Ok(Sent { hash: *envelope.tx_hash(), raw: envelope.encoded_2718().into() })
    }
}
