//! Never finishes its answer: it computes without end, with `?how=sleep` it waits without end, with `?how=head` it
//! computes after the head, with `?how=late` it waits after the head, and with `?how=waits` it computes in short pieces
//! between short waits.

use kit::{IncomingRequest, ResponseOutparam, head, monotonic_clock, plugin, query};

kit::guest!(Ok(plugin("spin")), handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let how = query(&request);
    // Dropping `out` would be an answer of its own: none.
    let _kept = if matches!(how.as_str(), "how=head" | "how=late") { Ok(head(out, 200, &[])) } else { Err(out) };
    let mut x = 1_u64;
    loop {
        match how.as_str() {
            "how=sleep" | "how=late" => monotonic_clock::subscribe_duration(3_600_000_000_000).block(),
            "how=waits" => monotonic_clock::subscribe_duration(1_000).block(),
            _ => {}
        }
        for _ in 0..100_000 {
            x = std::hint::black_box(x.wrapping_mul(6364136223846793005).wrapping_add(1));
        }
    }
}
