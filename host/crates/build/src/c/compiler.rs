//! Finds a compiler for WebAssembly: zig, which brings libraries of C and C++, or clang with lld.
//!
//! Each compiler that is found is tried: a clang may lack the target, the linker, or the libraries.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use parking_lot::Mutex;

use crate::BuildError;

const TARGET: &str = "wasm32-wasi";
const TARGET_WITHOUT_LIBRARY: &str = "wasm32-unknown-unknown";

/// Runs zig of the package `ziglang` as `python3 -m ziglang` does, but does not look for the package in the current
/// folder: a `ziglang.py` that lies there is not to run because somebody builds a plugin.
const ZIG_OF_PYTHON: &str = "import sys; sys.path[:] = [path for path in sys.path if path]; import runpy; \
                             runpy.run_module('ziglang', run_name='__main__', alter_sys=True)";

/// Advice on installing, for messages.
const GET_ZIG: &str = "install zig (https://ziglang.org/download, or `pip install ziglang`)";
const GET_CLANG: &str = "clang with lld (Debian, Ubuntu: `apt install clang lld wasi-libc libclang-rt-dev-wasm32`)";
const GET_CPP: &str =
    "the library of C++ for clang (Debian, Ubuntu: `apt install libc++-dev-wasm32 libc++abi-dev-wasm32`)";

/// A language of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SourceLanguage {
    C,
    Cpp,
    Zig,
}

impl SourceLanguage {
    pub(super) const EXTENSIONS: [(&'static str, Self); 5] =
        [("c", Self::C), ("cpp", Self::Cpp), ("cc", Self::Cpp), ("cxx", Self::Cpp), ("zig", Self::Zig)];

    pub(super) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        Self::EXTENSIONS.iter().find(|(known, _)| extension == *known).map(|(_, language)| *language)
    }
}

/// A compiler that was found and can compile the languages that were asked for.
#[derive(Clone, Debug)]
pub(super) enum Compiler {
    /// The words that run zig: `zig`, or Python with the package `ziglang`.
    Zig(Vec<OsString>),
    /// clang with a library of C.
    Clang,
    /// clang without one: the SDK brings what compilers call by themselves.
    FreestandingClang,
}

/// The output of a compiler, and whether it succeeded.
pub(super) struct CompilerOutput {
    pub(super) is_success: bool,
    pub(super) text: String,
}

impl Compiler {
    /// Finds one for these languages, and keeps to it as long as this process lives: the trials take as long as a small
    /// plugin. The error says what is missing and how to get it.
    pub(super) fn find(languages: &BTreeSet<SourceLanguage>) -> Result<Self, BuildError> {
        static FOUND: Mutex<BTreeMap<BTreeSet<SourceLanguage>, Compiler>> = Mutex::new(BTreeMap::new());
        if let Some(found) = FOUND.lock().get(languages) {
            return Ok(found.clone());
        }
        let found = Self::search(languages)?;
        FOUND.lock().insert(languages.clone(), found.clone());
        Ok(found)
    }

    fn search(languages: &BTreeSet<SourceLanguage>) -> Result<Self, BuildError> {
        for words in [&["zig"][..], &["python3", "-c", ZIG_OF_PYTHON]] {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            if succeeds(&words, &["version"]) {
                return Ok(Self::Zig(words));
            }
        }
        if languages.contains(&SourceLanguage::Zig) {
            return Err(BuildError::Toolchain(format!("zig is not installed: {GET_ZIG}")));
        }
        let clang = [OsString::from("clang")];
        let missing = |text: &str| Err(BuildError::Toolchain(format!("{text}: {GET_ZIG}, or {GET_CLANG}")));
        if !succeeds(&clang, &["--version"]) {
            return missing("there is no compiler for WebAssembly");
        }
        // The linker does nothing without the target, so both are tried at once.
        if !tries("int f(void){return 1;}", TARGET_WITHOUT_LIBRARY, &["-x", "c", "-nostdlib", "-Wl,--no-entry"]) {
            return missing("this clang cannot make WebAssembly: it lacks the target wasm32, or its linker wasm-ld");
        }
        if languages.contains(&SourceLanguage::Cpp) {
            if tries("#include <string>\nstd::string s;int f(){return s.size();}", TARGET, CPP_TRIAL) {
                return Ok(Self::Clang);
            }
            return Err(BuildError::Toolchain(format!(
                "there is no library of C++ for WebAssembly: {GET_ZIG}, or {GET_CPP}"
            )));
        }
        let has_library = tries("#include <stdlib.h>\nint f(void){return abs(1);}", TARGET, C_TRIAL);
        Ok(if has_library { Self::Clang } else { Self::FreestandingClang })
    }

