//! Tests of outgoing requests: what guests reach, and what servers see of them. Sockets are real; only the resolver is
//! not.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;
use crate::capabilities::egress::{Resolve, Resolving};

/// A server that answers every request with its own body, or with a redirect to itself.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// The heads of received requests, a line each.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let server = Self { address, connections: connections.clone(), seen: seen.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, SeqCst);
                let seen = seen.clone();
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let seen = seen.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let mut headers: Vec<String> = head
                            .headers
                            .iter()
                            .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value.as_bytes())))
                            .collect();
                        headers.sort();
                        seen.lock().unwrap().push(format!("{} {} {}", head.method, head.uri, headers.join(" ")));
                        let redirect = head.uri.path() == "/moved";
                        let answer = Response::builder()
                            .status(if redirect { 302 } else { 200 })
                            .header("location", "/elsewhere")
                            .header("keep-alive", "timeout=5");
                        Ok::<_, hyper::Error>(answer.body(Full::new(body)).unwrap())
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        server
    }

    fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn named(&self, name: &str) -> String {
        format!("http://{name}:{}", self.address.port())
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// A resolver that knows these names: for each, the addresses of the first look-up, of the second, and so on. The last
/// ones repeat.
#[derive(Default)]
struct Names {
    known: HashMap<&'static str, Vec<Vec<&'static str>>>,
    asked: Mutex<HashMap<String, usize>>,
}

impl Names {
    fn knowing(known: &[(&'static str, &[&[&'static str]])]) -> Arc<Self> {
        let known = known.iter().map(|(name, answers)| (*name, answers.iter().map(|a| a.to_vec()).collect())).collect();
        Arc::new(Self { known, asked: Mutex::default() })
    }

    fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

impl Resolve for Names {
    fn addresses(&self, name: String) -> Resolving {
        let mut asked = self.asked.lock().unwrap();
        let times = asked.entry(name.clone()).or_default();
        *times += 1;
        let answers = self.known.get(name.as_str());
        let answer = answers.map(|answers| answers[(*times - 1).min(answers.len() - 1)].clone()).unwrap_or_default();
        let addresses: Vec<IpAddr> = answer.into_iter().map(|address| address.parse().unwrap()).collect();
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

fn allowed(origin: &str) -> Allowed {
    Allowed { origin: Origin::parse(origin).unwrap(), private: false }
}

fn inside(origin: &str) -> Allowed {
    Allowed { private: true, ..allowed(origin) }
}

/// A plugin with these grants, in a runtime with this resolver.
async fn granted(name: &str, names: Arc<Names>, limits: Limits, grants: Grants) -> Plugin {
    let mut config = super::config(artifacts());
    config.instances = 4;
    let runtime = Runtime::with_resolver(config, names).unwrap();
    let plugins = [(name.to_owned(), PluginPolicy { grants, ..PluginPolicy::default() })].into();
    runtime.load(&guest(name), &PluginPolicies { limits, plugins }).await.unwrap()
}

async fn fetching(names: Arc<Names>, http: Vec<Allowed>) -> Plugin {
    granted("fetch", names, Limits::default(), Grants { http, ..Grants::default() }).await
}

/// The guest's report for each line of a plan.
async fn follow(plugin: &Plugin, plan: &[String]) -> Vec<serde_json::Value> {
    let request = Request::post("/fetch").header("host", "shop.example").body(body(plan.join("\n"))).unwrap();
    let said = json(plugin, free(), request).await;
    said.as_array().unwrap().clone()
}

fn plan(urls: &[&str]) -> Vec<String> {
    urls.iter().map(|url| format!("GET {url}")).collect()
}

#[tokio::test]
async fn a_guest_reaches_what_is_allowed_in_any_spelling_and_nothing_else() {
    let (server, other) = (Server::start().await, Server::start().await);
    let plugin = fetching(Arc::default(), vec![allowed(&server.at(""))]).await;
    let port = server.address.port();
    let spellings = ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]"];
    let urls: Vec<String> = spellings.iter().map(|host| format!("GET http://{host}:{port}/x?y=1")).collect();
    for said in follow(&plugin, &urls).await {
        assert_eq!(said["status"], 200, "{said}");
    }
    assert!(
        server.seen().iter().all(|head| head.contains("/x?y=1") && head.contains(&format!("host=127.0.0.1:{port}")))
    );
    let elsewhere = [
        other.at("/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://127.0.0.2:{port}/"),
        format!("http://[::1]:{port}/"),
        "http://127.0.0.1/".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://2852039166/".to_owned(),
        "http://0xa9fea9fe/".to_owned(),
        "http://[::ffff:169.254.169.254]/".to_owned(),
    ];
    let urls: Vec<&str> = elsewhere.iter().map(String::as_str).collect();
    for (url, said) in elsewhere.iter().zip(follow(&plugin, &plan(&urls)).await) {
        assert_eq!(said["error"], "ErrorCode::HttpRequestDenied", "{url}");
    }
    let tricks = [format!("GET http://127.0.0.1:{port}@{}/", other.address), format!("GET http://a@127.0.0.1:{port}/")];
    for said in follow(&plugin, &tricks).await {
        assert_eq!(said["error"], "ErrorCode::HttpRequestUriInvalid", "{said}");
    }
    assert_eq!((server.seen().len(), other.seen().len()), (spellings.len(), 0));
}

#[tokio::test]
async fn a_handler_of_wasi_0_3_is_held_to_the_same_list() {
    let (server, other) = (Server::start().await, Server::start().await);
    let grants = Grants { http: vec![allowed(&server.at(""))], ..Grants::default() };
    let plugin = granted("fetch3", Arc::default(), Limits::default(), grants).await;
    let (head, _, _) = call(&plugin, get(&format!("/fetch3?{}", server.at("/x")))).await.unwrap();
    assert_eq!(head.status(), http::StatusCode::OK);
    let (_, bytes, _) = call(&plugin, get(&format!("/fetch3?{}", other.at("/x")))).await.unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("HttpRequestDenied"), "{bytes:?}");
    assert_eq!((server.seen().len(), other.seen().len()), (1, 0));
}

