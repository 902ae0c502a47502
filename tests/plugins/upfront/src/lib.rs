//! Is paid first. It fails as the header `x-do` says (`trap`, `500` or `402`), which does not count when two requests
//! are compared.

use kit::{IncomingRequest, ResponseOutparam, answer, payment, plugin, quoted};

kit::guest!(
    {
        let mut info = plugin("upfront");
        info.endpoints[1].extensions.push(("payment-flow".to_owned(), "upfront".to_owned()));
        Ok(info)
    },
    handle
);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    println!("upfront ran");
    let asked = request.headers().get("x-do").into_iter().next().unwrap_or_default();
    let status = match asked.as_slice() {
        b"trap" => panic!("as asked"),
        b"" => 200,
        digits => std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or(400),
    };
    let paid = payment::current().map(|receipt| receipt.payment_id).unwrap_or_default();
    answer(out, status, &format!("{{\"paid\":{}}}", quoted(&paid)));
}
