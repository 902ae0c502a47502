//! Asks a contract whether a signature that is no payment's is its own (ERC-1271).

use alloy::sol_types::SolCall as _;
use coinslot_evm::CallError;
use coinslot_evm::abi::{ERC1271_MAGIC, IErc1271};

use super::state::LocalState;
use crate::facilitator::{AccountSignature, SignatureVerdict, Unavailable};

/// See `Facilitator::check_account_signature`. As for payments, few are judged at once, and an address without code is
/// remembered.
pub(super) async fn check(local: &LocalState, signed: &AccountSignature) -> SignatureVerdict {
    let unavailable = |message: String| SignatureVerdict::Unavailable(Unavailable { message });
    if signed.network != local.network {
        return unavailable(format!("this facilitator has a node of {}", local.network));
    }
    let no_contract = SignatureVerdict::Invalid { message: None };
    if local.wallets.is_without_code(signed.account) {
        return no_contract;
    }
    let Some(_turn) = local.wallets.turn().await else {
        return unavailable("too many signatures of contracts are being checked".to_owned());
    };
    match local.chain.code(signed.account).await {
        Ok(code) if code.is_empty() => {
            local.wallets.has_no_code(signed.account);
            return no_contract;
        }
        Ok(_) => {}
        Err(error) => return SignatureVerdict::Unavailable(error.into()),
    }
    let asked = IErc1271::isValidSignatureCall { hash: signed.hash, signature: signed.signature.clone() };
    let answer = local.sequencer.simulate(signed.account, asked.abi_encode().into(), local.wallets.call_gas()).await;
    match answer.map(|answer| IErc1271::isValidSignatureCall::abi_decode_returns(&answer)) {
        Ok(Ok(magic)) if magic == ERC1271_MAGIC => SignatureVerdict::Valid,
        Ok(_) | Err(CallError::Reverted(_)) => no_contract,
        Err(error) => SignatureVerdict::Unavailable(error.into()),
    }
}
