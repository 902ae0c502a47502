//! Tries to get, or to spoil, what another client has paid for. A signature is public once its payment is settled, and
//! a client's name for a purchase may be guessed.

use alloy::primitives::{Address, U256};
use coinslot_tests::{DevHost, Payment, TestChain, Wallet, decode, encode, guest, raw};
use serde_json::{Value, json};

async fn challenge(host: &DevHost, path: &str) -> reqwest::Response {
    let reply = host.client().post(host.url(path)).body("mine").send().await.expect("an answer");
    assert_eq!(reply.status(), 402);
    reply
}

fn send(host: &DevHost, path: &str, header: &str, payment: &Value) -> reqwest::RequestBuilder {
    host.client().post(host.url(path)).body("mine").header(header, encode(payment))
}

/// Reads a settled payment from the chain, as everybody can: the signed authorisation, in its form in both versions.
async fn as_a_stranger_reads_it(host: &DevHost, payment: &Payment, answer: &reqwest::Response) -> (Value, Value) {
    let receipt = decode(answer.headers()["payment-response"].to_str().expect("ASCII"));
    let transaction = host.chain().call("eth_getTransactionByHash", json!([receipt["transaction"]])).await;
    let signature = payment.document["payload"]["signature"].as_str().expect("a signature");
    // r and s, as the token takes them.
    let input = transaction["input"].as_str().expect("calldata");
    assert!(input.contains(&signature[2..66]) && input.contains(&signature[66..130]), "the signature is public");
    let mut accepted = payment.document["accepted"].clone();
    accepted["extra"].as_object_mut().expect("an object").remove("secret");
    let payload = payment.document["payload"].clone();
    let second = json!({ "x402Version": 2, "accepted": accepted, "payload": payload });
    let first = json!({ "x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": payload });
    (second, first)
}

/// The host re-served a paid answer to every client that sent the settled authorisation, which it had published itself
/// as calldata. One customer paid, and a reader of the chain served the rest.
#[tokio::test]
async fn a_stranger_who_reads_the_chain_gets_no_answer_and_learns_nothing() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let payment = host.payer(0).pay(&challenge(&host, "/echo").await);
    let answer = send(&host, "/echo", "PAYMENT-SIGNATURE", &payment.document).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let (second, first) = as_a_stranger_reads_it(&host, &payment, &answer).await;
    let bought = answer.text().await.expect("a body");
    host.wait_for_ledger(&["delivered"]).await;
    let guessed = {
        let mut guessed = second.clone();
        guessed["accepted"]["extra"]["secret"] = json!("0".repeat(32));
        guessed
    };
    let mut replies = Vec::new();
    // The right request and others: what was bought must not show either.
    for (header, document) in [("PAYMENT-SIGNATURE", &second), ("PAYMENT-SIGNATURE", &guessed), ("X-PAYMENT", &first)] {
        for path in ["/echo", "/echo?other"] {
            let reply = send(&host, path, header, document).send().await.expect("an answer");
            assert_eq!(reply.status(), 409, "{header} {path}");
            assert!(!reply.headers().contains_key("payment-required"));
            // Each request has an id of its own.
            let mut body: Value = reply.json().await.expect("JSON");
            assert!(body["request_id"].take().is_string(), "{body}");
            replies.push(body.to_string());
        }
    }
    replies.dedup();
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert!(replies[0].contains("payment_already_used") && !replies[0].contains(&bought), "{replies:?}");
    // The payer fetches it, also from another request.
    let again = send(&host, "/echo", "PAYMENT-SIGNATURE", &payment.document).send().await.expect("an answer");
    assert_eq!((again.status().as_u16(), again.text().await.expect("a body")), (200, bought));
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
    assert_eq!(host.log().matches("echo got").count(), 1);
}

/// Version 1 has no place for a secret: the same address fetches for a short while. All clients of this test have one.
#[tokio::test]
async fn a_payment_without_a_secret_is_served_and_fetched_from_the_same_address() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let body: Value = challenge(&host, "/echo").await.json().await.expect("JSON");
    let legacy = host.payer(0).pay_v1(&body["accepts"][0]).document;
    let mut bare = host.payer(1).pay(&challenge(&host, "/echo").await).document;
    bare["accepted"]["extra"].as_object_mut().expect("an object").remove("secret");
    for (header, payment) in [("X-PAYMENT", &legacy), ("PAYMENT-SIGNATURE", &bare)] {
        for _ in 0..2 {
            let reply = send(&host, "/echo", header, payment).send().await.expect("an answer");
            assert_eq!(reply.status(), 200, "{header}");
        }
    }
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(20_000));
    assert_eq!(host.log().matches("echo got").count(), 2);
}

