//! Pays prices that a plugin quotes for each request, as stock clients do: they ask once, and repeat the request.

use alloy::primitives::U256;
use coinslot_tests::{DevHost, FacilitatorMode, TestChain, altered, decode, guest, run};
use serde_json::json;

async fn price(challenge: &reqwest::Response) -> String {
    assert_eq!(challenge.status(), 402);
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    required["accepts"][0]["amount"].as_str().expect("an amount").to_owned()
}

/// A request with neither query nor body got the most that it could cost, and the payment for that was refused: no
/// client could buy.
#[tokio::test]
async fn a_quoted_route_with_parameters_alone_is_payable() {
    let host = DevHost::builder().plugin("quoter.wasm", &guest("quoter")).start().await;
    let ask = || host.client().post(host.url("/quoter/page"));
    let challenge = ask().send().await.expect("an answer");
    assert_eq!(price(&challenge).await, "4000");
    let payment = host.payer(0).pay(&challenge).header();
    assert_eq!(ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer").status(), 200);
    let challenge = ask().send().await.expect("an answer");
    let body: serde_json::Value = challenge.json().await.expect("JSON");
    let legacy = host.payer(1).pay_v1(&body["accepts"][0]).header();
    assert_eq!(ask().header("X-PAYMENT", legacy).send().await.expect("an answer").status(), 200);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(8_000));
}

/// A route with parameters is no probe: what the path names is judged before anybody pays for it.
#[tokio::test]
async fn a_route_with_parameters_alone_is_refused_by_its_quote_before_it_is_paid() {
    let chain = TestChain::start().await;
    let host = chain.serve(&[], "").await;
    host.install("quoter.wasm", &altered("quoter", "[shop]open", "[shop]shut"));
    host.wait_for_log("active file=quoter.wasm", 1).await;
    let refused = reqwest::Client::new().post(host.url("/quoter/page")).send().await.expect("an answer");
    assert_eq!((refused.status().as_u16(), refused.headers().get("payment-required")), (410, None));
    let refusal: serde_json::Value = refused.json().await.expect("JSON");
    assert_eq!((&refusal["error"], &refusal["charged"]), (&"shut".into(), &"no".into()));
}

/// A quote for one page was paid with a header that asked for a thousand.
#[tokio::test]
async fn a_quote_is_bound_to_the_headers_that_it_reads() {
    let host = DevHost::builder().plugin("quoter.wasm", &guest("quoter")).start().await;
    let ask = |pages: &str| host.client().post(host.url("/quoter/x")).header("x-pages", pages).body("12345");
    let challenge = ask("1").send().await.expect("an answer");
    assert_eq!(price(&challenge).await, "6000");
    let payment = host.payer(0).pay(&challenge).header();
    let more = ask("100").header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(price(&more).await, "105000");
    // Other headers differ from request to request, and change nothing.
    let paid = ask("1").header("PAYMENT-SIGNATURE", &payment).header("x-request-id", "2");
    assert_eq!(paid.send().await.expect("an answer").status(), 200);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(6_000));
}

/// A client that encodes a form anew draws another boundary: its payment was for another request then, and a repetition
/// did not fetch what it had paid for.
#[tokio::test]
async fn a_form_that_is_encoded_anew_is_the_same_request() {
    let host =
        DevHost::builder().plugin("quoter.wasm", &guest("quoter")).plugin("echo.wasm", &guest("echo")).start().await;
    for path in ["/quoter/form", "/echo"] {
        let ask = |boundary: &str, word: &str| {
            let body = format!(
                "--{boundary}\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n{word}\r\n--{boundary}--\r\n"
            );
            let media = format!("multipart/form-data; boundary={boundary}");
            host.client().post(host.url(path)).header("content-type", media).body(body)
        };
        let before = host.chain().balance(host.seller()).await;
        let challenge = ask("----one-boundary", "mine").send().await.expect("an answer");
        let amount: U256 = price(&challenge).await.parse().expect("a number");
        let payment = host.payer(0).pay(&challenge).header();
        let pay = |boundary, word| ask(boundary, word).header("PAYMENT-SIGNATURE", &payment).send();
        assert_eq!(pay("----two-boundary", "mine").await.expect("an answer").status(), 200, "{path}");
        assert_eq!(pay("----thr-boundary", "mine").await.expect("an answer").status(), 200, "{path}");
        assert_eq!(pay("----two-boundary", "more").await.expect("an answer").status(), 409, "{path}");
        assert_eq!(host.chain().balance(host.seller()).await - before, amount, "{path}");
    }
}

