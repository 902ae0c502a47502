//! Tests with real guests from `tests/plugins` in real engines: each limit, and everything that a guest can see.
//!
//! The guests are built by cargo from within these tests, into `target/guests`, which the integration tests in
//! `tests/it` use, too. So these tests need the target `wasm32-wasip2`.

mod budget;
mod describe;
mod egress;
mod invoke;
mod keyvalue;
mod load;
mod pool;
mod quote;
mod shape;
mod shared;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};

use super::*;

/// Builds every guest once, and fails where it cannot.
fn guest(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let dir = BUILT.get_or_init(|| {
        let target = target().join("guests");
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/plugins");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--release", "--target", "wasm32-wasip2", "--target-dir"])
            .arg(&target)
            .current_dir(workspace)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTFLAGS")
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the guests in tests/plugins must build");
        target.join("wasm32-wasip2/release")
    });
    let file = dir.join(format!("guest_{}.wasm", name.replace('-', "_")));
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The target directory that this test's own executable was built into.
fn target() -> PathBuf {
    let exe = std::env::current_exe().expect("the test's own path");
    exe.ancestors().nth(3).expect("target/debug/deps/test").to_owned()
}

/// The runtime of all tests that need no special one.
fn runtime() -> Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let mut config = self::config(artifacts());
        config.instances = 32;
        config.wait = Duration::from_millis(100);
        Runtime::new(config).expect("a runtime")
    });
    runtime.clone()
}

async fn load(name: &str) -> Plugin {
    load_with(name, Limits::default()).await
}

async fn load_with(name: &str, limits: Limits) -> Plugin {
    runtime().load(&guest(name), &limits.into()).await.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A plugin in a runtime of its own. In that of all tests, the instances of another test's plugin of this name count.
async fn load_alone(name: &str, limits: Limits) -> Plugin {
    let mut config = config(artifacts());
    config.wait = Duration::from_millis(100);
    let runtime = Runtime::new(config).expect("a runtime");
    runtime.load(&guest(name), &limits.into()).await.unwrap_or_else(|error| panic!("{name}: {error}"))
}

async fn refused(wasm: &[u8]) -> String {
    runtime().load(wasm, &PluginPolicies::default()).await.expect_err("must be refused").to_string()
}

fn body(bytes: impl Into<Bytes>) -> RequestBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn get(uri: &str) -> Request<RequestBody> {
    Request::get(uri).header("host", "shop.example").body(body("")).expect("a request")
}

/// A permit with a receipt of this payer.
fn paid_by(payer: &str) -> Permit {
    Permit::grant(Some(PaymentReceipt {
        payer: payer.into(),
        amount: "0.01".into(),
        asset: "0xdef".into(),
        network: "eip155:84532".into(),
        payment_id: "p-1".into(),
    }))
}

/// A permit without a receipt.
fn free() -> Permit {
    Permit::grant(None)
}

/// The head, the body and the trailers of a response.
async fn call(plugin: &Plugin, request: Request<RequestBody>) -> Result<(Response<()>, Bytes, HeaderMap), Fault> {
    let (parts, body) = plugin.invoke(free(), request).await?.into_parts();
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Ok((Response::from_parts(parts, ()), collected.to_bytes(), trailers))
}

/// The body of a response, as JSON.
async fn json(plugin: &Plugin, permit: Permit, request: Request<RequestBody>) -> serde_json::Value {
    let response = plugin.invoke(permit, request).await.expect("an answer");
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Instances that the plugin may still start.
fn free_instances(plugin: &Plugin) -> usize {
    plugin.loaded.instances.spec.permits.free()
}

/// A circuit breaker that opens after this many failures; 0 is never.
fn opens_after(failures: u32) -> BreakerSettings {
    BreakerSettings { failures, ..Limits::default().breaker }
}

/// The set-up of a runtime whose compiled components are in this directory. Its host has one field for itself.
fn config(artifacts: impl Into<PathBuf>) -> RuntimeConfig {
    RuntimeConfig::new(artifacts, |name| name == "x-host-only")
}

/// The directory of compiled components that all tests share.
fn artifacts() -> PathBuf {
    target().join("guests/artifacts")
}
