//! Serves several payers in one instance at once: each has its own receipt, answer and end.

use alloy::primitives::U256;
use coinslot_tests::{DevHost, Payment, guest};
use reqwest::Response;
use serde_json::{Value, json};

/// One instance for all requests, with a short time for the first byte.
const CONFIG: &str = "
[plugin.crowd]
reuse = { total = 100, concurrent = 8 }
[plugin.crowd.limits]
max_instances_per_plugin = 1
first_byte_timeout = \"4s\"
";

struct CrowdHost(DevHost);

impl CrowdHost {
    async fn open() -> Self {
        let builder = DevHost::builder().plugin("crowd.wasm", &guest("crowd"));
        std::fs::write(builder.path("coinslot.toml"), CONFIG).expect("a file");
        Self(builder.arguments(&["--config", "coinslot.toml"]).start().await)
    }

    fn url(&self, steps: &str) -> String {
        self.0.url(&format!("/crowd?{steps}"))
    }

    /// A payment by this payer. `steps` tells the guest what to do.
    async fn payment(&self, payer: usize, steps: &str) -> Payment {
        let challenge = self.0.client().post(self.url(steps)).send().await.expect("an answer");
        assert_eq!(challenge.status(), 402);
        self.0.payer(payer).pay(&challenge)
    }

    /// Sends the request with the payment, in a task of its own.
    fn buy(&self, steps: &str, payment: &Payment) -> tokio::task::JoinHandle<Response> {
        let request = self.0.client().post(self.url(steps)).header("PAYMENT-SIGNATURE", payment.header());
        tokio::spawn(async move { request.send().await.expect("an answer") })
    }

    async fn sold(&self) -> U256 {
        self.0.chain().balance(self.0.seller()).await / U256::from(10_000)
    }
}

async fn said(reply: Response) -> Value {
    assert_eq!(reply.status(), 200);
    reply.json().await.expect("JSON")
}

#[tokio::test]
async fn concurrent_payers_in_one_instance_get_their_own_receipts_and_pay_once() {
    let crowd = CrowdHost::open().await;
    let steps = "meet=all:4&wait";
    let mut before = Vec::new();
    let mut payments = Vec::new();
    for payer in 0..4 {
        before.push(crowd.0.chain().balance(crowd.0.payer(payer).address()).await);
        payments.push(crowd.payment(payer, steps).await);
    }
    let bought: Vec<_> = payments.iter().map(|payment| crowd.buy(steps, payment)).collect();
    for (payer, bought) in bought.into_iter().enumerate() {
        let said = said(bought.await.expect("a task")).await;
        let address = crowd.0.payer(payer).address();
        assert_eq!(said["payers"], json!([address.to_checksum(None), address.to_checksum(None)]));
        assert_eq!(said["most"], 4, "the requests ran at once: {said}");
    }
    for (payer, before) in before.into_iter().enumerate() {
        let after = crowd.0.chain().balance(crowd.0.payer(payer).address()).await;
        // The last payer also pays gas, but in ether.
        assert_eq!(before - after, U256::from(10_000));
    }
    // Each answer is stored for its own payment.
    let again = said(crowd.buy(steps, &payments[2]).await.expect("a task")).await;
    assert_eq!(again["payers"][0], crowd.0.payer(2).address().to_checksum(None));
    let next = crowd.0.client().get(crowd.url("")).send().await.expect("an answer");
    assert_eq!(said(next).await["calls"], 5, "in the same instance");
    crowd.0.wait_for_ledger(&["delivered"; 4]).await;
}

#[tokio::test]
async fn a_trap_fails_all_concurrent_requests_without_a_charge_and_the_next_request_is_served() {
    let crowd = CrowdHost::open().await;
    let steps = ["meet=all:3&trap", "meet=all:3&sleep", "meet=all:3&wait&wait&wait"];
    let mut bought = Vec::new();
    for (payer, steps) in steps.into_iter().enumerate() {
        bought.push((steps, crowd.payment(payer, steps).await));
    }
    let bought: Vec<_> = bought.iter().map(|(steps, payment)| crowd.buy(steps, payment)).collect();
    for bought in bought {
        let failed = bought.await.expect("a task");
        assert_eq!(failed.status(), 500);
        let body: Value = failed.json().await.expect("JSON");
        assert_eq!((&body["error"], &body["charged"]), (&json!("plugin_failed"), &json!("no")), "{body}");
    }
    assert_eq!(crowd.sold().await, U256::ZERO);
    let payment = crowd.payment(3, "").await;
    let said = said(crowd.buy("", &payment).await.expect("a task")).await;
    assert_eq!((&said["calls"], &said["payers"][0]), (&json!(1), &json!(crowd.0.payer(3).address().to_checksum(None))));
    assert_eq!(crowd.sold().await, U256::from(1));
}

#[tokio::test]
async fn a_request_past_its_deadline_is_not_charged_and_a_concurrent_request_is_served() {
    let crowd = CrowdHost::open().await;
    let (late, early) = ("meet=all:2&sleep", "meet=all:2&wait&wait");
    let payments = [crowd.payment(0, late).await, crowd.payment(1, early).await];
    let bought = [crowd.buy(late, &payments[0]), crowd.buy(early, &payments[1])];
    let [late, early] = bought;
    let early = said(early.await.expect("a task")).await;
    assert_eq!(early["payers"][1], crowd.0.payer(1).address().to_checksum(None));
    assert_eq!(late.await.expect("a task").status(), 504);
    assert_eq!(crowd.sold().await, U256::from(1));
    let payment = crowd.payment(2, "").await;
    let next = said(crowd.buy("", &payment).await.expect("a task")).await;
    assert_eq!(next["calls"], 1, "the instance with a sleeping request is retired");
}

#[tokio::test]
async fn concurrent_reuse_of_a_wasi_0_2_component_is_refused_with_the_reason() {
    let builder = DevHost::builder().plugin("crowd.wasm", &guest("crowd")).plugin("echo.wasm", &guest("echo"));
    let config = format!("{CONFIG}[plugin.echo]\nreuse = {{ total = 9, concurrent = 2 }}\n");
    std::fs::write(builder.path("coinslot.toml"), config).expect("a file");
    let host = builder.arguments(&["--config", "coinslot.toml"]).start().await;
    assert!(host.log().contains("WASI 0.2, which takes one request at a time"), "{}", host.log());
    for (path, status) in [("/crowd", 200), ("/echo", 404)] {
        let reply = host.client().get(host.url(path)).send().await.expect("an answer");
        assert_eq!(reply.status(), status, "{path}");
    }
}
