//! Reads a message so far that the arguments of a call are apart: what a body is made of is never built as a tree.
//!
//! The protocol's own server builds each message as a tree, more than once. It gets the message without the arguments
//! of a call, and what it gets is bounded.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use rmcp::model::JsonObject;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json_text;

/// The most values of a message beside the body of its call. Paths, queries and payments have some hundred.
const MAX_VALUES: usize = 10_000;

/// A message on its way to the protocol's server.
#[derive(Debug)]
pub(super) struct ReceivedMessage {
    /// The message without the arguments of a call.
    pub(super) protocol: Bytes,
    /// The arguments of a call. None: it is none, or an unusual one whose arguments are in the message.
    pub(super) arguments: Option<CallArguments>,
}

/// The arguments of a call, whose body is a text of JSON.
#[derive(Clone, Debug, Default)]
pub(super) struct CallArguments {
    /// All but the body.
    pub(super) parts: JsonObject,
    /// Without spaces between its parts, so that the same body is the same request.
    pub(super) body: Option<Bytes>,
}

/// The reason why a message is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnfitMessage {
    /// It has more values than any that makes sense.
    TooManyValues,
    /// A call has two members of one name. Readers of JSON differ in which of them they take, so that two of them would see
    /// two calls.
    DuplicateName,
}

/// The members of an object, in their order.
struct Members<'m>(Vec<(Cow<'m, str>, &'m RawValue)>);

impl ReceivedMessage {
    /// Reads a message. What is none is for the protocol's server to refuse.
    pub(super) fn read(message: &Bytes) -> Result<Self, UnfitMessage> {
        let split = split(message)?;
        let (protocol, arguments) = match split {
            Some((protocol, arguments)) => (protocol.into(), Some(arguments)),
            None => (message.clone(), None),
        };
        bounded(&protocol)?;
        Ok(Self { protocol, arguments })
    }
}

impl From<JsonObject> for CallArguments {
    fn from(mut parts: JsonObject) -> Self {
        let body = parts.shift_remove("body").map(|body| Bytes::from(body.to_string()));
        Self { parts, body }
    }
}

fn bounded(json: &[u8]) -> Result<(), UnfitMessage> {
    if json_text::size(json).values > MAX_VALUES { Err(UnfitMessage::TooManyValues) } else { Ok(()) }
}

/// The message without the arguments, and the arguments. None if it is no call, or has a member twice.
fn split(message: &Bytes) -> Result<Option<(Vec<u8>, CallArguments)>, UnfitMessage> {
    let Some((envelope, params, arguments)) = parts_of(message)? else { return Ok(None) };
    let mut parts = Vec::new();
    write(&mut parts, arguments.others("body"));
    bounded(&parts)?;
    let Ok(Value::Object(parts)) = serde_json::from_slice(&parts) else { return Ok(None) };
    let body = arguments.only("body").map(|body| {
        let body = body.get().as_bytes();
        json_text::compact(body).map_or_else(|| message.slice_ref(body), Bytes::from)
    });
    let mut bare = Vec::new();
    write(&mut bare, params.others("arguments"));
    let bare = String::from_utf8(bare).ok().and_then(|bare| RawValue::from_string(bare).ok());
    let Some(bare) = bare else { return Ok(None) };
    let mut protocol = Vec::new();
    let params = std::iter::once(("params", &*bare));
    write(&mut protocol, envelope.others("params").chain(params));
    Ok(Some((protocol, CallArguments { parts, body })))
}

/// The members of a call, of its parameters and of its arguments. None if it is no call.
fn parts_of(message: &[u8]) -> Result<Option<(Members<'_>, Members<'_>, Members<'_>)>, UnfitMessage> {
    let Ok(envelope) = serde_json::from_slice::<Members<'_>>(message) else { return Ok(None) };
    let is_call =
        |method: &RawValue| serde_json::from_str::<String>(method.get()).is_ok_and(|name| name == "tools/call");
    if !envelope.all("method").any(is_call) {
        return Ok(None);
    }
    envelope.unambiguous()?;
    let Some(params) = envelope.object("params") else { return Ok(None) };
    params.unambiguous()?;
    let Some(arguments) = params.object("arguments") else { return Ok(None) };
    arguments.unambiguous()?;
    for part in ["path", "query"] {
        arguments.object(part).map_or(Ok(()), |members| members.unambiguous())?;
    }
    Ok(Some((envelope, params, arguments)))
}

/// Writes an object of these members.
fn write<'m>(json: &mut Vec<u8>, members: impl Iterator<Item = (&'m str, &'m RawValue)>) {
    json.push(b'{');
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            json.push(b',');
        }
        json.extend_from_slice(Value::from(name).to_string().as_bytes());
        json.push(b':');
        json.extend_from_slice(value.get().as_bytes());
    }
    json.push(b'}');
}

