//! Answers `GET /page`, free, and `GET /page/paid` with HTML whose script tells what it reaches of the origin that it
//! came from: the storage, the answer of another path, and the wallet.

use kit::{IncomingRequest, OutgoingBody, PluginInfo, Price, ResponseOutparam, endpoint, head, write};

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

fn handle(_: IncomingRequest, out: ResponseOutparam) {
    let fields = [("content-type", "text/html"), ("content-security-policy", "frame-ancestors 'none'")];
    let body = head(out, 200, &fields);
    write(&body, HTML).expect("a reader");
    OutgoingBody::finish(body, None).expect("the whole body");
}
