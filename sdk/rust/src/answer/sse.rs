//! Writes server-sent events (WHATWG HTML, section 9.2).
//!
//! Invariant: no text of an author ends an event or starts another field: line breaks in data become further `data`
//! lines, and those in other fields become spaces.

use std::error::Error;
use std::fmt::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;

use super::{Answer, Response};
use crate::body::{Body, Sink, Stream};

/// An answer of server-sent events, each sent when it is made. It is paid before the function runs, because its media
/// type is `text/event-stream`.
///
/// ```
/// # use coinslot_sdk::{Event, Sse, endpoint, testing};
/// #[endpoint(get, "/ticks", price = "0.002", summary = "Three ticks")]
/// fn ticks() -> Sse {
///     Sse::writer(async |mut events| {
///         for number in 1..=3 {
///             events.send(Event::data(format!("tick {number}")).event("tick")).await;
///         }
///         Ok(())
///     })
/// }
/// # fn main() {
/// let answer = testing::get("/ticks").send();
/// assert!(answer.text().starts_with("event: tick\ndata: tick 1\n\n"));
/// # }
/// ```
#[derive(Debug)]
pub struct Sse(Body);

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Whole lines of other fields.
    fields: String,
    data: Option<String>,
}

/// The writer's end of an answer, for [`Sse::writer`].
#[derive(Debug)]
pub struct EventSink(Sink);

/// A stream of events as a stream of text.
struct EventText<S>(Pin<Box<S>>);

impl Sse {
    /// Sends the events of a stream. An error of the stream is logged and cuts the answer short.
    pub fn new<S, E>(events: S) -> Self
    where
        S: futures_core::Stream<Item = Result<Event, E>> + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        Self(Stream::new(EventText(Box::pin(events))).0)
    }

    /// Sends the events that `write` puts into the sink. An error of `write` is logged and cuts the answer short.
    pub fn writer<W, F>(write: W) -> Self
    where
        W: FnOnce(EventSink) -> F,
        F: Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + 'static,
    {
        Self(Stream::writer(|sink| write(EventSink(sink))).0)
    }
}

impl EventSink {
    /// Sends one event, and waits until the reader has taken it.
    pub async fn send(&mut self, event: Event) {
        self.0.send(event.to_string()).await;
    }
}

impl Event {
    /// An event with this text.
    pub fn data(text: impl Into<String>) -> Self {
        Self { fields: String::new(), data: Some(text.into()) }
    }

    /// An event with the JSON of a value.
    pub fn json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self::data)
    }

    /// A line that clients skip.
    pub fn comment(text: impl fmt::Display) -> Self {
        Self::default().field("", &text)
    }

    /// The event's name, which selects the client's listener.
    #[must_use]
    pub fn event(self, name: impl fmt::Display) -> Self {
        self.field("event", &name)
    }

    /// The event's number or word, which a client sends as `Last-Event-ID` when it connects again.
    #[must_use]
    pub fn id(self, id: impl fmt::Display) -> Self {
        self.field("id", &id)
    }

    /// The time after which a client connects again.
    #[must_use]
    pub fn retry(self, after: Duration) -> Self {
        self.field("retry", &after.as_millis())
    }

    fn field(mut self, name: &str, value: &dyn fmt::Display) -> Self {
        let value = value.to_string().replace(|c: char| c.is_control(), " ");
        // Writing to a String does not fail.
        let _ = writeln!(self.fields, "{name}: {value}");
        self
    }
}

/// The event as it is sent.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fields)?;
        if let Some(data) = &self.data {
            // A carriage return ends a line, too.
            for line in data.replace("\r\n", "\n").split(['\n', '\r']) {
                writeln!(f, "data: {line}")?;
            }
        }
        f.write_char('\n')
    }
}

impl<S, E> futures_core::Stream for EventText<S>
where
    S: futures_core::Stream<Item = Result<Event, E>>,
{
    type Item = Result<String, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = self.0.as_mut().poll_next(cx);
        event.map(|event| event.map(|event| event.map(|event| event.to_string())))
    }
}

impl Answer for Sse {
    const MIME_TYPE: &'static str = "text/event-stream";

    fn into_response(self) -> Response {
        Response::new(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Event;

    #[test]
    fn an_event_is_its_fields_its_data_and_an_empty_line() {
        let event = Event::data("a\nb\r\nc\rd").event("tick").id(7).retry(Duration::from_secs(2));
        let sent = "event: tick\nid: 7\nretry: 2000\ndata: a\ndata: b\ndata: c\ndata: d\n\n";
        assert_eq!(event.to_string(), sent);
        assert_eq!(Event::data("").to_string(), "data: \n\n");
        assert_eq!(Event::comment("still here").to_string(), ": still here\n\n");
        assert_eq!(Event::json(&[1, 2]).expect("JSON").to_string(), "data: [1,2]\n\n");
    }

    #[test]
    fn no_text_starts_another_field_or_event() {
        let event = Event::data("x\n\nevent: forged").event("a\ndata: forged").id("b\r\n\r\n");
        assert_eq!(event.to_string(), "event: a data: forged\nid: b    \ndata: x\ndata: \ndata: event: forged\n\n");
    }
}
