//! Keeps the documents of the active generation, and makes them anew when the generation or the settings change.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::document::{Document, DocumentName};
use super::listing::Listing;
use super::robots;
use super::tools::ToolList;
use crate::catalog::Catalog;
use crate::config::DiscoverConfig;

/// Publishes the documents of a host.
#[derive(Debug, Default)]
pub struct Publisher {
    config: ArcSwap<DiscoverConfig>,
    /// The documents that were made last. A lock, so that many requests at once make them once.
    published: Mutex<Option<Arc<Published>>>,
}

/// The documents of one generation under one configuration.
#[derive(Debug)]
struct Published {
    generation: u64,
    config: Arc<DiscoverConfig>,
    documents: BTreeMap<DocumentName, Document>,
    /// The tools of agents. None: the operator offers none.
    tools: Option<Arc<ToolList>>,
}

impl Publisher {
    pub fn new(config: DiscoverConfig) -> Self {
        Self { config: ArcSwap::from_pointee(config), published: Mutex::default() }
    }

    /// Publishes by other settings from here on.
    pub fn reconfigure(&self, config: DiscoverConfig) {
        if **self.config.load() != config {
            self.config.store(Arc::new(config));
        }
    }

    /// The document at a path, if the operator publishes it. It takes no time.
    pub fn find(&self, path: &str) -> Option<DocumentName> {
        DocumentName::at(path, &self.config.load())
    }

    /// A document of this generation. None: there is none.
    pub async fn document(&self, name: DocumentName, catalog: &Arc<Catalog>) -> Option<Document> {
        let published = self.published(catalog).await?;
        published.documents.get(&name).cloned()
    }

    /// True if agents call the endpoints as tools at this path.
    pub fn is_mcp(&self, path: &str) -> bool {
        self.config.load().mcp.as_ref().is_some_and(|mcp| mcp.as_str() == path)
    }

    /// The operator's settings, as they are now.
    pub fn config(&self) -> Arc<DiscoverConfig> {
        self.config.load_full()
    }

    /// The tools of this generation. None: there are none.
    pub async fn tools(&self, catalog: &Arc<Catalog>) -> Option<Arc<ToolList>> {
        self.published(catalog).await?.tools.clone()
    }

    async fn published(&self, catalog: &Arc<Catalog>) -> Option<Arc<Published>> {
        let config = self.config.load_full();
        let mut published = self.published.lock().await;
        let is_of =
            |known: &&Arc<Published>| known.generation == catalog.generation && Arc::ptr_eq(&known.config, &config);
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
        let listing = Listing::new(catalog, Arc::clone(&config));
        let document = |name| document(name, &listing).map(|document| (name, document));
        let documents = DocumentName::ALL.into_iter().filter_map(document).collect();
        let tools = config.mcp.is_some().then(|| Arc::new(ToolList::new(&listing)));
        Self { generation: catalog.generation, config, documents, tools }
    }
}

fn document(name: DocumentName, listing: &Listing) -> Option<Document> {
    match name {
        DocumentName::Robots => robots::document(listing.config.robots),
    }
}