/// A client that broke off an owed answer ended the debt for its payer, and everybody could be that client.
#[tokio::test]
async fn a_stranger_cannot_take_up_or_burn_an_owed_answer() {
    let host = DevHost::builder().plugin("upfront.wasm", &guest("upfront")).start().await;
    let payment = host.payer(0).pay(&challenge(&host, "/upfront").await);
    let failing = send(&host, "/upfront", "PAYMENT-SIGNATURE", &payment.document).header("x-do", "trap");
    let failed = failing.send().await.expect("an answer");
    assert!(failed.status().is_server_error());
    let (second, first) = as_a_stranger_reads_it(&host, &payment, &failed).await;
    host.wait_for_ledger(&["owed"]).await;
    for (header, document) in [("PAYMENT-SIGNATURE", &second), ("X-PAYMENT", &first)] {
        let taken = send(&host, "/upfront", header, document).send().await.expect("an answer");
        assert_eq!(taken.status(), 409, "{header}");
    }
    host.wait_for_ledger(&["owed"]).await;
    let served = send(&host, "/upfront", "PAYMENT-SIGNATURE", &payment.document).send().await.expect("an answer");
    assert_eq!(served.status(), 200);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
}

/// The pause of an owed answer was looked up before the proof that a repetition comes from its payer: everybody who
/// read the chain was told that an answer was owed.
#[tokio::test]
async fn a_stranger_does_not_learn_that_an_answer_is_owed() {
    let host = DevHost::builder().plugin("upfront.wasm", &guest("upfront")).start().await;
    let asked = host.client().post(host.url("/upfront")).send().await.expect("an answer");
    let payment = host.payer(0).pay(&asked);
    let bare = |header: &str, document: &Value| {
        host.client().post(host.url("/upfront")).header(header, encode(document)).header("x-do", "500")
    };
    let mut stranger = Vec::new();
    // The fifth failure is the first one with a pause.
    for _ in 0..5 {
        let failed = bare("PAYMENT-SIGNATURE", &payment.document).send().await.expect("an answer");
        assert_eq!(failed.status(), 500);
        let (second, first) = as_a_stranger_reads_it(&host, &payment, &failed).await;
        stranger = vec![("PAYMENT-SIGNATURE", second), ("X-PAYMENT", first)];
    }
    for (header, document) in &stranger {
        for body in ["", "mine"] {
            let reply = bare(header, document).body(body).send().await.expect("an answer");
            let text = reply.text().await.expect("a body");
            assert!(text.contains("payment_already_used"), "{header} {body}: {text}");
        }
    }
    let own = bare("PAYMENT-SIGNATURE", &payment.document).send().await.expect("an answer");
    assert_eq!(own.status(), 503);
    assert!(own.text().await.expect("a body").contains("answer_owed"));
}

/// A payment with any 65 bytes for its signature, and the identifier of another one's purchase, fetched its answer: the
/// signature was to be judged by a contract, and the answer came before anybody asked.
#[tokio::test]
async fn a_guessed_identifier_fetches_nothing_without_the_payers_signature() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let asked = challenge(&host, "/echo").await;
    let required = decode(asked.headers()["payment-required"].to_str().expect("ASCII"));
    let extensions = &required["extensions"]["payment-identifier"];
    let named = |payment: Payment| {
        let (mut document, mut own) = (payment.document, extensions.clone());
        own["info"]["id"] = json!("order-2026-000117");
        document["extensions"] = json!({ "payment-identifier": own });
        document
    };
    let first = named(host.payer(0).pay(&asked));
    let answer = send(&host, "/echo", "PAYMENT-SIGNATURE", &first).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);

    let mut forged = host.payer(0).pay(&challenge(&host, "/echo").await);
    forged.document["payload"]["signature"] = json!(format!("0x{}", "11".repeat(65)));
    // Signed by the payer, and used: a payment of the past, as the chain shows it.
    let spent = host.payer(0).pay(&challenge(&host, "/echo").await);
    let other = send(&host, "/echo?other", "PAYMENT-SIGNATURE", &spent.document).send().await.expect("an answer");
    assert_eq!(other.status(), 200);
    let (past, _) = as_a_stranger_reads_it(&host, &spent, &other).await;
    for (name, document) in [("forged", named(forged)), ("past", named(Payment { document: past }))] {
        let reply = send(&host, "/echo", "PAYMENT-SIGNATURE", &document).send().await.expect("an answer");
        assert!(matches!(reply.status().as_u16(), 402 | 409), "{name}: {}", reply.status());
        assert!(!reply.headers().contains_key("payment-response"), "{name}");
    }
    // The payer signs a new payment under the same name, and is not charged again.
    let again = named(host.payer(0).pay(&challenge(&host, "/echo").await));
    let fetched = send(&host, "/echo", "PAYMENT-SIGNATURE", &again).send().await.expect("an answer");
    assert_eq!(fetched.status(), 200);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(20_000));
}

