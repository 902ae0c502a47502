//! Runs a host inside another program: builds it from a value, serves on a free port, and checks that nothing is left
//! after its shutdown.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256, hex};
use coinslot::config::{
    AcceptConfig, Config, FacilitatorConfig, KeySource, LocalFacilitator, PaymentConfig, PluginsConfig, StateConfig,
};
use coinslot::host::{Chains, Host, HostError, HostOptions};
use coinslot_devnet::{CHAIN_ID, Devnet, DevnetConfig};
use coinslot_evm::Key;
use coinslot_tests::{SELLER, guest};
use coinslot_x402::price::{Accept, Amount, Asset};
use coinslot_x402::{Network, Versions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What an operator would write into a file: the guest `echo`, paid on this chain.
fn config(dir: &Path, devnet: &Devnet) -> Config {
    let asset = Asset::known(&Network::eip155(CHAIN_ID), None).expect("USDC");
    let accept = Accept {
        asset: Arc::new(asset),
        pay_to: SELLER.to_checksum(None).into(),
        max_timeout_seconds: 300,
        max_unsettled: Amount(U256::from(100_000_000)),
        versions: Versions::Both,
    };
    let facilitator = LocalFacilitator {
        keys: vec![KeySource::File(dir.join("key"))],
        ..LocalFacilitator::new(devnet.rpc_url().parse().expect("a URL"))
    };
    Config {
        plugins: PluginsConfig { folder: dir.join("plugins"), ..PluginsConfig::default() },
        payment: PaymentConfig {
            accepts: vec![AcceptConfig { accept, facilitators: vec!["own".to_owned()] }],
            facilitators: BTreeMap::from([("own".to_owned(), FacilitatorConfig::Local(facilitator))]),
            ..PaymentConfig::default()
        },
        state: StateConfig { folder: dir.join("state"), ..StateConfig::default() },
        ..Config::default()
    }
}

/// A folder with one plugin and a gas key, and a chain on which the key has ether.
async fn surroundings() -> (tempfile::TempDir, Devnet) {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("plugins")).expect("a folder");
    std::fs::copy(guest("echo"), dir.path().join("plugins/echo.wasm")).expect("a component");
    let key = dir.path().join("key");
    std::fs::write(&key, hex::encode_prefixed(B256::repeat_byte(7))).expect("a key file");
    let address = Key::from_file(&key).expect("a key").address();
    let funded: Vec<(Address, U256, U256)> = vec![(address, U256::from(10).pow(U256::from(18)), U256::ZERO)];
    let listen = "127.0.0.1:0".parse().expect("an address");
    let devnet = Devnet::start(DevnetConfig { listen, block_time: None, funded }).await.expect("the chain starts");
    (dir, devnet)
}

#[tokio::test]
async fn a_program_builds_a_host_serves_it_and_nothing_is_left_after_its_shutdown() {
    let (dir, devnet) = surroundings().await;
    let config = config(dir.path(), &devnet);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");

    let options = HostOptions { chains: Chains::Devnet, address: Some(address), ..HostOptions::default() };
    let host = Host::build(config, options).await.expect("a host");
    assert_eq!(host.report().failed, []);
    assert_eq!(host.catalog().load().installed().len(), 1);
    let stop = CancellationToken::new();
    let served = tokio::spawn(host.serve(listener, stop.clone().cancelled_owned()));

    let client = reqwest::Client::new();
    let url = format!("http://{address}/echo");
    let free = client.get(&url).send().await.expect("an answer");
    assert_eq!(free.status(), 200);
    let challenge = client.post(&url).body("mine").send().await.expect("an answer");
    assert_eq!(challenge.status(), 402);
    let header = coinslot_tests::decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(header["resource"]["url"], url.as_str(), "the address that was bound is the one that clients are told");
    drop((free, challenge, client));

    stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), served).await.expect("it ends").expect("without a panic");
    assert!(TcpListener::bind(address).await.is_ok(), "the port is free again");
    // Tasks end shortly after what they serve is dropped.
    let deadline = Instant::now() + Duration::from_secs(10);
    while tasks() > before {
        assert!(Instant::now() < deadline, "{} tasks are left, and {before} were there before", tasks());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    devnet.shutdown().await;
}

#[tokio::test]
async fn a_host_that_cannot_be_built_says_whose_fault_it_is() {
    let (dir, devnet) = surroundings().await;
    let real = Host::build(config(dir.path(), &devnet), HostOptions::default()).await;
    assert!(matches!(&real, Err(HostError::Facilitator(reason)) if reason.contains("development chain")), "{real:?}");
    std::fs::remove_file(dir.path().join("key")).expect("a key file");
    let options = HostOptions { chains: Chains::Devnet, ..HostOptions::default() };
    let keyless = Host::build(config(dir.path(), &devnet), options).await;
    assert!(matches!(&keyless, Err(HostError::Config(reason)) if reason.contains("facilitator.own")), "{keyless:?}");
    devnet.shutdown().await;
}
