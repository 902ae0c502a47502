//! Exchange rates of <https://openexchangerates.org>, cached for an hour.
//!
//! The operator grants the network, the store, and the key of the other service, which this plugin never sees:
//!
//! ```toml
//! [plugin.rates]
//! http = ["https://openexchangerates.org"]
//! secrets = [{ origin = "https://openexchangerates.org", header = "Authorization", prefix = "Token ", value_env = "OXR_KEY" }]
//! keyvalue = true
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coinslot_sdk::{Deserialize, JsonSchema, Path, Refusal, Text, config, endpoint, http, keyvalue, log};

/// The rates in US dollars, unless `source` of the plugin's configuration names another URL.
const SOURCE: &str = "https://openexchangerates.org/api/latest.json";

#[derive(Deserialize, JsonSchema)]
struct Currency {
    /// Three letters, for example `EUR`.
    #[schemars(extend("examples" = ["EUR"]))]
    currency: String,
}

/// The part of the other service's answer that is read.
#[derive(Deserialize)]
struct Latest {
    rates: BTreeMap<String, f64>,
}

#[endpoint(get, "/api/rates/{currency}", price = "0.001", summary = "Units of a currency per US dollar")]
async fn rate(Path(Currency { currency }): Path<Currency>) -> Result<Text, Refusal> {
    let unavailable = |error: &dyn std::error::Error| {
        log::failure(error);
        Refusal::new(503, "no_rates", "the rates cannot be read now; try again later")
    };
    let currency = currency.to_ascii_uppercase();
    let now = hours_since_1970();
    let cache = keyvalue::open("rates").map_err(|error| unavailable(&error))?;
    let cached =
        cache.get(&currency).map_err(|error| unavailable(&error))?.and_then(|entry| String::from_utf8(entry).ok());
    if let Some((hour, rate)) = cached.as_deref().and_then(|entry| entry.split_once(' '))
        && hour == now
    {
        return Ok(Text::from(rate));
    }
    let source = config::get("source").unwrap_or_else(|| SOURCE.to_owned());
    let answer =
        http::get(&source).timeout(Duration::from_secs(5)).send().await.map_err(|error| unavailable(&error))?;
    let latest: Latest = answer.json().await.map_err(|error| unavailable(&error))?;
    let Some(rate) = latest.rates.get(&currency) else {
        return Err(Refusal::not_found("unknown_currency", "name a currency by its three letters, as in `EUR`"));
    };
    cache.set(&currency, format!("{now} {rate}").as_bytes()).map_err(|error| unavailable(&error))?;
    Ok(Text(rate.to_string()))
}

fn hours_since_1970() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 3_600).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use coinslot_sdk::testing;

    /// Asks for a rate that was cached in this hour.
    fn cached(hour: &str) -> testing::TestAnswer {
        keyvalue::open("rates").expect("a bucket").set("EUR", format!("{hour} 0.9").as_bytes()).expect("a write");
        testing::get("/api/rates/eur").send()
    }

    #[test]
    fn a_rate_of_this_hour_comes_from_the_cache() {
        let answer = cached(&hours_since_1970());
        assert_eq!((answer.status(), answer.text()), (200, "0.9"));
    }

    // There is no network in a test.
    #[test]
    fn an_old_rate_is_read_again_and_a_failure_is_a_503_that_costs_nothing() {
        assert_eq!(cached("0").status(), 503);
    }
}
