//! A plugin on WASI 0.3: the sources of the guests `author` and `behaviours`, as they are, and endpoints that show how
//! requests meet in one instance.

#[path = "../../../author/src/lib.rs"]
mod author;
#[path = "../../../behaviours/src/lib.rs"]
mod behaviours;

mod together;
