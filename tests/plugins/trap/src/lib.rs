//! Traps: at once, or with `?when=head` after the head and some of the body, `?when=late` after more of
//! it than the host buffers, `?when=end` after the whole body. `?when=unfinished` does not trap but
//! leaves the body unfinished, `?when=exit` exits.

use kit::{IncomingRequest, OutgoingBody, ResponseOutparam, head, plugin, query, write};

kit::guest!(Ok(plugin("trap")), handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let query = query(&request);
    eprint!("about to trap");
    match query.as_str() {
        "" => panic!("as asked"),
        "when=exit" => std::process::exit(3),
        _ => {}
    }
    let body = head(out, 200, &[]);
    let size = if query == "when=late" { 1 << 20 } else { 10 };
    write(&body, &vec![b'x'; size]).expect("a reader");
    if query == "when=unfinished" {
        return;
    }
    if query == "when=end" {
        OutgoingBody::finish(body, None).expect("the whole body");
    }
    panic!("as asked")
}
