//! Clients that pay nothing: they read settled payments from the chain and send them as their own, in both protocol
//! versions, without the secret of the payer's challenge or with the secret of another challenge. Each has an address
//! of its own, which is not the payers' address: version 1 gives an answer again to the address that bought it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coinslot_tests::{decode, encode, random_word};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::chain::Anvil;
use crate::client::{ROUTES, SoakLoad};
use crate::order::Version;

/// The payments that a stranger takes from one block.
const PAYMENTS_PER_BLOCK: usize = 2;
/// The time between two looks at the chain.
const PAUSE: Duration = Duration::from_millis(500);
/// The answers that a replayed payment may get: the host refuses it, is busy with it, or cannot know yet.
const HARMLESS: [u16; 3] = [409, 429, 503];

/// The answers to all strangers.
#[derive(Default)]
pub(crate) struct Strangers {
    answers: Mutex<BTreeMap<String, u64>>,
    findings: Mutex<Vec<String>>,
}

impl Strangers {
    /// The answers that no stranger may get.
    pub(crate) fn findings(&self) -> Vec<String> {
        let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let replays = self.answers.lock().unwrap_or_else(PoisonError::into_inner).values().sum::<u64>();
        if replays == 0 { vec!["nothing: no stranger replayed a payment".to_owned()] } else { findings }
    }

    pub(crate) fn print(&self) {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        println!("strangers      {} replays of payments on chain", answers.values().sum::<u64>());
        for (answer, times) in answers.iter() {
            println!("  answered     {times:>6}  {answer}");
        }
    }

    fn note(&self, status: u16, fields: &HeaderMap, body: &str, nonce: &str) {
        let error: Value = serde_json::from_str(body).unwrap_or_default();
        let named = error["error"].as_str().unwrap_or("unnamed");
        let known = format!("{status} {named}");
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner).entry(known).or_default() += 1;
        let receipt = [Version::One, Version::Two].iter().any(|version| fields.contains_key(version.receipt_header()));
        if !HARMLESS.contains(&status) || receipt || body.contains("as asked") || body.contains("\"paid\"") {
            let finding = format!("{status} for {nonce}, a receipt: {receipt}, {body}");
            self.findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
        }
    }
}

/// Replays payments of new blocks until [`SoakLoad::closed`] is set.
pub(crate) async fn replay_repeatedly(
    load: Arc<SoakLoad>,
    anvil: Arc<Anvil>,
    strangers: Arc<Strangers>,
    number: usize,
) {
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 1, u8::try_from(number % 250 + 1).expect("at most 250")));
    let http = reqwest::Client::builder().local_address(address).timeout(Duration::from_secs(60));
    let http = http.build().expect("a client");
    let mut last = anvil.newest().await;
    while !load.closed.load(Ordering::Relaxed) {
        tokio::time::sleep(PAUSE).await;
        let newest = anvil.newest().await;
        if newest == last {
            continue;
        }
        last = newest;
        let payloads = anvil.signed_payloads(newest).await;
        for at in 0..PAYMENTS_PER_BLOCK.min(payloads.len()) {
            let chance = usize::from(random_word()[0]);
            let payload = &payloads[(number * PAYMENTS_PER_BLOCK + at + chance) % payloads.len()];
            // While the host is down there is nothing to try.
            let _ = replay(&load, &http, &strangers, payload, ROUTES[chance % ROUTES.len()]).await;
        }
    }
}

/// Sends one settled payment in every form that a stranger can give it. The request is the payer's, whose body is the
/// nonce.
async fn replay(
    load: &SoakLoad,
    http: &reqwest::Client,
    strangers: &Strangers,
    payload: &Value,
    route: &str,
) -> Result<(), reqwest::Error> {
    let url = format!("{}{route}", load.url);
    let nonce = payload["authorization"]["nonce"].as_str().expect("a nonce");
    let challenge = http.post(&url).send().await?;
    // A host that closes or cannot sell makes no challenge.
    let Some(required) = challenge.headers().get("payment-required") else { return Ok(()) };
    let accepted = decode(required.to_str().expect("ASCII"))["accepts"][0].clone();
    let mut without = accepted.clone();
    without["extra"].as_object_mut().expect("`extra`").remove("secret");
    let first = json!({ "x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": payload });
    let second = |accepted: Value| json!({ "x402Version": 2, "accepted": accepted, "payload": payload });
    for (version, document) in
        [(Version::One, first), (Version::Two, second(accepted)), (Version::Two, second(without))]
    {
        let request = http.post(&url).header("content-type", "text/plain").body(nonce.to_owned());
        let answer = request.header(version.payment_header(), encode(&document)).send().await?;
        let (status, fields) = (answer.status().as_u16(), answer.headers().clone());
        strangers.note(status, &fields, &answer.text().await?, nonce);
    }
    Ok(())
}
