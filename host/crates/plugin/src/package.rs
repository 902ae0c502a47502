//! Reads and writes the section that `coinslot pack` adds to a component: what its author says about it, bound to its
//! bytes.
//!
//! The section is a custom section of the component, `coinslot.package`, and the last one of the file. Its content is a
//! JSON document in one form: members sorted by name, and no whitespace. So the same component with the same facts
//! gives the same file. The document holds the digest of every byte before the section, and the manifest that the
//! component describes; a host that finds another one does not load the file. It proves nothing about its author: who
//! changes the component can pack it anew.

mod canonical;
mod check;
mod manifest;
#[cfg(test)]
mod tests;

use coinslot_base::text::excerpt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wasmparser::{Encoding, Parser, Payload};

use crate::contract::PluginInfo;

/// The name of the section.
const SECTION: &str = "coinslot.package";
/// The version of the document.
const FORMAT: u32 = 1;
/// The largest document, in bytes: a manifest has at most 1 MiB, and its texts may need escapes.
const MAX_DOCUMENT: usize = 4 << 20;
/// The longest text beside the manifest, in bytes.
const MAX_TEXT: usize = 1_000;
/// The most characters of the document in a message.
const MAX_SHOWN: usize = 200;

/// The package of a component: what the section says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// The version of the document.
    format: u32,
    pub component: PackedComponent,
    /// An SPDX expression, or another word of the author for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The manifest without any configuration.
    pub manifest: Value,
    /// The origin of the sources, as far as their repository tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<PackedSource>,
    pub tool: PackedTool,
}

/// The bytes before the section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedComponent {
    /// The language of the sources, if the tool has built them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// SHA-256, in hex.
    pub sha256: String,
    pub size: u64,
}

/// A commit of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedSource {
    pub commit: String,
    /// True if the sources differ from the commit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub modified: bool,
    /// The folder of the plugin in the repository; none for the repository's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The address of the repository, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// The tool that wrote the section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedTool {
    pub name: String,
    pub version: String,
}

/// The facts of a package that its component does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageFacts {
    pub language: Option<String>,
    pub license: Option<String>,
    pub source: Option<PackedSource>,
}

/// The reason why a package cannot be read, or does not fit its component. The sentence says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    #[error("the package section of the component {0}: pack the component again, or take it without the section")]
    Malformed(String),
    #[error("the package section has format {0}, and this host reads format {FORMAT}: update the host")]
    Format(u32),
    #[error(
        "the package section belongs to other bytes: it says sha256 {said}, and the component has {found}: the file was \
         changed after it was packed; pack the component again"
    )]
    Digest { said: String, found: String },
    #[error("the package section disagrees with the component: {0}: pack the component again")]
    Disagrees(String),
}

