//! A chain in the test's own process with funded accounts, and the hosts and facilitators that settle on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, U256, address};
use alloy::signers::local::PrivateKeySigner;
use coinslot_devnet::{CHAIN_ID, Devnet, DevnetConfig, USDC};
use coinslot_evm::Key;
use coinslot_facilitator::http::{Service, serve};
use coinslot_facilitator::local::{Local, LocalConfig};
use coinslot_x402::Network;
use coinslot_x402::price::Asset;

use crate::{ChainClient, FaultyFacilitator, FaultyNode, ServeHost, Wallet, guest};

/// The address that every host on a [`TestChain`] is paid to.
pub const SELLER: Address = address!("0x00000000000000000000000000000000005e11e5");

/// A development chain that makes a block for each transaction, and one where there was none for long, with funded accounts.
#[derive(Debug)]
pub struct TestChain {
    devnet: Devnet,
    payers: Vec<Wallet>,
    gas: Vec<PrivateKeySigner>,
    front_runner: PrivateKeySigner,
    client: ChainClient,
}

impl TestChain {
    /// Starts a chain with four payers of a thousand dollars each, two gas keys, and one key for a front-runner.
    pub async fn start() -> Self {
        let payers: Vec<PrivateKeySigner> = (0..4).map(|_| PrivateKeySigner::random()).collect();
        let gas: Vec<PrivateKeySigner> = (0..2).map(|_| PrivateKeySigner::random()).collect();
        let front_runner = PrivateKeySigner::random();
        let ether = U256::from(10).pow(U256::from(18));
        let rich = payers.iter().map(|payer| (payer.address(), ether, U256::from(1_000_000_000)));
        let others = gas.iter().chain([&front_runner]).map(|key| (key.address(), ether, U256::ZERO));
        let funded = rich.chain(others).collect();
        let listen = "127.0.0.1:0".parse().expect("an address");
        let devnet = Devnet::start(DevnetConfig { listen, block_time: None, funded }).await.expect("the chain starts");
        let payers = payers.iter().map(|payer| Wallet::from_key(&hex_key(payer))).collect();
        let client = ChainClient::at(&devnet.rpc_url(), USDC);
        tokio::spawn(client.clone().keep_moving());
        Self { devnet, payers, gas, front_runner, client }
    }

    /// The URL of the chain's node.
    pub fn rpc(&self) -> String {
        self.devnet.rpc_url()
    }

    /// A client of the chain's node.
    pub fn client(&self) -> &ChainClient {
        &self.client
    }

    /// The funded payer of this number, 0 to 3.
    pub fn payer(&self, index: usize) -> &Wallet {
        &self.payers[index]
    }

    /// Starts a node in front of the chain that can be told to fail.
    pub async fn node(&self) -> FaultyNode {
        FaultyNode::start(self.devnet.rpc_url(), self.front_runner.clone()).await
    }

    /// Starts a facilitator that can be told to fail, in front of a correct one with the gas key of this number.
    pub async fn facilitator(&self, gas: usize) -> FaultyFacilitator {
        FaultyFacilitator::start(self.our_facilitator(gas).await).await
    }

    /// Starts a facilitator as `coinslot facilitator` does, with the gas key of this number, and returns its URL.
    pub async fn our_facilitator(&self, gas: usize) -> String {
        let network = Network::eip155(CHAIN_ID);
        let asset = Asset::known(&network, None).expect("known");
        let key = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(key.path(), hex_key(&self.gas[gas])).expect("a key file");
        let rpc = self.devnet.rpc_url().parse().expect("a URL");
        let mut config = LocalConfig::new(rpc, network, vec![asset], vec![Key::from_file(key.path()).expect("a key")]);
        config.chain.poll_interval = Duration::from_millis(20);
        let local = Local::connect(config).await.expect("connected");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(serve(listener, Service::new(Arc::new(local)), std::future::pending()));
        url
    }

    /// Starts a host behind our own facilitator, with a node to look payments up or without.
    pub async fn serve_through_our_facilitator(&self, component: &Path, node: Option<&FaultyNode>) -> ServeHost {
        self.serve_behind(component, &self.our_facilitator(0).await, node, "").await
    }

