//! Answers with each kind of content that a page can show: `GET /answers/{kind}`, paid. `POST /answers/order` takes a
//! JSON body of fields, `POST /answers/file` a form with a file, `GET /answers/free` is free. `GET /answers/owed` is
//! paid first and fails, unless its text `owed:fails` is another one. Its texts try to break out of a page. With another
//! number in its text `many:000` it is a plugin with so many endpoints.

use kit::{
    Endpoint, IncomingRequest, OutgoingBody, PluginInfo, Price, ResponseOutparam, StreamError, answer, endpoint, head,
    monotonic_clock,
};

kit::guest!(Ok(info()), handle);

static OWED: [u8; 10] = *b"owed:fails";
static MANY: [u8; 8] = *b"many:000";

/// A picture of one pixel.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\x0dIDAT\
    \x78\x9c\x63\x30\x4e\x9b\xf9\x1f\0\x04\x34\x02\x32\x5b\x2d\x0a\xe0\0\0\0\0IEND\xae\x42\x60\x82";

/// A sound without a sample.
const WAV: &[u8] = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\0\0\0\0";

const KIND: &str = r#"{"type":"object","required":["path"],"properties":{
"path":{"type":"object","required":["kind"],"properties":{
"kind":{"type":"string","title":"Kind of answer","enum":["text","json","image","audio","file","stream"]}}},
"query":{"type":"object","properties":{
"limit":{"type":"integer","minimum":1,"maximum":9,"description":"The most lines."},"word":{"type":"string"}}}}}"#;

const ORDER: &str = r#"{"type":"object","required":["body"],"properties":{
"body":{"type":"object","required":["item","count"],"additionalProperties":false,"properties":{
"item":{"type":"string","title":"Item","maxLength":40,"pattern":"^[a-z]+$","description":"A word of small letters."},
"count":{"type":"integer","minimum":1,"default":1},
"note":{"type":"string","description":"</p><script>alert(1)</script>"},
"wrapped":{"type":"boolean"},"tags":{"type":"array","items":{"type":"string"}},"size":{"enum":["small","large"]}}}}}"#;

const FILE: &str = r#"{"type":"object","required":["body"],"properties":{
"body":{"type":"object","contentMediaType":"multipart/form-data","required":["name","file"],"properties":{
"name":{"type":"string","maxLength":40},"file":{"type":"string","format":"binary","maxLength":100000}}}}}"#;

fn info() -> PluginInfo {
    // Without the black box the compiler would read it now.
    let many = std::str::from_utf8(std::hint::black_box(&MANY)).expect("ASCII");
    match many.trim_start_matches("many:").parse() {
        Ok(0) | Err(_) => kinds(),
        Ok(number) => crowd(number),
    }
}

/// A plugin with so many endpoints.
fn crowd(number: usize) -> PluginInfo {
    let name = format!("crowd-{number}");
    let one = |index: usize| {
        let price = if index % 5 == 0 { Price::Free } else { Price::Exact(format!("0.0{}", index % 9 + 1)) };
        Endpoint {
            summary: format!("Number {index} of many things that can be called here"),
            description: "It says what it does in a sentence or two. Nobody has to read all of them.".into(),
            ..endpoint("GET", &format!("/{name}/{index}"), price)
        }
    };
    PluginInfo {
        endpoints: (0..number).map(one).collect(),
        name: name.clone(),
        version: "1.0.0".into(),
        extensions: Vec::new(),
    }
}

fn kinds() -> PluginInfo {
    let paid = || Price::Exact("0.01".into());
    let with = |endpoint: Endpoint, schema: &str, summary: &str| Endpoint {
        input_schema: Some(schema.into()),
        summary: summary.into(),
        ..endpoint
    };
    let hostile = "</script><script>alert(1)</script><img src=x onerror=alert(1)> \u{202e}txt";
    let mut owed = endpoint("GET", "/answers/owed", paid());
    owed.extensions.push(("payment-flow".to_owned(), "upfront".to_owned()));
    let kinds = with(endpoint("GET", "/answers/{kind}", paid()), KIND, "Answers of each kind");
    let order = with(endpoint("POST", "/answers/order", paid()), ORDER, "An order of things");
    PluginInfo {
        name: "answers".into(),
        version: "1.0.0".into(),
        endpoints: vec![
            Endpoint {
                description: "Gives an answer of the kind that you choose.\nEach costs the same.".into(),
                ..kinds
            },
            Endpoint { description: hostile.into(), ..order },
            with(endpoint("POST", "/answers/file", paid()), FILE, "The length of a file"),
            Endpoint { summary: hostile.into(), ..endpoint("GET", "/answers/free", Price::Free) },
            owed,
        ],
        extensions: Vec::new(),
    }
}

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    println!("answers ran");
    let target = request.path_with_query().unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    match path {
        "/answers/text" => send(out, "text/plain; charset=utf-8", None, b"a text\n<b>with marks</b>"),
        "/answers/json" => {
            answer(out, 200, r#"{"large":12345678901234567890,"list":[1,{"a":"b, {c}"}],"empty":{},"none":null}"#);
        }
        "/answers/image" => send(out, "image/png", None, PNG),
        "/answers/audio" => send(out, "audio/wav", None, WAV),
        "/answers/file" if is_get(&request) => {
            send(out, "text/csv", Some("attachment; filename=\"table.csv\""), b"a,b\n1,2\n");
        }
        "/answers/stream" => stream(out),
        "/answers/free" => answer(out, 200, "{\"free\":true}"),
        "/answers/owed" if std::hint::black_box(&OWED)[5] == b'f' => panic!("as told"),
        "/answers/owed" => answer(out, 200, "{\"owed\":\"given\"}"),
        _ => {
            let body = read(request);
            let text = String::from_utf8_lossy(&body).into_owned();
            send(out, "text/plain", None, format!("{} bytes: {text}", body.len()).as_bytes());
        }
    }
}

fn is_get(request: &IncomingRequest) -> bool {
    matches!(request.method(), kit::Method::Get)
}

fn read(request: IncomingRequest) -> Vec<u8> {
    let body = request.consume().expect("the body, asked for once");
    let stream = body.stream().expect("the stream, asked for once");
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return bytes,
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn send(out: ResponseOutparam, media_type: &str, disposition: Option<&str>, bytes: &[u8]) {
    let mut fields = vec![("content-type", media_type)];
    fields.extend(disposition.map(|disposition| ("content-disposition", disposition)));
    let body = head(out, 200, &fields);
    kit::write(&body, bytes).expect("a reader");
    OutgoingBody::finish(body, None).expect("the whole body");
}

/// Five lines, with a pause between them.
fn stream(out: ResponseOutparam) {
    let body = head(out, 200, &[("content-type", "text/plain")]);
    let sink = body.write().expect("the stream, asked for once");
    for line in 1..=5 {
        sink.blocking_write_and_flush(format!("line {line}\n").as_bytes()).expect("a reader");
        monotonic_clock::subscribe_duration(200_000_000).block();
    }
    drop(sink);
    OutgoingBody::finish(body, None).expect("the whole body");
}
