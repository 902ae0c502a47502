//! Declares schemas, and checks nothing itself. It answers an order with its total, which is a text and no number for a
//! count of 9. Tests overwrite the one reference `#/$defs/Item` in the component's bytes.

use kit::{Endpoint, IncomingRequest, PluginInfo, Price, ResponseOutparam, StreamError, answer, endpoint};

kit::guest!(Ok(info()), handle);

const ORDER: &str = r##"{"type":"object","required":["body"],
"properties":{"body":{"$ref":"#/$defs/Item"},"query":{"type":"object","additionalProperties":false}},
"$defs":{"Item":{"type":"object","additionalProperties":false,"required":["item","count"],
"properties":{"item":{"type":"string","pattern":"^[a-z]+$"},"count":{"type":"integer","minimum":1,"maximum":9}}}}}"##;

const TOTAL: &str = r#"{"type":"object","properties":{"total":{"type":"integer"}},"required":["total"]}"#;

/// Its parts are named behind a reference.
const ITEM: &str = r##"{"$ref":"#/$defs/Get","$defs":{"Get":{"type":"object","required":["path"],
"properties":{"path":{"type":"object","properties":{"id":{"type":"integer","minimum":1}},"required":["id"]}}}}}"##;

/// A form with a box that may be unchecked, and a file of three bytes at most.
const FORM: &str = r#"{"type":"object","required":["body"],"properties":{"body":{"type":"object",
"contentMediaType":"multipart/form-data","properties":{"box":{"const":"on"},"file":{"type":"string","maxLength":3}}}}}"#;

const FIND: &str = r#"{"type":"object","x-order":["q"],"required":["query"],"properties":{"query":{"type":"object","required":["q"],
"properties":{"q":{"type":"string"},"limit":{"type":"integer","maximum":100},"tag":{"type":"array"}}}}}"#;

/// Each level of the body is tried twice for each time that the level above it is.
const TREE: &str = r##"{"type":"object","properties":{"body":{"$ref":"#/$defs/t"}},"$defs":{"t":{"oneOf":[
{"type":"object","properties":{"n":{"$ref":"#/$defs/t"}},"required":["a"]},
{"type":"object","properties":{"n":{"$ref":"#/$defs/t"}},"required":["b"]},
{"type":"array","items":{"anyOf":[{"$ref":"#/$defs/t"},{"not":{"$ref":"#/$defs/t"}}]}}]}}}"##;

fn info() -> PluginInfo {
    let paid = || Price::Exact("0.01".into());
    let with = |endpoint: Endpoint, schema: &str| Endpoint { input_schema: Some(schema.into()), ..endpoint };
    let order = with(endpoint("POST", "/schemas/order", paid()), ORDER);
    PluginInfo {
        name: "schemas".into(),
        version: "1.0.0".into(),
        endpoints: vec![
            Endpoint { output_schema: Some(TOTAL.into()), ..order },
            with(endpoint("GET", "/schemas/items/{id}", paid()), ITEM),
            with(endpoint("GET", "/schemas/find", paid()), FIND),
            with(endpoint("POST", "/schemas/find", Price::Free), FIND),
            with(endpoint("POST", "/schemas/form", paid()), FORM),
            with(endpoint("POST", "/schemas/tree", paid()), TREE),
            with(endpoint("POST", "/schemas/free", Price::Free), TREE),
        ],
        extensions: Vec::new(),
    }
}

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    println!("schemas ran");
    let body = request.consume().expect("the body, asked for once");
    let stream = body.stream().expect("the stream, asked for once");
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    let is_nine = bytes.windows(2).any(|pair| pair == b":9");
    answer(out, 200, &format!("{{\"total\":{},\"read\":{}}}", if is_nine { "\"9\"" } else { "1" }, bytes.len()));
}
