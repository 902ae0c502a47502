//! `golden/offer_receipt.json`: digests and signatures are those of `@x402/extensions` 2.27 for the same
//! key and contents, and `tests/interop/receipt.mjs` has that package verify the file.

use std::convert::Infallible;

use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::address;
use serde_json::Value;

use super::*;

const URL: &str = "https://api.example.com/api/gitignore?stack=rust";

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/offer_receipt.json")).expect("JSON")
}

fn sign(digest: B256) -> Result<Signature, Infallible> {
    let key = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
    let key: PrivateKeySigner = key.parse().expect("a key");
    Ok(key.sign_hash_sync(&digest).expect("signed"))
}

fn accept() -> PaymentRequirements {
    PaymentRequirements {
        scheme: "exact".to_owned(),
        network: Network::eip155(84532),
        amount: "10000".to_owned(),
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".to_owned(),
        pay_to: "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42".to_owned(),
        max_timeout_seconds: 300,
        extra: Object::new(),
    }
}

fn offer() -> SignedOffer {
    let Ok(offer) = sign_offer(URL, 0, &accept(), UnixTime(1_700_000_000), sign);
    offer
}

fn receipt(transaction: Option<&str>) -> SignedReceipt {
    let payer = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    let Ok(receipt) = sign_receipt(URL, &Network::eip155(84532), payer, transaction, UnixTime(1_700_000_010), sign);
    receipt
}

fn settlement() -> SettlementResponse {
    serde_json::from_value(json!({ "success": true, "transaction": "0x1", "network": "eip155:84532" })).expect("one")
}

#[test]
fn digests_are_those_of_the_reference_implementation() {
    let transaction = format!("0x{}", "ab".repeat(32));
    for (digest, expected) in [
        (offer().payload.digest(), "46f572d4672bc1222517518af09f4c3893f592d75553482544d3f7e98909857f"),
        (
            receipt(Some(&transaction)).payload.digest(),
            "ee46e769021159268cd72a93bdbf76edd6ad9f719e334bd2b1cee1c2b5679734",
        ),
        (receipt(None).payload.digest(), "98b46c813b64bf9579f61713677ec06e2f241b9906c329dd51d68dd90a897c14"),
    ] {
        assert_eq!(hex::encode(digest), expected);
    }
}

#[test]
fn what_is_signed_is_written_as_the_reference_implementation_reads_it() {
    let golden = golden();
    assert_eq!(declaration(&[offer()]).to_string(), golden["offers"].to_string());
    let transaction = format!("0x{}", "ab".repeat(32));
    for (name, transaction) in [("receipt", Some(transaction.as_str())), ("withheld", None)] {
        let mut settlement = settlement();
        receipt(transaction).attach(&mut settlement);
        let extensions = settlement.extensions.expect("extensions");
        assert_eq!(extensions[KEY].to_string(), golden[name].to_string(), "{name}");
    }
}

#[test]
fn the_signer_is_recovered_from_what_was_signed_and_nothing_else() {
    let golden = golden();
    let signer = address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
    let mut offer: SignedOffer =
        serde_json::from_value(golden["offers"]["info"]["offers"][0].clone()).expect("an offer");
    assert_eq!(offer.signer(), Some(signer));
    offer.payload.amount = "10001".to_owned();
    assert_ne!(offer.signer(), Some(signer));
    let mut receipt: SignedReceipt =
        serde_json::from_value(golden["receipt"]["info"]["receipt"].clone()).expect("a receipt");
    assert_eq!(receipt.signer(), Some(signer));
    receipt.payload.issued_at += 1;
    assert_ne!(receipt.signer(), Some(signer));
    receipt.signature = "0x12".to_owned();
    assert_eq!(receipt.signer(), None);
}

#[test]
fn a_receipt_stands_beside_other_extensions_and_another_format_is_not_read() {
    let mut settlement = settlement();
    settlement.extensions = Some(Object::from_iter([("other".to_owned(), json!(1))]));
    receipt(None).attach(&mut settlement);
    let extensions = settlement.extensions.expect("extensions");
    assert_eq!(extensions.keys().collect::<Vec<_>>(), ["other", KEY]);
    let jws = json!({ "format": "jws", "signature": "a.b.c" });
    assert!(serde_json::from_value::<SignedReceipt>(jws).is_err());
}