#[tokio::test]
async fn a_refusal_names_the_field_that_is_wrong_if_the_plugin_does() {
    let host = DevHost::builder().plugin("quoter.wasm", &guest("quoter")).start().await;
    let refused = async |query: &str| {
        let ask = host.client().post(host.url(&format!("/quoter/x?{query}"))).body("12345");
        ask.send().await.expect("an answer").json::<serde_json::Value>().await.expect("JSON")
    };
    let named = serde_json::json!({
        "error": "too_many", "message": "Order fewer", "charged": "no", "pointer": "/body/count", "code": "stock",
    });
    let mut said = refused("pointer").await;
    assert_eq!(said.as_object_mut().and_then(|said| said.remove("request_id")).map(|id| id.is_string()), Some(true));
    assert_eq!(said, named);
    let bare = refused("params").await;
    assert_eq!((bare.get("pointer"), bare.get("code")), (None, None), "{bare}");
}

/// A route with free and paid methods could not be sold: a quote of nothing was a broken contract.
#[tokio::test]
async fn a_request_that_is_quoted_as_free_runs_without_a_payment_and_takes_none() {
    let host = DevHost::builder().plugin("quoter.wasm", &guest("quoter")).start().await;
    let ask = |query: &str| host.client().post(host.url(&format!("/quoter/x{query}"))).body("12345");
    let free = ask("?free").send().await.expect("an answer");
    assert_eq!((free.status().as_u16(), free.headers().get("payment-response")), (200, None));
    let challenge = ask("").send().await.expect("an answer");
    assert_eq!(price(&challenge).await, "5000");
    let payment = host.payer(0).pay(&challenge).header();
    let with_payment = ask("?free").header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!((with_payment.status().as_u16(), with_payment.headers().get("payment-response")), (200, None));
    assert_eq!(host.chain().balance(host.seller()).await, U256::ZERO);
    // The payment is still worth what it was.
    assert_eq!(ask("").header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer").status(), 200);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(5_000));
}

/// The plugin was asked for a quote before the ledger was asked what the payment had bought: the payer of an answer
/// heard the refusal of a later build, and that nothing was charged.
#[tokio::test]
async fn an_answer_that_was_bought_yesterday_is_fetched_from_a_plugin_that_refuses_to_quote_today() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["quoter"], "[server]\ntrusted_proxies = []\n").await;
    let client = reqwest::Client::new();
    let ask = || client.post(host.url("/quoter/x")).body("12345");
    let challenge = ask().send().await.expect("an answer");
    assert_eq!(price(&challenge).await, "5000");
    let payment = chain.payer(0).pay(&challenge).header();
    let body: serde_json::Value = challenge.json().await.expect("JSON");
    let legacy = chain.payer(1).pay_v1(&body["accepts"][0]).header();
    let pay = || ask().header("PAYMENT-SIGNATURE", &payment).send();
    let pay_v1 = || ask().header("X-PAYMENT", &legacy).send();
    let bought = pay().await.expect("an answer");
    assert_eq!(bought.status(), 200);
    let receipt = bought.headers()["payment-response"].clone();
    assert_eq!(pay_v1().await.expect("an answer").status(), 200);

    host.install("quoter.wasm", &altered("quoter", "[shop]open", "[shop]shut"));
    host.wait_for_log("active file=quoter.wasm", 2).await;
    let refused = ask().send().await.expect("an answer");
    assert_eq!(refused.status(), 410, "nothing new is sold");
    let again = pay().await.expect("an answer");
    assert_eq!((again.status().as_u16(), &again.headers()["payment-response"]), (200, &receipt));
    assert_eq!(pay_v1().await.expect("an answer").status(), 200);
}

