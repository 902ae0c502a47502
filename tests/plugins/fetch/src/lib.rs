//! Sends requests to other servers, and answers with their answers.
//!
//! The body of a POST is a plan: a line for each request, `METHOD URL [name:value]... [=body]`. After `=` alone
//! the body is asked for and is empty. A GET with `?again`
//! sends the same request to its own address, until the host refuses.

use kit::{
    Fields, IncomingRequest, Method, OutgoingBody, PluginInfo, Price, ResponseOutparam, StreamError, answer, endpoint,
    http, outgoing_handler, query, quoted,
};

kit::guest!(Ok(info()), handle);

fn info() -> PluginInfo {
    PluginInfo {
        name: "fetch".into(),
        version: "1.0.0".into(),
        endpoints: vec![endpoint("GET", "/fetch", Price::Free), endpoint("POST", "/fetch", Price::Free)],
        extensions: Vec::new(),
    }
}

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    if query(&request) == "again" {
        let own = format!("http://{}/fetch?again", request.authority().unwrap_or_default());
        let text = match fetch("GET", &own, &[], None) {
            Ok(inner) => format!("{{\"inner\":{}}}", inner.body),
            Err(error) => format!("{{\"end\":{}}}", quoted(&error)),
        };
        return answer(out, 200, &text);
    }
    let body = request.consume().expect("the body, asked for once");
    let plan = read(&body.stream().expect("the stream, asked for once")).expect("a whole plan");
    let outcomes: Vec<String> = plan.lines().map(line).collect();
    answer(out, 200, &format!("[{}]", outcomes.join(",")));
}

fn line(line: &str) -> String {
    let mut words = line.split(' ');
    let (method, url) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut headers, mut body) = (Vec::new(), None);
    for word in words {
        match (word.strip_prefix('='), word.split_once(':')) {
            (Some(text), _) => body = Some(text),
            (None, Some(header)) => headers.push(header),
            (None, None) => panic!("{word} is neither a header nor a body"),
        }
    }
    match fetch(method, url, &headers, body) {
        Ok(seen) => format!(
            "{{\"status\":{},\"headers\":[{}],\"body\":{},\"kept\":{}}}",
            seen.status,
            seen.headers.join(","),
            quoted(&seen.body),
            seen.kept
        ),
        Err(error) => format!("{{\"error\":{}}}", quoted(&error)),
    }
}

struct Seen {
    status: u16,
    headers: Vec<String>,
    body: String,
    /// Header fields of the request, as this guest can read them back, after it was sent.
    kept: usize,
}

fn fetch(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&str>) -> Result<Seen, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no URL")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(name, value.as_bytes()).map_err(|error| format!("{name}: {error:?}"))?;
    }
    let kept = fields.entries().len();
    let request = http::OutgoingRequest::new(fields);
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "TRACE" => Method::Trace,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.into()),
    };
    request.set_method(&method).map_err(|()| "not a method")?;
    let scheme = match scheme {
        "http" => http::Scheme::Http,
        "https" => http::Scheme::Https,
        other => http::Scheme::Other(other.into()),
    };
    request.set_scheme(Some(&scheme)).map_err(|()| "not a scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "not an authority")?;
    request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).map_err(|()| "not a path")?;
    let outgoing = body.map(|text| (request.body().expect("the body, asked for once"), text));
    let future = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    if let Some((outgoing, text)) = outgoing {
        kit::write(&outgoing, text.as_bytes()).map_err(|error| format!("{error:?}"))?;
        OutgoingBody::finish(outgoing, None).map_err(|code| format!("{code:?}"))?;
    }
    future.subscribe().block();
    let response = match future.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(code))) => return Err(format!("{code:?}")),
        _ => return Err("no answer".into()),
    };
    let headers = response.headers().entries();
    let headers = headers.iter().map(|(name, value)| quoted(&format!("{name}: {}", String::from_utf8_lossy(value))));
    let headers: Vec<String> = headers.collect();
    let incoming = response.consume().expect("the body, asked for once");
    let body = read(&incoming.stream().expect("the stream, asked for once"))?;
    Ok(Seen { status: response.status(), headers, body, kept })
}

fn read(stream: &kit::InputStream) -> Result<String, String> {
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
}