/// Payments in the name of a victim, with garbage for a signature, used up the victim's rate, and each cost two commits
/// and a question to the node.
#[tokio::test]
async fn strangers_cannot_use_up_a_payers_rate() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let asked = challenge(&host, "/echo").await;
    let required = decode(asked.headers()["payment-required"].to_str().expect("ASCII"));
    let victim = host.payer(0);
    let mut floods = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let mut documents = Vec::new();
        for _ in 0..60 {
            let mut forged = victim.pay_entry(&required["accepts"][0]);
            forged.document["payload"]["signature"] = json!(format!("0x{}", "11".repeat(65)));
            documents.push(forged.document);
        }
        let requests: Vec<_> =
            documents.iter().map(|document| send(&host, "/echo", "PAYMENT-SIGNATURE", document)).collect();
        floods.spawn(async move {
            for request in requests {
                assert_eq!(request.send().await.expect("an answer").status(), 402);
            }
        });
    }
    while let Some(flood) = floods.join_next().await {
        flood.expect("answers");
    }
    let paid = victim.pay_entry(&required["accepts"][0]);
    let answer = send(&host, "/echo", "PAYMENT-SIGNATURE", &paid.document).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    for _ in 0..9 {
        let payment = victim.pay_entry(&required["accepts"][0]);
        let reply = send(&host, "/echo", "PAYMENT-SIGNATURE", &payment.document).send().await.expect("an answer");
        assert_eq!(reply.status(), 200);
    }
    assert_eq!(host.ledger().len(), 10, "no forged payment was ever claimed");

    // Nor by a payment that the chain shows, sent again and again while it is valid.
    let (public, _) = as_a_stranger_reads_it(&host, &paid, &answer).await;
    let mut replays = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let requests: Vec<_> = (0..60).map(|_| send(&host, "/echo", "PAYMENT-SIGNATURE", &public)).collect();
        replays.spawn(async move {
            for request in requests {
                assert!(matches!(request.send().await.expect("an answer").status().as_u16(), 409 | 429));
            }
        });
    }
    while let Some(replay) = replays.join_next().await {
        replay.expect("answers");
    }
    let payment = victim.pay_entry(&required["accepts"][0]);
    let reply = send(&host, "/echo", "PAYMENT-SIGNATURE", &payment.document).send().await.expect("an answer");
    assert_eq!(reply.status(), 200, "the payer's rate is its own");
}

/// Any header that decodes made the host take in ten megabytes of body for it.
#[tokio::test]
async fn a_body_is_not_read_for_a_worthless_payment() {
    let host =
        DevHost::builder().plugin("echo.wasm", &guest("echo")).plugin("quoter.wasm", &guest("quoter")).start().await;
    let asked = challenge(&host, "/echo").await;
    let required = decode(asked.headers()["payment-required"].to_str().expect("ASCII"));
    let mut forged = Wallet::poor().pay_entry(&required["accepts"][0]).document;
    forged["payload"]["authorization"]["from"] = json!(Address::repeat_byte(7));
    let worthless = [
        json!({ "x402Version": 2, "accepted": {}, "payload": {} }),
        json!({ "x402Version": 2, "accepted": required["accepts"][0], "payload": {} }),
        forged,
    ];
    for path in ["/echo", "/quoter/page"] {
        for document in &worthless {
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 10000000\r\n\
                 payment-signature: {}\r\n\r\n",
                encode(document)
            );
            // The body never comes: an answer shows that nobody waits for it.
            let answered = raw(&host.url(path), head.as_bytes()).await;
            assert!(answered.starts_with("HTTP/1.1 402"), "{path} {document}: {answered}");
        }
    }
}

/// `coinslot facilitator` settles payments together. A host behind it believed the first of a transaction, and charged
/// the others for nothing.
#[tokio::test]
async fn a_host_behind_our_own_facilitator_serves_every_payment_of_a_batch() {
    for with_node in [false, true] {
        let chain = TestChain::start().await;
        let node = chain.node().await;
        let host = chain.serve_through_our_facilitator(&guest("echo"), with_node.then_some(&node)).await;
        let client = reqwest::Client::new();
        let mut purchases = tokio::task::JoinSet::new();
        for index in 0..24 {
            let asked = client.post(host.url("/echo")).body("mine").send().await.expect("a challenge");
            let payment = chain.payer(index % 4).pay(&asked).header();
            let request = client.post(host.url("/echo")).body("mine").header("PAYMENT-SIGNATURE", payment);
            purchases.spawn(async move {
                let reply = request.send().await.expect("an answer");
                let receipt =
                    reply.headers().get("payment-response").map(|value| decode(value.to_str().expect("ASCII")));
                (reply.status().as_u16(), receipt)
            });
        }
        let mut transactions = Vec::new();
        while let Some(purchase) = purchases.join_next().await {
            let (status, receipt) = purchase.expect("an answer");
            assert_eq!(status, 200, "with a node: {with_node}\n{}", host.log());
            transactions.push(receipt.expect("a receipt")["transaction"].to_string());
        }
        transactions.sort();
        transactions.dedup();
        assert!(transactions.len() < 24, "they are settled together: {}", transactions.len());
        assert_eq!(chain.payments_received().await, 24);
    }
}
