//! Logs of a chain: which of them prove a payment by authorisation.
//!
//! An input that begins with `{` is the JSON of a transaction's receipt, as a node sends it. The bytes of any other
//! input choose logs: of two tokens, three accounts and four nonces, so that logs often belong together.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, LogData, U256};
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;
use arbitrary::{Result, Unstructured};
use coinslot_evm::abi::IEip3009::{AuthorizationCanceled, AuthorizationUsed, Transfer};
use coinslot_evm::eip3009::{AuthorizationUse, Eip3009Payment, is_transferred_in, payments_in, use_in};
use coinslot_evm::{SenderKind, SenderTag, TxReceipt};

/// The most logs of one input.
const LOGS: usize = 64;

/// Finds the payments in logs, and checks that no log proves two of them.
pub fn run(data: &[u8]) {
    check_tag(data);
    let logs = if data.first() == Some(&b'{') {
        let Ok(receipt) = serde_json::from_slice::<TxReceipt>(data) else { return };
        let _ = (receipt.succeeded(), receipt.cost());
        receipt.logs
    } else {
        let mut input = Unstructured::new(data);
        let more = |input: &mut Unstructured<'_>| (!input.is_empty()).then(|| log(input).ok()).flatten();
        std::iter::from_fn(|| more(&mut input)).take(LOGS).collect()
    };
    check_logs(&logs[..logs.len().min(LOGS)]);
}

/// Draws a log: five bytes.
fn log(input: &mut Unstructured<'_>) -> Result<Log> {
    let (kind, token, removed) = (input.int_in_range(0..=5)?, input.arbitrary::<bool>()?, input.ratio(1, 8)?);
    let (payer, number) = (account(input.arbitrary()?), input.arbitrary::<u8>()?);
    let nonce = B256::repeat_byte(number % 4);
    let data = match kind {
        0 | 1 => AuthorizationUsed { authorizer: payer, nonce }.encode_log_data(),
        2 | 3 => Transfer { from: payer, to: account(number), value: U256::from(number) }.encode_log_data(),
        4 if number < 128 => AuthorizationCanceled { authorizer: payer, nonce }.encode_log_data(),
        // A transfer whose amount has so many bytes.
        4 => {
            let topics = vec![Transfer::SIGNATURE_HASH, payer.into_word(), payer.into_word()];
            LogData::new_unchecked(topics, Bytes::from(vec![1; usize::from(number - 128)]))
        }
        // A log with too few topics, or too many.
        _ => {
            let first = if number < 128 { Transfer::SIGNATURE_HASH } else { AuthorizationUsed::SIGNATURE_HASH };
            let topics = std::iter::once(first).chain((0..number % 6).map(B256::repeat_byte));
            LogData::new_unchecked(topics.collect(), Bytes::from(vec![0; 32]))
        }
    };
    let address = Address::repeat_byte(if token { 0x11 } else { 0x22 });
    Ok(Log { inner: alloy::primitives::Log { address, data }, removed, ..Log::default() })
}

fn account(number: u8) -> Address {
    Address::repeat_byte(0xa0 + number % 3)
}

/// A log that can be a half of a payment, read here once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Used { payer: B256, nonce: B256 },
    Moved { from: B256, to: B256, value: U256 },
}

/// The halves of payments in one token.
fn halves(logs: &[Log], token: Address) -> Vec<Half> {
    let own = logs.iter().filter(|log| log.address() == token && !log.removed);
    own.filter_map(|log| match *log.topics() {
        [kind, payer, nonce] if kind == AuthorizationUsed::SIGNATURE_HASH => Some(Half::Used { payer, nonce }),
        [kind, from, to] if kind == Transfer::SIGNATURE_HASH => {
            Some(Half::Moved { from, to, value: U256::try_from_be_slice(&log.data().data)? })
        }
        _ => None,
    })
    .collect()
}