    /// The command that compiles a source, to which files are added.
    pub(super) fn compile(&self, language: SourceLanguage) -> Command {
        if let (Self::Zig(words), SourceLanguage::Zig) = (self, language) {
            let mut command = self::command(words);
            command.args(["build-obj", "-target", TARGET, "-O", "ReleaseSafe", "-fstrip", "-lc"]);
            return command;
        }
        let mut command = self.driver(language == SourceLanguage::Cpp);
        command.args(self.common()).args(match language {
            SourceLanguage::Cpp => &["-std=gnu++20", "-fno-exceptions"][..],
            SourceLanguage::C | SourceLanguage::Zig => &["-std=gnu17", "-Werror=implicit-function-declaration"],
        });
        command.args(["-Werror=return-type", "-Werror=format"]);
        command
    }

    /// The command that links, to which files are added; they may be sources in C, too.
    pub(super) fn link(&self, is_cpp: bool) -> Command {
        let mut command = self.driver(is_cpp);
        command.args(self.common());
        command.args(match self {
            Self::Zig(_) | Self::Clang => &["-mexec-model=reactor"][..],
            Self::FreestandingClang => &["-nostdlib", "-Wl,--no-entry"],
        });
        command.args(["-Wl,-z,stack-size=1048576", "-Wl,--gc-sections"]);
        // The stack comes before the data, so that one that overflows traps, and does not overwrite the data. zig does
        // so by itself.
        if !matches!(self, Self::Zig(_)) {
            command.arg("-Wl,--stack-first");
        }
        command
    }

    pub(super) fn is_freestanding(&self) -> bool {
        matches!(self, Self::FreestandingClang)
    }

    /// A compiler's messages, with advice where they come from what is missing.
    pub(super) fn explained(&self, text: &str) -> String {
        let lacks_header = self.is_freestanding() && text.contains("file not found");
        if lacks_header {
            return format!(
                "{text}\nThis clang has no library of C for WebAssembly, and works with coinslot.h alone: {GET_ZIG}, \
                 or one (Debian, Ubuntu: `apt install wasi-libc libclang-rt-dev-wasm32`)"
            );
        }
        if text.contains("undefined symbol: coinslot_plugin") {
            return format!(
                "{text}\nDefine `void coinslot_plugin(void)`, which declares the endpoints (in Zig `export fn \
                 coinslot_plugin() void`)"
            );
        }
        text.to_owned()
    }

    fn driver(&self, is_cpp: bool) -> Command {
        match self {
            Self::Zig(words) => {
                let mut command = command(words);
                command.args([if is_cpp { "c++" } else { "cc" }, "-target", TARGET]);
                command
            }
            Self::Clang => clang(is_cpp, TARGET),
            Self::FreestandingClang => clang(is_cpp, TARGET_WITHOUT_LIBRARY),
        }
    }

    /// The flags of compiling and of linking sources.
    fn common(&self) -> &'static [&'static str] {
        match self {
            Self::Zig(_) | Self::Clang => &["-O2", "-g0"],
            Self::FreestandingClang => &["-O2", "-g0", "-ffreestanding", "-mbulk-memory", "-DCOINSLOT_FREESTANDING"],
        }
    }
}

/// Runs a command and waits for it. What it prints on either stream is one text.
pub(super) fn run(command: &mut Command) -> Result<CompilerOutput, BuildError> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        BuildError::Toolchain(format!("{program} cannot be run ({error}): {GET_ZIG}"))
    })?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).trim_end().to_owned();
    Ok(CompilerOutput { is_success: output.status.success(), text })
}

const C_TRIAL: &[&str] = &["-x", "c", "-mexec-model=reactor"];
const CPP_TRIAL: &[&str] = &["-x", "c++", "-fno-exceptions", "-mexec-model=reactor", "-lc++", "-lc++abi"];

/// Returns whether clang makes a module of a source.
fn tries(source: &str, target: &str, flags: &[&str]) -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    let file = folder.path().join("trial.c");
    if std::fs::write(&file, source).is_err() {
        return false;
    }
    let mut command = clang(false, target);
    // `-x` says what the files are that come after it.
    command.args(&flags[..2]).arg(&file).args(&flags[2..]).arg("-o").arg(folder.path().join("trial.wasm"));
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

fn clang(is_cpp: bool, target: &str) -> Command {
    let mut command = Command::new(if is_cpp { "clang++" } else { "clang" });
    command.arg(format!("--target={target}"));
    command
}

fn command(words: &[OsString]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

fn succeeds(words: &[OsString], arguments: &[&str]) -> bool {
    let output = command(words).args(arguments).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}
