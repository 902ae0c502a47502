//! Sends server-sent events, free and paid. The header `x-do`, which does not count when two requests are compared, has
//! the steps in order: `event`, `wait` (a moment), `sleep` (an hour), `big` (a comment of 700 KiB), `spin` (without
//! end), `trap`. With `sized` as the first step the answer has a `content-length`.

use kit::{
    IncomingRequest, OutgoingBody, OutputStream, Price, ResponseOutparam, StreamError, endpoint, head, monotonic_clock,
    plugin,
};

kit::guest!(
    {
        let mut info = plugin("ticker");
        info.endpoints =
            vec![endpoint("GET", "/ticker", Price::Free), endpoint("POST", "/ticker", Price::Exact("0.01".into()))];
        for endpoint in &mut info.endpoints {
            endpoint.mime_type = "text/event-stream".into();
        }
        Ok(info)
    },
    handle
);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    println!("ticker ran");
    let asked = request.headers().get("x-do").into_iter().next().unwrap_or_else(|| b"event wait event".to_vec());
    let asked = String::from_utf8_lossy(&asked);
    // `sized` comes first: each event has nine bytes.
    let length = (9 * asked.matches("event").count()).to_string();
    let mut fields = vec![("content-type", "text/event-stream")];
    if asked.starts_with("sized") {
        fields.push(("content-length", length.as_str()));
    }
    let body = head(out, 200, &fields);
    let stream = body.write().expect("the stream, asked for once");
    let mut number = 0;
    for step in asked.split(' ') {
        match step {
            "event" => {
                number += 1;
                send(&stream, format!("data: {number}\n\n").as_bytes()).expect("a reader");
            }
            "big" => send(&stream, format!(":{}\n\n", "x".repeat(700 << 10)).as_bytes()).expect("a reader"),
            "sized" => {}
            "spin" => loop {
                std::hint::black_box(&number);
            },
            "wait" => monotonic_clock::subscribe_duration(20_000_000).block(),
            "sleep" => monotonic_clock::subscribe_duration(3_600_000_000_000).block(),
            _ => panic!("as asked"),
        }
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("the whole body");
}

fn send(stream: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    bytes.chunks(4096).try_for_each(|piece| stream.blocking_write_and_flush(piece))
}
