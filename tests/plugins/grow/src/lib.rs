//! Allocates memory until the host refuses, and traps; with `?modest` it answers instead.

use kit::{IncomingRequest, ResponseOutparam, answer, plugin, query};

kit::guest!(Ok(plugin("grow")), handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let modest = query(&request) == "modest";
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
