//! Decides whether a payment would settle: signature, terms, balance, and a simulation, in the order of the shipped
//! facilitators.

use alloy::primitives::Bytes;
use alloy::sol_types::SolCall as _;
use coinslot_evm::abi::{ERC1271_MAGIC, IErc1271};
use coinslot_evm::{CallError, PaymentFinding, PaymentQuestion};
use coinslot_x402::exact::{self, Authorization, SignedBy};
use coinslot_x402::{Reason, UnixTime};

use super::parsed::ParsedPayment;
use super::rejection::Judgement;
use super::state::LocalState;
use crate::facilitator::{PayerKind, SignatureVerdict, Unavailable};

/// Judges a payment completely.
pub(super) async fn judge(
    local: &LocalState,
    payment: &ParsedPayment<'_>,
    now: UnixTime,
) -> Result<PayerKind, Judgement> {
    let signed = signed_by(payment);
    // A plain account's transfer is simulated by the same call that reads its balance, which saves a request.
    let transfer = (signed == SignedBy::Payer).then(|| payment.transfer(PayerKind::Account).data());
    let (kind, simulated) = judge_state(local, payment, now, signed, transfer).await?;
    let simulated = match simulated {
        Some(simulated) => simulated,
        // A wallet's code runs, and may do something else when gas is free.
        None => {
            let data = payment.transfer(kind).data();
            local.sequencer.simulate(payment.token.address, data, local.wallets.tx_gas()).await.map(drop)
        }
    };
    match simulated {
        Ok(()) => Ok(kind),
        Err(CallError::Reverted(text)) => Err(payment.reverts(&text).into()),
        Err(error) => Err(error.into()),
    }
}

/// Judges a payment but for the simulation, for a caller that simulates it anyway.
pub(super) async fn judge_without_simulation(
    local: &LocalState,
    payment: &ParsedPayment<'_>,
    now: UnixTime,
) -> Result<PayerKind, Judgement> {
    Ok(judge_state(local, payment, now, signed_by(payment), None).await?.0)
}

/// Judges a payment by its own content and by the state of the chain. `transfer`, the data of a call, is simulated in
/// the same reading where that is possible; its end is returned.
async fn judge_state(
    local: &LocalState,
    payment: &ParsedPayment<'_>,
    now: UnixTime,
    signed: SignedBy,
    transfer: Option<Bytes>,
) -> Result<(PayerKind, Option<Result<(), CallError>>), Judgement> {
    let terms = payment.check(now);
    if let (SignedBy::Payer, Err(reason)) = (signed, terms) {
        return Err(payment.rejected(reason).into());
    }
    let Authorization { from: payer, nonce, .. } = *payment.authorization();
    let question = PaymentQuestion { token: payment.token.address, payer, nonce, transfer };
    let PaymentFinding { code, used, balance, transfer } = local.reader.ask(question).await?;
    let kind = judge_signature(local, payment, signed, terms, code).await?;
    match used {
        Err(CallError::Reverted(text)) => {
            return Err(payment.rejected_because(Reason::Eip3009NotSupported, &text).into());
        }
        Err(error) => return Err(error.into()),
        Ok(true) => return Err(payment.rejected(Reason::NonceAlreadyUsed).into()),
        Ok(false) => {}
    }
    if balance? < payment.terms.amount {
        return Err(payment.rejected(Reason::InsufficientBalance).into());
    }
    Ok((kind, transfer))
}

/// Checks the signature alone, whatever the terms, and tells the kind of the payer.
pub(super) async fn check_signature(local: &LocalState, payment: &ParsedPayment<'_>) -> Result<PayerKind, Judgement> {
    let is_contract = !local.chain.code(payment.authorization().from).await?.is_empty();
    judge_signature(local, payment, signed_by(payment), Ok(()), is_contract).await
}

