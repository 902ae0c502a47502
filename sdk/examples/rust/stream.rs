//! Server-sent events, each sent as soon as it is made. Such an answer is paid before it begins.
//!
//! ```sh
//! coinslot pay 'http://127.0.0.1:8402/countdown?start=3'
//! ```

use std::time::Duration;

use coinslot_sdk::{Event, Query, Sse, endpoint, json, model, sleep};

#[model]
struct Start {
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 60))]
    start: u8,
}

fn three() -> u8 {
    3
}

#[endpoint(get, "/countdown", price = "0.002", summary = "Counts down")]
fn countdown(Query(Start { start }): Query<Start>) -> Sse {
    Sse::writer(async move |mut events| {
        for seconds in (1..=start).rev() {
            events.send(Event::json(&json!({ "seconds": seconds }))?.event("tick")).await;
            sleep(Duration::from_secs(1)).await;
        }
        events.send(Event::data("lift-off").event("end")).await;
        Ok(())
    })
}
