//! Allocates memory until the host refuses, and traps; with `?modest` it answers instead. With `?hold=MILLISECONDS` it
//! fills all memory that it can have, holds it for as long, and answers with its number of MiB.

use kit::{IncomingRequest, ResponseOutparam, answer, monotonic_clock, plugin, query};

kit::guest!(Ok(plugin("grow")), handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let query = query(&request);
    if let Some(time) = query.strip_prefix("hold=") {
        let held = fill_memory();
        println!("grow holds {}", held.len());
        monotonic_clock::subscribe_duration(time.parse::<u64>().expect("milliseconds") * 1_000_000).block();
        let bytes: usize = held.iter().map(Vec::len).sum();
        return answer(out, 200, &(bytes >> 20).to_string());
    }
    let modest = query == "modest";
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        if modest {
            let mut piece = Vec::new();
            if piece.try_reserve_exact(16 << 20).is_err() {
                return answer(out, 200, "\"enough\"");
            }
            held.push(piece);
        } else {
            held.push(vec![1; 16 << 20]);
        }
    }
}

/// Takes large pieces and then smaller ones, until less than three pages of WebAssembly are left.
fn fill_memory() -> Vec<Vec<u8>> {
    let (mut held, mut size) = (Vec::new(), 16 << 20);
    while size >= 128 << 10 {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(size).is_ok() {
            piece.resize(size, 1);
            held.push(piece);
        } else {
            size /= 2;
        }
    }
    held
}