/// Judges the signature of a payer who has proven nothing. See `Facilitator::check_contract_signature`.
pub(super) async fn check_contract_signature(local: &LocalState, payment: &ParsedPayment<'_>) -> SignatureVerdict {
    let payer = payment.authorization().from;
    let no_contract = || SignatureVerdict::Invalid { message: None };
    let is_key = signed_by(payment) == SignedBy::Payer;
    if local.wallets.is_without_code(payer) {
        return if is_key { SignatureVerdict::Valid } else { no_contract() };
    }
    let Some(_turn) = local.wallets.turn().await else {
        let message = "too many signatures of contracts are being checked".to_owned();
        return SignatureVerdict::Unavailable(Unavailable { message });
    };
    let is_contract = match local.chain.code(payer).await {
        Ok(code) => !code.is_empty(),
        Err(error) => return SignatureVerdict::Unavailable(error.into()),
    };
    if !is_contract {
        local.wallets.has_no_code(payer);
        return if is_key { SignatureVerdict::Valid } else { no_contract() };
    }
    match judge_signature(local, payment, signed_by(payment), Ok(()), true).await {
        Ok(_) => SignatureVerdict::Valid,
        Err(Judgement::Rejected(rejection)) => SignatureVerdict::Invalid { message: rejection.message },
        Err(Judgement::Unavailable(unavailable)) => SignatureVerdict::Unavailable(unavailable),
    }
}

/// True if only a contract can have signed the payment, and there is one at the payer's address.
pub(super) async fn is_of_contract(local: &LocalState, payment: &ParsedPayment<'_>) -> Result<bool, CallError> {
    if signed_by(payment) == SignedBy::Payer {
        return Ok(false);
    }
    Ok(!local.chain.code(payment.authorization().from).await?.is_empty())
}

pub(super) fn signed_by(payment: &ParsedPayment<'_>) -> SignedBy {
    exact::signed_by(payment.token.domain.digest(payment.authorization()), &payment.payload)
}

/// Judges the signature, then the terms, whose check ended as `terms`. The payer's code decides how a signature is
/// judged: without code by ECDSA alone, with code by the contract alone (ERC-1271).
async fn judge_signature(
    local: &LocalState,
    payment: &ParsedPayment<'_>,
    signed: SignedBy,
    terms: Result<(), Reason>,
    is_contract: bool,
) -> Result<PayerKind, Judgement> {
    if !is_contract {
        return match (signed, terms) {
            (SignedBy::PerhapsContract, _) => Err(payment.rejected(Reason::InvalidSignature).into()),
            (SignedBy::Payer, Err(reason)) => Err(payment.rejected(reason).into()),
            (SignedBy::Payer, Ok(())) => Ok(PayerKind::Account),
        };
    }
    terms.map_err(|reason| payment.rejected(reason))?;
    let wallet = payment.authorization().from;
    if local.wallets.is_refused(wallet) {
        let message =
            "a transaction of this wallet was reverted although its simulation succeeded: pay from another one";
        return Err(payment.rejected_because(Reason::SimulationFailed, message).into());
    }
    let hash = payment.token.domain.digest(payment.authorization());
    let asked = IErc1271::isValidSignatureCall { hash, signature: payment.payload.signature.clone() };
    let answer = local.sequencer.simulate(wallet, asked.abi_encode().into(), local.wallets.call_gas()).await;
    match answer.map(|answer| IErc1271::isValidSignatureCall::abi_decode_returns(&answer)) {
        Ok(Ok(magic)) if magic == ERC1271_MAGIC => Ok(PayerKind::Contract),
        Ok(_) => Err(payment.rejected(Reason::InvalidSignature).into()),
        Err(CallError::Reverted(text)) if is_out_of_gas(&text) => {
            let message = format!(
                "the wallet takes more than {} gas to judge a signature, which is the limit of this facilitator",
                local.wallets.gas()
            );
            Err(payment.rejected_because(Reason::InvalidSignature, &message).into())
        }
        Err(CallError::Reverted(text)) => Err(payment.rejected_because(Reason::InvalidSignature, &text).into()),
        Err(error) => Err(error.into()),
    }
}

/// Reads the words of nodes for a call that used up its gas.
fn is_out_of_gas(text: &str) -> bool {
    let text = text.to_lowercase();
    ["out of gas", "outofgas", "gas required exceeds"].iter().any(|sign| text.contains(sign))
}
