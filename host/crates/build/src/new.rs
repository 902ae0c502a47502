//! Makes the folder of a new plugin from a template that is part of this package.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::{BuildError, rust, sdk};

/// A language for which there is a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    TypeScript,
    JavaScript,
    Python,
    Rust,
    C,
    Cpp,
    Zig,
}

/// A file of a template: its path in the folder, and its text, in which `{{name}}` is the plugin's name,
/// `{{version}}` the version of the SDK, and `{{sdk}}` the folder with the SDKs in the cache.
type TemplateFile = (&'static str, &'static str);

const TYPESCRIPT: &[TemplateFile] = &[
    ("plugin.ts", include_str!("../templates/ts/plugin.ts")),
    ("plugin.test.ts", include_str!("../templates/ts/plugin.test.ts")),
    ("package.json", include_str!("../templates/ts/package.json")),
    ("tsconfig.json", include_str!("../templates/ts/tsconfig.json")),
    (".gitignore", include_str!("../templates/ts/gitignore")),
];
const JAVASCRIPT: &[TemplateFile] = &[
    ("plugin.js", include_str!("../templates/js/plugin.js")),
    ("plugin.test.js", include_str!("../templates/js/plugin.test.js")),
    ("package.json", include_str!("../templates/js/package.json")),
    (".gitignore", include_str!("../templates/js/gitignore")),
];
const PYTHON: &[TemplateFile] = &[
    ("app.py", include_str!("../templates/python/app.py")),
    ("test_app.py", include_str!("../templates/python/test_app.py")),
    ("pyproject.toml", include_str!("../templates/python/pyproject.toml")),
    (".gitignore", include_str!("../templates/python/gitignore")),
];
const RUST: &[TemplateFile] = &[
    ("Cargo.toml", include_str!("../templates/rust/Cargo.toml")),
    ("src/lib.rs", include_str!("../templates/rust/src/lib.rs")),
    (".gitignore", include_str!("../templates/rust/gitignore")),
];
const C: &[TemplateFile] = &[
    ("plugin.c", include_str!("../templates/c/plugin.c")),
    ("compile_flags.txt", include_str!("../templates/c/compile_flags.txt")),
    (".gitignore", include_str!("../templates/c/gitignore")),
];
const CPP: &[TemplateFile] = &[
    ("plugin.cpp", include_str!("../templates/cpp/plugin.cpp")),
    ("compile_flags.txt", include_str!("../templates/c/compile_flags.txt")),
    (".gitignore", include_str!("../templates/c/gitignore")),
];
const ZIG: &[TemplateFile] = &[
    ("plugin.zig", include_str!("../templates/zig/plugin.zig")),
    (".gitignore", include_str!("../templates/c/gitignore")),
];

impl Language {
    pub const ALL: [Self; 7] =
        [Self::TypeScript, Self::JavaScript, Self::Python, Self::Rust, Self::C, Self::Cpp, Self::Zig];

    /// The word for it on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::TypeScript => "ts",
            Self::JavaScript => "js",
            Self::Python => "python",
            Self::Rust => "rust",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Zig => "zig",
        }
    }

    fn template(self) -> &'static [TemplateFile] {
        match self {
            Self::TypeScript => TYPESCRIPT,
            Self::JavaScript => JAVASCRIPT,
            Self::Python => PYTHON,
            Self::Rust => RUST,
            Self::C => C,
            Self::Cpp => CPP,
            Self::Zig => ZIG,
        }
    }
}

/// Writes the files of a new plugin into a folder that has none of them, and returns their paths. An existing file is
/// an error, and then nothing is written.
///
/// The name is a plugin's name: lower-case letters, digits and hyphens, a letter first. An SDK that the files refer to
/// is unpacked into the cache.
pub fn create(folder: &Path, name: &str, language: Language, cache: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    let is_clangs = matches!(language, Language::C | Language::Cpp);
    let sdk = if is_clangs { sdk::unpack(cache)?.join("sdk") } else { PathBuf::new() };
    for (path, text) in language.template() {
        let text = text.replace("{{name}}", name).replace("{{version}}", rust::VERSION);
        let text = text.replace("{{sdk}}", &sdk.to_string_lossy());
        files.push((folder.join(path), text));
    }
    if language == Language::TypeScript {
        let types = sdk::types().map(|(file, text)| (folder.join(file), text.to_owned()));
        files.extend(types);
    }
    // A link that leads nowhere is there, too: a write would make the file that it names, wherever that is.
    if let Some((path, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
        let error = std::io::Error::new(std::io::ErrorKind::AlreadyExists, "it is there already, and stays as it is");
        return Err(BuildError::File { path: path.clone(), error });
    }
    for (path, text) in &files {
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(BuildError::file(parent))?;
        let file = File::options().write(true).create_new(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(BuildError::file(path))?;
    }
    if language == Language::Rust {
        // An editor asks cargo before the first build.
        rust::sdk_arguments(folder, cache)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The flags named a folder `0.1.0/c`, which is nowhere, and clangd found no `coinslot.h`.
    #[test]
    fn an_editor_finds_the_header_by_the_flags_of_a_new_plugin() {
        let (folder, cache) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        for (name, language) in [("c", Language::C), ("cpp", Language::Cpp)] {
            let shop = folder.path().join(name);
            create(&shop, "shop", language, cache.path()).expect("a plugin");
            let flags = std::fs::read_to_string(shop.join("compile_flags.txt")).expect("flags");
            let include = flags.lines().find_map(|line| line.strip_prefix("-I")).expect("a folder");
            assert!(Path::new(include).join("coinslot.h").is_file(), "{flags}");
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_is_not_written_through() {
        let (folder, cache) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (link, target) = (folder.path().join("shop/plugin.ts"), folder.path().join("elsewhere"));
        std::fs::create_dir(folder.path().join("shop")).expect("a folder");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        let made = create(&folder.path().join("shop"), "shop", Language::TypeScript, cache.path());
        assert!(made.is_err_and(|error| error.to_string().contains("it is there already")));
        assert!(!target.exists() && !folder.path().join("shop/package.json").exists());
    }
}
