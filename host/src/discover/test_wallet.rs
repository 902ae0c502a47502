//! Signs payments for the pages of a development host, by the key of a payer of its embedded chain.
//!
//! Nothing on that chain is money. A wallet is made of a running chain in this process and of nothing else, so no other
//! host has one: `coinslot serve` has no such chain, and a host without the feature `dev` has not even the type.

use std::fmt;

use alloy::primitives::{Address, B256, U256};
use coinslot_devnet::{CHAIN_ID, Devnet};
use coinslot_evm::{Chain, ChainSettings, Key, abi::IEip3009};
use coinslot_x402::Network;
use coinslot_x402::exact::{Authorization, Domain};
use coinslot_x402::price::Asset;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::document::Document;

/// The path at which pages ask it.
pub(super) const PATH: &str = "/.well-known/coinslot/test-wallet";

/// The wallet of a payer on an embedded chain.
pub struct TestWallet {
    key: Key,
    rpc: Url,
    domain: Domain,
    token: Address,
}

impl fmt::Debug for TestWallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestWallet").field("account", &self.key.address()).finish_non_exhaustive()
    }
}

impl TestWallet {
    /// The wallet of this key on this chain. None if the chain has no token with EIP-3009.
    pub fn on(devnet: &Devnet, key: Key) -> Option<Self> {
        let asset = Asset::known(&Network::eip155(CHAIN_ID), None)?;
        let token = asset.address.parse().ok()?;
        let eip712 = asset.eip712?;
        let domain = Domain::new(&eip712.name, &eip712.version, CHAIN_ID, token);
        Some(Self { key, rpc: devnet.rpc_url().parse().ok()?, domain, token })
    }

    /// The facts of it for the script of a page.
    pub(super) fn data(&self) -> Value {
        json!({ "address": self.key.address().to_checksum(None), "chainId": CHAIN_ID, "path": PATH })
    }

    /// Answers a page: `balance`, or the fields of an authorisation, which it signs. None: it is asked something else.
    pub(super) async fn answer(&self, query: &str) -> Option<Document> {
        let answer = match query {
            "balance" => json!({ "balance": self.balance().await?.to_string() }),
            fields => json!({ "signature": self.sign(fields)? }),
        };
        Some(Document::new("application/json", answer.to_string()).for_own_pages())
    }

    async fn balance(&self) -> Option<U256> {
        let chain = Chain::connect(&self.rpc, CHAIN_ID, ChainSettings::default()).await.ok()?;
        chain.call(self.token, &IEip3009::balanceOfCall { account: self.key.address() }, None).await.ok()
    }

    fn sign(&self, fields: &str) -> Option<String> {
        let field = |name: &str| {
            form_urlencoded::parse(fields.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let number = |name: &str| U256::from_str_radix(&field(name)?, 10).ok();
        let authorization = Authorization {
            from: self.key.address(),
            to: field("to")?.parse().ok()?,
            value: number("value")?,
            valid_after: number("validAfter")?,
            valid_before: number("validBefore")?,
            nonce: field("nonce")?.parse::<B256>().ok()?,
        };
        let signature = self.key.sign(self.domain.digest(&authorization)).ok()?;
        Some(format!("0x{}", hex::encode(signature.as_bytes())))
    }
}
