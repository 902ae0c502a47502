//! Takes memory until it is refused and dies of it, or with `?modest` lives with the refusal.

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
