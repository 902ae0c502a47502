//! Makes a component of sources in C, C++ or Zig, with a compiler of this machine and the SDK in `sdk/c`.
//!
//! Each source of the author is compiled by itself, so that the first mistake is reported without the rest. The objects
//! are linked with the sources of the SDK. Of these, `quote.c` takes part only if the plugin quotes, because its export
//! costs a call before each payment.

mod compiler;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use wasmparser::{Parser, Payload, TypeRef};

use self::compiler::{Compiler, SourceLanguage};
use crate::{BuildError, component, plugin_name, sdk};

/// The file of a folder that makes it a plugin.
const STEM: &str = "plugin";

/// The file with further flags for the compiler, one on a line, which editors (clangd) read, too.
const FLAGS: &str = "compile_flags.txt";

/// A component, and what it was made of.
#[derive(Debug)]
pub struct CompiledPlugin {
    /// The bytes of the component.
    pub component: Vec<u8>,
    /// The files that were read, without those of the SDK and of the compiler.
    pub sources: BTreeSet<PathBuf>,
    /// The compiler's warnings.
    pub output: String,
}

/// The main source of a path: the file itself, or `plugin.c` and the like in a folder.
pub fn source_at(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        let names = SourceLanguage::EXTENSIONS.iter().map(|(extension, _)| path.join(format!("{STEM}.{extension}")));
        return names.into_iter().find(|path| path.is_file());
    }
    (SourceLanguage::of(path).is_some() && path.is_file()).then(|| path.to_owned())
}

/// Builds the plugin of a main source. A `plugin.c`, `plugin.cpp` or `plugin.zig` is compiled with the other files in C
/// and C++ of its folder, and has the folder's name; another file is compiled alone, and gives the name.
///
/// The SDK is unpacked into the cache. Blocks the thread.
pub fn build(main: &Path, cache: &Path) -> Result<CompiledPlugin, BuildError> {
    let main = main.canonicalize().map_err(BuildError::file(main))?;
    let sdk = sdk::unpack(cache)?;
    let folder = main.parent().unwrap_or(Path::new("/"));
    let sources = sources_of(&main, folder)?;
    let languages: BTreeSet<SourceLanguage> = sources.iter().filter_map(|path| SourceLanguage::of(path)).collect();
    let compiler = Compiler::find(&languages)?;
    let work = tempfile::tempdir().map_err(BuildError::file(Path::new("a temporary folder")))?;
    let build = Build { compiler, folder, sdk: sdk.join("sdk/c"), work: work.path(), flags: flags_of(folder)? };
    let mut built = CompiledPlugin { component: Vec::new(), sources: BTreeSet::new(), output: String::new() };
    let mut objects = Vec::new();
    for source in &sources {
        let mut name = source.file_name().unwrap_or_default().to_owned();
        name.push(".o");
        let object = work.path().join(name);
        built.output += &build.compile(source, &object, *source == main)?;
        built.sources.extend(build.read_by(&object));
        objects.push(object);
    }
    built.sources.extend(sources);
    let linked = build.link(&objects, &name_of(&main, folder), languages.contains(&SourceLanguage::Cpp))?;
    built.component = component::encode(&linked, &sdk.join("wit"))?;
    Ok(built)
}

