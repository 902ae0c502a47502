//! Charges for metered requests.

use coinslot_sdk::{Deserialize, JsonSchema, Query, endpoint, testing};

#[endpoint(get, "/meter", up_to = "0.05", summary = "Charges what the query says")]
fn meter(Query(charge): Query<Charge>) -> coinslot_sdk::Result<()> {
    Ok(coinslot_sdk::usage::charge(charge.amount)?)
}

#[endpoint(get, "/fixed", price = "0.05", summary = "Charges, though its price is fixed")]
fn fixed(Query(charge): Query<Charge>) -> coinslot_sdk::Result<()> {
    meter(Query(charge))
}

#[derive(Deserialize, JsonSchema)]
struct Charge {
    amount: String,
}

/// A test told an author that a fixed price had been charged, and one above the maximum.
#[test]
fn a_charge_that_no_host_takes_fails_the_request_and_is_not_made() {
    for (request, status, charged) in [
        ("/meter?amount=0.05", 204, Some("0.05")),
        ("/meter?amount=0.050001", 500, None),
        ("/meter?amount=1e-3", 500, None),
        ("/fixed?amount=0.05", 500, None),
    ] {
        let answer = testing::get(request).send();
        assert_eq!((answer.status(), answer.charged()), (status, charged), "{request}");
    }
}

#[test]
fn nothing_is_charged_outside_a_request() {
    assert!(coinslot_sdk::usage::charge("0.01").is_err());
}
