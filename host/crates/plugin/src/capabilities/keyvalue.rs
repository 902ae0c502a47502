//! `wasi:keyvalue` over a file for each plugin.
//!
//! A guest whose plugin is not granted a store is denied access when it opens one. Every operation runs
//! on a thread for blocking work and is bounded: one page of a listing, one call's worth of values, keys
//! and values within the plugin's quota.

mod disk;

use std::sync::Arc;

use wasmtime::component::Resource;

use self::disk::{KvError, PAGE};
use self::generated::wasi::keyvalue::{atomics, batch, store};
use crate::capabilities::config::Quota;
use crate::instance::store::GuestState;

pub(crate) use self::disk::{KvStore, KvStores};
pub(crate) use self::generated::Imports;

/// The longest key and the longest name of a bucket, in bytes.
const KEY: usize = 1_024;
const NAME: usize = 64;

#[allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../../wit",
        world: "wasi:keyvalue/imports@0.2.0-draft",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": super::KvBucket },
    });
}

/// What one plugin may keep, and where.
#[derive(Clone, Debug)]
pub(crate) struct KvGrant {
    pub(crate) shelf: Arc<KvStore>,
    pub(crate) quota: Quota,
}

/// A part of a plugin's store that a guest has opened.
#[derive(Clone, Debug)]
#[allow(unreachable_pub, reason = "the generated code names it in public")]
pub struct KvBucket {
    name: Arc<str>,
    granted: KvGrant,
}

/// The outer failure is a trap, the inner one an answer.
type KvResult<T> = wasmtime::Result<Result<T, store::Error>>;

impl GuestState {
    /// Does something with a bucket where it may block.
    async fn shelved<T: Send + 'static>(
        &mut self,
        bucket: &Resource<KvBucket>,
        work: impl FnOnce(&KvBucket) -> Result<T, KvError> + Send + 'static,
    ) -> KvResult<T> {
        let bucket = self.table().get(bucket)?.clone();
        let plugin = self.meter.log().plugin().to_owned();
        let done = tokio::task::spawn_blocking(move || work(&bucket)).await?;
        Ok(done.map_err(|error| {
            if let KvError::Disk(_) | KvError::Folder(_) = &error {
                tracing::error!(plugin, cause = ?error, "the key-value store failed");
            }
            store::Error::Other(error.to_string())
        }))
    }
}

impl store::Host for GuestState {
    /// The empty name and `default` are the same bucket: some hosts know only the one, some the other.
    async fn open(&mut self, identifier: String) -> KvResult<Resource<KvBucket>> {
        let Some(granted) = self.granted.keyvalue.clone() else { return Ok(Err(store::Error::AccessDenied)) };
        if identifier.len() > NAME {
            return Ok(Err(store::Error::NoSuchStore));
        }
        let name = if identifier == "default" { "".into() } else { identifier.into() };
        Ok(Ok(self.table().push(KvBucket { name, granted })?))
    }
}

impl store::HostBucket for GuestState {
    async fn get(&mut self, bucket: Resource<KvBucket>, key: String) -> KvResult<Option<Vec<u8>>> {
        if let Err(error) = check([&key]) {
            return Ok(Err(error));
        }
        self.shelved(&bucket, move |bucket| bucket.granted.shelf.get(&bucket.name, &key)).await
    }

    async fn set(&mut self, bucket: Resource<KvBucket>, key: String, value: Vec<u8>) -> KvResult<()> {
        batch::Host::set_many(self, bucket, vec![(key, value)]).await
    }

    async fn delete(&mut self, bucket: Resource<KvBucket>, key: String) -> KvResult<()> {
        batch::Host::delete_many(self, bucket, vec![key]).await
    }

    async fn exists(&mut self, bucket: Resource<KvBucket>, key: String) -> KvResult<bool> {
        if let Err(error) = check([&key]) {
            return Ok(Err(error));
        }
        self.shelved(&bucket, move |bucket| bucket.granted.shelf.exists(&bucket.name, &key)).await
    }

    async fn list_keys(&mut self, bucket: Resource<KvBucket>, cursor: Option<u64>) -> KvResult<store::KeyResponse> {
        let after = cursor.unwrap_or(0);
        let listed = self.shelved(&bucket, move |bucket| bucket.granted.shelf.list(&bucket.name, after)).await?;
        Ok(listed.map(|(keys, cursor)| store::KeyResponse { keys, cursor }))
    }

    async fn drop(&mut self, bucket: Resource<KvBucket>) -> wasmtime::Result<()> {
        self.table().delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for GuestState {
    async fn increment(&mut self, bucket: Resource<KvBucket>, key: String, delta: u64) -> KvResult<u64> {
        if let Err(error) = check([&key]) {
            return Ok(Err(error));
        }
        self.shelved(&bucket, move |bucket| {
            bucket.granted.shelf.increment(&bucket.name, &key, delta, bucket.granted.quota)
        })
        .await
    }
}

impl batch::Host for GuestState {
    async fn get_many(
        &mut self,
        bucket: Resource<KvBucket>,
        keys: Vec<String>,
    ) -> KvResult<Vec<Option<(String, Vec<u8>)>>> {
        if let Err(error) = check(&keys) {
            return Ok(Err(error));
        }
        self.shelved(&bucket, move |bucket| {
            let values = bucket.granted.shelf.get_many(&bucket.name, &keys)?;
            Ok(keys.into_iter().zip(values).map(|(key, value)| Some((key, value?))).collect())
        })
        .await
    }

    async fn set_many(&mut self, bucket: Resource<KvBucket>, entries: Vec<(String, Vec<u8>)>) -> KvResult<()> {
        if let Err(error) = check(entries.iter().map(|(key, _)| key)) {
            return Ok(Err(error));
        }
        self.shelved(&bucket, move |bucket| bucket.granted.shelf.set(&bucket.name, &entries, bucket.granted.quota))
            .await
    }

    async fn delete_many(&mut self, bucket: Resource<KvBucket>, keys: Vec<String>) -> KvResult<()> {
        if let Err(error) = check(&keys) {
            return Ok(Err(error));
        }
        self.shelved(&bucket, move |bucket| bucket.granted.shelf.delete(&bucket.name, &keys)).await
    }
}

/// As many keys as one call may name, each of a size that a key may have.
fn check<'a>(keys: impl IntoIterator<Item = &'a String>) -> Result<(), store::Error> {
    for (index, key) in keys.into_iter().enumerate() {
        if index >= PAGE {
            return Err(store::Error::Other(format!("at most {PAGE} keys in one call")));
        }
        if key.is_empty() || key.len() > KEY {
            return Err(store::Error::Other(format!("a key has from 1 to {KEY} bytes, and this one {}", key.len())));
        }
    }
    Ok(())
}
