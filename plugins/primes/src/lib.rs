//! Streams prime numbers. The payment is settled before the first number is sent, so each line leaves the host as soon
//! as it is made.

use coinslot_sdk::{Deserialize, JsonSchema, Query, Refusal, Stream, endpoint};

#[derive(Deserialize, JsonSchema)]
struct Range {
    /// The first number to test.
    #[serde(default)]
    from: u32,
    /// How many primes, from 1 to 1,000.
    #[schemars(extend("examples" = [10]))]
    count: u16,
}

#[endpoint(
    get,
    "/api/primes",
    price = "0.002",
    summary = "Streams prime numbers, one per line",
    mime_type = "text/plain",
    flow = "upfront",
    check = count_is_served
)]
async fn primes(Query(range): Query<Range>) -> Stream {
    Stream::writer(async move |mut sink| {
        for prime in (u64::from(range.from)..).filter(|number| is_prime(*number)).take(range.count.into()) {
            sink.send(format!("{prime}\n")).await;
        }
        Ok(())
    })
}

fn count_is_served(range: &Range) -> Result<(), Refusal> {
    match range.count {
        1..=1_000 => Ok(()),
        _ => Err(Refusal::bad_request("bad_count", "ask for 1 to 1,000 primes with `count`")),
    }
}

fn is_prime(number: u64) -> bool {
    number >= 2
        && (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| !number.is_multiple_of(divisor))
}

#[cfg(test)]
mod tests {
    use coinslot_sdk::testing;

    #[test]
    fn primes_are_sent_one_per_line_from_the_first_one_on() {
        assert_eq!(testing::get("/api/primes?count=4").send().text(), "2\n3\n5\n7\n");
        assert_eq!(testing::get("/api/primes?from=4294967290&count=1").send().text(), "4294967291\n");
    }

    #[test]
    fn a_count_out_of_range_is_refused_before_payment() {
        for count in ["0", "1001"] {
            let refusal = testing::get(&format!("/api/primes?count={count}")).quote().expect_err("refused");
            assert_eq!(refusal.code(), "bad_count");
        }
    }

    #[test]
    fn the_payment_is_settled_first() {
        assert_eq!(testing::manifest().expect("a manifest").endpoints[0].flow, Some("upfront"));
    }
}
