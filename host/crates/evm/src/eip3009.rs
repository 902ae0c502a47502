//! Finds the payments by EIP-3009 authorisation in the logs of transactions.
//!
//! A token writes two logs for `transferWithAuthorization`: `AuthorizationUsed(authorizer, nonce)` of EIP-3009, and
//! `Transfer(from, to, value)` of ERC-20. Nothing in them names the other, and one transaction may hold many
//! payments, several of the same payer and price, and transfers that are no payments by authorisation. So
//! neighbourhood decides: of the token's own logs of these two kinds, in the order of the transaction, an
//! authorisation belongs to the `Transfer` beside it whose `from` is the authorizer. Logs of other contracts and
//! other logs of the token may stand in between.
//!
//! EIP-3009 leaves open which of the two comes first. FiatToken (USDC) writes the `Transfer` right behind; other
//! tokens write it right before. One token does it one way, so the way is chosen for each token and transaction:
//! right behind, if that finds a transfer for every authorisation; otherwise right before, if that does; otherwise
//! only those pairs count in which neither log could belong to another one. In all three a transfer pays for at most
//! one authorisation.

use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;

use crate::abi::IEip3009::{AuthorizationUsed, Transfer};

#[cfg(test)]
mod tests;

/// A payment by authorisation, as the logs of its transaction show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eip3009Payment {
    pub token: Address,
    pub payer: Address,
    /// The authorisation's, which is unique for each payer and token.
    pub nonce: B256,
    pub pay_to: Address,
    /// In atomic units, as they left the payer.
    pub amount: U256,
}

/// The evidence of one authorisation in the logs of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationUse {
    /// It was not used there.
    Unused,
    /// It was used or cancelled, and no transfer belongs to it for sure.
    NoTransfer,
    /// It was used for this payment.
    Payment(Eip3009Payment),
}

/// The two kinds of logs, read.
#[derive(Clone, Copy, Debug)]
enum TokenLog {
    Used { payer: Address, nonce: B256 },
    Moved { from: Address, to: Address, value: U256 },
}

/// The side of an authorisation on which its transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Behind,
    Before,
}

/// The payments by authorisation in the logs of one transaction, by token, and of each token in their order.
///
/// The logs must be all of the transaction's, or at least all `AuthorizationUsed` and `Transfer` logs of the tokens
/// in question, in the order of the transaction: a log that is missing could be the one that makes a pair ambiguous.
/// Logs that a reorganisation removed are skipped.
pub fn payments_in(logs: &[Log]) -> Vec<Eip3009Payment> {
    let mut tokens: Vec<Address> = Vec::new();
    for log in logs {
        if log.topic0() == Some(&AuthorizationUsed::SIGNATURE_HASH) && !tokens.contains(&log.address()) {
            tokens.push(log.address());
        }
    }
    tokens.into_iter().flat_map(|token| payments_of(token, &token_logs(token, logs))).collect()
}

/// Looks up one authorisation in the logs of one transaction. They are what [`payments_in`] takes.
pub fn use_in(logs: &[Log], token: Address, payer: Address, nonce: B256) -> AuthorizationUse {
    let logs = token_logs(token, logs);
    let is_use =
        |log: &TokenLog| matches!(log, TokenLog::Used { payer: by, nonce: of } if *by == payer && *of == nonce);
    if !logs.iter().any(is_use) {
        return AuthorizationUse::Unused;
    }
    let mut payments = payments_of(token, &logs).into_iter();
    match payments.find(|payment| payment.payer == payer && payment.nonce == nonce) {
        Some(payment) => AuthorizationUse::Payment(payment),
        None => AuthorizationUse::NoTransfer,
    }
}

/// Looks for a transfer of exactly this payment, wherever it stands. That proves the payment if the
/// transaction made nothing else.
pub fn is_transferred_in(logs: &[Log], payment: &Eip3009Payment) -> bool {
    transfers_in(logs, payment.token, payment.payer).contains(&(payment.pay_to, payment.amount))
}

