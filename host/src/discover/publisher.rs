//! Keeps the documents of the active generation, and makes them anew when the generation or the settings change.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use tokio::sync::Mutex;

use super::document::{Document, DocumentName};
use super::listing::{ListedEndpoint, Listing};
use super::pages::{self, EndpointView, PricesOf, Seller};
use super::robots;
#[cfg(feature = "dev")]
use super::test_wallet::TestWallet;
use crate::catalog::Catalog;
use crate::config::DiscoverConfig;
use crate::endpoint::{Access, Endpoint};

/// Publishes the documents of a host.
#[derive(Debug, Default)]
pub struct Publisher {
    config: ArcSwap<DiscoverConfig>,
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

/// The documents of one generation under one configuration.
#[derive(Debug)]
struct Published {
    generation: u64,
    listing: Listing,
    documents: BTreeMap<DocumentName, Document>,
}

impl Publisher {
    pub fn new(config: DiscoverConfig) -> Self {
        Self { config: ArcSwap::from_pointee(config), ..Self::default() }
    }

    /// Lets pages pay with the wallet of a development chain.
    #[cfg(feature = "dev")]
    pub fn with_test_wallet(self, test_wallet: Option<TestWallet>) -> Self {
        Self { test_wallet, ..self }
    }

    /// Publishes by other settings from here on.
    pub fn reconfigure(&self, config: DiscoverConfig) {
        if **self.config.load() != config {
            self.config.store(Arc::new(config));
        }
    }

    /// The document at a path, if the operator publishes it. It takes no time.
    pub fn find(&self, path: &str) -> Option<DocumentName> {
        #[cfg(feature = "dev")]
        if self.test_wallet.is_some() && path == DocumentName::TestWallet.path() {
            return Some(DocumentName::TestWallet);
        }
        DocumentName::at(path, &self.config.load())
    }

    /// A document of this generation, for the query of its request. None: there is none.
    pub async fn document(&self, name: DocumentName, query: Option<&str>, catalog: &Arc<Catalog>) -> Option<Document> {
        match name {
            DocumentName::Endpoint => {
                let published = self.published(catalog).await?;
                self.endpoint_page(&published.listing, query?)
            }
            #[cfg(feature = "dev")]
            DocumentName::TestWallet => self.test_wallet.as_ref()?.answer(query?).await,
            DocumentName::Index | DocumentName::Robots => self.published(catalog).await?.documents.get(&name).cloned(),
        }
    }

    /// True if a browser that opens a paid route gets a page.
    pub fn has_paywall(&self) -> bool {
        self.config.load().paywall
    }

    /// The page for a browser's request that has to be paid. None: it has nothing that the page could show.
    pub fn paywall(&self, request: &PaywallRequest<'_>) -> Option<Document> {
        let PaywallRequest { endpoint, params, query, challenge, public_url } = *request;
        let Access::Paid(paid) = &endpoint.access else { return None };
        let config = self.config.load();
        let view = EndpointView {
            seller: Seller { config: &config, public_url },
            listed: &ListedEndpoint::without_example(Arc::clone(endpoint)),
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
            listed,
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

    async fn published(&self, catalog: &Arc<Catalog>) -> Option<Arc<Published>> {
        let config = self.config.load_full();
        let mut published = self.published.lock().await;
        let is_of = |known: &&Arc<Published>| {
            known.generation == catalog.generation && Arc::ptr_eq(&known.listing.config, &config)
        };
        if let Some(known) = published.as_ref().filter(is_of) {
            return Some(Arc::clone(known));
        }
        let catalog = Arc::clone(catalog);
        let made = tokio::task::spawn_blocking(move || Published::new(&catalog, config)).await;
        let made = made.inspect_err(|error| tracing::error!(%error, "no documents could be made: report this")).ok()?;
        let made = Arc::new(made);
        *published = Some(Arc::clone(&made));
        Some(made)
    }
}

impl Published {
    fn new(catalog: &Catalog, config: Arc<DiscoverConfig>) -> Self {
        let listing = Listing::new(catalog, config);
        let document = |name| document(name, &listing).map(|document| (name, document));
        let documents = DocumentName::ALL.into_iter().filter_map(document).collect();
        Self { generation: catalog.generation, listing, documents }
    }
}

/// A document of a generation. None: it is not published, or is made when it is asked for.
fn document(name: DocumentName, listing: &Listing) -> Option<Document> {
    match name {
        DocumentName::Index => listing.config.index.then(|| pages::index(listing)),
        DocumentName::Robots => robots::document(listing.config.robots),
        DocumentName::Endpoint => None,
        #[cfg(feature = "dev")]
        DocumentName::TestWallet => None,
    }
}
