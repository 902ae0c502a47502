//! Exhausts a resource, as the query says: `recurse` without end, `overflow` the stack in its memory, `leak` handles,
//! answer with `headers` or `trailers` without end, `chatter` into the log, `newlines` into the log, `forget` to answer,
//! leave an answer `unfinished`, `hoard-bodies` of requests that are never sent, or `hoard-texts` of such requests.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kit::http::OutgoingRequest;
use kit::{
    Fields, IncomingRequest, Method, OutgoingBody, ResponseOutparam, answer, head, monotonic_clock, plugin, query,
    write,
};

kit::guest!(Ok(plugin("unruly")), handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    match query(&request).as_str() {
        "recurse" => {
            let depth = recurse(1);
            answer(out, 200, &depth.to_string());
        }
        "overflow" => {
            let sum = overflow(1);
            answer(out, 200, &sum.to_string());
        }
        "leak" => {
            let mut held = Vec::new();
            loop {
                held.push(monotonic_clock::subscribe_duration(1));
            }
        }
        "fields" => {
            let mut held = Vec::new();
            loop {
                let fields = Fields::new();
                let _ = fields.append("x-much", &[b'x'; 4096]);
                held.push(fields);
            }
        }
        "headers" => {
            let headers: Vec<(String, String)> = (0..200).map(|n| (format!("x-much-{n}"), "x".repeat(1000))).collect();
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
            let body = head(out, 200, &headers);
            OutgoingBody::finish(body, None).expect("the whole body");
        }
        "trailers" => {
            let body = head(out, 200, &[]);
            write(&body, b"short").expect("a reader");
            let trailers = Fields::new();
            for n in 0..200 {
                trailers.append(&format!("x-much-{n}"), &[b'x'; 1000]).expect("a trailer that the host takes");
            }
            OutgoingBody::finish(body, Some(trailers)).expect("the whole body");
        }
        "chatter" => {
            for n in 0..1_000 {
                println!("chatter {n} {}", "x".repeat(1000));
            }
            answer(out, 200, "\"said\"");
        }
        "newlines" => {
            use std::io::Write;
            let mut log = std::io::stdout().lock();
            log.write_all(&[b'\n'; 64 << 10]).and_then(|()| log.flush()).expect("a log");
            answer(out, 200, "\"said\"");
        }
        "hoard-bodies" => {
            let mut held = Vec::new();
            for _ in 0..900 {
                let request = OutgoingRequest::new(Fields::new());
                fill(&request.body().expect("the body"));
                held.push(request);
            }
            monotonic_clock::subscribe_duration(20_000_000_000).block();
            answer(out, 200, "\"held\"");
        }
        "hoard-texts" => {
            let request = OutgoingRequest::new(Fields::new());
            let method = request.set_method(&Method::Other("X".repeat(1 << 20)));
            let authority = request.set_authority(Some(&"x".repeat(1 << 20)));
            answer(out, 200, &format!("\"{} {}\"", method.is_ok(), authority.is_ok()));
        }
        "forget" => std::mem::forget(out),
        "unfinished" => {
            let body = head(out, 200, &[]);
            write(&body, b"short").expect("a reader");
            std::mem::forget(body);
        }
        _ => answer(out, 200, "\"quiet\""),
    }
}

/// Writes to a body that nobody reads, until it is full.
fn fill(body: &OutgoingBody) {
    let stream = body.write().expect("the stream, asked for once");
    while let Ok(room @ 1..) = stream.check_write() {
        stream.write(&vec![b'x'; usize::try_from(room.min(64 << 10)).expect("small")]).expect("room");
    }
}

/// The depth at which a recursion would end.
static END: AtomicU64 = AtomicU64::new(u64::MAX);

/// Recurses on the stack in linear memory, on which each call keeps a page.
fn overflow(depth: u64) -> u64 {
    let kept = std::hint::black_box([depth; 512]);
    if depth == END.load(Relaxed) {
        return depth;
    }
    overflow(depth + 1).rotate_left(3).wrapping_add(kept[depth as usize % 512])
}

/// Recurses on the host's stack, not on the guest's own, which would end sooner.
fn recurse(depth: u64) -> u64 {
    if depth == END.load(Relaxed) {
        return depth;
    }
    // Not a loop in disguise: there is something left to do after the call.
    recurse(depth + 1).rotate_left(3).wrapping_sub(END.load(Relaxed))
}
