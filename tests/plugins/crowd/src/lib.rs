//! A handler of WASI 0.3 that serves several requests at once. It runs the steps of the query in order (`a&b=c`), and
//! answers with the receipt of the request.
//!
//! `meet=KEY:COUNT` waits until so many requests have reached the same step; `wait` or `wait=MILLISECONDS` waits a
//! while, `sleep` an hour; `block` waits so that nothing else runs. `charge=AMOUNT` charges. `fetch=URL` sends a
//! request by WASI 0.3, `fetch2=URL` by 0.2. `trap`, `spin` and `fail` misbehave; `grow=MIB` allocates memory and keeps
//! it; `room=MIB` tells whether there is so much memory, `try=MIB` answers 500 if there is not, and `status=500`
//! answers 500 in any case; `read` reads the request's body, and panics if it is not whole; `after=STEP` runs a step
//! after the answer's last byte.

wit_bindgen::generate!({
    inline: "
        package test:crowd;
        world crowd {
            include coinslot:plugin/narrow@0.2.0;
            import wasi:http/outgoing-handler@0.2.12;
        }
    ",
    path: "../../../wit",
    generate_all,
});

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use coinslot::plugin::{payment, usage};
use exports::coinslot::plugin::manifest::{Endpoint, PluginInfo, Price};
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasip3::{wit_future, wit_stream};

struct Guest;
export!(Guest);
wasip3::http::service::export!(Guest);

static CALLS: AtomicU32 = AtomicU32::new(0);
static INSIDE: AtomicU32 = AtomicU32::new(0);
static MOST: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static MET: RefCell<HashMap<String, u32>> = RefCell::default();
    static KEPT: RefCell<Vec<Vec<u8>>> = RefCell::default();
}

impl exports::coinslot::plugin::manifest::Guest for Guest {
    fn describe() -> Result<PluginInfo, String> {
        let endpoint = |method: &str, price| Endpoint {
            method: method.into(),
            path: "/crowd".into(),
            price,
            summary: "Many at once".into(),
            description: String::new(),
            mime_type: "application/json".into(),
            input_schema: None,
            output_schema: None,
            quote_headers: Vec::new(),
            extensions: Vec::new(),
        };
        Ok(PluginInfo {
            name: "crowd".into(),
            version: "1.0.0".into(),
            endpoints: vec![endpoint("GET", Price::Free), endpoint("POST", Price::Exact("0.01".into()))],
            extensions: Vec::new(),
        })
    }
}

/// State of the instance, shared by its requests.
struct Inside;

impl Inside {
    fn enter() -> Self {
        MOST.fetch_max(INSIDE.fetch_add(1, Relaxed) + 1, Relaxed);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Relaxed);
    }
}

fn payer() -> String {
    payment::current().map(|receipt| receipt.payer).unwrap_or_default()
}

impl wasip3::exports::http::handler::Guest for Guest {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let inside = Inside::enter();
        let calls = CALLS.fetch_add(1, Relaxed) + 1;
        let before = payer();
        let target = request.get_path_with_query().unwrap_or_default();
        println!("crowd got {target}");
        let mut request = Some(request);
        let query = target.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default();
        let mut said = Vec::new();
        let mut after = Vec::new();
        let mut succeeds = true;
        for step in query.split('&').filter(|step| !step.is_empty()) {
            match step.strip_prefix("after=") {
                Some(step) => after.push(step.to_owned()),
                None if step == "status=500" => succeeds = false,
                None if step.starts_with("try=") => succeeds &= has_room(&step[4..]),
                None if step == "read" => read(request.take().expect("a body")).await,
                None => said.push(format!("{:?}", act(step).await?)),
            }
        }
        let (mut sink, back) = wit_stream::new();
        let (end, ended) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(back), ended);
        if !succeeds {
            response.set_status_code(500).expect("a status");
        }
        wasip3::spawn_local(async move {
            let text = format!(
                "{{\"calls\":{calls},\"most\":{},\"payers\":[\"{before}\",\"{}\"],\"said\":[{}]}}",
                MOST.load(Relaxed),
                payer(),
                said.join(",")
            );
            sink.write_all(text.into_bytes()).await;
            drop(inside);
            drop(sink);
            let _ = end.write(Ok(None)).await;
            for step in after {
                let _ = act(&step).await;
                println!("crowd after: {step} for {:?}", payer());
            }
        });
        Ok(response)
    }
}

/// True if the guest can allocate this many MiB. The memory is freed at once.
fn has_room(mib: &str) -> bool {
    let mut room = Vec::<u8>::new();
    let has_room = room.try_reserve_exact(mib.parse::<usize>().expect("a number") << 20).is_ok();
    std::hint::black_box(&room);
    has_room
}

async fn read(request: Request) {
    let (_, taken) = wit_future::new(|| Ok(()));
    let (mut body, received) = Request::consume_body(request, taken);
    while let (wasip3::wit_bindgen::StreamResult::Complete(_), _) = body.read(Vec::with_capacity(16 << 10)).await {}
    received.await.expect("a whole body");
}

async fn act(step: &str) -> Result<String, ErrorCode> {
    let (name, argument) = step.split_once('=').unwrap_or((step, ""));
    Ok(match name {
        "meet" => {
            let (key, count) = argument.split_once(':').expect("a place and a number");
            let count: u32 = count.parse().expect("a number");
            MET.with_borrow_mut(|met| *met.entry(key.to_owned()).or_default() += 1);
            while MET.with_borrow(|met| met[key] < count) {
                wait_for(1_000_000).await;
            }
            String::new()
        }
        "wait" => {
            wait_for(1_000_000 * argument.parse::<u64>().unwrap_or(20)).await;
            String::new()
        }
        "sleep" => {
            wait_for(3_600_000_000_000).await;
            String::new()
        }
        "block" => {
            std::thread::sleep(Duration::from_secs(3_600));
            String::new()
        }
        "charge" => format!("{:?}", usage::charge(argument)),
        "fetch" => fetch(argument).await,
        "fetch2" => fetch2(argument),
        "grow" => {
            let size = argument.parse::<usize>().expect("a number") << 20;
            KEPT.with_borrow_mut(|kept| kept.push(vec![1; size]));
            String::new()
        }
        "room" => has_room(argument).to_string(),
        "spin" => loop {
            std::hint::black_box(argument);
        },
        "fail" => return Err(ErrorCode::InternalError(None)),
        _ => panic!("as asked"),
    })
}

fn parts(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

async fn fetch(url: &str) -> String {
    let (authority, path) = parts(url);
    let (end, ended) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, ended, None);
    drop(end);
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some(path)).expect("a path");
    match client::send(request).await {
        Ok(response) => response.get_status_code().to_string(),
        Err(error) => format!("{error:?}"),
    }
}

fn fetch2(url: &str) -> String {
    use wasi::http::outgoing_handler;
    use wasi::http::types::{Fields, OutgoingRequest, Scheme};
    let (authority, path) = parts(url);
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some(path)).expect("a path");
    let future = match outgoing_handler::handle(request, None) {
        Ok(future) => future,
        Err(error) => return format!("{error:?}"),
    };
    future.subscribe().block();
    match future.get() {
        Some(Ok(Ok(response))) => response.status().to_string(),
        Some(Ok(Err(error))) => format!("{error:?}"),
        other => format!("{other:?}"),
    }
}