impl<'m> Members<'m> {
    /// The member of this name. None if there is not one.
    fn only(&self, name: &str) -> Option<&'m RawValue> {
        let mut named = self.0.iter().filter(|(other, _)| other == name);
        let (_, value) = named.next()?;
        named.next().is_none().then_some(*value)
    }

    /// The members of this name.
    fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'m RawValue> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| *value)
    }

    /// The members of the member of this name, if it is an object.
    fn object(&self, name: &str) -> Option<Members<'m>> {
        serde_json::from_str(self.only(name)?.get()).ok()
    }

    /// Fails if two members have one name.
    fn unambiguous(&self) -> Result<(), UnfitMessage> {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) { Err(UnfitMessage::DuplicateName) } else { Ok(()) }
    }

    /// The members of other names.
    fn others<'s>(&'s self, name: &'s str) -> impl Iterator<Item = (&'s str, &'s RawValue)> {
        self.0.iter().filter(move |(other, _)| other != name).map(|(other, value)| (&**other, *value))
    }
}

impl<'de: 'm, 'm> Deserialize<'de> for Members<'m> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;

        impl<'de> Visitor<'de> for OfObject {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    // More than any message has: the whole is refused by its size.
                    if members.len() >= MAX_VALUES {
                        return Err(serde::de::Error::custom("too many members"));
                    }
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(OfObject)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(message: &str) -> Result<ReceivedMessage, UnfitMessage> {
        ReceivedMessage::read(&Bytes::from(message.to_owned()))
    }

    #[test]
    fn the_arguments_of_a_call_are_apart_and_its_body_is_a_text() {
        let message = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
            "name": "a", "arguments": { "query": { "q": 1 }, "body": { "b": [1, "x y"] }, "path": { "p": "x" } },
            "_meta": { "x402/payment": { "x402Version": 2 } } }, "extra": null });
        for text in [message.to_string(), format!("{message:#}")] {
            let read = read(&text).expect("it is small");
            let arguments = read.arguments.expect("it is a call");
            assert_eq!(arguments.body.as_deref(), Some(&br#"{"b":[1,"x y"]}"#[..]));
            assert_eq!(Value::from(arguments.parts), json!({ "query": { "q": 1 }, "path": { "p": "x" } }));
            let mut expected = message.clone();
            expected["params"].as_object_mut().expect("an object").shift_remove("arguments");
            assert_eq!(serde_json::from_slice::<Value>(&read.protocol).expect("JSON"), expected);
        }
    }

    #[test]
    fn everything_else_is_for_the_server_of_the_protocol() {
        for text in [
            "",
            "nonsense",
            "[]",
            r#"{"method":"tools/list","params":{"arguments":{"body":1}}}"#,
            r#"{"method":"tools/call"}"#,
            r#"{"method":"tools/call","params":{"name":"a"}}"#,
            r#"{"method":"tools/call","params":{"name":"a","arguments":[1]}}"#,
        ] {
            let read = read(text).expect("it is small");
            assert!(read.arguments.is_none() && read.protocol == text, "{text}");
        }
    }

    #[test]
    fn a_call_that_says_something_twice_is_not_read() {
        for text in [
            r#"{"method":"tools/call","params":{"arguments":{},"arguments":{}}}"#,
            r#"{"method":"tools/call","params":{"name":"a","name":"b","arguments":{}}}"#,
            r#"{"method":"tools/call","method":"tools/list","params":{"arguments":{}}}"#,
            r#"{"method":"tools/call","params":{"arguments":{"body":1,"body":2}}}"#,
            r#"{"method":"tools/call","params":{"arguments":{"path":{"p":"a","p":"b"}}}}"#,
            r#"{"method":"tools/call","params":{"arguments":{"query":{"q":1,"\u0071":2}}}}"#,
        ] {
            assert_eq!(read(text).err(), Some(UnfitMessage::DuplicateName), "{text}");
        }
    }

    #[test]
    fn many_values_are_taken_in_a_body_alone() {
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
        let call = |arguments: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"a","arguments":{arguments}}}}}"#
            )
        };
        let body = read(&call(&format!(r#"{{"body":{many}}}"#))).expect("a body").arguments.expect("a call").body;
        assert_eq!(body.expect("a body"), many);
        for refused in [
            call(&format!(r#"{{"query":{{"q":{many}}}}}"#)),
            call(&many),
            format!(r#"{{"method":"tools/call","params":{{"_meta":{many},"arguments":{{}}}}}}"#),
            format!(r#"{{"method":"tools/list","params":{many}}}"#),
            many,
        ] {
            assert_eq!(read(&refused).err(), Some(UnfitMessage::TooManyValues), "{}", &refused[..60]);
        }
    }
}
