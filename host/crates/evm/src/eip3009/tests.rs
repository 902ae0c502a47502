//! Tests the pairing of authorisations with transfers, for tokens that write the two logs in either order.

use alloy::primitives::LogData;
use alloy::sol_types::SolEvent;

use super::*;

const TOKEN: Address = Address::repeat_byte(0x11);
const OTHER_TOKEN: Address = Address::repeat_byte(0x22);
const SELLER: Address = Address::repeat_byte(0x5e);

fn account(name: char) -> Address {
    Address::repeat_byte(name as u8)
}

fn nonce(number: u8) -> B256 {
    B256::repeat_byte(number)
}

fn log(address: Address, data: LogData) -> Log {
    Log { inner: alloy::primitives::Log { address, data }, ..Log::default() }
}

fn used_of(token: Address, payer: char, number: u8) -> Log {
    log(token, AuthorizationUsed { authorizer: account(payer), nonce: nonce(number) }.encode_log_data())
}

fn moved_of(token: Address, from: char, value: u64) -> Log {
    log(token, Transfer { from: account(from), to: SELLER, value: U256::from(value) }.encode_log_data())
}

/// Reads logs as words: `u1a` is the use of authorisation 1 of `a`, `t5a` a transfer of 5 from `a` to the seller,
/// `U` and `T` are those of another token, and `x` is some other log of the token.
fn logs(words: &str) -> Vec<Log> {
    let read = |word: &str| {
        let (kind, rest) = word.split_at(1);
        let (number, account) = rest.split_at(rest.len().saturating_sub(1));
        let account = account.chars().next().unwrap_or('?');
        match kind {
            "u" => used_of(TOKEN, account, number.parse().unwrap()),
            "t" => moved_of(TOKEN, account, number.parse().unwrap()),
            "U" => used_of(OTHER_TOKEN, account, number.parse().unwrap()),
            "T" => moved_of(OTHER_TOKEN, account, number.parse().unwrap()),
            "x" => log(TOKEN, LogData::new_unchecked(vec![B256::repeat_byte(9)], Default::default())),
            _ => panic!("{word}"),
        }
    };
    words.split_whitespace().map(read).collect()
}

/// The pairs as words: `1a5` is authorisation 1 of `a`, paid by a transfer of 5.
fn pairs(payments: &[Eip3009Payment]) -> String {
    let word =
        |payment: &Eip3009Payment| format!("{}{}{}", payment.nonce[0], char::from(payment.payer[0]), payment.amount);
    payments.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_transfer_belongs_to_the_authorisation_beside_it() {
    for (what, words, expected) in [
        ("nothing", "", ""),
        ("FiatToken", "u1a t5a", "1a5"),
        ("a token that writes the transfer first", "t5a u1a", "1a5"),
        ("a batch of several payers", "u1a t5a u2b t6b u3c t7c", "1a5 2b6 3c7"),
        ("the same, transfers first", "t5a u1a t6b u2b t7c u3c", "1a5 2b6 3c7"),
        ("one payer several times", "u1a t5a u2a t6a u3a t7a", "1a5 2a6 3a7"),
        ("the same, transfers first", "t5a u1a t6a u2a t7a u3a", "1a5 2a6 3a7"),
        ("a plain transfer of the payer before it", "t9a u1a t5a", "1a5"),
        ("a plain transfer of the payer between two", "u1a t5a t9a u2a t6a", "1a5 2a6"),
        ("the same, transfers first", "t5a u1a t9b t6a u2a", "1a5 2a6"),
        ("plain transfers alone", "t5a t5a", ""),
        ("an authorisation alone", "u1a", ""),
        ("a transfer of another account", "u1a t5b", ""),
        ("a token that does nothing for a used nonce", "u1a u2b t6b", "2b6"),
        ("logs of other contracts in between", "U1a u1a T9a U2b t5a T9b u2b t6b", "1a9 2b9 1a5 2b6"),
        ("other logs of the token in between", "x u1a x t5a x", "1a5"),
        ("two tokens, each in its order", "T5a U1a u2b t6b", "1a5 2b6"),
        ("two tokens, interleaved", "T5a u2a U1a t6a", "2a6 1a5"),
        ("a transfer between two of one payer", "u1a t5a u2a", ""),
        ("both sides, and no rule for it", "t5a u1a t6a u2b", ""),
        ("unambiguous ones beside an ambiguous one", "u1a t5a u2a t6b u3b u4c t7c", "3b6 4c7"),
        ("a mix of both orders", "u1a t5a t6b u2b", "1a5 2b6"),
    ] {
        assert_eq!(pairs(&payments_in(&logs(words))), expected, "{what}: {words}");
    }
}

#[test]
fn every_transfer_pays_for_at_most_one_authorisation() {
    // Each sequence of up to five logs of two payers.
    let words = ["u1a", "u2a", "u3b", "t5a", "t6a", "t7b"];
    for length in 1..=5_u32 {
        for mut code in 0..words.len().pow(length) {
            let mut sequence = Vec::new();
            for _ in 0..length {
                sequence.push(words[code % words.len()]);
                code /= words.len();
            }
            let sequence = sequence.join(" ");
            let logs = logs(&sequence);
            let payments = payments_in(&logs);
            let moved = |value: u64| sequence.split(' ').filter(|word| word.starts_with(&format!("t{value}"))).count();
            for value in 5..=7 {
                let paid = payments.iter().filter(|payment| payment.amount == U256::from(value)).count();
                assert!(paid <= moved(value), "{sequence}: {payments:?}");
            }
            let uses = sequence.split(' ').filter(|word| word.starts_with('u')).count();
            assert!(payments.len() <= uses, "{sequence}: {payments:?}");
        }
    }
}

#[test]
fn one_authorisation_is_looked_up_as_all_are() {
    let payment = |number, amount| Eip3009Payment {
        token: TOKEN,
        payer: account('a'),
        nonce: nonce(number),
        pay_to: SELLER,
        amount: U256::from(amount),
    };
    let look_up = |words: &str, number| use_in(&logs(words), TOKEN, account('a'), nonce(number));
    for words in ["t9a u1a t5a u2a t6a", "t5a u1a t6a u2a"] {
        assert_eq!(look_up(words, 1), AuthorizationUse::Payment(payment(1, 5)), "{words}");
        assert_eq!(look_up(words, 2), AuthorizationUse::Payment(payment(2, 6)), "{words}");
        assert_eq!(look_up(words, 3), AuthorizationUse::Unused, "{words}");
    }
    assert_eq!(look_up("u1a t5b", 1), AuthorizationUse::NoTransfer);
    assert_eq!(look_up("U1a T5a", 1), AuthorizationUse::Unused, "another token's");
    assert!(is_transferred_in(&logs("x t9a t5a u1a"), &payment(1, 5)));
    assert!(!is_transferred_in(&logs("t4a t5b T5a"), &payment(1, 5)));
}

#[test]
fn logs_that_are_malformed_or_were_removed_are_no_evidence() {
    let mut logs = logs("u1a t5a");
    logs[1].removed = true;
    assert!(payments_in(&logs).is_empty());
    logs[1].removed = false;
    assert_eq!(payments_in(&logs).len(), 1);
    logs[1].inner.data.data = vec![1; 33].into();
    assert!(payments_in(&logs).is_empty());
}
