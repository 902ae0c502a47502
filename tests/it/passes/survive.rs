//! Passes outlive restarts, crashes and the loss of the machine.

use coinslot_tests::{ServeHost, TestChain, Wallet, run};
use reqwest::{Client, Response};

use super::{field, is_challenged, pass_of};

/// The host is asked by one name, whatever its port is after a restart.
const NAME: &str = "api.example";

async fn send(host: &ServeHost, name: &str, value: &str) -> Response {
    let request = Client::new().post(host.url("/echo")).header("host", NAME).header(name, value);
    request.send().await.expect("an answer")
}

async fn comes_back(host: &ServeHost, payer: &Wallet) -> Response {
    let proof = payer.sign_in(&send(host, "x-nothing", "1").await);
    send(host, "SIGN-IN-WITH-X", &proof).await
}

async fn named_host(chain: &TestChain) -> ServeHost {
    let mut host = chain.serve(&["echo"], &pass_of("echo", 5)).await;
    host.write_configuration(&format!("public_url = \"http://{NAME}\"\n{}", host.configuration()));
    host.restart(&[]).await;
    host
}

async fn pay(host: &ServeHost, payer: &Wallet) -> String {
    let payment = payer.pay(&send(host, "x-nothing", "1").await).header();
    assert_eq!(send(host, "PAYMENT-SIGNATURE", &payment).await.status(), 200, "{}", host.log());
    payment
}

/// Runs a command that ends well.
#[track_caller]
fn good(host: &ServeHost, arguments: &[&str]) {
    let output = run(&host.path(""), arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

// The chain answers in this process while a command runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_pass_and_what_was_used_of_it_outlive_a_restart_and_a_restore() {
    let chain = TestChain::start().await;
    let mut host = named_host(&chain).await;
    let payer = chain.payer(0);
    pay(&host, payer).await;
    let proof = payer.sign_in(&send(&host, "x-nothing", "1").await);
    assert_eq!(send(&host, "SIGN-IN-WITH-X", &proof).await.status(), 200, "{}", host.log());
    host.restart(&[]).await;
    is_challenged(&send(&host, "SIGN-IN-WITH-X", &proof).await, "invalid_siwx_nonce");
    let second = comes_back(&host, payer).await;
    assert!(field(&second, "ratelimit").starts_with("\"pass\";r=3"), "{second:?}: {}", host.log());
    good(&host, &["backup", "night.tar"]);
    host.signal("TERM");
    host.wait_for_exit().await;
    std::fs::remove_dir_all(host.path(".coinslot")).expect("a folder");
    good(&host, &["restore", "night.tar"]);
    host.restart(&[]).await;
    let third = comes_back(&host, payer).await;
    assert!(field(&third, "ratelimit").starts_with("\"pass\";r=2"), "{third:?}: {}", host.log());
    is_challenged(&comes_back(&host, chain.payer(1)).await, "Payment required");
    assert_eq!(chain.payments_received().await, 1);
}

/// The money moved, and the host died before it had written that down: recovery finds the settlement, and the pass is
/// there with it.
#[tokio::test]
async fn a_host_that_dies_between_the_settlement_and_its_record_owes_the_pass_all_the_same() {
    for point in ["before:settled", "after:settled"] {
        let chain = TestChain::start().await;
        let mut host = named_host(&chain).await;
        let payer = chain.payer(0);
        host.restart(&[("COINSLOT_CRASH_AT", point)]).await;
        let payment = payer.pay(&send(&host, "x-nothing", "1").await).header();
        let request = Client::new().post(host.url("/echo")).header("host", NAME);
        let _ = request.header("PAYMENT-SIGNATURE", &payment).send().await;
        host.wait_for_exit().await;
        host.restart(&[]).await;
        let mut fetched = 0;
        for _ in 0..500 {
            fetched = send(&host, "PAYMENT-SIGNATURE", &payment).await.status().as_u16();
            if fetched == 200 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(fetched, 200, "{point}: {}", host.log());
        let free = comes_back(&host, payer).await;
        assert_eq!(free.status(), 200, "{point}: {}", host.log());
        assert_eq!(chain.payments_received().await, 1, "{point}");
    }
}

/// The guest of a use was at work when the host died: its client has no answer, and the use is given back.
#[tokio::test]
async fn a_use_without_an_end_is_given_back_after_a_crash() {
    let chain = TestChain::start().await;
    let mut host = named_host(&chain).await;
    let payer = chain.payer(0);
    pay(&host, payer).await;
    host.restart(&[("COINSLOT_CRASH_AT", "after:free_counted")]).await;
    let proof = payer.sign_in(&send(&host, "x-nothing", "1").await);
    let request = Client::new().post(host.url("/echo")).header("host", NAME).header("SIGN-IN-WITH-X", proof);
    request.send().await.expect_err("the host dies");
    host.wait_for_exit().await;
    host.restart(&[]).await;
    let free = comes_back(&host, payer).await;
    assert!(field(&free, "ratelimit").starts_with("\"pass\";r=4"), "{free:?}: {}", host.log());
}
