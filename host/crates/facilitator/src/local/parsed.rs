//! Reads payments, and checks what needs no chain.
//!
//! The requirements are the seller's; `accepted`, the client's echo of them, only has to name the same
//! scheme and network.

use alloy::primitives::{Address, B256};
use coinslot_base::text::first_chars;
use coinslot_evm::abi::ERC6492_SUFFIX;
use coinslot_evm::eip3009::Eip3009Payment;
use coinslot_x402::exact::{Authorization, ExactPayload, ExpectedTerms};
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::price::Amount;
use coinslot_x402::{Reason, SettlementResponse, UnixTime, Version};

use super::records::SpendId;
use super::rejection::Rejection;
use super::state::LocalState;
use super::token::Token;
use super::transfer::TransferCall;
use crate::facilitator::PayerKind;

/// The difference of clocks that is ample, in seconds.
const CLOCKS_DIFFER: u64 = 600;

/// The message of a refusal of an asset that is not configured.
pub(super) const UNKNOWN_ASSET: &str = "the asset is not settled here";

/// A payment that is worth asking the chain about.
#[derive(Debug)]
pub(super) struct ParsedPayment<'t> {
    pub(super) token: &'t Token,
    pub(super) payload: ExactPayload,
    pub(super) terms: ExpectedTerms,
    /// The network as the seller writes it: CAIP-2, or a name in version 1.
    network: String,
    version: Version,
}

/// Reads a request as far as it can be judged without signature, clock and chain.
///
/// The checks stand in the order of the shipped facilitators: of two defects they report the same one.
pub(super) fn parse<'t>(local: &'t LocalState, request: &PaymentRequest) -> Result<ParsedPayment<'t>, Rejection> {
    let parsed = ExactPayload::parse(request.payload());
    let payer = parsed.as_ref().ok().map(|payload| payload.authorization.from.to_string());
    let reject = |(reason, message): (Reason, Option<String>)| Rejection { reason, message, payer: payer.clone() };

    check_domain_and_network(local, request).map_err(reject)?;
    let (token, pay_to, amount) = requirements(local, request)
        .map_err(|problem| reject((Reason::InvalidPaymentRequirements, Some(problem.to_owned()))))?;
    if request.extra("assetTransferMethod").is_some_and(|method| method != "eip3009") {
        return Err(reject((Reason::UnsupportedPayloadType, None)));
    }
    let payload = parsed.clone().map_err(|reason| reject((reason, None)))?;
    check_token(token, request).map_err(reject)?;
    if payload.signature.ends_with(&ERC6492_SUFFIX) {
        let message = "no factory may deploy a wallet here: deploy it first, then pay";
        return Err(reject((Reason::FactoryNotAllowed, Some(message.to_owned()))));
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

fn check_domain_and_network(local: &LocalState, request: &PaymentRequest) -> Result<(), (Reason, Option<String>)> {
    if request.payment_scheme() != Some("exact") || request.scheme() != "exact" {
        return Err((Reason::InvalidScheme, None));
    }
    if request.extra("name").is_none() || request.extra("version").is_none() {
        return Err((Reason::MissingEip712Domain, None));
    }
    let network = request.network();
    if request.payment_network() != network {
        return Err((Reason::NetworkMismatch, None));
    }
    if network.as_ref() != Some(&local.network) {
        return Err((Reason::InvalidNetwork, Some(format!("only {} is settled here", local.network))));
    }
    Ok(())
}

/// The token, the receiver and the amount, if they can be settled here.
fn requirements<'t>(
    local: &'t LocalState,
    request: &PaymentRequest,
) -> Result<(&'t Token, Address, Amount), &'static str> {
    let asset: Option<Address> = request.asset().parse().ok();
    let token = local.tokens.iter().find(|token| Some(token.address) == asset);
    let token = token.ok_or(UNKNOWN_ASSET)?;
    let pay_to: Address = request.pay_to().parse().map_err(|_| "payTo is not an EVM address")?;
    if let Some(receivers) = &*local.receivers.load()
        && !receivers.contains(&pay_to)
    {
        return Err("payments to this payTo are not settled here");
    }
    let amount =
        Amount::parse_atomic(request.amount()).map_err(|_| "the amount is not a decimal number of atomic units")?;
    if amount.0.is_zero() {
        return Err("the amount is zero");
    }
    Ok((token, pay_to, amount))
}

fn check_token(token: &Token, request: &PaymentRequest) -> Result<(), (Reason, Option<String>)> {
    let (name, version) = (request.extra("name").unwrap_or_default(), request.extra("version").unwrap_or_default());
    if name != token.name {
        let message = format!("extra.name is `{name}`, the token's is `{}`", token.name);
        return Err((Reason::TokenNameMismatch, Some(message)));
    }
    if version != token.version {
        let message = format!("extra.version is `{version}`, the token's is `{}`", token.version);
        return Err((Reason::TokenVersionMismatch, Some(message)));
    }
    Ok(())
}

impl ParsedPayment<'_> {
    pub(super) fn authorization(&self) -> &Authorization {
        &self.payload.authorization
    }

    pub(super) fn id(&self) -> SpendId {
        let authorization = self.authorization();
        (self.token.address, authorization.from, authorization.nonce)
    }

    /// The payment as the chain will show it.
    pub(super) fn on_chain(&self) -> Eip3009Payment {
        Eip3009Payment {
            token: self.token.address,
            payer: self.authorization().from,
            nonce: self.authorization().nonce,
            pay_to: self.terms.pay_to,
            amount: self.terms.amount,
        }
    }

    /// The time before which no block can hold the payment, in Unix seconds: it was accepted at most
    /// `max_timeout_seconds` before its end, by clocks that may differ from the chain's.
    pub(super) fn earliest(&self) -> u64 {
        let longest = self.terms.max_timeout_seconds.saturating_add(CLOCKS_DIFFER);
        self.expiry().0.saturating_sub(longest)
    }

    /// The end of the authorisation. An end beyond 64 bits of seconds counts as the latest time.
    pub(super) fn expiry(&self) -> UnixTime {
        UnixTime(self.authorization().valid_before.saturating_to())
    }

    pub(super) fn payer(&self) -> String {
        self.authorization().from.to_string()
    }

    /// Checks recipient, time window and value.
    pub(super) fn check(&self, now: UnixTime) -> Result<(), Reason> {
        let checked = self.authorization().check(&self.terms, now);
        checked.map_err(|reason| reason.in_version(self.version))
    }

    /// True if it pays the asked amount to the asked receiver, whatever the time.
    pub(super) fn pays_the_terms(&self) -> bool {
        self.authorization().to == self.terms.pay_to && self.authorization().value == self.terms.amount
    }

    pub(super) fn rejected(&self, reason: Reason) -> Rejection {
        Rejection { reason, message: None, payer: Some(self.payer()) }
    }

    pub(super) fn rejected_because(&self, reason: Reason, message: &str) -> Rejection {
        Rejection { message: Some(first_chars(message, 300).to_owned()), ..self.rejected(reason) }
    }

    /// The refusal for a revert of the transfer. FiatToken's texts tell the reason.
    pub(super) fn reverts(&self, text: &str) -> Rejection {
        let lower = text.to_lowercase();
        // The words of FiatToken 2.2.
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
    pub(super) fn settled(&self, hash: B256) -> SettlementResponse {
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

    /// The call that settles it.
    pub(super) fn transfer(&self, kind: PayerKind) -> TransferCall {
        TransferCall::new(&self.payload, kind)
    }
}
