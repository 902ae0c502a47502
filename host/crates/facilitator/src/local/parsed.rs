//! What a payment claims, and what it has to be: the part of verification that needs no chain.
//!
//! Requirements are the seller's; `accepted`, the client's echo of them, only has to name the same
//! scheme and network.

use alloy::primitives::{Address, B256, Bytes};
use alloy::sol_types::SolCall;

use super::{Local, Token};
use crate::{PayerKind, Settlement, Verification};
use coinslot_base::text::first_chars;
use coinslot_evm::abi::{ERC6492_SUFFIX, IEip3009};
use coinslot_evm::eip3009::Eip3009Payment;
use coinslot_evm::{CallError, Chain};
use coinslot_x402::exact::{self, Authorization, ExactPayload, ExpectedTerms};
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::price::Amount;
use coinslot_x402::{Reason, SettlementResponse, UnixTime, Version};

/// A payment that is worth asking the chain about.
#[derive(Debug)]
pub(crate) struct ParsedPayment<'t> {
    pub(crate) token: &'t Token,
    pub(crate) payload: ExactPayload,
    pub(crate) terms: ExpectedTerms,
    /// As the seller wrote it: CAIP-2, or a name in version 1.
    network: String,
    version: Version,
}

/// The identity of one spend on this chain: token, payer and nonce.
pub(crate) type SpendId = (Address, Address, B256);

/// A refusal in the protocol's words.
#[derive(Clone, Debug)]
pub(crate) struct Rejection {
    pub(crate) reason: Reason,
    pub(crate) message: Option<String>,
    pub(crate) payer: Option<String>,
}

impl From<Rejection> for Verification {
    fn from(rejection: Rejection) -> Self {
        Self::Invalid {
            reason: rejection.reason.as_str().to_owned(),
            message: rejection.message,
            payer: rejection.payer,
        }
    }
}

impl Rejection {
    /// As the end of a settlement that sent this transaction, or none.
    pub(crate) fn settlement(self, transaction: Option<B256>) -> Settlement {
        Settlement::Refused {
            reason: self.reason.as_str().to_owned(),
            message: self.message,
            transaction: transaction.map(|hash| hash.to_string()).unwrap_or_default(),
        }
    }
}

/// Reads a request as far as it can be judged without signature, clock and chain.
pub(super) fn read<'t>(local: &'t Local, request: &PaymentRequest) -> Result<ParsedPayment<'t>, Rejection> {
    let parsed = ExactPayload::parse(request.payload());
    let payer = parsed.as_ref().ok().map(|payload| payload.authorization.from.to_string());
    let reject = |reason, message: Option<String>| Rejection { reason, message, payer: payer.clone() };
    let unusable = |message: &str| {
        let message = Some(message.to_owned());
        reject(Reason::InvalidPaymentRequirements, message)
    };

    if request.payment_scheme() != Some("exact") || request.scheme() != "exact" {
        return Err(reject(Reason::InvalidScheme, None));
    }
    let (Some(name), Some(version)) = (request.extra("name"), request.extra("version")) else {
        return Err(reject(Reason::MissingEip712Domain, None));
    };
    let network = request.network();
    if request.payment_network() != network {
        return Err(reject(Reason::NetworkMismatch, None));
    }
    if network.as_ref() != Some(&local.network) {
        let message = format!("only {} is settled here", local.network);
        return Err(reject(Reason::InvalidNetwork, Some(message)));
    }
    let asset: Option<Address> = request.asset().parse().ok();
    let token = local
        .tokens
        .iter()
        .find(|token| Some(token.address) == asset)
        .ok_or_else(|| unusable("the asset is not settled here"))?;
    let pay_to: Address = request.pay_to().parse().map_err(|_| unusable("payTo is not an EVM address"))?;
    if let Some(receivers) = &*local.receivers.load()
        && !receivers.contains(&pay_to)
    {
        return Err(unusable("payments to this payTo are not settled here"));
    }
    let amount = Amount::parse_atomic(request.amount())
        .map_err(|_| unusable("the amount is not a decimal number of atomic units"))?;
    if amount.0.is_zero() {
        return Err(unusable("the amount is zero"));
    }
    if request.extra("assetTransferMethod").is_some_and(|method| method != "eip3009") {
        return Err(reject(Reason::UnsupportedPayloadType, None));
    }
    let payload = match &parsed {
        Ok(payload) => payload.clone(),
        Err(reason) => return Err(reject(*reason, None)),
    };
    if name != token.name {
        let message = format!("extra.name is `{name}`, the token's is `{}`", token.name);
        return Err(reject(Reason::TokenNameMismatch, Some(message)));
    }
    if version != token.version {
        let ours = &token.version;
        let message = format!("extra.version is `{version}`, the token's is `{ours}`");
        return Err(reject(Reason::TokenVersionMismatch, Some(message)));
    }
    if payload.signature.ends_with(&ERC6492_SUFFIX) {
        let message = "no factory may deploy a wallet here: deploy it first, then pay";
        return Err(reject(Reason::FactoryNotAllowed, Some(message.to_owned())));
    }
    Ok(ParsedPayment {
        token,
        payload,
        terms: ExpectedTerms {
            pay_to,
            amount: amount.0,
            max_timeout_seconds: request.max_timeout_seconds(),
            skew_seconds: local.skew_seconds,
        },
        network: request.network_name().to_owned(),
        version: request.version(),
    })
}

