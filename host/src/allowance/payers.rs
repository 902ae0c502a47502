//! Lists of payers: who may not pay, and who alone may.

use std::collections::HashSet;

use alloy::primitives::Address;
use coinslot_x402::Network;

/// Payers by their accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayerList(HashSet<Account>);

/// An account in a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Account {
    /// An address of every EVM network.
    Evm(Address),
    /// An account of one network, as CAIP-10 writes it.
    On(Network, String),
}

/// The payers who may pay, and those who may not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayerRules {
    /// None: everybody.
    pub allow: Option<PayerList>,
    pub deny: PayerList,
}

/// The reason why a payer may not pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayerRefusal {
    /// The operator has denied the payer.
    Denied,
    /// The operator has listed others.
    NotAllowed,
}

impl PayerRules {
    /// Fails for a payer who may not pay on this network. The deny list decides before the allow list.
    pub fn check(&self, network: &Network, payer: &str) -> Result<(), PayerRefusal> {
        if self.deny.has(network, payer) {
            return Err(PayerRefusal::Denied);
        }
        match &self.allow {
            Some(allowed) if !allowed.has(network, payer) => Err(PayerRefusal::NotAllowed),
            Some(_) | None => Ok(()),
        }
    }
}

impl PayerList {
    /// Adds an account: an address such as `0x..`, which is meant on every EVM network, or an account of one network
    /// such as `eip155:8453:0x..` (CAIP-10).
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let refused = || {
            format!(
                "`{}` is no account: write an address (0x and 40 hex digits), or an account of one network as CAIP-10 \
                 does, such as \"eip155:8453:0x..\"",
                text.chars().take(100).collect::<String>()
            )
        };
        let account = match text.rsplit_once(':') {
            None => Account::Evm(address(text).ok_or_else(refused)?),
            Some((network, account)) => {
                let network = Network::parse(network).map_err(|_| refused())?;
                let is_evm = network.chain_id().is_some();
                let is_account = match is_evm {
                    true => address(account).is_some(),
                    false => !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_graphic()),
                };
                if !is_account {
                    return Err(refused());
                }
                Account::On(network, one_spelling(is_evm, account))
            }
        };
        self.0.insert(account);
        Ok(())
    }

    /// The accounts as the configuration writes them, sorted.
    pub fn shown(&self) -> Vec<String> {
        let account = |account: &Account| match account {
            Account::Evm(address) => address.to_checksum(None),
            Account::On(network, account) => format!("{network}:{account}"),
        };
        let mut shown: Vec<String> = self.0.iter().map(account).collect();
        shown.sort_unstable();
        shown
    }

    /// The number of accounts.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if a payer is in the list. Addresses of EVM networks are compared without their case; others have one
    /// spelling.
    fn has(&self, network: &Network, payer: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let is_evm = network.chain_id().is_some();
        let everywhere = address(payer).filter(|_| is_evm).is_some_and(|it| self.0.contains(&Account::Evm(it)));
        everywhere || self.0.contains(&Account::On(network.clone(), one_spelling(is_evm, payer)))
    }
}

/// An address in hex, with `0x`, whatever its case.
fn address(text: &str) -> Option<Address> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    (digits.len() == 40).then(|| digits.parse().ok())?
}

fn one_spelling(is_evm: bool, account: &str) -> String {
    if is_evm { account.to_ascii_lowercase() } else { account.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> PayerList {
        let mut list = PayerList::default();
        for entry in entries {
            list.add(entry).expect("an account");
        }
        list
    }

    const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
    const SOLANA_PAYER: &str = "7S3P4HxJpyyigGzodYwHtCxZyUQe9JiBMHyRWXArAaKv";

    #[test]
    fn an_address_means_every_evm_network_whatever_its_case_and_an_account_one_network() {
        let base = Network::eip155(8453);
        for entry in [PAYER.to_owned(), PAYER.to_lowercase(), format!("0x{}", PAYER[2..].to_uppercase())] {
            let list = list(&[&entry]);
            for payer in [PAYER.to_owned(), PAYER.to_lowercase()] {
                assert!(list.has(&base, &payer) && list.has(&Network::eip155(1), &payer), "{entry}, {payer}");
            }
        }
        let of_base = list(&[&format!("eip155:8453:{}", PAYER.to_lowercase())]);
        assert!(of_base.has(&base, PAYER) && !of_base.has(&Network::eip155(1), PAYER));
        let solana = Network::parse(SOLANA).expect("a network");
        let of_solana = list(&[&format!("{SOLANA}:{SOLANA_PAYER}")]);
        assert!(of_solana.has(&solana, SOLANA_PAYER) && !of_solana.has(&solana, &SOLANA_PAYER.to_lowercase()));
        for text in ["", "0x1", "alice", "eip155:8453:alice", "eip155:8453:", "0x", "8453:0x"] {
            assert!(PayerList::default().add(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_denied_payer_never_pays_and_an_allow_list_leaves_the_others_out() {
        let (base, other) = (Network::eip155(8453), "0x0000000000000000000000000000000000000001");
        let rules = |allow: Option<&[&str]>, deny: &[&str]| PayerRules { allow: allow.map(list), deny: list(deny) };
        assert_eq!(rules(None, &[]).check(&base, PAYER), Ok(()));
        assert_eq!(rules(None, &[PAYER]).check(&base, PAYER), Err(PayerRefusal::Denied));
        assert_eq!(rules(Some(&[PAYER]), &[PAYER]).check(&base, PAYER), Err(PayerRefusal::Denied));
        assert_eq!(rules(Some(&[PAYER]), &[]).check(&base, PAYER), Ok(()));
        assert_eq!(rules(Some(&[PAYER]), &[]).check(&base, other), Err(PayerRefusal::NotAllowed));
    }
}
