//! Keeps the documents of the active generation, and makes them anew when the generation or the settings change.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::catalog_document::CatalogDocument;
use super::document::{Document, DocumentName};
use super::listing::Listing;
use super::logo::Logo;
use super::{llms, openapi, robots, well_known};
use crate::allowance::AllowancePolicy;
use crate::catalog::Catalog;
use crate::config::DiscoverConfig;
use crate::payment::Payments;

/// Publishes the documents of a host.
#[derive(Debug, Default)]
pub struct Publisher {
    settings: ArcSwap<Settings>,
    /// The documents that were made last. A lock, so that many requests at once make them once.
    published: Mutex<Option<Arc<Published>>>,
}

/// What the operator decides about documents.
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
    catalog: CatalogDocument,
    /// The documents that are of the generation as a whole.
    documents: BTreeMap<DocumentName, Document>,
}

impl Publisher {
    pub fn new(config: DiscoverConfig, logo: Logo) -> Self {
        let settings = Settings { config: Arc::new(config), logo };
        Self { settings: ArcSwap::from_pointee(settings), published: Mutex::default() }
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
        DocumentName::at(path, &self.settings.load().config)
    }

    /// A document of this generation. None: there is none.
    pub async fn document(&self, name: DocumentName, catalog: &Arc<Catalog>, payments: &Payments) -> Option<Document> {
        let published = self.published(catalog, payments.allowances().policy()).await?;
        if name == DocumentName::Catalog {
            return Some(published.catalog.document(payments));
        }
        published.documents.get(&name).cloned()
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
        let generation = catalog.generation;
        Self { generation, settings, allowances, catalog: CatalogDocument::new(&listing), documents }
    }
}

/// A document that is of the generation as a whole.
fn document(name: DocumentName, listing: &Listing) -> Option<Document> {
    match name {
        DocumentName::OpenApi => Some(openapi::document(listing)),
        DocumentName::WellKnown => Some(well_known::document(listing)),
        DocumentName::Llms => Some(llms::document(listing)),
        DocumentName::Robots => robots::document(listing.config.robots),
        DocumentName::Icon => Some(listing.logo.document()),
        // Its state is read when it is asked for.
        DocumentName::Catalog => None,
    }
}
