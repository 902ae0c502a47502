//! JSON-RPC 2.0: takes a request or a batch, dispatches each call to its method, and writes the answers.
//!
//! Invariant: every call with an id gets exactly one answer with that id, and a malformed call gets an error object
//! with the standard's code.

use serde_json::{Value, json};

use super::error::RpcError;
use super::node::Node;
use super::params::Params;
use super::{dev, eth};

/// Calls in one batch, go-ethereum's limit.
const MAX_CALLS: usize = 1_000;

/// The methods that a caller may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    /// Those that every node of a chain has.
    User,
    /// Those that mine, revert and write state, too.
    Developer,
}

/// Answers the body of a request. None if the request has notifications only, which get no answer.
pub(super) fn answer(node: &Node, rights: Rights, body: &[u8]) -> Option<Vec<u8>> {
    let answer = match serde_json::from_slice(body) {
        Err(error) => Some(failure(&Value::Null, &RpcError::Parse(error))),
        Ok(Value::Array(calls)) if calls.is_empty() => {
            Some(failure(&Value::Null, &RpcError::Request("an empty batch")))
        }
        Ok(Value::Array(calls)) if calls.len() > MAX_CALLS => {
            Some(failure(&Value::Null, &RpcError::BatchTooLarge { calls: calls.len(), limit: MAX_CALLS }))
        }
        Ok(Value::Array(calls)) => {
            let answers: Vec<Value> = calls.into_iter().filter_map(|call| answer_one(node, rights, call)).collect();
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        Ok(call) => answer_one(node, rights, call),
    };
    answer.map(|answer| answer.to_string().into_bytes())
}

/// The answer to a request whose handling panicked. It fits a single call and a batch.
pub(super) fn internal_error() -> Vec<u8> {
    failure(&Value::Null, &RpcError::Internal).to_string().into_bytes()
}

/// Answers one call; none if it is a notification.
fn answer_one(node: &Node, rights: Rights, call: Value) -> Option<Value> {
    let Value::Object(mut call) = call else {
        return Some(failure(&Value::Null, &RpcError::Request("a call is an object")));
    };
    // An id of another type is not one, so the error has the id null.
    let id = call.remove("id");
    if !matches!(id, None | Some(Value::Null | Value::Number(_) | Value::String(_))) {
        return Some(failure(&Value::Null, &RpcError::Request("id is a string, a number or null")));
    }
    let result = dispatch(node, rights, call);
    // Only a well-formed call without an id is a notification.
    let id = match (id, &result) {
        (Some(id), _) => id,
        (None, Err(RpcError::Request(_))) => Value::Null,
        (None, _) => return None,
    };
    Some(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => failure(&id, &error),
    })
}

/// Checks the shape of a call, and runs its method.
fn dispatch(node: &Node, rights: Rights, mut call: serde_json::Map<String, Value>) -> Result<Value, RpcError> {
    if call.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(RpcError::Request("jsonrpc is not \"2.0\""));
    }
    let Some(Value::String(method)) = call.remove("method") else {
        return Err(RpcError::Request("method is not a string"));
    };
    let params = match call.remove("params") {
        None | Some(Value::Null) => Params::default(),
        Some(Value::Array(params)) => Params::new(params),
        Some(_) => return Err(RpcError::Request("params is not an array")),
    };
    match eth::call(node, &method, &params)? {
        Some(result) => Ok(result),
        None if rights == Rights::User && dev::is_method(&method) => Err(RpcError::Forbidden(method)),
        None => dev::call(node, &method, &params)?.ok_or(RpcError::Method(method)),
    }
}

fn failure(id: &Value, error: &RpcError) -> Value {
    let mut object = json!({ "code": error.code(), "message": error.to_string() });
    if let RpcError::Reverted(output) = error {
        object["data"] = json!(output);
    }
    json!({ "jsonrpc": "2.0", "id": id, "error": object })
}
