//! The facilitator in this process: `exact` on one EVM chain, verified and settled by our own node
//! and our own key, which pays gas and never holds anybody's money.
//!
//! Order of the checks and reason strings: those of the shipped facilitators. What needs no chain is
//! checked before the chain is asked. A node that does not answer is [`Unavailable`] or
//! [`Settlement::Unknown`], never the payer's fault. One authorisation is settled by at most one
//! living transaction of ours: every call for it meets the same record (`records`), and an
//! authorisation that somebody else submitted is looked for on the chain (`evidence`). Payments that
//! come together are read together and settled in one transaction.

mod evidence;
mod parsed;
mod records;
mod settle;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use alloy::primitives::{Address, Bytes, U256};
use arc_swap::ArcSwapOption;
use url::Url;

use super::{Answer, Facilitator, PayerKind, Readiness, Settlement, Unavailable, Verification};
use coinslot_evm::abi::{ERC1271_MAGIC, IEip3009, IErc1271};
use coinslot_evm::{
    CallError, Chain, ChainError, ChainSettings, GasLimits, Key, PaymentQuestion, PaymentReader, Sequencer,
    SequencerSettings, Unready,
};
use coinslot_x402::exact::{self, Domain, SignedBy};
use coinslot_x402::facilitator::{PaymentRequest, Supported, SupportedKind};
use coinslot_x402::price::Asset;
use coinslot_x402::{Network, Object, Reason, UnixTime};
use parsed::{ParsedPayment, Rejection};
use records::Records;

/// Gas that a contract wallet may burn to say whether a signature is its own.
const ERC1271_GAS: u64 = 300_000;

/// What the facilitator works with.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// The chain's JSON-RPC.
    pub rpc: Url,
    /// An EVM network.
    pub network: Network,
    /// The tokens that are settled; each needs its EIP-712 domain.
    pub assets: Vec<Asset>,
    /// Each pays for gas; at least one. Nobody else may use them on this chain.
    pub keys: Vec<Key>,
    /// Receivers that gas is spent for. None means all.
    pub receivers: Option<Vec<Address>>,
    pub chain: ChainSettings,
    pub gas: GasLimits,
    pub sequencer: SequencerSettings,
    /// How long a settlement waits for its receipt before its outcome is unknown.
    pub receipt_timeout: Duration,
    /// How many blocks back a payment is looked for that somebody else submitted. Nodes limit it.
    pub lookback_blocks: u64,
    /// How far clocks may differ, in seconds.
    pub skew_seconds: u64,
}

impl LocalConfig {
    /// The usual settings.
    pub fn new(rpc: Url, network: Network, assets: Vec<Asset>, keys: Vec<Key>) -> Self {
        Self {
            rpc,
            network,
            assets,
            keys,
            receivers: None,
            chain: ChainSettings::default(),
            gas: GasLimits::default(),
            sequencer: SequencerSettings::default(),
            receipt_timeout: Duration::from_secs(50),
            lookback_blocks: 2_000,
            skew_seconds: 60,
        }
    }
}

/// Why the facilitator does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("{0} is not an EVM network: only eip155 chains are settled in this process")]
    NotEvm(Network),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("no key is configured that pays for gas")]
    NoKey,
    #[error("no asset is configured for {0}")]
    NoAsset(Network),
    #[error("{symbol} {address}: {problem}")]
    Asset { symbol: String, address: String, problem: String },
}

/// A token as it was found on the chain.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) address: Address,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) domain: Domain,
}

/// See the module.
#[derive(Debug)]
pub struct Local {
    chain: Arc<Chain>,
    reads: PaymentReader,
    sequencer: Sequencer,
    network: Network,
    tokens: Vec<Token>,
    records: Records,
    confirmations: u64,
    receivers: ArcSwapOption<Vec<Address>>,
    receipt_timeout: Duration,
    lookback_blocks: u64,
    skew_seconds: u64,
}

/// The state of the wallet that pays for gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gas {
    pub address: Address,
    /// In wei.
    pub balance: U256,
}

/// Why a payment is not accepted, or why nobody knows.
#[derive(Debug)]
pub(crate) enum Judgement {
    Rejected(Rejection),
    Unavailable(Unavailable),
}

impl From<CallError> for Unavailable {
    fn from(error: CallError) -> Self {
        Self { message: error.to_string() }
    }
}

