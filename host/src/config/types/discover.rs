//! The settings of what the host publishes.

use std::path::PathBuf;

use coinslot_plugin::Template;
use url::Url;

/// The settings of what the host publishes about itself and its endpoints: `[discover]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoverConfig {
    /// The name of the seller or of the service. None: the host of the public address.
    pub name: Option<String>,
    /// A few sentences about what is sold here.
    pub description: Option<String>,
    /// The address at which buyers reach the seller.
    pub email: Option<String>,
    pub website: Option<Url>,
    /// The terms of sale.
    pub terms: Option<Url>,
    /// The colour of buttons and links, as in `#1a56db`.
    pub accent: Option<Accent>,
    /// A picture, SVG or PNG, for pages and as the icon. None: Coinslot's own icon.
    pub logo: Option<PathBuf>,
    /// Signatures of the public address by the receivers of payments, by which directories know that the seller owns both.
    pub ownership_proofs: Vec<String>,
    /// The page for people at `/`.
    pub index: bool,
    /// `/openapi.json`.
    pub openapi: bool,
    /// `/.well-known/x402`.
    pub well_known: bool,
    /// `/catalog.json`.
    pub catalog: bool,
    /// `/llms.txt`.
    pub llms: bool,
    /// `/robots.txt`.
    pub robots: Robots,
    /// The extension `bazaar` of challenges, by which facilitators list what is sold.
    pub bazaar: bool,
    /// A browser that opens a paid route gets a page that pays.
    pub paywall: bool,
    /// The path at which agents call the endpoints as tools, by MCP. None: they cannot.
    pub mcp: Option<Template>,
}

/// The rule of `/robots.txt` for search engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Robots {
    /// Documents and the index page may be indexed.
    Allow,
    Disallow,
    /// There is no such file.
    Off,
}

/// A colour of the operator's choice: `#` and six hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accent(String);

impl Robots {
    pub const ALL: [Self; 3] = [Self::Allow, Self::Disallow, Self::Off];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Disallow => "disallow",
            Self::Off => "off",
        }
    }
}

impl Accent {
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        let is_colour = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_colour.then(|| Self(text.to_ascii_lowercase()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for DiscoverConfig {
    fn default() -> Self {
        Self {
            name: None,
            description: None,
            email: None,
            website: None,
            terms: None,
            accent: None,
            logo: None,
            ownership_proofs: Vec::new(),
            index: true,
            openapi: true,
            well_known: true,
            catalog: true,
            llms: true,
            robots: Robots::Allow,
            bazaar: true,
            paywall: true,
            mcp: Template::parse("/mcp").ok(),
        }
    }
}