/// The transfers of a token from one account: their receivers and amounts, in their order.
pub fn transfers_in(logs: &[Log], token: Address, from: Address) -> Vec<(Address, U256)> {
    let sent = |log| match log {
        TokenLog::Moved { from: sender, to, value } if sender == from => Some((to, value)),
        TokenLog::Moved { .. } | TokenLog::Used { .. } => None,
    };
    token_logs(token, logs).into_iter().filter_map(sent).collect()
}

/// The sum of a token that these logs move to an account from others.
pub fn moved_to(logs: &[Log], token: Address, to: Address) -> U256 {
    let received =
        all_transfers_in(logs, token).into_iter().filter(|(from, receiver, _)| *receiver == to && *from != to);
    received.fold(U256::ZERO, |sum, (_, _, amount)| sum.saturating_add(amount))
}

/// The transfers of a token, of whomever to whomever: senders, receivers and amounts, in their order.
pub(crate) fn all_transfers_in(logs: &[Log], token: Address) -> Vec<(Address, Address, U256)> {
    let moved = |log| match log {
        TokenLog::Moved { from, to, value } => Some((from, to, value)),
        TokenLog::Used { .. } => None,
    };
    token_logs(token, logs).into_iter().filter_map(moved).collect()
}

/// `AuthorizationUsed` and `Transfer` of one token, in their order. One that is not of the standards' form is left
/// out: it could not be a half of a pair.
fn token_logs(token: Address, logs: &[Log]) -> Vec<TokenLog> {
    logs.iter().filter(|log| log.address() == token && !log.removed).filter_map(read).collect()
}

fn read(log: &Log) -> Option<TokenLog> {
    match *log.topics() {
        [AuthorizationUsed::SIGNATURE_HASH, payer, nonce] => {
            Some(TokenLog::Used { payer: Address::from_word(payer), nonce })
        }
        [Transfer::SIGNATURE_HASH, from, to] => Some(TokenLog::Moved {
            from: Address::from_word(from),
            to: Address::from_word(to),
            value: U256::try_from_be_slice(&log.data().data)?,
        }),
        _ => None,
    }
}

fn payments_of(token: Address, logs: &[TokenLog]) -> Vec<Eip3009Payment> {
    let uses = || (0..logs.len()).filter(|at| matches!(logs[*at], TokenLog::Used { .. }));
    // On one side each transfer has one authorisation at most: it is the neighbour on the other side.
    let all_on = |side| uses().map(|at| beside(token, logs, at, side)).collect::<Option<Vec<_>>>();
    if let Some(payments) = all_on(Side::Behind).or_else(|| all_on(Side::Before)) {
        return payments;
    }
    uses()
        .filter_map(|at| {
            let (payment, rival, other_side) =
                match (beside(token, logs, at, Side::Behind), beside(token, logs, at, Side::Before)) {
                    (Some(payment), None) => (payment, at.checked_add(2), Side::Before),
                    (None, Some(payment)) => (payment, at.checked_sub(2), Side::Behind),
                    (Some(_), Some(_)) | (None, None) => return None,
                };
            // The transfer may stand between two authorisations and belong to the other one.
            let is_contested = rival.is_some_and(|rival| beside(token, logs, rival, other_side).is_some());
            (!is_contested).then_some(payment)
        })
        .collect()
}

/// The payment of the authorisation at an index and the transfer on one side of it, if these belong together.
fn beside(token: Address, logs: &[TokenLog], at: usize, side: Side) -> Option<Eip3009Payment> {
    let neighbour = match side {
        Side::Behind => at.checked_add(1)?,
        Side::Before => at.checked_sub(1)?,
    };
    match (logs.get(at)?, logs.get(neighbour)?) {
        (&TokenLog::Used { payer, nonce }, &TokenLog::Moved { from, to, value }) if from == payer => {
            Some(Eip3009Payment { token, payer, nonce, pay_to: to, amount: value })
        }
        _ => None,
    }
}