/// The sources of a plugin, sorted; tests of its folder are none.
fn sources_of(main: &Path, folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    if main.file_stem() != Some(OsStr::new(STEM)) {
        return Ok(vec![main.to_owned()]);
    }
    let mut sources = Vec::new();
    for entry in folder.read_dir().map_err(BuildError::file(folder))? {
        let path = entry.map_err(BuildError::file(folder))?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_test = stem.starts_with("test_") || stem.ends_with("_test");
        // Other files in Zig are imported by the main one.
        let is_source = matches!(SourceLanguage::of(&path), Some(SourceLanguage::C | SourceLanguage::Cpp)) && !is_test;
        if (is_source || path == main) && path.is_file() {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// The name of a plugin by that of its folder or file: `Quote_of_Day` is quote-of-day.
fn name_of(main: &Path, folder: &Path) -> String {
    let is_folder = main.file_stem() == Some(OsStr::new(STEM));
    let name = if is_folder { folder.file_name() } else { main.file_stem() };
    plugin_name(&name.unwrap_or_default().to_string_lossy())
}

/// Bytes of the file of flags that are read, at most.
const MOST_FLAGS: u64 = 1 << 20;

fn flags_of(folder: &Path) -> Result<Vec<String>, BuildError> {
    let path = folder.join(FLAGS);
    match coinslot_base::file::read_regular_text(&path, MOST_FLAGS) {
        Ok(text) => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            // The target is that of the compiler that is found.
            Ok(lines.filter(|line| !line.starts_with("--target")).map(str::to_owned).collect())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(BuildError::File { path, error }),
    }
}

/// One build of one plugin.
struct Build<'a> {
    compiler: Compiler,
    folder: &'a Path,
    /// The folder of `coinslot.h`.
    sdk: PathBuf,
    /// A folder of this build alone.
    work: &'a Path,
    flags: Vec<String>,
}

impl Build<'_> {
    /// Compiles one source into an object, and returns the warnings. Paths are relative to the folder, so that the same
    /// sources give the same bytes anywhere, and messages are short.
    fn compile(&self, source: &Path, object: &Path, is_main: bool) -> Result<String, BuildError> {
        let name = source.strip_prefix(self.folder).unwrap_or(source);
        let language = SourceLanguage::of(source).unwrap_or(SourceLanguage::C);
        let mut command = self.compiler.compile(language);
        command.current_dir(self.folder);
        if language == SourceLanguage::Zig {
            command.args(["--name", "plugin", "--dep", "coinslot"]).arg(assigned("-Mroot", name));
            command.arg(assigned("-Mcoinslot", &self.sdk.join("coinslot.zig")));
            command.arg("--cache-dir").arg(self.work.join("zig"));
            command.arg(assigned("-femit-bin", object));
        } else {
            command.arg("-I").arg(&self.sdk).args(&self.flags);
            command.args(if is_main { ["-Wall", "-Wextra"].as_slice() } else { &["-w"] });
            command.arg("-MMD").arg("-MF").arg(object.with_extension("d"));
            command.arg("-c").arg(no_option(name)).arg("-o").arg(object);
        }
        let output = compiler::run(&mut command)?;
        if !output.is_success {
            return Err(BuildError::Source(self.compiler.explained(&output.text)));
        }
        Ok(output.text)
    }

    /// The author's files that the compiler read for an object, by its dependency file.
    fn read_by(&self, object: &Path) -> BTreeSet<PathBuf> {
        let text = std::fs::read_to_string(object.with_extension("d")).unwrap_or_default();
        let text = text.replace("\\\n", " ");
        let files = text.split_once(": ").map_or("", |(_, files)| files).replace("\\ ", "\0");
        let paths = files.split_whitespace().map(|name| self.folder.join(name.replace('\0', " ")));
        let is_own = |path: &PathBuf| !path.starts_with(&self.sdk);
        paths.filter(is_own).filter_map(|path| path.canonicalize().ok()).collect()
    }

    /// Links objects with the SDK, and returns the module.
    fn link(&self, objects: &[PathBuf], name: &str, is_cpp: bool) -> Result<Vec<u8>, BuildError> {
        let module = self.work.join("core.wasm");
        let mut command = self.compiler.link(is_cpp);
        // Relative names, which messages are about.
        command
            .current_dir(self.work)
            .args(objects.iter().filter_map(|object| Some(no_option(Path::new(object.file_name()?)))));
        // The sources of the SDK are in C, also where the command is that of C++.
        command.args(["-x", "c", "-std=gnu17", "-w"]).arg("-I").arg(&self.sdk);
        command.arg(format!("-DCOINSLOT_NAME=\"{name}\""));
        for source in sdk_sources(&self.sdk)? {
            let stem = source.file_stem().unwrap_or_default();
            let is_needed = match stem.to_str() {
                Some("quote") => objects.iter().any(|object| calls(object, "coinslot_quote")),
                Some("libc") => self.compiler.is_freestanding(),
                _ => true,
            };
            if is_needed {
                command.arg(source);
            }
        }
        command.arg("-o").arg(&module);
        let output = compiler::run(&mut command)?;
        if !output.is_success {
            return Err(BuildError::Source(self.compiler.explained(&output.text)));
        }
        let linked = std::fs::read(&module).map_err(BuildError::file(&module))?;
        Ok(without_debug_information(&linked))
    }
}

/// Leaves out the debug information, which libraries bring along, and which is larger than they are. Names of functions
/// stay, for backtraces. zig would strip both.
#[allow(clippy::cast_possible_truncation, reason = "offsets in what is in memory")]
fn without_debug_information(module: &[u8]) -> Vec<u8> {
    let mut kept = module.get(..8).unwrap_or_default().to_vec();
    for payload in Parser::new(0).parse_all(module) {
        // What a linker wrote and this parser does not know stays as it is.
        let Ok(payload) = payload else { return module.to_vec() };
        if matches!(&payload, Payload::CustomSection(section) if section.name().starts_with(".debug")) {
            continue;
        }
        if let Some((id, range)) = payload.as_section() {
            let section = &module[range.start as usize..range.end as usize];
            kept.push(id);
            append_leb128(&mut kept, section.len());
            kept.extend(section);
        }
    }
    kept
}

#[allow(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn append_leb128(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// An argument that names a file: `-option=file`.
fn assigned(option: &str, file: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push("=");
    argument.push(file);
    argument
}

/// A relative name that no compiler takes for an option.
fn no_option(name: &Path) -> PathBuf {
    if name.as_os_str().as_encoded_bytes().starts_with(b"-") { Path::new(".").join(name) } else { name.to_owned() }
}

fn sdk_sources(sdk: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let entries = sdk.read_dir().map_err(BuildError::file(sdk))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut sources: Vec<PathBuf> = paths.filter(|path| path.extension() == Some(OsStr::new("c"))).collect();
    sources.sort();
    Ok(sources)
}

/// Returns whether an object refers to a function that it does not define.
fn calls(object: &Path, function: &str) -> bool {
    let bytes = std::fs::read(object).unwrap_or_default();
    Parser::new(0).parse_all(&bytes).flatten().any(|payload| {
        let Payload::ImportSection(section) = payload else { return false };
        let mut imports = section.into_imports().flatten();
        imports.any(|import| import.name == function && matches!(import.ty, TypeRef::Func(_)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_folder_or_file_becomes_that_of_a_plugin() {
        let name = |main: &str| name_of(Path::new(main), Path::new(main).parent().expect("a folder"));
        assert_eq!(name("/a/Quote_of Day/plugin.c"), "quote-of-day");
        assert_eq!(name("/a/b/3d-Text.cpp"), "d-text");
        assert_eq!(name("/a/42/plugin.zig"), "plugin");
    }

    #[test]
    fn a_file_whose_name_begins_like_an_option_is_a_file() {
        assert_eq!(no_option(Path::new("-fplugin=a.c")), Path::new("./-fplugin=a.c"));
        assert_eq!(no_option(Path::new("a-b.c")), Path::new("a-b.c"));
    }
}