impl ParsedPayment<'_> {
    pub(crate) fn authorization(&self) -> &Authorization {
        &self.payload.authorization
    }

    pub(crate) fn id(&self) -> SpendId {
        let authorization = self.authorization();
        (self.token.address, authorization.from, authorization.nonce)
    }

    /// The payment as the chain will show it.
    pub(crate) fn payment(&self) -> Eip3009Payment {
        Eip3009Payment {
            token: self.token.address,
            payer: self.authorization().from,
            nonce: self.authorization().nonce,
            pay_to: self.terms.pay_to,
            amount: self.terms.amount,
        }
    }

    /// When the authorisation ends, in seconds; the end of time if it is beyond it.
    pub(crate) fn expiry(&self) -> UnixTime {
        UnixTime(self.authorization().valid_before.saturating_to())
    }

    pub(crate) fn payer(&self) -> String {
        self.authorization().from.to_string()
    }

    /// Recipient, window and value.
    pub(crate) fn check(&self, now: UnixTime) -> Result<(), Reason> {
        let checked = self.authorization().check(&self.terms, now);
        checked.map_err(|reason| reason.in_version(self.version))
    }

    /// Whether it pays what is asked to whom it is asked for, whatever the time.
    pub(crate) fn pays_the_terms(&self) -> bool {
        self.authorization().to == self.terms.pay_to && self.authorization().value == self.terms.amount
    }

    pub(crate) fn rejected(&self, reason: Reason) -> Rejection {
        Rejection { reason, message: None, payer: Some(self.payer()) }
    }

    pub(crate) fn rejected_because(&self, reason: Reason, message: &str) -> Rejection {
        Rejection { message: Some(first_chars(message, 300).to_owned()), ..self.rejected(reason) }
    }

    /// The reason behind a revert of the transfer, told by FiatToken's texts.
    pub(crate) fn reverts(&self, text: &str) -> Rejection {
        let lower = text.to_lowercase();
        let reason = if lower.contains("authorization is expired") {
            Reason::ValidBefore
        } else if lower.contains("authorization is not yet valid") {
            Reason::ValidAfter
        } else if lower.contains("authorization is used") {
            Reason::NonceAlreadyUsed
        } else if lower.contains("transfer amount exceeds balance") {
            Reason::InsufficientBalance
        } else if lower.contains("invalid signature") {
            Reason::InvalidSignature
        } else {
            Reason::SimulationFailed
        };
        self.rejected_because(reason, text)
    }

    /// The settlement of this payment by a transaction.
    pub(crate) fn settled(&self, hash: B256) -> SettlementResponse {
        SettlementResponse {
            success: true,
            error_reason: None,
            error_message: None,
            payer: Some(self.payer()),
            transaction: hash.to_string(),
            network: self.network.clone(),
            amount: None,
            extensions: None,
            extra: None,
        }
    }

    /// The contract call. A plain account's signature goes as `v`, `r` and `s`, which every EIP-3009
    /// token takes; a contract's goes as it came.
    pub(crate) fn transfer(&self, kind: PayerKind) -> TransferCall {
        let signature = &self.payload.signature;
        let Authorization { from, to, value, valid_after, valid_before, nonce } = self.authorization().clone();
        match exact::split_signature(signature) {
            Some((v, r, s)) if kind == PayerKind::Account => {
                TransferCall::Split(IEip3009::transferWithAuthorization_0Call {
                    from,
                    to,
                    value,
                    validAfter: valid_after,
                    validBefore: valid_before,
                    nonce,
                    v,
                    r,
                    s,
                })
            }
            _ => TransferCall::Whole(IEip3009::transferWithAuthorization_1Call {
                from,
                to,
                value,
                validAfter: valid_after,
                validBefore: valid_before,
                nonce,
                signature: signature.clone(),
            }),
        }
    }
}

/// One of the two overloads.
#[derive(Debug)]
pub(crate) enum TransferCall {
    Split(IEip3009::transferWithAuthorization_0Call),
    Whole(IEip3009::transferWithAuthorization_1Call),
}

impl TransferCall {
    pub(crate) async fn simulate(&self, chain: &Chain, token: Address) -> Result<(), CallError> {
        match self {
            Self::Split(call) => chain.call(token, call, None).await.map(drop),
            Self::Whole(call) => chain.call(token, call, None).await.map(drop),
        }
    }

    pub(crate) fn data(&self) -> Bytes {
        match self {
            Self::Split(call) => call.abi_encode().into(),
            Self::Whole(call) => call.abi_encode().into(),
        }
    }
}
