//! Compares an answer with the payment that it must be about.

#![expect(clippy::disallowed_types, reason = "a client reads the answer of its facilitator")]

use coinslot_base::text::first_chars;
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::{Network, Object, SettlementResponse};
use reqwest::StatusCode;

use crate::facilitator::Settlement;

/// The longest reason, and the longest text for people, in characters. The protocol's own reasons
/// have at most 60.
pub(super) const MAX_REASON: usize = 128;
pub(super) const MAX_MESSAGE: usize = 512;

/// The longest name of a transaction on any network.
const MAX_TRANSACTION: usize = 128;

/// The most bytes of JSON that is passed on from a success: extensions and fields of the scheme.
const MAX_FIELDS: usize = 1_024;

/// The facts that an answer has to agree with.
pub(super) struct Expected<'r> {
    /// Known of payloads with an EIP-3009 or Permit2 authorisation.
    pub(super) payer: Option<&'r str>,
    network: Option<Network>,
    amount: &'r str,
    scheme: &'r str,
}

impl<'r> Expected<'r> {
    pub(super) fn of(request: &'r PaymentRequest) -> Self {
        Self {
            payer: request.named_payer(),
            network: request.network(),
            amount: request.amount(),
            scheme: request.scheme(),
        }
    }

    pub(super) fn is_payer(&self, named: &str) -> bool {
        self.payer.is_none_or(|payer| payer.eq_ignore_ascii_case(named))
    }

    /// The text as a transaction's name on this network, if it can be one. One hash has several spellings in hex, of
    /// which the ledger and the duplicate check know the one in small letters.
    pub(super) fn transaction(&self, named: &str) -> Option<String> {
        let is_evm = self.network.as_ref().is_some_and(|network| network.chain_id().is_some());
        self.is_transaction(named).then(|| if is_evm { named.to_ascii_lowercase() } else { named.to_owned() })
    }

    /// A settlement whose end the answer does not tell, with the transaction that it names, if any.
    pub(super) fn unknown(&self, named: Option<&str>, message: &str) -> Settlement {
        Settlement::Unknown {
            transaction: named.and_then(|named| self.transaction(named)),
            message: format!("/settle: {}", first_chars(message, MAX_MESSAGE)),
            unanswered: false,
        }
    }

    /// True if the text can be a transaction's name on this network.
    fn is_transaction(&self, named: &str) -> bool {
        let evm = self.network.as_ref().is_some_and(|network| network.chain_id().is_some());
        match named.strip_prefix("0x") {
            Some(digits) if evm => digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
            _ => {
                !evm && (1..=MAX_TRANSACTION).contains(&named.len())
                    && named.bytes().all(|byte| byte.is_ascii_graphic())
            }
        }
    }
}

/// The fields of a success that are passed on to clients: those that were checked, and what else is small. It ends in
/// one header, of which some clients drop all that is longer than 16 KiB.
pub(super) fn known_fields(expected: &Expected<'_>, answer: SettlementResponse) -> SettlementResponse {
    let small = |fields: Option<Object>| {
        fields.filter(|fields| serde_json::to_vec(fields).is_ok_and(|json| json.len() <= MAX_FIELDS))
    };
    let payer = answer.payer.filter(|payer| !payer.is_empty());
    SettlementResponse {
        success: true,
        error_reason: None,
        error_message: None,
        transaction: expected.transaction(&answer.transaction).unwrap_or(answer.transaction),
        network: answer.network,
        payer: payer.map(|payer| first_chars(&payer, MAX_REASON).to_owned()),
        amount: answer.amount.filter(|amount| amount.len() <= MAX_REASON),
        extensions: small(answer.extensions),
        extra: small(answer.extra),
    }
}

/// Checks that a success is about this payment.
pub(super) fn check_success(
    expected: &Expected<'_>,
    status: StatusCode,
    answer: &SettlementResponse,
) -> Result<(), &'static str> {
    if status != StatusCode::OK {
        return Err("success, and a status that says otherwise");
    }
    if answer.transaction.is_empty() {
        return Err("success without a transaction");
    }
    if !expected.is_transaction(&answer.transaction) {
        return Err("success with something that is no transaction hash");
    }
    if expected.network.is_none() || Network::parse_v1(&answer.network).ok() != expected.network {
        return Err("success on another network");
    }
    if answer.payer.as_ref().is_some_and(|payer| !payer.is_empty() && !expected.is_payer(payer)) {
        return Err("success of another payer");
    }
    if expected.scheme == "exact" && answer.amount.as_ref().is_some_and(|amount| amount != expected.amount) {
        return Err("success with another amount");
    }
    Ok(())
}
