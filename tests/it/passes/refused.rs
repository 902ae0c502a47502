//! Whoever has no pass for a request gets an ordinary challenge.

use std::time::Duration;

use coinslot_tests::{TestChain, Wallet};
use reqwest::Client;
use serde_json::Value;

use super::{comes_back, field, is_challenged, pass_of, pay, post, signed_in};
use crate::refunds::BY_COMMAND;
use crate::refunds::seller::Seller;

#[tokio::test]
async fn a_pass_is_for_its_payer_and_its_route_and_each_proof_is_good_once() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo", "upfront"], &format!("{}{}", pass_of("echo", 5), pass_of("upfront", 5))).await;
    let payer = chain.payer(0);
    pay(&host, payer, "/echo").await;
    is_challenged(&comes_back(&host, &Wallet::poor(), "/echo").await, "Payment required");
    is_challenged(&comes_back(&host, chain.payer(1), "/echo").await, "Payment required");
    is_challenged(&comes_back(&host, payer, "/upfront").await, "Payment required");
    // A proof that was made for another route of this host.
    let elsewhere = payer.sign_in(&post(&host, "/upfront").await);
    is_challenged(&signed_in(&host, "/echo", &elsewhere).await, "invalid_siwx_uri_mismatch");
    let proof = payer.sign_in(&post(&host, "/echo").await);
    assert_eq!(signed_in(&host, "/echo", &proof).await.status(), 200, "{}", host.log());
    is_challenged(&signed_in(&host, "/echo", &proof).await, "invalid_siwx_nonce");
    // The client names the route that it pays for, and that is not believed: it is bought where it was paid.
    let challenge = post(&host, "/echo").await;
    let mut payment = chain.payer(1).pay(&challenge);
    payment.document["resource"] = serde_json::json!({ "url": host.url("/upfront") });
    let paid = Client::new().post(host.url("/echo")).header("PAYMENT-SIGNATURE", payment.header()).send().await;
    assert_eq!(paid.expect("an answer").status(), 200, "{}", host.log());
    is_challenged(&comes_back(&host, chain.payer(1), "/upfront").await, "Payment required");
    assert_eq!(comes_back(&host, chain.payer(1), "/echo").await.status(), 200);
}

#[tokio::test]
async fn a_forged_proof_gets_the_challenge_with_the_reason() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &pass_of("echo", 5)).await;
    let payer = chain.payer(0);
    pay(&host, payer, "/echo").await;
    let runs = host.runs_of("echo");
    type Change = Box<dyn FnOnce(&mut Value)>;
    let set = |name: &'static str, value: String| -> Change { Box::new(move |proof| proof[name] = value.into()) };
    for (signer, change, reason) in [
        (payer, set("domain", "evil.example".to_owned()), "invalid_siwx_domain_mismatch"),
        (payer, set("uri", "http://evil.example/echo".to_owned()), "invalid_siwx_uri_mismatch"),
        (payer, set("nonce", "00112233445566778899aabbccddeeff".to_owned()), "invalid_siwx_nonce"),
        (payer, set("chainId", "eip155:1".to_owned()), "invalid_siwx_unsupported_chain"),
        (&Wallet::poor(), set("address", payer.address().to_checksum(None)), "invalid_siwx_signature"),
    ] {
        let proof = signer.sign_in_with(&post(&host, "/echo").await, change);
        is_challenged(&signed_in(&host, "/echo", &proof).await, reason);
    }
    assert_eq!(host.runs_of("echo"), runs);
    // A proof of the same payer for the same path of another host.
    let other = chain.serve(&["echo"], &pass_of("echo", 5)).await;
    let proof = payer.sign_in(&post(&other, "/echo").await);
    is_challenged(&signed_in(&host, "/echo", &proof).await, "invalid_siwx_domain_mismatch");
    is_challenged(&comes_back(&other, payer, "/echo").await, "Payment required");
}

#[tokio::test]
async fn a_pass_ends_with_its_time() {
    let chain = TestChain::start().await;
    let config = pass_of("echo", 5).replace("3600", "2");
    let host = chain.serve(&["echo"], &config).await;
    pay(&host, chain.payer(0), "/echo").await;
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    is_challenged(&comes_back(&host, chain.payer(0), "/echo").await, "pass_expired");
}

/// A payment that is owed its answer has no pass, and one that was paid back never gets one.
#[tokio::test]
async fn a_refunded_payment_ends_its_pass() {
    let seller = Seller::start_with(BY_COMMAND, &pass_of("upfront", 5)).await;
    let payer = seller.chain.payer(0);
    let debt = seller.owe(0).await;
    is_challenged(&comes_back(&seller.host, payer, "/upfront").await, "pass_ended");
    seller.pays_back(&debt).await;
    seller.until(&debt, "refunded").await;
    let refused = comes_back(&seller.host, payer, "/upfront").await;
    is_challenged(&refused, "pass_ended");
    assert!(field(&refused, "ratelimit").is_empty());
    // The other debt is fetched, and its pass counts.
    let fetched = seller.owe(1).await;
    assert_eq!(seller.present(&fetched).await.0, 200);
    assert_eq!(
        comes_back(&seller.host, seller.chain.payer(1), "/upfront").await.status(),
        200,
        "{}",
        seller.host.log()
    );
}

#[tokio::test]
async fn a_payer_whom_the_operator_denies_has_no_pass() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &pass_of("echo", 5)).await;
    pay(&host, chain.payer(0), "/echo").await;
    let denied = format!("[payers]\ndeny = [\"{}\"]\n", chain.payer(0).address());
    host.write_configuration(&format!("{}{denied}", host.configuration()));
    host.signal("HUP");
    let mut status = 0;
    for _ in 0..500 {
        status = comes_back(&host, chain.payer(0), "/echo").await.status().as_u16();
        if status == 403 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status, 403, "{}", host.log());
}
