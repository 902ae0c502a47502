//! Refuses to be loaded, and says what time it is, with a random number.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use kit::{IncomingRequest, PluginInfo, ResponseOutparam};

kit::guest!(refused(), handle);

fn refused() -> Result<PluginInfo, String> {
    Err(format!("{:?} {}", SystemTime::now().duration_since(UNIX_EPOCH), RandomState::new().hash_one(0)))
}

fn handle(_request: IncomingRequest, _out: ResponseOutparam) {}
