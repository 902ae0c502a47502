//! Remembers the routes of the crate that is compiled, so that a second endpoint on one of them is an error that names
//! the route and both places.
//!
//! The compiler expands the attributes of one crate in one process, where a list can remember them. It does not promise
//! that, and an editor expands many crates in one process, each whenever its author types. So the list only words the
//! error, and only within the compiler: the macro that `expand` generates for each route is what keeps routes apart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use syn::Error;

use crate::options::Options;

/// The programs that compile one crate in one process.
const COMPILERS: [&str; 3] = ["rustc", "clippy-driver", "rustdoc"];

/// The endpoints by method and key of the path.
static ROUTES: Mutex<BTreeMap<(String, String), Declared>> = Mutex::new(BTreeMap::new());

/// The place of an endpoint's declaration, and the path as it is written there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Declared {
    path: String,
    /// `src/lib.rs:3:17`.
    place: String,
}

/// Remembers the route of an endpoint. Fails if an endpoint in another place has the route.
pub(crate) fn claim(options: &Options) -> Result<(), Error> {
    if !is_in_compiler() {
        return Ok(());
    }
    let span = options.path.span().unwrap();
    let place = format!("{}:{}:{}", span.file(), span.line(), span.column());
    let declared = Declared { path: options.path.value(), place };
    let mut routes = ROUTES.lock().unwrap_or_else(PoisonError::into_inner);
    let earlier = routes.entry((options.method.value(), options.template.key.clone())).or_insert(declared.clone());
    // An attribute that is expanded anew, or that a macro of the author writes, is in one place.
    if earlier.place == declared.place {
        return Ok(());
    }
    let method = options.method.value();
    let alike = if earlier.path == declared.path { "" } else { ", which matches the same requests" };
    let message = format!(
        "two endpoints serve {method} {}: the other one is {method} {}{alike}, at {}; keep one of them, or give one \
         another path or method",
        declared.path, earlier.path, earlier.place
    );
    Err(Error::new(options.path.span(), message))
}

fn is_in_compiler() -> bool {
    let program = std::env::current_exe().unwrap_or_default();
    let name = program.file_stem().map(Path::new).and_then(Path::to_str).unwrap_or_default();
    proc_macro::is_available() && COMPILERS.contains(&name)
}
