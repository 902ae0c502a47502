//! Answers `GET /page`, free, and `GET /page/paid` with HTML whose script tells what it reaches of the origin that it
//! came from: the storage, and the answer of another path. With the query `xhtml` the type of the answer is one that
//! programs take for JSON and browsers for XHTML. With `cached` a browser keeps the page, and hears of another policy
//! when it asks whether the page has changed.

use kit::{IncomingRequest, OutgoingBody, PluginInfo, Price, ResponseOutparam, endpoint, head, query, write};

kit::guest!(Ok(info()), handle);

const HTML: &[u8] = b"<!doctype html><meta charset=utf-8><title>A page</title><p id=storage>?</p><p id=origin>?</p>
<p id=free>?</p><script>
const tell = (id, text) => { document.getElementById(id).textContent = text; };
tell('origin', self.origin);
try { tell('storage', 'reads ' + Object.keys(localStorage).length); } catch (error) { tell('storage', error.name); }
fetch('/answers/free').then((answer) => answer.text()).then((text) => tell('free', text), (error) => tell('free', error));
</script>";

fn info() -> PluginInfo {
    PluginInfo {
        name: "page".into(),
        version: "1.0.0".into(),
        endpoints: vec![
            endpoint("GET", "/page", Price::Free),
            endpoint("GET", "/page/paid", Price::Exact("0.01".into())),
        ],
        extensions: Vec::new(),
    }
}

const XHTML: &[u8] = b"<html xmlns='http://www.w3.org/1999/xhtml'><head><title>A page</title></head><body>
<p id='storage'>?</p><p id='origin'>?</p><script>
document.getElementById('origin').textContent = self.origin;
try { document.getElementById('storage').textContent = 'reads ' + Object.keys(localStorage).length; }
catch (error) { document.getElementById('storage').textContent = error.name; }
</script></body></html>";

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let query = query(&request);
    let knows = !request.headers().get("if-none-match").is_empty();
    let framed = ("content-security-policy", "frame-ancestors 'none'");
    let (status, fields, body) = match query.as_str() {
        "xhtml" => (200, vec![("content-type", "application/xhtml+xml +json")], XHTML),
        "cached" if knows => {
            let open = ("content-security-policy", "default-src * 'unsafe-inline'");
            (304, vec![("content-type", "application/json"), ("etag", "\"a\""), open], &b""[..])
        }
        "cached" => {
            (200, vec![("content-type", "text/html"), ("etag", "\"a\""), ("cache-control", "no-cache"), framed], HTML)
        }
        _ => (200, vec![("content-type", "text/html"), framed], HTML),
    };
    let sink = head(out, status, &fields);
    if !body.is_empty() {
        write(&sink, body).expect("a reader");
    }
    OutgoingBody::finish(sink, None).expect("the whole body");
}
