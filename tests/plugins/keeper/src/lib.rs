//! Uses the configuration and the key-value store, as the lines of its body say. Its manifest and its refusals say, in
//! the same words, what it can reach in `describe` and in `quote`.
//!
//! Its configuration may set its `name`, the `root` of its paths, the `path` of its second endpoint, the `most` that a
//! quote may cost (or `free`), and a reason to `refuse` to be loaded. Tests overwrite `[needs]nothing` in the
//! component's bytes with `[needs]setting`: that build refuses to be loaded without any configuration.

wit_bindgen::generate!({
    inline: "
        package test:keeper;
        world keeper {
            include coinslot:plugin/endpoint-quoting@0.2.0;
            include wasi:config/imports@0.2.0-rc.1;
            include wasi:keyvalue/imports@0.2.0-draft;
            include coinslot:keyvalue/imports@0.1.0;
        }
    ",
    path: "../../../wit",
    generate_all,
});

use coinslot::keyvalue::atomics as swap;
use exports::coinslot::plugin::manifest::{Endpoint, PluginInfo, Price};
use exports::coinslot::plugin::quote::{Quotation, Refusal, Request};
use wasi::config::store as config;
use wasi::http::outgoing_handler;
use wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
};
use wasi::io::streams::StreamError;
use wasi::keyvalue::store::{self, Bucket};
use wasi::keyvalue::{atomics, batch};

struct Guest;
export!(Guest);

static NEEDS: [u8; 14] = *b"[needs]nothing";

/// Tries every capability once.
fn reach() -> String {
    let told = config::get("greeting").map(|value| value.unwrap_or_default());
    let kept = store::open("").and_then(|bucket| bucket.set("reached", b"1"));
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some("127.0.0.1:9")).expect("an authority");
    request.set_path_with_query(Some("/")).expect("a path");
    let web = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}")).map(|future| {
        future.subscribe().block();
        match future.get() {
            Some(Ok(Err(code))) => format!("{code:?}"),
            other => format!("{other:?}"),
        }
    });
    format!("config {told:?} keyvalue {kept:?} web {web:?}")
}

impl exports::coinslot::plugin::manifest::Guest for Guest {
    fn describe() -> Result<PluginInfo, String> {
        let set = |key: &str| config::get(key).ok().flatten();
        // Without the black box the compiler would read it now.
        if std::hint::black_box(&NEEDS).ends_with(b"setting") && config::get_all().is_ok_and(|all| all.is_empty()) {
            return Err("nothing is set".into());
        }
        if let Some(reason) = set("refuse") {
            return Err(reason);
        }
        let most = match set("most") {
            Some(word) if word == "free" => Price::Free,
            most => Price::Quoted(most.unwrap_or("1".into())),
        };
        let root = set("root").unwrap_or("/keeper".into());
        let path = set("path").unwrap_or(format!("{root}/quoted"));
        let endpoint = |method: &str, path: &str, price| Endpoint {
            method: method.into(),
            path: path.into(),
            price,
            summary: "Keeps things".into(),
            description: reach(),
            mime_type: "text/plain".into(),
            input_schema: None,
            output_schema: None,
            quote_headers: Vec::new(),
            extensions: Vec::new(),
        };
        Ok(PluginInfo {
            name: set("name").unwrap_or("keeper".into()),
            version: "1.0.0".into(),
            endpoints: vec![endpoint("POST", &root, Price::Free), endpoint("POST", &path, most)],
            extensions: Vec::new(),
        })
    }
}

impl exports::coinslot::plugin::quote::Guest for Guest {
    fn quote(_request: Request) -> Result<Quotation, Refusal> {
        let extensions = Vec::new();
        Err(Refusal { status: 400, code: "reached".into(), message: reach(), extensions })
    }
}

impl exports::wasi::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
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
        let plan = String::from_utf8(bytes).expect("a plan in text");
        let mut bucket = store::open("");
        let said: Vec<String> = plan.lines().map(|line| step(line, &mut bucket)).collect();
        let response = OutgoingResponse::new(Fields::new());
        let sink = response.body().expect("the body, asked for once");
        ResponseOutparam::set(out, Ok(response));
        let stream = sink.write().expect("the stream, asked for once");
        for piece in said.join("\n").as_bytes().chunks(4096) {
            stream.blocking_write_and_flush(piece).expect("a reader");
        }
        drop(stream);
        OutgoingBody::finish(sink, None).expect("the whole body");
    }
}

/// Runs one line of a plan, and returns its result.
fn step(line: &str, bucket: &mut Result<Bucket, store::Error>) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    if let ["config", key] = words[..] {
        return format!("{:?}", config::get(key));
    }
    if words == ["config-all"] {
        let mut all = config::get_all().expect("no error");
        all.sort();
        return format!("{all:?}");
    }
    if words == ["reach"] {
        return reach();
    }
    if let ["open", name] = words[..] {
        *bucket = store::open(name);
        return format!("{:?}", bucket.as_ref().map(drop));
    }
    let bucket = match bucket {
        Ok(bucket) => bucket,
        Err(error) => return format!("{error:?}"),
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    match words[..] {
        ["set", key, value] => format!("{:?}", bucket.set(key, value.as_bytes())),
        ["fill", key, size] => format!("{:?}", bucket.set(key, &vec![b'x'; size.parse().expect("a size")])),
        ["get", key] => format!("{:?}", bucket.get(key).map(|value| value.map(text))),
        ["exists", key] => format!("{:?}", bucket.exists(key)),
        ["delete", key] => format!("{:?}", bucket.delete(key)),
        ["increment", key, delta] => {
            format!("{:?}", atomics::increment(bucket, key, delta.parse().expect("a number")))
        }
        ["swap", key, expected, value] => {
            let given = |word: &str| (word != "-").then(|| word.as_bytes().to_vec());
            let (expected, value) = (given(expected), given(value));
            format!("{:?}", swap::compare_and_swap(bucket, key, expected.as_deref(), value.as_deref()))
        }
        ["list"] => format!("{:?}", bucket.list_keys(None).map(|page| (page.keys, page.cursor))),
        ["long-key", size] => format!("{:?}", bucket.get(&"k".repeat(size.parse().expect("a size")))),
        ["flood", count] => {
            let entries: Vec<_> =
                (0..count.parse().expect("a number")).map(|n: u32| (format!("f{n}"), vec![])).collect();
            format!("{:?}", batch::set_many(bucket, &entries))
        }
        ["both", one, two] => {
            let found = batch::get_many(bucket, &[one.to_owned(), two.to_owned()]).map(|found| {
                found.into_iter().map(|pair| pair.map(|(key, value)| (key, text(value)))).collect::<Vec<_>>()
            });
            format!("{found:?}")
        }
        ["neither", one, two] => format!("{:?}", batch::delete_many(bucket, &[one.to_owned(), two.to_owned()])),
        _ => panic!("no such step: {line}"),
    }
}
