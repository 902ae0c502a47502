//! Keeps the documents of the active generation, and makes them anew when the generation or the settings change.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use tokio::sync::Mutex;

use super::catalog_document::CatalogDocument;
use super::document::{Document, DocumentName};
use super::listing::Listing;
use super::logo::Logo;
use super::pages::{self, EndpointView, PricesOf, Seller};
#[cfg(feature = "dev")]
use super::test_wallet::TestWallet;
use super::tools::ToolList;
use super::{llms, openapi, robots, well_known};
use crate::allowance::AllowancePolicy;
use crate::catalog::Catalog;
use crate::config::DiscoverConfig;
use crate::endpoint::{Access, Endpoint};
use crate::payment::Payments;

/// Publishes the documents of a host.
#[derive(Debug, Default)]
pub struct Publisher {
    settings: ArcSwap<Settings>,
    /// The documents that were made last. A lock, so that many requests at once make them once.
    published: Mutex<Option<Arc<Published>>>,
    /// A wallet that signs for pages. Only a development chain in this process has one.
    #[cfg(feature = "dev")]
    test_wallet: Option<TestWallet>,
}

/// A request of a browser that has to be paid.
#[derive(Clone, Copy, Debug)]
pub struct PaywallRequest<'r> {
    pub endpoint: &'r Arc<Endpoint>,
    pub params: &'r [(String, String)],
    pub query: Option<&'r str>,
    /// `PAYMENT-REQUIRED` of its challenge.
    pub challenge: &'r HeaderValue,
    /// The public address of the host.
    pub public_url: &'r str,
}

/// The operator's decisions about documents.
#[derive(Debug, Default, PartialEq)]
struct Settings {
    config: Arc<DiscoverConfig>,
    logo: Logo,
}

/// The documents of one generation under some settings.
#[derive(Debug)]
struct Published {
    generation: u64,
    settings: Arc<Settings>,
    allowances: Arc<AllowancePolicy>,
    listing: Listing,
    catalog: CatalogDocument,
    /// The documents that are of the generation as a whole.
    documents: BTreeMap<DocumentName, Document>,
    /// The tools of agents. None: the operator offers none.
    tools: Option<Arc<ToolList>>,
}

impl Publisher {
    pub fn new(config: DiscoverConfig, logo: Logo) -> Self {
        let settings = Settings { config: Arc::new(config), logo };
        Self { settings: ArcSwap::from_pointee(settings), ..Self::default() }
    }

    /// Lets pages pay with the wallet of a development chain.
    #[cfg(feature = "dev")]
    pub fn with_test_wallet(self, test_wallet: Option<TestWallet>) -> Self {
        Self { test_wallet, ..self }
    }

    /// Publishes by other settings from here on.
    pub fn reconfigure(&self, config: DiscoverConfig, logo: Logo) {
        let settings = Settings { config: Arc::new(config), logo };
        if **self.settings.load() != settings {
            self.settings.store(Arc::new(settings));
        }
    }

    /// The document at a path, if the operator publishes it. It takes no time.
    pub fn find(&self, path: &str) -> Option<DocumentName> {
        #[cfg(feature = "dev")]
        if self.test_wallet.is_some() && path == DocumentName::TestWallet.path() {
            return Some(DocumentName::TestWallet);
        }
        DocumentName::at(path, &self.settings.load().config)
    }

    /// A document of this generation, for the query of its request. None: there is none.
    pub async fn document(
        &self,
        name: DocumentName,
        query: Option<&str>,
        catalog: &Arc<Catalog>,
        payments: &Payments,
    ) -> Option<Document> {
        let published = async || self.published(catalog, payments.allowances().policy()).await;
        match name {
            DocumentName::Endpoint => self.endpoint_page(&published().await?.listing, query?),
            DocumentName::Catalog => Some(published().await?.catalog.document(payments)),
            #[cfg(feature = "dev")]
            DocumentName::TestWallet => self.test_wallet.as_ref()?.answer(query?).await,
            DocumentName::Index
            | DocumentName::OpenApi
            | DocumentName::WellKnown
            | DocumentName::Llms
            | DocumentName::Robots
            | DocumentName::Icon => published().await?.documents.get(&name).cloned(),
        }
    }

    /// True if a browser that opens a paid route gets a page.
    pub fn has_paywall(&self) -> bool {
        self.settings.load().config.paywall
    }

