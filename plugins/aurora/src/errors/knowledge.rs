//! The knowledge base: the entries of `errors/data/*.txt`, one file per field.

/// The data of each field. The `language` of a question selects a field.
pub(super) const DATA: &[(&str, &str)] = &[
    ("rust", include_str!("data/rust.txt")),
    ("python", include_str!("data/python.txt")),
    ("node", include_str!("data/node.txt")),
    ("typescript", include_str!("data/typescript.txt")),
    ("go", include_str!("data/go.txt")),
    ("java", include_str!("data/java.txt")),
    ("c", include_str!("data/c.txt")),
    ("docker", include_str!("data/docker.txt")),
    ("git", include_str!("data/git.txt")),
    ("database", include_str!("data/database.txt")),
    ("http", include_str!("data/http.txt")),
    ("tls", include_str!("data/tls.txt")),
    ("linux", include_str!("data/linux.txt")),
    ("kubernetes", include_str!("data/kubernetes.txt")),
    ("payments", include_str!("data/payments.txt")),
];

/// One known error: a block of a data file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) field: &'static str,
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) body: &'static str,
}

impl Entry {
    /// The lines that begin with a sign, without it.
    fn lines(&self, sign: char) -> impl Iterator<Item = &'static str> {
        self.body.lines().filter_map(move |line| line.strip_prefix(sign)).map(str::trim)
    }

    /// Patterns that name this error and no other.
    pub(super) fn patterns(&self) -> impl Iterator<Item = &'static str> {
        self.lines('=')
    }

    /// Patterns that several errors match. They score less.
    pub(super) fn weak_patterns(&self) -> impl Iterator<Item = &'static str> {
        self.lines('~')
    }

    pub(super) fn causes(&self) -> impl Iterator<Item = &'static str> {
        self.lines('?')
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = &'static str> {
        self.lines('>')
    }

    pub(super) fn check(&self) -> Option<&'static str> {
        self.lines('$').next()
    }
}

/// Reads the entries one by one. A block is a line `@ id Title`, then lines that begin with `=` (pattern), `~` (weak
/// pattern), `?` (cause), `>` (step) or `$` (check).
pub(super) fn entries() -> impl Iterator<Item = Entry> {
    DATA.iter().flat_map(|(field, data)| {
        data.strip_prefix("@ ").unwrap_or(data).split("\n@ ").filter_map(|block| {
            let (heading, body) = block.split_once('\n')?;
            let (id, title) = heading.trim().split_once(' ')?;
            Some(Entry { field, id, title, body })
        })
    })
}