impl From<CallError> for Judgement {
    fn from(error: CallError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<Rejection> for Judgement {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl Local {
    /// Connects to the chain, and holds every configured token to it: there must be a contract, and
    /// its EIP-712 domain must be the configured one. A wrong domain makes every settlement fail.
    pub async fn connect(config: LocalConfig) -> Result<Self, SetupError> {
        let chain_id = config.network.chain_id().ok_or_else(|| SetupError::NotEvm(config.network.clone()))?;
        let chain = Arc::new(Chain::connect(&config.rpc, chain_id, config.chain).await?);
        let mut tokens = Vec::new();
        for asset in config.assets.iter().filter(|a| a.network == config.network) {
            tokens.push(token(&chain, asset).await.map_err(|problem| SetupError::Asset {
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
        Ok(Self {
            sequencer: Sequencer::start(chain.clone(), config.keys, config.gas, config.sequencer).await?,
            reads: PaymentReader::start(chain.clone()),
            chain,
            network: config.network,
            tokens,
            records: Records::default(),
            confirmations: config.sequencer.confirmations,
            receivers: ArcSwapOption::from_pointee(config.receivers),
            receipt_timeout: config.receipt_timeout,
            lookback_blocks: config.lookback_blocks,
            skew_seconds: config.skew_seconds,
        })
    }

    /// From now on gas is spent for these receivers too. Those before them stay: offers to them are still in their
    /// time. Does nothing for one that settles for every receiver.
    pub fn also_for(&self, receivers: &[Address]) {
        self.receivers.rcu(|former| {
            let mut all = former.as_deref()?.clone();
            all.extend(receivers.iter().filter(|receiver| !former.as_ref().is_some_and(|f| f.contains(receiver))));
            Some(Arc::new(all))
        });
    }

    /// Reads the same chain, as deep as settlements are confirmed.
    pub fn probe(&self) -> super::SettlementProbe {
        super::SettlementProbe::new(self.chain.clone(), self.confirmations)
    }

    /// The fullest of the wallets that pay for gas, read now: empty, every settlement fails.
    pub async fn gas(&self) -> Result<Gas, Unavailable> {
        let mut fullest: Option<Gas> = None;
        for address in self.sequencer.addresses() {
            let balance = self.chain.balance(address).await?;
            if fullest.is_none_or(|gas| gas.balance < balance) {
                fullest = Some(Gas { address, balance });
            }
        }
        fullest.ok_or_else(|| Unavailable { message: "there is no gas wallet".to_owned() })
    }

    /// Whether a payment that is taken now could be settled: gas money, the day's budget, and the
    /// price of gas, as of the last reading. Asks nobody.
    pub fn ready(&self) -> Result<(), Unready> {
        self.sequencer.ready()
    }

    /// The network that is settled.
    pub fn network(&self) -> &Network {
        &self.network
    }

    fn read(&self, request: &PaymentRequest) -> Result<ParsedPayment<'_>, Rejection> {
        parsed::read(self, request)
    }

    /// Everything that decides whether the payment would settle, in the order of the reference. The
    /// simulation is left out where another one follows.
    async fn judge(&self, payment: &ParsedPayment<'_>, now: UnixTime, simulate: bool) -> Result<PayerKind, Judgement> {
        let local = payment.check(now);
        let signed = self.signed(payment);
        if let (SignedBy::Payer, Err(reason)) = (signed, local) {
            return Err(payment.rejected(reason).into());
        }
        let token = payment.token.address;
        let finding = self.reads.ask(PaymentQuestion {
            token,
            payer: payment.authorization().from,
            nonce: payment.authorization().nonce,
            transfer: (simulate && signed == SignedBy::Payer).then(|| payment.transfer(PayerKind::Account).data()),
        });
        let finding = finding.await?;
        let kind = self.kind(payment, signed, local, finding.code).await?;
        match finding.used {
            Err(CallError::Reverted(text)) => {
                return Err(payment.rejected_because(Reason::Eip3009NotSupported, &text).into());
            }
            Err(error) => return Err(error.into()),
            Ok(true) => return Err(payment.rejected(Reason::NonceAlreadyUsed).into()),
            Ok(false) => {}
        }
        if finding.balance? < payment.terms.amount {
            return Err(payment.rejected(Reason::InsufficientBalance).into());
        }
        let simulated = match finding.transfer {
            Some(simulated) => simulated,
            None if simulate => payment.transfer(kind).simulate(&self.chain, token).await,
            None => Ok(()),
        };
        match simulated {
            Ok(()) => Ok(kind),
            Err(CallError::Reverted(text)) => Err(payment.reverts(&text).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Signature, then recipient, window and value, whose outcome is `local`.
    async fn signer(&self, payment: &ParsedPayment<'_>, local: Result<(), Reason>) -> Result<PayerKind, Judgement> {
        let signed = self.signed(payment);
        if let (SignedBy::Payer, Err(reason)) = (signed, local) {
            return Err(payment.rejected(reason).into());
        }
        let code = !self.chain.code(payment.authorization().from).await?.is_empty();
        self.kind(payment, signed, local, code).await
    }

    fn signed(&self, payment: &ParsedPayment<'_>) -> SignedBy {
        exact::signed_by(payment.token.domain.digest(payment.authorization()), &payment.payload)
    }

    /// Code decides how a signature is judged: without it by ECDSA alone, with it by the contract alone.
    async fn kind(
        &self,
        payment: &ParsedPayment<'_>,
        signed: SignedBy,
        local: Result<(), Reason>,
        code: bool,
    ) -> Result<PayerKind, Judgement> {
        if !code {
            return match (signed, local) {
                (SignedBy::PerhapsContract, _) => Err(payment.rejected(Reason::InvalidSignature).into()),
                (SignedBy::Payer, Err(reason)) => Err(payment.rejected(reason).into()),
                (SignedBy::Payer, Ok(())) => Ok(PayerKind::Account),
            };
        }
        local.map_err(|reason| payment.rejected(reason))?;
        let hash = payment.token.domain.digest(payment.authorization());
        let asked = IErc1271::isValidSignatureCall { hash, signature: payment.payload.signature.clone() };
        match self.chain.call(payment.authorization().from, &asked, Some(ERC1271_GAS)).await {
            Ok(magic) if magic == ERC1271_MAGIC => Ok(PayerKind::Contract),
            Ok(_) => Err(payment.rejected(Reason::InvalidSignature).into()),
            Err(CallError::Reverted(text)) => Err(payment.rejected_because(Reason::InvalidSignature, &text).into()),
            Err(error) => Err(error.into()),
        }
    }

    fn now() -> UnixTime {
        SystemTime::now().into()
    }
}

/// Reads a token from the chain and compares it with the configuration.
async fn token(chain: &Chain, asset: &Asset) -> Result<Token, String> {
    let address: Address = asset.address.parse().map_err(|_| "not an EVM address".to_owned())?;
    let configured = asset.eip712.as_ref().ok_or("it has no EIP-712 name and version, which `exact` needs")?;
    let code: Bytes = chain.code(address).await.map_err(|error| error.to_string())?;
    if code.is_empty() {
        return Err(format!("there is no contract at this address on chain {}", chain.chain_id()));
    }
    let domain = Domain::new(&configured.name, &configured.version, chain.chain_id(), address);
    match chain.call(address, &IEip3009::DOMAIN_SEPARATORCall {}, None).await {
        Ok(found) if found == domain.separator() => {}
        Err(CallError::Reverted(_)) => {
            // Tokens without the getter at least have a name and a version.
            let name = chain.call(address, &IEip3009::nameCall {}, None).await;
            let version = chain.call(address, &IEip3009::versionCall {}, None).await;
            if name.as_ref() != Ok(&configured.name) || version.as_ref() != Ok(&configured.version) {
                return Err(differs(configured, name, version));
            }
        }
        Ok(_) => {
            let name = chain.call(address, &IEip3009::nameCall {}, None).await;
            let version = chain.call(address, &IEip3009::versionCall {}, None).await;
            return Err(differs(configured, name, version));
        }
        Err(error) => return Err(error.to_string()),
    }
    Ok(Token { address, name: configured.name.clone(), version: configured.version.clone(), domain })
}

fn differs(
    configured: &coinslot_x402::price::Eip712,
    name: Result<String, CallError>,
    version: Result<String, CallError>,
) -> String {
    let shown = |found: Result<String, CallError>| match found {
        Ok(text) => format!("`{text}`"),
        Err(error) => format!("unreadable ({error})"),
    };
    format!(
        "its EIP-712 domain differs: configured are name `{}` and version `{}`, the contract's name is {} and its version is {}",
        configured.name,
        configured.version,
        shown(name),
        shown(version)
    )
}

impl Facilitator for Local {
    fn verify<'a>(&'a self, request: &'a PaymentRequest) -> Answer<'a, Verification> {
        Box::pin(async move {
            let payment = match self.read(request) {
                Ok(payment) => payment,
                Err(rejection) => return rejection.into(),
            };
            match self.judge(&payment, Self::now(), true).await {
                Ok(kind) => {
                    self.records.verified(payment.id(), payment.expiry(), Self::now());
                    Verification::Valid { payer: payment.payer(), kind }
                }
                Err(Judgement::Rejected(rejection)) => rejection.into(),
                Err(Judgement::Unavailable(unavailable)) => Verification::Unavailable(unavailable),
            }
        })
    }

    fn settle<'a>(&'a self, request: &'a PaymentRequest) -> Answer<'a, Settlement> {
        Box::pin(self.settle_payment(request, false))
    }

    fn readiness(&self) -> Readiness {
        match self.ready() {
            Ok(()) => Readiness::Ready,
            Err(_) => Readiness::NoGas,
        }
    }

    fn supported(&self) -> Answer<'_, Result<Supported, Unavailable>> {
        let kind = |x402_version, network: &str| SupportedKind {
            x402_version,
            scheme: "exact".to_owned(),
            network: network.to_owned(),
            extra: None,
        };
        let mut kinds = vec![kind(2, self.network.as_str())];
        kinds.extend(self.network.v1_name().map(|name| kind(1, name)));
        let mut signers = Object::new();
        signers.insert(
            "eip155:*".to_owned(),
            self.sequencer.addresses().map(|address| address.to_string()).collect::<Vec<_>>().into(),
        );
        Box::pin(std::future::ready(Ok(Supported { kinds, extensions: Vec::new(), signers })))
    }
}
