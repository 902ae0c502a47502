//! Returns an error from `describe`.

use kit::{IncomingRequest, ResponseOutparam};

kit::guest!(Err("the moon is not full".to_owned()), handle);

fn handle(_request: IncomingRequest, _out: ResponseOutparam) {}