impl Package {
    /// Packs a component that has no package section: the file with the section at its end.
    pub fn pack(component: &[u8], info: &PluginInfo, facts: PackageFacts) -> Result<Vec<u8>, PackageError> {
        let package = Self {
            format: FORMAT,
            component: PackedComponent {
                language: facts.language,
                sha256: hex::encode(Sha256::digest(component)),
                size: component.len() as u64,
            },
            license: facts.license,
            manifest: manifest::to_value(info),
            source: facts.source,
            tool: PackedTool { name: "coinslot".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        };
        let document = serde_json::to_value(&package).map_err(|error| malformed(&error))?;
        let document = canonical::to_bytes(&document);
        Self::parse(&document)?;
        Ok([component, &section(&document)].concat())
    }

    /// Reads the package of a component, and checks that it belongs to these bytes. None if there is none.
    pub fn read(wasm: &[u8]) -> Result<Option<Self>, PackageError> {
        let Some((package, bare)) = Self::split(wasm)? else { return Ok(None) };
        let found = hex::encode(Sha256::digest(bare));
        if package.component.sha256 != found || package.component.size != bare.len() as u64 {
            return Err(PackageError::Digest { said: excerpt(&package.component.sha256, MAX_SHOWN), found });
        }
        Ok(Some(package))
    }

    /// The component without its package section. What the section says is not checked.
    pub fn bare(wasm: &[u8]) -> Result<&[u8], PackageError> {
        match find(wasm)? {
            Some(document) => Ok(before(wasm, document)?),
            None => Ok(wasm),
        }
    }

    /// Checks that the manifest is the one that the component describes without a configuration.
    pub fn check(&self, info: &PluginInfo) -> Result<(), PackageError> {
        match check::difference(&self.manifest, &manifest::to_value(info)) {
            None => Ok(()),
            Some(difference) => Err(PackageError::Disagrees(difference)),
        }
    }

    fn split(wasm: &[u8]) -> Result<Option<(Self, &[u8])>, PackageError> {
        let Some(document) = find(wasm)? else { return Ok(None) };
        let bare = before(wasm, document)?;
        Ok(Some((Self::parse(document)?, bare)))
    }

    /// Parses a document, which must be in its one form.
    fn parse(document: &[u8]) -> Result<Self, PackageError> {
        if document.len() > MAX_DOCUMENT {
            return Err(PackageError::Malformed(format!("is larger than {MAX_DOCUMENT} bytes")));
        }
        let value: Value = serde_json::from_slice(document).map_err(|error| malformed(&error))?;
        if let Some(format) = value.get("format").and_then(Value::as_u64)
            && format != u64::from(FORMAT)
        {
            return Err(PackageError::Format(u32::try_from(format).unwrap_or(u32::MAX)));
        }
        // A name that stands twice is lost here, too.
        if canonical::to_bytes(&value) != document {
            return Err(PackageError::Malformed("is not in the form that `coinslot pack` writes".to_owned()));
        }
        let package: Self = serde_json::from_value(value).map_err(|error| malformed(&error))?;
        package.check_texts()?;
        Ok(package)
    }

    /// Checks the texts beside the manifest: they are shown to people.
    fn check_texts(&self) -> Result<(), PackageError> {
        let source = self.source.clone().unwrap_or_default();
        let texts = [
            ("license", self.license.as_deref()),
            ("component.language", self.component.language.as_deref()),
            ("component.sha256", Some(self.component.sha256.as_str())),
            ("source.commit", Some(source.commit.as_str())),
            ("source.path", source.path.as_deref()),
            ("source.repository", source.repository.as_deref()),
            ("tool.name", Some(self.tool.name.as_str())),
            ("tool.version", Some(self.tool.version.as_str())),
        ];
        let is_odd = |text: &str| text.len() > MAX_TEXT || text.contains(char::is_control);
        match texts.into_iter().find(|(_, text)| text.is_some_and(is_odd)) {
            Some((name, _)) => {
                Err(PackageError::Malformed(format!("has a `{name}` that is no line of at most {MAX_TEXT} bytes")))
            }
            None => Ok(()),
        }
    }
}

fn malformed(error: &serde_json::Error) -> PackageError {
    // The message may quote the document.
    PackageError::Malformed(format!("is no document of a package: {}", excerpt(&error.to_string(), MAX_SHOWN)))
}

/// The content of the package section. None for a component without one, and for bytes that are no component.
fn find(wasm: &[u8]) -> Result<Option<&[u8]>, PackageError> {
    let (mut found, mut depth) = (None, 0_usize);
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Ok(None),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == SECTION => {
                let former = found.replace(section.data());
                if former.is_some() {
                    return Err(PackageError::Malformed("stands there twice".to_owned()));
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The bytes before the section with this content, which must be the last of the file.
fn before<'w>(wasm: &'w [u8], document: &[u8]) -> Result<&'w [u8], PackageError> {
    wasm.strip_suffix(section(document).as_slice()).ok_or_else(|| {
        PackageError::Malformed("is not the last section of the file, or has a length of another form".to_owned())
    })
}

/// A custom section (WebAssembly 3.0, binary format, 5.5.3): id 0, its size, its name with a size, its content.
fn section(document: &[u8]) -> Vec<u8> {
    let mut content = leb128(SECTION.len());
    content.extend_from_slice(SECTION.as_bytes());
    content.extend_from_slice(document);
    let mut section = vec![0];
    section.extend(leb128(content.len()));
    section.extend(content);
    section
}

/// An unsigned integer in the shortest LEB128.
fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}