#[tokio::test]
async fn a_name_with_a_private_address_is_refused_unless_the_operator_allows_it() {
    let server = Server::start().await;
    let known: [(&str, &[&[&str]]); 9] = [
        ("loopback.example", &[&["127.0.0.1"]]),
        ("private.example", &[&["10.1.2.3"]]),
        ("shared.example", &[&["100.64.0.1"]]),
        ("local.example", &[&["fd00::1"]]),
        ("mapped.example", &[&["::ffff:127.0.0.1"]]),
        ("metadata.example", &[&["169.254.169.254"]]),
        ("both.example", &[&["93.184.216.34", "127.0.0.1"]]),
        ("nothing.example", &[&[]]),
        ("ours.internal", &[&["127.0.0.1"]]),
    ];
    let names = Names::knowing(&known);
    let mut http: Vec<Allowed> = known.iter().map(|(name, _)| allowed(&server.named(name))).collect();
    http.pop();
    http.push(inside(&server.named("ours.internal")));
    http.push(inside(&server.named("*.internal.example")));
    let plugin = fetching(names, http).await;
    let urls: Vec<String> = known.iter().map(|(name, _)| format!("GET {}/", server.named(name))).collect();
    let said = follow(&plugin, &urls).await;
    for (line, said) in urls.iter().zip(&said[..7]) {
        assert_eq!(said["error"], "ErrorCode::DestinationIpProhibited", "{line}");
    }
    assert!(said[7]["error"].as_str().unwrap().contains("DnsError"), "{}", said[7]);
    assert_eq!(said[8]["status"], 200);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_connection_goes_to_the_address_that_was_checked() {
    let server = Server::start().await;
    let names = Names::knowing(&[("rebound.example", &[&["127.0.0.1"], &["169.254.169.254"]])]);
    let plugin = fetching(names.clone(), vec![inside(&server.named("rebound.example"))]).await;
    let url = format!("GET {}/", server.named("rebound.example"));
    let said = follow(&plugin, &[url.clone(), url.clone(), url]).await;
    assert!(said.iter().all(|said| said["status"] == 200), "{said:?}");
    assert_eq!(names.asked("rebound.example"), 1, "a connection that is kept is not looked up again");
    // A new connection is a new check.
    let names = Names::knowing(&[("rebound.example", &[&["169.254.169.254"], &["127.0.0.1"]])]);
    let plugin = fetching(names.clone(), vec![inside(&server.named("rebound.example"))]).await;
    let said = follow(&plugin, &[format!("GET {}/", server.named("rebound.example"))]).await;
    assert_eq!(said[0]["error"], "ErrorCode::DestinationIpProhibited");
    assert_eq!(names.asked("rebound.example"), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start().await;
    let plugin = fetching(Arc::default(), vec![allowed(&server.at(""))]).await;
    let said = follow(&plugin, &[format!("GET {}", server.at("/moved"))]).await;
    assert_eq!(said[0]["status"], 302);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn connections_are_kept_between_requests_and_guests() {
    let server = Server::start().await;
    let plugin = fetching(Arc::default(), vec![allowed(&server.at(""))]).await;
    for _ in 0..5 {
        let line = format!("POST {} =hello", server.at("/"));
        for said in follow(&plugin, &[line.clone(), line]).await {
            assert_eq!((said["status"].as_u64(), said["body"].as_str()), (Some(200), Some("hello")), "{said}");
        }
    }
    assert_eq!((server.seen().len(), server.connections.load(SeqCst)), (10, 1));
}

#[tokio::test]
async fn one_request_sends_a_bounded_number_of_others() {
    let server = Server::start().await;
    let limits = Limits { outgoing_requests: 3, ..Limits::default() };
    let grants = Grants { http: vec![allowed(&server.at(""))], ..Grants::default() };
    let plugin = granted("fetch", Arc::default(), limits, grants).await;
    for _ in 0..2 {
        let said = follow(&plugin, &vec![format!("GET {}", server.at("/")); 5]).await;
        let ended: Vec<bool> = said.iter().map(|said| said["error"] == "ErrorCode::ConnectionLimitReached").collect();
        assert_eq!(ended, [false, false, false, true, true], "{said:?}");
    }
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn each_of_several_requests_in_one_instance_sends_its_own_number_of_others() {
    let server = Server::start().await;
    let reuse = Some(Reuse { total: 100, concurrent: 8 });
    let limits = Limits { outgoing_requests: 2, instances: 1, reuse, ..Limits::default() };
    let grants = Grants { http: vec![allowed(&server.at(""))], ..Grants::default() };
    let plugin = granted("crowd", Arc::default(), limits, grants).await;
    let steps = |number: usize| {
        let (three, two) = (format!("fetch={}", server.at("/3")), format!("fetch2={}", server.at("/2")));
        // By both interfaces, and the second time when the other requests have used up their numbers.
        if number.is_multiple_of(2) {
            format!("meet=a:4&{two}&meet=b:4&{three}&{two}&{three}")
        } else {
            format!("meet=a:4&{three}&meet=b:4&{two}&{three}&{two}")
        }
    };
    let asked: Vec<_> = (0..4)
        .map(|number| {
            let (plugin, uri) = (plugin.clone(), format!("/crowd?{}", steps(number)));
            tokio::spawn(async move { json(&plugin, free(), get(&uri)).await })
        })
        .collect();
    for asked in asked {
        let said = asked.await.unwrap();
        let ends: Vec<&str> = said["said"].as_array().unwrap().iter().map(|end| end.as_str().unwrap()).collect();
        assert_eq!((ends[1], ends[3]), ("200", "200"), "{said}");
        assert!(ends[4..].iter().all(|end| end.ends_with("ConnectionLimitReached")), "{said}");
        assert_eq!(said["most"], 4);
    }
    assert_eq!(server.seen().len(), 8);
    // A request that has ended sends nothing more, and does not use the number of another one either.
    let after = format!("after=wait&after=fetch={}&after=fetch2={}", server.at("/late"), server.at("/late"));
    json(&plugin, free(), get(&format!("/crowd?{after}"))).await;
    let said = json(&plugin, free(), get("/crowd?wait&wait&wait")).await;
    assert_eq!((said["calls"].as_u64(), server.seen().len()), (Some(6), 8));
}

#[tokio::test]
async fn a_secret_goes_to_its_origin_and_the_guest_never_sees_it() {
    let (server, other) = (Server::start().await, Server::start().await);
    let secret = |at: &Server| {
        let origin = Origin::parse(&at.at("")).unwrap();
        Secret::new(origin, SecretPlace::Header(HeaderName::from_static("authorization")), "Bearer ", "hunter2")
            .unwrap()
    };
    let http = vec![allowed(&server.at("")), allowed(&other.at(""))];
    let grants = Grants { http, secrets: vec![secret(&server)], ..Grants::default() };
    let plugin = granted("fetch", Arc::default(), Limits::default(), grants).await;
    let lines = [
        format!("GET {}", server.at("/plain")),
        format!("GET {} authorization:mine", server.at("/own")),
        format!("GET {} authorization:mine", other.at("/other")),
        format!("TRACE {}", server.at("/mirror")),
        format!("CONNECT {}", server.at("/tunnel")),
    ];
    let said = follow(&plugin, &lines).await;
    assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
    assert_eq!(
        (said[0]["kept"].as_u64(), said[1]["kept"].as_u64()),
        (Some(0), Some(1)),
        "the fields that it set, and no others"
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 2, "neither TRACE nor CONNECT leaves: {seen:?}");
    assert!(
        seen.iter().all(|head| head.contains("authorization=Bearer hunter2") && !head.contains("mine")),
        "{seen:?}"
    );
    assert!(other.seen()[0].contains("authorization=mine"));
    for said in &said[3..] {
        assert_eq!(said["error"], "ErrorCode::HttpRequestMethodInvalid");
    }
}

#[tokio::test]
async fn a_secret_without_tls_goes_to_private_addresses_only() {
    let server = Server::start().await;
    // The name of a private network as it resolves elsewhere, by a search domain or a wildcard.
    let names = Names::knowing(&[("billing.internal", &[&["93.184.216.34"], &["127.0.0.1"]])]);
    let origin = server.named("billing.internal");
    let place = SecretPlace::Header(HeaderName::from_static("x-key"));
    let secret = Secret::new(Origin::parse(&origin).unwrap(), place, "", "hunter2").unwrap();
    let grants = Grants { http: vec![inside(&origin)], secrets: vec![secret], ..Grants::default() };
    let plugin = granted("fetch", names, Limits::default(), grants).await;
    let url = format!("GET {origin}/");
    let said = follow(&plugin, &[url.clone(), url]).await;
    assert_eq!(said[0]["error"], "ErrorCode::DestinationIpProhibited", "{said:?}");
    assert_eq!(said[1]["status"], 200, "{said:?}");
}

#[tokio::test]
async fn headers_of_host_and_connection_never_leave() {
    let server = Server::start().await;
    let plugin = fetching(Arc::default(), vec![allowed(&server.at(""))]).await;
    let names = ["cdn-loop", "host", "connection", "transfer-encoding"];
    let lines: Vec<String> = names.iter().map(|name| format!("GET {} {name}:x", server.at("/"))).collect();
    for (name, said) in names.iter().zip(follow(&plugin, &lines).await) {
        assert!(said["error"].as_str().unwrap().contains("Forbidden"), "{name}: {said}");
    }
    assert!(server.seen().is_empty());
    let said = follow(&plugin, &[format!("GET {} x-kept:yes x-host-only:forged", server.at("/"))]).await;
    let headers = said[0]["headers"].to_string();
    assert!(headers.contains("location") && !headers.contains("keep-alive"), "{headers}");
    let host = format!("host={}", server.address);
    assert_eq!(server.seen(), [format!("GET / cdn-loop=coinslot {host} x-kept=yes")]);
}

#[tokio::test]
async fn a_get_whose_body_is_ended_empty_has_none_on_the_wire() {
    let server = Server::start().await;
    let plugin = fetching(Arc::default(), vec![allowed(&server.at(""))]).await;
    let said = follow(&plugin, &[format!("GET {} =", server.at("/")), format!("GET {} =some", server.at("/"))]).await;
    assert_eq!((said[0]["status"].as_u64(), said[1]["body"].as_str()), (Some(200), Some("some")), "{said:?}");
    let seen = server.seen();
    assert!(!seen[0].contains("transfer-encoding") && seen[1].contains("transfer-encoding=chunked"), "{seen:?}");
}

#[tokio::test]
async fn a_request_is_passed_on_by_at_most_three_plugins() {
    let server = Server::start().await;
    let plugin = fetching(Arc::default(), vec![allowed(&server.at(""))]).await;
    let ask = async |servers: &[&str]| {
        let mut request = Request::post("/fetch").body(body(format!("GET {}", server.at("/")))).unwrap();
        for entry in servers {
            request.headers_mut().append("cdn-loop", HeaderValue::try_from(*entry).unwrap());
        }
        json(&plugin, free(), request).await[0].clone()
    };
    assert_eq!(ask(&["edge.example", "coinslot, coinslot"]).await["status"], 200);
    assert!(server.seen()[0].contains("cdn-loop=edge.example, coinslot, coinslot, coinslot"), "{:?}", server.seen());
    assert_eq!(ask(&["coinslot", "coinslot, coinslot"]).await["error"], "ErrorCode::LoopDetected");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_server_without_tls_is_refused_for_an_https_origin() {
    let server = Server::start().await;
    let origin = format!("https://{}", server.address);
    let plugin = fetching(Arc::default(), vec![allowed(&origin)]).await;
    let said = follow(&plugin, &[format!("GET {origin}/")]).await;
    assert_eq!(said[0]["error"], "ErrorCode::TlsProtocolError");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_refused_connection_is_reported_as_such() {
    // Bound and dropped, so that no server listens there.
    let free_port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let origin = format!("http://{free_port}");
    let plugin = fetching(Arc::default(), vec![allowed(&origin)]).await;
    let said = follow(&plugin, &[format!("GET {origin}/")]).await;
    assert_eq!(said[0]["error"], "ErrorCode::ConnectionRefused");
}

#[tokio::test]
async fn the_operator_says_how_long_an_outgoing_request_may_wait() {
    // It accepts connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", silent.local_addr().unwrap());
    let grants = Grants { http: vec![allowed(&origin)], ..Grants::default() };
    let short = Duration::from_millis(50);
    let outgoing_timeouts = OutgoingTimeouts { connect: short, first_byte: short, ..OutgoingTimeouts::default() };
    let plugin = granted("fetch", Arc::default(), Limits { outgoing_timeouts, ..Limits::default() }, grants).await;
    let said = tokio::time::timeout(Duration::from_secs(20), follow(&plugin, &[format!("GET {origin}/")])).await;
    assert_eq!(said.unwrap()[0]["error"], "ErrorCode::HttpResponseTimeout");
}

#[tokio::test]
async fn a_secret_in_a_query_reaches_the_server_and_no_guest() {
    let server = Server::start().await;
    let origin = Origin::parse(&server.at("")).unwrap();
    let secret = Secret::new(origin, SecretPlace::Query("key".to_owned()), "", "hunter2").unwrap();
    let grants = Grants { http: vec![allowed(&server.at(""))], secrets: vec![secret], ..Grants::default() };
    let plugin = granted("fetch", Arc::default(), Limits::default(), grants).await;
    let said = follow(&plugin, &[format!("GET {}", server.at("/x?q=1&key=mine"))]).await;
    assert_eq!(said[0]["status"], 200, "{said:?}");
    assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
    assert!(server.seen()[0].starts_with("GET /x?q=1&key=hunter2 "), "{:?}", server.seen());
}
