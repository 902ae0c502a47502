//! Opens pages of a plugin beside the pages of the host, which keep payments.

use coinslot_tests::TestChain;
use serde_json::json;

use super::{Shop, browser};

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_plugin_reads_nothing_that_the_pages_of_the_host_keep() {
    let (mut shop, node) = Shop::with_kept_payment(&["answers", "page"]).await;
    shop.go("/page");
    shop.page.sees("#origin", "null");
    shop.page.sees("#storage", "SecurityError");
    // It has what any page of the web has.
    shop.page.sees("#free", "{\"free\":true}");
    // The policy of the plugin is still there.
    let answer = reqwest::get(shop.host.url("/page")).await.expect("an answer");
    let policies: Vec<_> = answer.headers().get_all("content-security-policy").iter().collect();
    assert_eq!(policies[0], "frame-ancestors 'none'");
    assert!(policies[1].to_str().expect("a text").starts_with("sandbox "), "{policies:?}");
    node.release().await;
}

/// Browsers read types and answers about what they keep in their own ways.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_a_plugin_acts_in_the_name_of_the_host() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["answers", "page"], "").await;
    let page = browser(&chain, &[json!({ "name": "One" })]);
    let mut shop = Shop { chain, host, page };
    for path in ["/page?xhtml", "/page?cached", "/page?cached"] {
        shop.go(path);
        shop.page.sees("#origin", "null");
        shop.page.sees("#storage", "SecurityError");
        shop.page.reload();
        shop.page.sees("#origin", "null");
    }
    for path in ["/answers/free", "/page?xhtml"] {
        let answer = reqwest::get(shop.host.url(path)).await.expect("an answer");
        let policies = answer.headers().get_all("content-security-policy").iter();
        assert_eq!(policies.filter(|policy| policy.as_bytes().starts_with(b"sandbox ")).count(), 1, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_the_operator_trusts_has_pages_of_the_origin_of_the_host() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["answers", "page"], "[plugin.page]\npages = \"same-origin\"\n").await;
    let page = browser(&chain, &[json!({ "name": "One" })]);
    let mut shop = Shop { chain, host, page };
    shop.go("/page");
    shop.page.sees("#storage", "reads 0");
    let url = shop.host.url("");
    shop.page.sees("#origin", url.trim_end_matches('/'));
}
