//! Verifies and settles `exact` payments on one EVM chain in this process, through our own node and with our own keys,
//! which pay gas and never hold a payer's or a seller's money.
//!
//! The order of the checks and the reason strings are those of the shipped facilitators. What needs no chain is
//! checked before the chain is asked. A node that does not answer is [`Unavailable`], [`Settlement::NotSent`] or
//! [`Settlement::Unknown`], never the payer's fault. One authorisation is settled by at most one pending transaction of
//! ours: every call for it meets the same record (`records`), and a payment that another account submitted is looked
//! for on the chain (`evidence`). Payments that come together are read together and settled in one transaction.

mod account;
mod config;
mod evidence;
mod parsed;
mod records;
mod rejection;
mod settle;
mod state;
#[cfg(test)]
mod tests;
mod token;
mod transfer;
mod verify;
mod wallets;

use std::sync::Arc;

use alloy::primitives::{Address, U256};
use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use coinslot_evm::{Chain, PaymentReader, Sequencer, SequencerSettings, Unready};
use coinslot_x402::facilitator::{PaymentRequest, SHARED_TRANSACTIONS, Supported, SupportedKind};
use coinslot_x402::{Network, Object, Reason};

use crate::calls::{Calls, Operation};
use crate::facilitator::{
    AccountSignature, Facilitator, FacilitatorStatus, Readiness, Settlement, SignatureVerdict, Unavailable,
    Verification,
};
use crate::probe::{LOOK_INTERVAL, SettlementProbe};
use records::Records;
use rejection::{Judgement, Rejection};
use state::LocalState;
use wallets::Wallets;

pub use config::{LocalConfig, SettledMemory, SetupError};
pub use token::check_token;

/// A facilitator on one chain.
#[derive(Debug)]
pub struct Local {
    state: LocalState,
    calls: Calls,
}

/// The state of the wallet that pays for gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gas {
    pub address: Address,
    /// In wei.
    pub balance: U256,
}

impl Local {
    /// Connects to the chain, and checks every configured token on it: there must be a contract, and
    /// its EIP-712 domain must be the configured one. A wrong domain makes every settlement fail.
    pub async fn connect(config: LocalConfig) -> Result<Self, SetupError> {
        let chain_id = config.network.chain_id().ok_or_else(|| SetupError::NotEvm(config.network.clone()))?;
        let chain = Arc::new(Chain::connect(&config.rpc, chain_id, config.chain).await?);
        let mut tokens = Vec::new();
        for asset in config.assets.iter().filter(|asset| asset.network == config.network) {
            tokens.push(token::read(&chain, asset).await.map_err(|problem| SetupError::Asset {
                symbol: asset.symbol.clone(),
                address: asset.address.clone(),
                problem,
            })?);
        }
        if tokens.is_empty() {
            return Err(SetupError::NoAsset(config.network));
        }
        if config.keys.is_empty() {
            return Err(SetupError::NoKey);
        }
        let sequencer = SequencerSettings { tag: Some(config.seller.tag), ..config.sequencer };
        let observer = config.calls.of_transactions(&config.network);
        let state = LocalState {
            sequencer: Sequencer::start(chain.clone(), config.keys, config.gas, sequencer, observer).await?,
            reader: PaymentReader::start(chain.clone()),
            chain,
            network: config.network,
            tokens,
            records: Records::new(config.memory),
            receivers: ArcSwapOption::from_pointee(config.receivers),
            receipt_timeout: config.receipt_timeout,
            lookback_blocks: config.lookback_blocks,
            skew_seconds: config.skew_seconds,
            confirmations: config.sequencer.confirmations,
            wallets: Wallets::new(config.wallet_gas),
            seller: config.seller,
        };
        Ok(Self { state, calls: config.calls })
    }

    /// Spends gas for these receivers too, from now on. The receivers before them stay: offers to them are still
    /// valid. It does nothing for a facilitator that settles for every receiver.
    pub fn also_for(&self, receivers: &[Address]) {
        self.state.receivers.rcu(|former| {
            let mut all = former.as_deref()?.clone();
            all.extend(receivers.iter().filter(|receiver| !former.as_ref().is_some_and(|f| f.contains(receiver))));
            Some(Arc::new(all))
        });
    }

