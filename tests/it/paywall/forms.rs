//! Gives the input of an endpoint in the form of its page.

use serde_json::json;

use super::{PAY, STATE, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_path_and_query_become_the_request_that_is_paid() {
    let mut shop = Shop::open(&[json!({ "name": "One" })]).await;
    shop.go("/answers/text?limit=3");
    assert_eq!(shop.page.run("document.querySelector('[data-name=kind]').value"), "text", "the request's own path");
    assert_eq!(shop.page.run("document.querySelector('[data-name=limit]').value"), "3");
    shop.page.select("[data-name=kind]", "json");
    shop.page.fill("[data-name=limit]", "10");
    shop.page.click(PAY);
    shop.page.sees(".wrong", "Value must be less than or equal to 9");
    shop.page.fill("[data-name=limit]", "9");
    shop.page.fill("[data-name=word]", "a&b=c é");
    shop.page.click(PAY);
    shop.page.sees("#receipt-body", "GET /answers/json?limit=9&word=a%26b%3Dc+%C3%A9");
    assert_eq!(shop.payments_of(0).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_fields_is_sent_as_json_and_the_host_points_at_what_is_wrong() {
    let mut shop = Shop::open(&[json!({ "name": "One" })]).await;
    shop.go("/.well-known/coinslot/endpoint?POST%20%2Fanswers%2Forder");
    shop.page.click(PAY);
    shop.page.sees(".wrong", "Give a value.");
    shop.page.fill("[data-name=item]", "Not Small");
    shop.page.click(PAY);
    shop.page.sees(STATE, "Nothing was paid.");
    assert_eq!(shop.page.read("#error-0"), "\"Not Small\" does not match \"^[a-z]+$\"");
    assert_eq!(shop.page.run("document.activeElement.dataset.name"), "item", "a reader is brought to the field");
    let faults = shop.page.look("paywall-form");
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(shop.page.calls(0, "eth_requestAccounts"), 0);
    shop.page.fill("[data-name=item]", "tea");
    shop.page.fill("[data-name=count]", "12345678901234567890");
    shop.page.select("[data-name=wrapped]", "true");
    shop.page.fill("[data-name=tags]", "hot\n\n black ");
    shop.page.click(PAY);
    let body = r#"{"item":"tea","count":12345678901234567890,"wrapped":true,"tags":["hot","black"]}"#;
    shop.page.sees("#answer-body pre", &format!("{} bytes: {body}", body.len()));
    assert_eq!(shop.payments_of(0).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_sent_with_its_form() {
    let mut shop = Shop::open(&[json!({ "name": "One", "cutsOff": true })]).await;
    let file = shop.host.path("table.csv");
    std::fs::write(&file, "a,b\n1,2\n").expect("a file");
    let give = |shop: &mut Shop| {
        shop.go("/.well-known/coinslot/endpoint?POST%20%2Fanswers%2Ffile");
        shop.page.fill("[data-name=name]", "mine");
        shop.page.upload("[data-name=file]", &file);
        shop.page.click(PAY);
    };
    give(&mut shop);
    shop.page.sees(STATE, "The connection was lost");
    shop.page.set_offline(false);
    // The same input is the same request, which was signed for already.
    give(&mut shop);
    shop.page.sees("#answer-body pre", "name=\"file\"; filename=\"table.csv\"");
    shop.page.sees("#answer-body pre", "1,2");
    assert_eq!((shop.payments_of(0).await, shop.page.calls(0, "eth_signTypedData_v4")), (1, 1));
}