fn check_logs(logs: &[Log]) {
    let payments = payments_in(logs);
    let mut tokens: Vec<Address> = logs.iter().map(|log| log.address()).collect();
    tokens.sort_unstable();
    tokens.dedup();
    assert!(payments.iter().all(|payment| tokens.contains(&payment.token)));
    for token in tokens {
        let own: Vec<_> = payments.iter().copied().filter(|payment| payment.token == token).collect();
        let halves = halves(logs, token);
        check_each_log_proves_one(&own, &halves);
        check_lookup(logs, token, &own, &halves);
        // Logs of other contracts change nothing.
        let alone: Vec<Log> = logs.iter().filter(|log| log.address() == token).cloned().collect();
        assert_eq!(payments_in(&alone), own);
    }
}

fn used(payment: &Eip3009Payment) -> Half {
    Half::Used { payer: payment.payer.into_word(), nonce: payment.nonce }
}

fn moved(payment: &Eip3009Payment) -> Half {
    let (from, to) = (payment.payer.into_word(), payment.pay_to.into_word());
    Half::Moved { from, to, value: payment.amount }
}

/// An address is the last 20 bytes of a topic, whatever stands before them.
fn cut(half: Half) -> Half {
    let address = |word| Address::from_word(word).into_word();
    match half {
        Half::Used { payer, nonce } => Half::Used { payer: address(payer), nonce },
        Half::Moved { from, to, value } => Half::Moved { from: address(from), to: address(to), value },
    }
}

/// Of equal logs there are as many as payments that they prove, and each payment has both halves side by side.
fn check_each_log_proves_one(payments: &[Eip3009Payment], halves: &[Half]) {
    let halves: Vec<Half> = halves.iter().copied().map(cut).collect();
    for payment in payments {
        for (half, of) in [(used(payment), used as fn(&Eip3009Payment) -> Half), (moved(payment), moved)] {
            let logs = halves.iter().filter(|other| **other == half).count();
            let proven = payments.iter().filter(|other| of(other) == half).count();
            assert!(proven <= logs, "{logs} logs prove {proven} payments: {half:?}");
        }
        let pair = |pair: &[Half]| pair == [used(payment), moved(payment)] || pair == [moved(payment), used(payment)];
        assert!(halves.windows(2).any(pair), "{payment:?} of logs that are apart");
    }
    let sum = |amounts: &mut dyn Iterator<Item = U256>| amounts.fold(U256::ZERO, U256::saturating_add);
    let transferred = sum(&mut halves.iter().filter_map(|half| match half {
        Half::Moved { value, .. } => Some(*value),
        Half::Used { .. } => None,
    }));
    assert!(sum(&mut payments.iter().map(|payment| payment.amount)) <= transferred);
}

/// One authorisation is looked up as all are found.
fn check_lookup(logs: &[Log], token: Address, payments: &[Eip3009Payment], halves: &[Half]) {
    let mut found: BTreeMap<(Address, B256), &Eip3009Payment> = BTreeMap::new();
    for payment in payments {
        found.entry((payment.payer, payment.nonce)).or_insert(payment);
        assert!(is_transferred_in(logs, payment));
    }
    for half in halves {
        let Half::Used { payer, nonce } = *half else { continue };
        let payer = Address::from_word(payer);
        let expected = match found.get(&(payer, nonce)) {
            Some(payment) => AuthorizationUse::Payment(**payment),
            None => AuthorizationUse::NoTransfer,
        };
        assert_eq!(use_in(logs, token, payer, nonce), expected);
    }
    assert_eq!(use_in(logs, token, Address::repeat_byte(0xee), B256::ZERO), AuthorizationUse::Unused);
}

/// A tag is read from the end of any call data, and nothing that was there before is taken for it.
fn check_tag(data: &[u8]) {
    let said = SenderTag::of(data);
    let tag = SenderTag { kind: SenderKind::Host, id: [7; 16] };
    assert_eq!(SenderTag::of(&tag.append_to(&Bytes::copy_from_slice(data))), Some(tag));
    if let Some(said) = said {
        let arguments = Bytes::copy_from_slice(&data[..data.len() - 25]);
        assert_eq!(&said.append_to(&arguments)[..], data);
    }
}
