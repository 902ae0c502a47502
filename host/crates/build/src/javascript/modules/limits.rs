//! Bounds the modules of a plugin: their number, their sources and their imports.
//!
//! Each module is parsed several times, and each import is looked for in many places, before the engine sees any of
//! them, so a package of a few megabytes could keep a build busy for minutes. A bound that is exceeded ends the build: no
//! `try` of a module makes up for it.

/// The most modules. The largest packages that are made for browsers have some five thousand.
const MOST_MODULES: usize = 10_000;
/// The most bytes of all sources together.
const MOST_BYTES: usize = 64 << 20;
/// The most imports of all modules together.
const MOST_IMPORTS: usize = 100_000;

/// The files and bytes that were read so far.
#[derive(Debug, Default)]
pub(super) struct Limits {
    modules: usize,
    bytes: usize,
    imports: usize,
    exceeded: Option<String>,
}

impl Limits {
    pub(super) fn add_module(&mut self, file: &str) -> Result<(), String> {
        self.modules += 1;
        self.check(self.modules > MOST_MODULES, || format!("{file}: the plugin has more than {MOST_MODULES} modules"))
    }

    pub(super) fn add_source(&mut self, file: &str, bytes: usize) -> Result<(), String> {
        self.bytes += bytes;
        self.check(self.bytes > MOST_BYTES, || {
            format!("{file}: the modules of the plugin have more than {} MiB", MOST_BYTES >> 20)
        })
    }

    pub(super) fn add_import(&mut self, file: &str) -> Result<(), String> {
        self.imports += 1;
        self.check(self.imports > MOST_IMPORTS, || {
            format!("{file}: the modules of the plugin have more than {MOST_IMPORTS} imports")
        })
    }

    /// The message about the first bound that is exceeded.
    pub(super) fn exceeded(&self) -> Option<String> {
        self.exceeded.clone()
    }

    fn check(&mut self, is_too_much: bool, what: impl FnOnce() -> String) -> Result<(), String> {
        if is_too_much && self.exceeded.is_none() {
            let advice =
                "import only what the plugin needs of its packages, or bundle it with a tool that leaves the rest out";
            self.exceeded = Some(format!("{}: {advice}", what()));
        }
        self.exceeded.clone().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bound_that_is_exceeded_is_told_from_then_on() {
        let mut limits = Limits::default();
        assert!((0..MOST_MODULES).all(|_| limits.add_module("a").is_ok()));
        assert!(limits.add_source("a", MOST_BYTES).is_ok() && limits.exceeded().is_none());
        let told = limits.add_source("b.js", 1).expect_err("too much");
        assert!(told.starts_with("b.js: the modules of the plugin have more than 64 MiB: import only"), "{told}");
        assert_eq!(limits.add_import("c.js"), Err(told.clone()));
        assert_eq!(limits.exceeded(), Some(told));
        let mut limits = Limits::default();
        assert!((0..MOST_IMPORTS).all(|_| limits.add_import("a").is_ok()));
        assert!(
            limits.add_import("b.js").is_err_and(|told| told.starts_with("b.js: ") && told.contains("100000 imports"))
        );
    }
}