/// The claim left out what the price depends on: what was bought for one page, or for a form with a long field, was
/// fetched for a request that costs more.
#[tokio::test]
async fn a_payment_fetches_nothing_for_a_request_that_could_have_another_price() {
    let host = DevHost::builder().plugin("quoter.wasm", &guest("quoter")).start().await;
    let ask = |pages: &str| host.client().post(host.url("/quoter/x")).header("x-pages", pages).body("12345");
    let challenge = ask("1").send().await.expect("an answer");
    let payment = host.payer(0).pay(&challenge).header();
    for (pages, status) in [("1", 200), ("900", 409), ("1", 200)] {
        let reply = ask(pages).header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
        assert_eq!(reply.status(), status, "{pages}");
    }
    // Cut out wherever it stands, the boundary would make two forms with different fields the same request.
    let form = |boundary: &str| {
        let body = format!("--{boundary}\r\n\r\n{boundary}{boundary}\r\n--{boundary}--\r\n");
        let media = format!("multipart/form-data; boundary={boundary}");
        host.client().post(host.url("/quoter/form")).header("content-type", media).body(body)
    };
    let (short, long) = ("00000001", "9".repeat(70));
    let payment = host.payer(1).pay(&form(short).send().await.expect("an answer")).header();
    for (boundary, status) in [(short, 200), (&long, 409), (short, 200)] {
        let reply = form(boundary).header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
        assert_eq!(reply.status(), status, "{boundary}");
    }
}

/// A call that costs nothing, such as the first one of a protocol, was refused because no payment could be settled.
#[tokio::test]
async fn a_request_that_is_quoted_as_free_needs_no_facilitator() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let host = chain.serve_through(&guest("quoter"), &[&facilitator]).await;
    let ask = |query: &str| reqwest::Client::new().post(host.url(&format!("/quoter/x{query}"))).body("12345");
    let status = async |query: &str| ask(query).send().await.expect("an answer").status().as_u16();
    let challenge = ask("").send().await.expect("an answer");
    assert_eq!((challenge.status().as_u16(), status("?free").await), (402, 200));
    facilitator.on_verify(FacilitatorMode::Hang);
    while status("").await != 503 {
        let payment = chain.payer(0).pay(&challenge).header();
        let refused = ask("").header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
        assert_eq!(refused.status(), 503, "{}", host.log());
    }
    assert_eq!(status("?free").await, 200);
}

/// A module in TypeScript whose quote reads a default of one of two forms, and whose schema refers to itself.
const FORMS: &str = r##"import { post } from "coinslot";
const one = (kind: string, size: object) => ({ properties: { kind: { const: kind }, size }, required: ["kind"] });
const body = { type: "object", anyOf: [one("pro", { default: "large" }), one("basic", { type: "string" })] };
const quote = ({ body }: any) => (body.size === "large" ? "0.9" : "0.1");
post("/forms", { quoted: "0.9", quote, body }, ({ body }: any) => body);
const node = { properties: { next: { anyOf: [{ allOf: [{ $ref: "#" }], required: ["x"] }, { $ref: "#" }] } } };
post("/nodes", { quoted: "0.9", quote: () => "0.1", body: { type: "object", ...node } }, () => "ok");
"##;

/// A request for the small form cost the price of the large one, because the form that it did not fit had left its default.
#[tokio::test]
async fn a_quote_in_javascript_reads_the_defaults_of_the_form_that_was_sent() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("shop.ts"), FORMS).expect("a module");
    let built = run(dir.path(), &["build", "shop.ts"]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let host = DevHost::builder().plugin("shop.wasm", &dir.path().join("shop.wasm")).start().await;
    let ask = |body: &serde_json::Value| host.client().post(host.url("/forms")).json(body);
    for (sent, cost, received) in [
        (json!({"kind": "basic"}), 100_000, json!({"kind": "basic"})),
        (json!({"kind": "pro"}), 900_000, json!({"kind": "pro", "size": "large"})),
    ] {
        let before = host.chain().balance(host.seller()).await;
        let challenge = ask(&sent).send().await.expect("an answer");
        assert_eq!(price(&challenge).await, cost.to_string(), "{sent}");
        let payment = host.payer(0).pay(&challenge).header();
        let paid = ask(&sent).header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
        assert_eq!(paid.json::<serde_json::Value>().await.expect("JSON"), received);
        assert_eq!(host.chain().balance(host.seller()).await - before, U256::from(cost));
    }
    // Two alternatives took time that doubled with each level, and a deep body used up the stack.
    for (depth, answer) in [(30, 402), (120, 400)] {
        let body = (0..depth).fold(json!({}), |inner, _| json!({ "next": inner }));
        let asked = host.client().post(host.url("/nodes")).json(&body).send().await.expect("an answer");
        assert_eq!(asked.status(), answer, "{depth} levels: {}", host.log());
        if answer == 400 {
            let refusal: serde_json::Value = asked.json().await.expect("JSON");
            assert_eq!((&refusal["error"], &refusal["charged"]), (&"input_too_complex".into(), &"no".into()));
        }
    }
}