    /// A probe of the same chain, which asks for as many confirmations as settlements do.
    pub fn probe(&self) -> SettlementProbe {
        let probe = SettlementProbe::new(self.state.chain.clone(), self.state.confirmations, self.state.seller);
        probe.observed(self.calls.clone())
    }

    /// Reads the fullest of the wallets that pay for gas. If it is empty, every settlement fails.
    pub async fn gas(&self) -> Result<Gas, Unavailable> {
        let fullest = self.wallets().await?.into_iter().max_by_key(|wallet| wallet.balance);
        fullest.ok_or_else(|| Unavailable { message: "there is no gas wallet".to_owned() })
    }

    /// The addresses of the wallets that pay for gas.
    pub fn gas_wallets(&self) -> Vec<Address> {
        self.state.sequencer.addresses().collect()
    }

    /// Reads the wallets that pay for gas.
    pub async fn wallets(&self) -> Result<Vec<Gas>, Unavailable> {
        let mut wallets = Vec::new();
        for address in self.state.sequencer.addresses() {
            wallets.push(Gas { address, balance: self.state.chain.balance(address).await? });
        }
        Ok(wallets)
    }

    /// Fails if a payment that is taken now could not be settled, by the last readings of gas money, the day's
    /// budget, and the price of gas. It asks no node.
    pub fn ready(&self) -> Result<(), Unready> {
        self.state.sequencer.ready()
    }

    /// Reads the newest block, unless it was read a moment ago.
    pub(crate) async fn keep_head_fresh(&self) {
        self.state.chain.look(LOOK_INTERVAL).await;
    }

    /// Asks whether the node answers and the chain moves.
    pub(crate) async fn look(&self) -> Result<(), Unavailable> {
        self.state.chain.newest_block().await?;
        match self.state.chain.trouble() {
            Some(trouble) => Err(Unavailable { message: trouble.to_string() }),
            None => Ok(()),
        }
    }

    /// Asks as [`Self::look`] does, and returns the time in Unix seconds at which the newest block was made. None of a
    /// chain that makes blocks on demand, whose newest one may be of any age.
    pub async fn newest_block_time(&self) -> Result<Option<u64>, Unavailable> {
        self.look().await?;
        let block = self.state.chain.newest_block().await?;
        Ok(if self.state.chain.makes_blocks_on_demand().await { None } else { Some(block.time) })
    }

    /// The network that is settled.
    pub fn network(&self) -> &Network {
        &self.state.network
    }

    /// Distinguishes an asset that is not configured from one that is not deployed.
    async fn explain(&self, rejection: Rejection, request: &PaymentRequest) -> Rejection {
        let is_unknown = rejection.message.as_deref() == Some(parsed::UNKNOWN_ASSET);
        let asset = is_unknown.then(|| request.asset().parse::<Address>().ok()).flatten();
        let Some(asset) = asset else { return rejection };
        match self.state.chain.code(asset).await {
            Ok(code) if code.is_empty() => {
                Rejection { reason: Reason::AssetNotDeployed, message: None, payer: rejection.payer }
            }
            _ => rejection,
        }
    }

    /// Settles for a server that keeps no record of its own: a success is reported once. Every later call with
    /// the same payment is refused as `duplicate_settlement`, with the transaction.
    ///
    /// A payment that is on the chain already when it is first presented counts only if this process verified it while
    /// it was unused; otherwise every payment of the past could be presented again to a server that settles without
    /// verifying. A payment that another sender of ours took is refused for every server.
    pub async fn settle_once(&self, request: &PaymentRequest) -> Settlement {
        match parsed::parse(&self.state, request) {
            Ok(payment) => settle::settle_once(&self.state, payment).await,
            Err(rejection) => self.explain(rejection, request).await.before_sending(),
        }
    }
}

