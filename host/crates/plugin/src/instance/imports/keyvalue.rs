//! Implements the imports of `wasi:keyvalue`, and of `coinslot:keyvalue`, for guests.
//!
//! A guest whose plugin is not granted a store is denied access when it opens one. Every operation runs on a thread
//! for blocking work and is bounded: one page of a listing, one call's worth of values, and keys and values within
//! the plugin's quota.

use wasmtime::component::Resource;

use crate::capabilities::keyvalue::bindings::{atomics, batch, own_atomics, store};
use crate::capabilities::keyvalue::{KvBucket, KvError, KvGrant, PAGE};
use crate::instance::store::GuestState;

/// The longest key, in bytes.
const KEY: usize = 1_024;
/// The longest name of a bucket, in bytes.
const NAME: usize = 64;

/// The outer error is a trap, the inner one a result that the guest sees.
type KvResult<T> = wasmtime::Result<Result<T, store::Error>>;

/// Runs an operation on a bucket where it may block, one at a time for each store.
async fn blocking<T: Send + 'static>(
    state: &mut GuestState,
    bucket: &Resource<KvBucket>,
    work: impl FnOnce(&KvBucket) -> Result<T, KvError> + Send + 'static,
) -> KvResult<T> {
    let bucket = state.table().get(bucket)?.clone();
    let plugin = state.meter.log().plugin().to_owned();
    let turn = bucket.grant.store.turn().await;
    // The instance's permits and the turn are returned when the operation has ended, also if the guest is gone by then.
    let permits = state.permits.clone();
    let done = tokio::task::spawn_blocking(move || {
        let done = work(&bucket);
        drop((turn, permits));
        done
    })
    .await?;
    Ok(done.map_err(|error| {
        if let KvError::Disk(_) | KvError::Folder(_) = &error {
            tracing::error!(plugin, cause = ?error, "the key-value store failed");
        }
        store::Error::Other(error.to_string())
    }))
}

impl store::Host for GuestState {
    /// Opens a bucket. The empty name and `default` name the same one, because some hosts know only the one and some
    /// only the other.
    async fn open(&mut self, identifier: String) -> KvResult<Resource<KvBucket>> {
        let Some(grant) = self.capabilities.keyvalue.clone() else {
            let log = self.meter.log();
            let key = format!("plugin.{}.keyvalue = true", log.plugin());
            log.of_plugin().remark(&format!(
                "a key-value store was refused, as always in `describe` and `quote`: grant one in coinslot.toml: `{key}`"
            ));
            return Ok(Err(store::Error::AccessDenied));
        };
        if identifier.len() > NAME {
            return Ok(Err(store::Error::NoSuchStore));
        }
        let name = if identifier == "default" { "".into() } else { identifier.into() };
        Ok(Ok(self.table().push(KvBucket { name, grant })?))
    }
}

impl store::HostBucket for GuestState {
    async fn get(&mut self, bucket: Resource<KvBucket>, key: String) -> KvResult<Option<Vec<u8>>> {
        if let Err(error) = check([&key]) {
            return Ok(Err(error));
        }
        blocking(self, &bucket, move |bucket| bucket.grant.store.get(&bucket.name, &key)).await
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
        blocking(self, &bucket, move |bucket| bucket.grant.store.exists(&bucket.name, &key)).await
    }

    async fn list_keys(&mut self, bucket: Resource<KvBucket>, cursor: Option<u64>) -> KvResult<store::KeyResponse> {
        let after = cursor.unwrap_or(0);
        let listed = blocking(self, &bucket, move |bucket| bucket.grant.store.list(&bucket.name, after)).await?;
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
        blocking(self, &bucket, move |bucket| {
            bucket.grant.store.increment(&bucket.name, &key, delta, bucket.grant.quota)
        })
        .await
    }
}

impl own_atomics::Host for GuestState {
    async fn compare_and_swap(
        &mut self,
        bucket: Resource<KvBucket>,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> KvResult<bool> {
        if let Err(error) = check([&key]) {
            return Ok(Err(error));
        }
        blocking(self, &bucket, move |bucket| {
            let KvGrant { store, quota } = &bucket.grant;
            store.compare_and_swap(&bucket.name, &key, expected.as_deref(), value.as_deref(), *quota)
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
        blocking(self, &bucket, move |bucket| {
            let values = bucket.grant.store.get_many(&bucket.name, &keys)?;
            Ok(keys.into_iter().zip(values).map(|(key, value)| Some((key, value?))).collect())
        })
        .await
    }

    async fn set_many(&mut self, bucket: Resource<KvBucket>, entries: Vec<(String, Vec<u8>)>) -> KvResult<()> {
        if let Err(error) = check(entries.iter().map(|(key, _)| key)) {
            return Ok(Err(error));
        }
        blocking(self, &bucket, move |bucket| bucket.grant.store.set(&bucket.name, &entries, bucket.grant.quota)).await
    }

    async fn delete_many(&mut self, bucket: Resource<KvBucket>, keys: Vec<String>) -> KvResult<()> {
        if let Err(error) = check(&keys) {
            return Ok(Err(error));
        }
        blocking(self, &bucket, move |bucket| bucket.grant.store.delete(&bucket.name, &keys)).await
    }
}

/// Checks that a call names at most [`PAGE`] keys, and that each has from 1 to [`KEY`] bytes.
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
