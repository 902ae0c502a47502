//! Never returns from `describe`.

use kit::{IncomingRequest, PluginInfo, ResponseOutparam};

kit::guest!(forever(), handle);

fn forever() -> Result<PluginInfo, String> {
    let mut x = 1_u64;
    loop {
        x = std::hint::black_box(x.wrapping_mul(3));
    }
}

fn handle(_request: IncomingRequest, _out: ResponseOutparam) {}