    /// The page for a browser's request that has to be paid. None: it has nothing that the page could show.
    pub fn paywall(&self, request: &PaywallRequest<'_>) -> Option<Document> {
        let PaywallRequest { endpoint, params, query, challenge, public_url } = *request;
        let Access::Paid(paid) = &endpoint.access else { return None };
        let settings = self.settings.load();
        let view = EndpointView {
            seller: Seller { config: &settings.config, public_url },
            endpoint,
            prices: PricesOf::asked(challenge, paid)?,
            params,
            query,
            is_paywall: true,
            test_wallet: self.test_wallet(),
        };
        Some(pages::endpoint(&view))
    }

    /// The page of the endpoint whose label the query is.
    fn endpoint_page(&self, listing: &Listing, query: &str) -> Option<Document> {
        let label = percent_decode_str(query).decode_utf8().ok()?;
        let listed = listing.endpoints.iter().find(|listed| listed.endpoint.label == label)?;
        let view = EndpointView {
            seller: Seller { config: &listing.config, public_url: &listing.public_url },
            endpoint: &listed.endpoint,
            prices: PricesOf::declared(&listed.endpoint.access),
            params: &[],
            query: None,
            is_paywall: false,
            test_wallet: self.test_wallet(),
        };
        Some(pages::endpoint(&view))
    }

    /// The wallet of a development chain, for the script of a page.
    fn test_wallet(&self) -> Option<serde_json::Value> {
        #[cfg(feature = "dev")]
        return self.test_wallet.as_ref().map(TestWallet::data);
        #[cfg(not(feature = "dev"))]
        None
    }

    /// True if agents call the endpoints as tools at this path.
    pub fn is_mcp(&self, path: &str) -> bool {
        self.settings.load().config.mcp.as_ref().is_some_and(|mcp| mcp.as_str() == path)
    }

    /// The operator's settings, as they are now.
    pub fn config(&self) -> Arc<DiscoverConfig> {
        Arc::clone(&self.settings.load().config)
    }

    /// The tools of this generation. None: there are none.
    pub async fn tools(&self, catalog: &Arc<Catalog>, payments: &Payments) -> Option<Arc<ToolList>> {
        self.published(catalog, payments.allowances().policy()).await?.tools.clone()
    }

    async fn published(&self, catalog: &Arc<Catalog>, allowances: Arc<AllowancePolicy>) -> Option<Arc<Published>> {
        let settings = self.settings.load_full();
        let mut published = self.published.lock().await;
        let is_of = |known: &&Arc<Published>| {
            known.generation == catalog.generation
                && Arc::ptr_eq(&known.settings, &settings)
                && Arc::ptr_eq(&known.allowances, &allowances)
        };
        if let Some(known) = published.as_ref().filter(is_of) {
            return Some(Arc::clone(known));
        }
        let catalog = Arc::clone(catalog);
        let made = tokio::task::spawn_blocking(move || Published::new(&catalog, settings, allowances)).await;
        let made = made.inspect_err(|error| tracing::error!(%error, "no documents could be made: report this")).ok()?;
        let made = Arc::new(made);
        *published = Some(Arc::clone(&made));
        Some(made)
    }
}

impl Published {
    fn new(catalog: &Catalog, settings: Arc<Settings>, allowances: Arc<AllowancePolicy>) -> Self {
        let listing = Listing::new(catalog, Arc::clone(&settings.config), settings.logo.clone(), &allowances);
        let document = |name| document(name, &listing).map(|document| (name, document));
        let documents = DocumentName::ALL.into_iter().filter_map(document).collect();
        let tools = listing.config.mcp.is_some().then(|| Arc::new(ToolList::new(&listing)));
        let (generation, catalog) = (catalog.generation, CatalogDocument::new(&listing));
        Self { generation, settings, allowances, listing, catalog, documents, tools }
    }
}

/// A document that is of the generation as a whole. None: it is not published, or is made when it is asked for.
fn document(name: DocumentName, listing: &Listing) -> Option<Document> {
    match name {
        DocumentName::Index => listing.config.index.then(|| pages::index(listing)),
        DocumentName::OpenApi => Some(openapi::document(listing)),
        DocumentName::WellKnown => Some(well_known::document(listing)),
        DocumentName::Llms => Some(llms::document(listing)),
        DocumentName::Robots => robots::document(listing.config.robots),
        DocumentName::Icon => Some(listing.logo.document()),
        DocumentName::Endpoint | DocumentName::Catalog => None,
        #[cfg(feature = "dev")]
        DocumentName::TestWallet => None,
    }
}
