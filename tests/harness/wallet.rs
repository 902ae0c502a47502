//! A payer that signs EIP-3009 authorisations as a stock client does, and alters them as an attacker would.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy::primitives::{Address, B256, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol;
use alloy::sol_types::{Eip712Domain, SolStruct};
use serde_json::{Value, json};

use crate::{decode, encode};

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// A private key and its account.
#[derive(Clone, Debug)]
pub struct Wallet {
    signer: PrivateKeySigner,
}

/// A signed payment that a test may still alter.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The whole `PaymentPayload`.
    pub document: Value,
}

impl Wallet {
    /// The account of a private key in hex.
    pub fn from_key(key: &str) -> Self {
        Self { signer: key.parse().expect("a private key") }
    }

    /// A new account without money.
    pub fn poor() -> Self {
        Self { signer: PrivateKeySigner::random() }
    }

    /// The private key of the account, in hex.
    pub fn key(&self) -> String {
        alloy::primitives::hex::encode_prefixed(self.signer.to_bytes())
    }

    /// The address of the account.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// Signs a payment for the first entry of a 402 answer, in protocol version 2.
    pub fn pay(&self, challenge: &reqwest::Response) -> Payment {
        let header = challenge.headers().get("payment-required").expect("a PAYMENT-REQUIRED header");
        let required = decode(header.to_str().expect("ASCII"));
        self.pay_entry(&required["accepts"][0])
    }

    /// The value of `SIGN-IN-WITH-X` that answers a 402, after altering what is signed.
    pub fn sign_in_with(&self, challenge: &reqwest::Response, alter: impl FnOnce(&mut Value)) -> String {
        let header = challenge.headers().get("payment-required").expect("a PAYMENT-REQUIRED header");
        encode(&self.prove(&decode(header.to_str().expect("ASCII")), alter))
    }

    /// The proof that the payment requirements ask for, after altering what is signed.
    pub fn prove(&self, required: &Value, alter: impl FnOnce(&mut Value)) -> Value {
        let extension = &required["extensions"]["sign-in-with-x"];
        let mut proof = extension["info"].clone();
        assert!(proof.is_object(), "the challenge asks for no sign-in: {required}");
        proof["chainId"] = extension["supportedChains"][0]["chainId"].clone();
        proof["type"] = extension["supportedChains"][0]["type"].clone();
        proof["address"] = self.address().to_checksum(None).into();
        alter(&mut proof);
        let text = |name: &str| proof[name].as_str().unwrap_or_default().to_owned();
        let chain = text("chainId").replace("eip155:", "");
        // Source: EIP-4361.
        let message = format!(
            "{} wants you to sign in with your Ethereum account:\n{}\n\n{}\n\nURI: {}\nVersion: {}\nChain ID: {chain}\n\
             Nonce: {}\nIssued At: {}\nExpiration Time: {}",
            text("domain"),
            text("address"),
            text("statement"),
            text("uri"),
            text("version"),
            text("nonce"),
            text("issuedAt"),
            text("expirationTime")
        );
        let signature = self.signer.sign_message_sync(message.as_bytes()).expect("a signature");
        proof["signature"] = alloy::primitives::hex::encode_prefixed(signature.as_bytes()).into();
        proof
    }

    /// The value of `SIGN-IN-WITH-X` that answers a 402.
    pub fn sign_in(&self, challenge: &reqwest::Response) -> String {
        self.sign_in_with(challenge, |_| ())
    }

    /// Signs a payment for an entry of `accepts`, in protocol version 2.
    pub fn pay_entry(&self, entry: &Value) -> Payment {
        self.pay_with(entry, |_| ())
    }

    /// Signs a payment for an entry of `accepts` after altering its authorisation, in protocol version 2.
    pub fn pay_with(&self, entry: &Value, alter: impl FnOnce(&mut TransferWithAuthorization)) -> Payment {
        let chain_id = entry["network"].as_str().and_then(|n| n.strip_prefix("eip155:")).expect("an EVM network");
        let payload = self.payload(entry, "amount", chain_id.parse().expect("a chain id"), alter);
        Payment { document: json!({ "x402Version": 2, "accepted": entry, "payload": payload }) }
    }

    /// Signs a payment for an entry of `accepts` of a body in protocol version 1.
    pub fn pay_v1(&self, entry: &Value) -> Payment {
        let payload = self.payload(entry, "maxAmountRequired", 84532, |_| ());
        Payment {
            document: json!({ "x402Version": 1, "scheme": "exact", "network": entry["network"], "payload": payload }),
        }
    }

    fn payload(
        &self,
        entry: &Value,
        amount: &str,
        chain_id: u64,
        alter: impl FnOnce(&mut TransferWithAuthorization),
    ) -> Value {
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        let mut authorization = TransferWithAuthorization {
            from: self.address(),
            to: text(&entry["payTo"]).parse().expect("an address"),
            value: text(&entry[amount]).parse().expect("a number"),
            validAfter: U256::ZERO,
            validBefore: U256::from(now + entry["maxTimeoutSeconds"].as_u64().expect("an integer")),
            nonce: random_word(),
        };
        alter(&mut authorization);
        let domain = Eip712Domain::new(
            Some(text(&entry["extra"]["name"]).into()),
            Some(text(&entry["extra"]["version"]).into()),
            Some(U256::from(chain_id)),
            Some(text(&entry["asset"]).parse().expect("an address")),
            None,
        );
        let hash = authorization.eip712_signing_hash(&domain);
        let signature = self.signer.sign_hash_sync(&hash).expect("a signature");
        json!({
            "signature": alloy::primitives::hex::encode_prefixed(signature.as_bytes()),
            "authorization": {
                "from": authorization.from,
                "to": authorization.to,
                "value": authorization.value.to_string(),
                "validAfter": authorization.validAfter.to_string(),
                "validBefore": authorization.validBefore.to_string(),
                "nonce": authorization.nonce,
            },
        })
    }
}

/// 32 random bytes: a nonce that nothing else uses.
pub fn random_word() -> B256 {
    PrivateKeySigner::random().to_bytes()
}

impl Payment {
    /// The value of the payment header.
    pub fn header(&self) -> String {
        encode(&self.document)
    }

    /// The same payment with one field replaced, named by JSON pointer.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        *self.document.pointer_mut(pointer).expect("a field of the payment") = value;
        self
    }
}
