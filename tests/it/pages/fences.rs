//! Finds the pages and their fenced blocks.

use std::path::{Path, PathBuf};

/// A fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The page's path in the repository.
    pub(crate) page: String,
    /// The line of its fence.
    pub(crate) line: usize,
    /// The first word of its fence; empty if the fence has none.
    pub(crate) language: String,
    /// Why it does not run, if its fence says so.
    pub(crate) not_run: Option<String>,
    pub(crate) text: String,
}

impl Block {
    /// Where it is, for messages.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    /// The name of its file, if its first line is a comment that names one.
    pub(crate) fn file(&self) -> Option<&str> {
        let first = self.text.lines().next()?;
        let name = first.strip_prefix("// ").or_else(|| first.strip_prefix("# "))?;
        let is_name =
            name.contains('.') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
        is_name.then_some(name)
    }
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").canonicalize().expect("a folder")
}

/// The pages for users: README.md, those of `host/docs`, and those of the SDKs.
pub(crate) fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned()];
    for folder in ["host/docs", "sdk/js", "sdk/python", "sdk/c", "sdk/examples"] {
        let entries = std::fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        pages.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")));
    }
    pages.sort();
    pages
}

/// The fenced blocks of a page.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
    let (mut found, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
                let not_run = rest.strip_prefix("not run: ").map(str::to_owned);
                assert!(rest.is_empty() || not_run.is_some(), "{page}:{}: `{rest}` means nothing", index + 1);
                let page = page.to_owned();
                let block =
                    Block { page, line: index + 1, language: language.to_owned(), not_run, text: String::new() };
                open = Some(block);
            }
            (Some(_), Some("")) => found.extend(open.take()),
            (Some(block), _) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a fence is not closed");
    found
}