    /// Starts a host behind the facilitator at this URL, with a node to look payments up or without.
    pub async fn serve_behind(&self, component: &Path, url: &str, node: Option<&FaultyNode>, more: &str) -> ServeHost {
        let rpc = node.map(|node| format!("rpc = \"{}\"\n", node.url())).unwrap_or_default();
        let config = format!("{more}{}[facilitator.f0]\nurl = \"{url}\"\n{rpc}", accept("\"f0\""));
        ServeHost::start(&one_plugin(component), &config, "").await
    }

    /// Starts a host that settles through these facilitators, the preferred one first, with short timeouts.
    pub async fn serve_through(&self, component: &Path, facilitators: &[&FaultyFacilitator]) -> ServeHost {
        let names: Vec<String> = (0..facilitators.len()).map(|index| format!("\"f{index}\"")).collect();
        let mut config = accept(&format!("[{}]", names.join(", ")));
        for (index, facilitator) in facilitators.iter().enumerate() {
            config.push_str(&format!(
                "[facilitator.f{index}]\nurl = \"{}\"\nverify_timeout = \"1000ms\"\nsettle_timeout = \"1500ms\"\n",
                facilitator.url()
            ));
        }
        ServeHost::start(&one_plugin(component), &config, "").await
    }

    /// Starts a host that settles through this facilitator and looks up unknown settlements at this node.
    pub async fn serve_watching_node(
        &self,
        component: &Path,
        facilitator: &FaultyFacilitator,
        node: &FaultyNode,
    ) -> ServeHost {
        let config = format!(
            "{}[facilitator.f0]\nurl = \"{}\"\nrpc = \"{}\"\nverify_timeout = \"1000ms\"\nsettle_timeout = \"1500ms\"\n",
            accept("\"f0\""),
            facilitator.url(),
            node.url()
        );
        ServeHost::start(&one_plugin(component), &config, "").await
    }

    /// Starts a host that settles by itself, through this node.
    pub async fn serve_on(&self, component: &Path, node: &FaultyNode) -> ServeHost {
        ServeHost::start(&one_plugin(component), &settles_itself(node), &hex_key(&self.gas[0])).await
    }

    /// Starts a host that settles by itself, with the gas key of this number and more lines of configuration. Every
    /// host has the same receiver, so that several of them are sellers who share it.
    pub async fn serve_seller(&self, component: &Path, node: &FaultyNode, gas: usize, more: &str) -> ServeHost {
        let config = format!("{more}{}", settles_itself(node));
        ServeHost::start(&one_plugin(component), &config, &hex_key(&self.gas[gas])).await
    }

    /// Starts a host with these guests and more lines of configuration, which settles by itself.
    pub async fn serve(&self, guests: &[&str], more: &str) -> ServeHost {
        let node = self.node().await;
        self.serve_guests_on(guests, &node, more).await.keeping(node)
    }

    /// Starts a host with these guests and more lines of configuration, which settles by itself, through this node.
    pub async fn serve_guests_on(&self, guests: &[&str], node: &FaultyNode, more: &str) -> ServeHost {
        let config = format!("{}{more}", settles_itself(node));
        let components: Vec<_> = guests.iter().map(|name| (format!("{name}.wasm"), guest(name))).collect();
        ServeHost::start(&components, &config, &hex_key(&self.gas[0])).await
    }

    /// The dollars of an account, in atomic units.
    pub async fn balance(&self, account: Address) -> u64 {
        self.client.balance(account).await.to()
    }

    /// The number of payments that the seller has received: these tests sell every answer for one cent.
    pub async fn payments_received(&self) -> usize {
        usize::try_from(self.balance(SELLER).await / 10_000).expect("a number")
    }
}

fn one_plugin(component: &Path) -> [(String, PathBuf); 1] {
    [("plugin.wasm".to_owned(), component.to_owned())]
}

fn hex_key(key: &PrivateKeySigner) -> String {
    alloy::primitives::hex::encode_prefixed(key.to_bytes())
}

fn settles_itself(node: &FaultyNode) -> String {
    let accept = accept("\"own\"");
    format!("{accept}[facilitator.own]\nrpc = \"{}\"\nkey_file = \"key\"\npoll_interval = \"50ms\"\n", node.url())
}

fn accept(facilitator: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\n[[accept]]\nnetwork = \"eip155:84532\"\npay_to = \"{}\"\nfacilitator = {facilitator}\n",
        SELLER.to_checksum(None)
    )
}
