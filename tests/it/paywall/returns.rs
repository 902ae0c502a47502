//! A person who has paid on the page for a pass comes back in the same browser.

use serde_json::json;

use super::{PAY, STATE, Shop, browser};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_a_pass_presses_the_button_again_and_pays_nothing() {
    let chain = coinslot_tests::TestChain::start().await;
    let pass = "[plugin.answers.routes.\"GET /answers/{kind}\"]\npass = { seconds = 3600, requests = 2 }\n";
    let host = chain.serve(&["answers"], pass).await;
    let page = browser(&chain, &[json!({ "name": "One" })]);
    let mut shop = Shop { chain, host, page };
    shop.go("/answers/json");
    shop.page
        .sees(".price-card", "A payment also buys a pass: 2 more requests within 1h. This browser returns by itself");
    shop.page.click(PAY);
    shop.page.sees(STATE, "Paid 0.01 USDC on Base Sepolia. The answer is below.");
    for left in [1, 0] {
        shop.page.click(PAY);
        shop.page.sees(STATE, &format!("Your pass serves this request, and has {left} more. The answer is below"));
    }
    assert_eq!(shop.payments_of(0).await, 1);
    shop.page.click(PAY);
    shop.page.sees(STATE, "Paid 0.01 USDC on Base Sepolia. The answer is below.");
    assert_eq!((shop.payments_of(0).await, shop.host.runs_of("answers")), (2, 4));
}
