//! Answers with the request: method, path, headers, receipt, body, and the number of requests of this instance. With
//! `?stream` it sends the body back while it arrives, with a trailer; with `?charge=AMOUNT` it charges.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use kit::{
    Fields, IncomingRequest, OutgoingBody, ResponseOutparam, StreamError, answer, head, payment, plugin, query, quoted,
    usage,
};

kit::guest!(Ok(plugin("echo")), handle);

static CALLS: AtomicU32 = AtomicU32::new(0);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let query = query(&request);
    println!("echo got {query}");
    let body = request.consume().expect("the body, asked for once");
    let stream = body.stream().expect("the stream, asked for once");
    if query == "stream" {
        let back = head(out, 200, &[]);
        let sink = back.write().expect("the stream, asked for once");
        loop {
            match sink.blocking_splice(&stream, 64 << 10) {
                Ok(_) => {}
                Err(StreamError::Closed) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
        drop(sink);
        let trailers = Fields::new();
        trailers.append("x-end", b"reached").expect("a trailer");
        OutgoingBody::finish(back, Some(trailers)).expect("the whole body");
        return;
    }
    let mut bytes = Vec::new();
    let ended = loop {
        match stream.blocking_read(64 << 10) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => break "whole".to_owned(),
            Err(StreamError::LastOperationFailed(error)) => break error.to_debug_string(),
        }
    };
    let charged = query.strip_prefix("charge=").map(|amount| match usage::charge(amount) {
        Ok(()) => "accepted".to_owned(),
        Err(reason) => reason,
    });
    let headers = request
        .headers()
        .entries()
        .iter()
        .map(|(name, value)| format!("[{},{}]", quoted(name), quoted(&String::from_utf8_lossy(value))))
        .collect::<Vec<_>>()
        .join(",");
    let receipt = payment::current().map_or("null".to_owned(), |receipt| {
        format!(
            "{{\"payer\":{},\"amount\":{},\"asset\":{},\"network\":{},\"paymentId\":{}}}",
            quoted(&receipt.payer),
            quoted(&receipt.amount),
            quoted(&receipt.asset),
            quoted(&receipt.network),
            quoted(&receipt.payment_id),
        )
    });
    let text = format!(
        "{{\"method\":{},\"scheme\":{},\"authority\":{},\"target\":{},\"headers\":[{headers}],\
         \"receipt\":{receipt},\"body\":{},\"bodyEnd\":{},\"charged\":{},\"calls\":{}}}",
        quoted(&format!("{:?}", request.method())),
        quoted(&format!("{:?}", request.scheme())),
        quoted(&request.authority().unwrap_or_default()),
        quoted(&request.path_with_query().unwrap_or_default()),
        quoted(&String::from_utf8_lossy(&bytes)),
        quoted(&ended),
        charged.map_or("null".to_owned(), |text| quoted(&text)),
        CALLS.fetch_add(1, Relaxed) + 1,
    );
    answer(out, 200, &text);
}
