//! Tries every way out of the sandbox, and answers with the results.

use kit::{Fields, IncomingRequest, ResponseOutparam, answer, http, outgoing_handler, plugin, quoted};

kit::guest!(Ok(plugin("probe")), handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let outcome = |reached: Result<(), String>| match reached {
        Ok(()) => "reached".to_owned(),
        Err(error) => error,
    };
    let files = outcome(std::fs::read_dir("/").map(drop).map_err(|e| e.to_string()));
    let write = outcome(std::fs::write("/tmp/probe", "x").map_err(|e| e.to_string()));
    let tcp = outcome(std::net::TcpStream::connect("127.0.0.1:80").map(drop).map_err(|e| e.to_string()));
    let udp = outcome(std::net::UdpSocket::bind("127.0.0.1:0").map(drop).map_err(|e| e.to_string()));
    let environment = std::env::vars().count() + std::env::args().count();
    let request = http::OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&http::Scheme::Http)).expect("a scheme");
    request.set_authority(Some("127.0.0.1:80")).expect("an authority");
    request.set_path_with_query(Some("/")).expect("a path");
    let web = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}")).and_then(|future| {
        future.subscribe().block();
        match future.get() {
            Some(Ok(Ok(_))) => Ok(()),
            Some(Ok(Err(code))) => Err(format!("{code:?}")),
            _ => Err("no answer".to_owned()),
        }
    });
    for _ in 0..100 {
        println!("{}", "x".repeat(1023));
    }
    let text = format!(
        "{{\"files\":{},\"write\":{},\"tcp\":{},\"udp\":{},\"environment\":{environment},\"web\":{}}}",
        quoted(&files),
        quoted(&write),
        quoted(&tcp),
        quoted(&udp),
        quoted(&outcome(web)),
    );
    answer(out, 200, &text);
}
