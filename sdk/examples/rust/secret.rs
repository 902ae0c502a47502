//! Asks another service, whose API key the plugin never sees: the host adds it to the request. The operator says where
//! the plugin may go, and what it brings along:
//!
//! ```toml
//! [plugin.secret]
//! http = ["https://weather.example.com"]
//! [[plugin.secret.secrets]]
//! origin = "https://weather.example.com"
//! header = "Authorization"
//! prefix = "Bearer "
//! value_env = "WEATHER_KEY"
//! [plugin.secret.config]
//! source = "https://weather.example.com"
//! ```
//!
//! ```sh
//! coinslot pay http://127.0.0.1:8402/weather/Oslo
//! ```

use std::time::Duration;

use coinslot_sdk::{Context, Json, Path, Refusal, Result, check_config, config, endpoint, http, log, model};

#[model]
struct City {
    #[schemars(regex(pattern = "^[A-Za-z-]{1,100}$"))]
    city: String,
}

#[model]
struct Weather {
    city: String,
    celsius: f64,
}

/// The part of the service's answer that is read.
#[model(input)]
struct Now {
    celsius: f64,
}

#[check_config]
fn knows_its_source() -> Result<(), String> {
    config::get("source").map(drop).ok_or_else(|| "set `source` to the address of the weather service".to_owned())
}

#[endpoint(get, "/weather/{city}", price = "0.003", summary = "The temperature in a city")]
async fn weather(Path(City { city }): Path<City>) -> Result<Json<Weather>> {
    let source = config::get("source").context("no `source` is configured")?;
    let request = http::get(&format!("{source}/now?city={city}")).timeout(Duration::from_secs(2));
    let answer = request.send().await.map_err(|error| {
        log::failure(&error);
        Refusal::new(502, "no_weather", "the weather service does not answer: try again later")
    })?;
    if answer.status() == 404 {
        Err(Refusal::not_found("unknown_city", "there is no weather of that city"))?;
    }
    let Now { celsius } = answer.ok()?.json().await?;
    Ok(Json(Weather { city, celsius }))
}
