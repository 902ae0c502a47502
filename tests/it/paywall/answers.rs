//! Shows every kind of answer on the page.

use serde_json::json;

use super::{PAY, STATE, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_shown_by_its_kind() {
    let mut shop = Shop::open(&[json!({ "name": "One" })]).await;
    for (kind, seen) in [("image", "img.shown"), ("audio", "audio.shown")] {
        shop.go(&format!("/answers/{kind}"));
        shop.page.click(PAY);
        shop.page.sees(STATE, "The answer is below.");
        let shown = shop.page.run(&format!("document.querySelectorAll('#answer-body {seen}').length"));
        assert_eq!(shown, 1, "{kind}");
    }
    shop.go("/answers/image");
    shop.page.click(PAY);
    shop.page.sees("#answer-body", "Save the answer (70 bytes)");
    let width = shop.page.run(
        "document.querySelector('img.shown').decode().then(() => document.querySelector('img.shown').naturalWidth)",
    );
    assert_eq!(width, 1, "the picture is one");
    shop.go("/answers/file");
    shop.page.click(PAY);
    shop.page.sees("#answer-body", "The answer is a file of the type text/csv.");
    let saved = shop.page.save("#answer-body a");
    assert_eq!(saved, ("table.csv".to_owned(), "a,b\n1,2\n".to_owned()));
    shop.go("/answers/text");
    shop.page.click(PAY);
    shop.page.sees("#answer-body pre", "<b>with marks</b>");
    assert_eq!(shop.page.run("document.querySelectorAll('#answer-body b').length"), 0, "a text is a text");
    let faults = shop.page.look("paywall-answered");
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(shop.payments_of(0).await, 5);
}

/// Of the five lines the first is there while the others are to come.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_shown_as_it_comes() {
    let mut shop = Shop::open(&[json!({ "name": "One" })]).await;
    shop.go("/answers/stream");
    shop.page.run(
        "(() => { globalThis.seen = []; new MutationObserver(() => { \
         const text = document.querySelector('#answer-body pre')?.textContent; \
         if (text) globalThis.seen.push(text.split('\\n').length - 1); }) \
         .observe(document.body, { childList: true, subtree: true, characterData: true }); return null; })()",
    );
    shop.page.click(PAY);
    shop.page.sees(STATE, "The answer is below.");
    shop.page.sees("#answer-body pre", "line 5");
    let seen = shop.page.run("globalThis.seen");
    let seen: Vec<u64> =
        seen.as_array().expect("a list").iter().map(|lines| lines.as_u64().expect("a number")).collect();
    assert_eq!(seen.last(), Some(&5));
    assert_eq!(shop.payments_of(0).await, 1);
}