impl Local {
    async fn judge(&self, request: &PaymentRequest) -> Verification {
        let payment = match parsed::parse(&self.state, request) {
            Ok(payment) => payment,
            Err(rejection) => return self.explain(rejection, request).await.into(),
        };
        match verify::judge(&self.state, &payment, state::now()).await {
            Ok(kind) => {
                self.state.records.verified(payment.id(), payment.expiry(), state::now());
                Verification::Valid { payer: payment.payer(), kind }
            }
            Err(Judgement::Rejected(rejection)) => rejection.into(),
            Err(Judgement::Unavailable(unavailable)) => Verification::Unavailable(unavailable),
        }
    }

    async fn send(&self, request: &PaymentRequest) -> Settlement {
        match parsed::parse(&self.state, request) {
            Ok(payment) => settle::settle(&self.state, payment).await,
            Err(rejection) => self.explain(rejection, request).await.before_sending(),
        }
    }

    async fn judge_contract_signature(&self, request: &PaymentRequest) -> SignatureVerdict {
        match parsed::parse(&self.state, request) {
            Ok(payment) => verify::check_contract_signature(&self.state, &payment).await,
            Err(rejection) => {
                let message = rejection.message.unwrap_or_else(|| rejection.reason.to_string());
                SignatureVerdict::Invalid { message: Some(message) }
            }
        }
    }
}

#[async_trait]
impl Facilitator for Local {
    async fn verify(&self, request: &PaymentRequest) -> Verification {
        let call = self.calls.begin(Operation::Verify);
        call.ended_with(self.judge(request).await)
    }

    async fn settle(&self, request: &PaymentRequest) -> Settlement {
        let call = self.calls.begin(Operation::Settle);
        call.ended_with(self.send(request).await)
    }

    fn readiness(&self) -> Readiness {
        match self.ready() {
            Ok(()) => Readiness::Ready,
            Err(Unready::LowBalance { .. } | Unready::BudgetSpent { .. } | Unready::FeeAboveLimit { .. }) => {
                Readiness::NoGas
            }
            Err(Unready::Stuck { .. } | Unready::Chain(_)) => Readiness::Down,
        }
    }

    fn statuses(&self) -> Vec<FacilitatorStatus> {
        vec![FacilitatorStatus {
            readiness: self.readiness(),
            trouble: self.ready().err().map(|unready| unready.to_string()),
            wallets: self.state.sequencer.wallets(),
            gas_by_day: self.state.sequencer.gas_by_day(),
            gas_charged: Some(self.state.sequencer.gas_charged()),
            ..FacilitatorStatus::default()
        }]
    }

    async fn check_contract_signature(&self, request: &PaymentRequest) -> SignatureVerdict {
        let call = self.calls.begin(Operation::Signature);
        call.ended_with(self.judge_contract_signature(request).await)
    }

    async fn check_account_signature(&self, signed: &AccountSignature) -> SignatureVerdict {
        let call = self.calls.begin(Operation::Signature);
        call.ended_with(account::check(&self.state, signed).await)
    }

    async fn watch(&self) {
        loop {
            self.keep_head_fresh().await;
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn supported(&self) -> Result<Supported, Unavailable> {
        let extra = self.state.sequencer.shares_transactions().then(|| {
            let mut extra = Object::new();
            extra.insert(SHARED_TRANSACTIONS.to_owned(), true.into());
            extra
        });
        let kind = |x402_version, network: &str| SupportedKind {
            x402_version,
            scheme: "exact".to_owned(),
            network: network.to_owned(),
            extra: extra.clone(),
        };
        let network = &self.state.network;
        let mut kinds = vec![kind(2, network.as_str())];
        kinds.extend(network.v1_name().map(|name| kind(1, name)));
        let addresses: Vec<String> = self.state.sequencer.addresses().map(|address| address.to_string()).collect();
        let mut signers = Object::new();
        signers.insert("eip155:*".to_owned(), addresses.into());
        Ok(Supported { kinds, extensions: Vec::new(), signers })
    }
}
