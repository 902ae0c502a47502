//! The embedded chain over its real socket, with alloy as the client.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![allow(clippy::too_many_arguments, reason = "the token's own signatures")]

use std::time::Duration;

use alloy::network::{EthereumWallet, NetworkTransactionBuilder as _, TransactionBuilder as _};
use alloy::primitives::{Address, B256, Bytes, U256, b256};
use alloy::providers::{DynProvider, Provider as _, ProviderBuilder};
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{Eip712Domain, SolStruct, eip712_domain};
use serde_json::{Value, json};

use super::{CHAIN_ID, Devnet, DevnetConfig, USDC};

mod blocks;

mod calls;

mod pool;

mod token;

mod wire;

const ETHER: u64 = 1_000_000_000_000_000_000;

alloy::sol! {
    #[sol(rpc)]
    #[derive(Debug)]
    interface Token {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event Approval(address indexed owner, address indexed spender, uint256 value);
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

        function name() external view returns (string);
        function symbol() external view returns (string);
        function version() external view returns (string);
        function decimals() external view returns (uint8);
        function totalSupply() external view returns (uint256);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function nonces(address owner) external view returns (uint256);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function TRANSFER_WITH_AUTHORIZATION_TYPEHASH() external view returns (bytes32);
        function RECEIVE_WITH_AUTHORIZATION_TYPEHASH() external view returns (bytes32);
        function CANCEL_AUTHORIZATION_TYPEHASH() external view returns (bytes32);
        function PERMIT_TYPEHASH() external view returns (bytes32);
        function transfer(address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
        function increaseAllowance(address spender, uint256 increment) external returns (bool);
        function decreaseAllowance(address spender, uint256 decrement) external returns (bool);
        function transferFrom(address from, address to, uint256 value) external returns (bool);
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) external;
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) external;
        function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature) external;
        function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function permit(address owner, address spender, uint256 value, uint256 deadline, bytes signature) external;
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
    }

    #[derive(Debug)]
    struct TransferWithAuthorization { address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce; }
    #[derive(Debug)]
    struct ReceiveWithAuthorization { address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce; }
    #[derive(Debug)]
    struct CancelAuthorization { address authorizer; bytes32 nonce; }
    #[derive(Debug)]
    struct Permit { address owner; address spender; uint256 value; uint256 nonce; uint256 deadline; }
}

/// A chain with a payer that has 10 USDC and no ether, and a relayer that has ether and no USDC.
struct World {
    devnet: Devnet,
    payer: PrivateKeySigner,
    relayer: PrivateKeySigner,
    seller: Address,
    /// Signs as the relayer.
    rpc: DynProvider,
    http: reqwest::Client,
}

impl World {
    async fn start() -> Self {
        Self::start_with(None).await
    }

    async fn start_with(block_time: Option<Duration>) -> Self {
        let (payer, relayer) = (PrivateKeySigner::random(), PrivateKeySigner::random());
        let funded = vec![
            (payer.address(), U256::ZERO, U256::from(10_000_000)),
            (relayer.address(), U256::from(ETHER), U256::ZERO),
        ];
        let listen = "127.0.0.1:0".parse().unwrap();
        let devnet = Devnet::start(DevnetConfig { listen, block_time, funded }).await.unwrap();
        let rpc = ProviderBuilder::new()
            .wallet(EthereumWallet::from(relayer.clone()))
            .connect_http(devnet.rpc_url().parse().unwrap())
            .erased();
        let seller = Address::repeat_byte(0x5e);
        Self { devnet, payer, relayer, seller, rpc, http: reqwest::Client::new() }
    }

    fn token(&self) -> Token::TokenInstance<DynProvider> {
        Token::new(USDC, self.rpc.clone())
    }

    async fn usdc(&self, of: Address) -> U256 {
        self.token().balanceOf(of).call().await.unwrap()
    }

    /// One payment to the seller, open for an hour around now.
    async fn authorization(&self, value: u64) -> TransferWithAuthorization {
        let now = self.now().await;
        TransferWithAuthorization {
            from: self.payer.address(),
            to: self.seller,
            value: U256::from(value),
            validAfter: U256::from(now - 600),
            validBefore: U256::from(now + 3000),
            nonce: nonce(),
        }
    }

    async fn now(&self) -> u64 {
        self.rpc.get_block_by_number(Default::default()).await.unwrap().unwrap().header.timestamp
    }

    /// Submits through the bytes overload and waits for the receipt.
    async fn submit(&self, of: &TransferWithAuthorization, signature: Bytes) -> TransactionReceipt {
        self.token()
            .transferWithAuthorization_0(of.from, of.to, of.value, of.validAfter, of.validBefore, of.nonce, signature)
            .send()
            .await
            .unwrap()
            .get_receipt()
            .await
            .unwrap()
    }

    /// The revert reason of the bytes overload, by `eth_call`; empty if it would not revert.
    async fn refusal(&self, of: &TransferWithAuthorization, signature: Bytes) -> String {
        let call = self.token();
        let call = call.transferWithAuthorization_0(
            of.from,
            of.to,
            of.value,
            of.validAfter,
            of.validBefore,
            of.nonce,
            signature,
        );
        revert_reason(call.call().await.map(|_| ()))
    }

    /// A JSON-RPC call by hand: the whole answer.
    async fn raw(&self, method: &str, params: Value) -> Value {
        self.post(json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string()).await
    }

    /// A JSON-RPC call by hand that must succeed.
    async fn ask(&self, method: &str, params: Value) -> Value {
        let mut answer = self.raw(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    async fn post(&self, body: impl Into<reqwest::Body>) -> Value {
        let answer = self.http.post(self.devnet.rpc_url()).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// A signed transfer of one wei from the relayer, as raw bytes.
    async fn raw_transfer(&self, nonce: u64, change: impl FnOnce(TransactionRequest) -> TransactionRequest) -> Bytes {
        use alloy::eips::eip2718::Encodable2718 as _;
        let request = TransactionRequest::default()
            .with_to(self.seller)
            .with_value(U256::ONE)
            .with_nonce(nonce)
            .with_chain_id(CHAIN_ID)
            .with_gas_limit(21_000)
            .with_max_fee_per_gas(1_000_000_000)
            .with_max_priority_fee_per_gas(1_000_000);
        let wallet = EthereumWallet::from(self.relayer.clone());
        change(request).build(&wallet).await.unwrap().encoded_2718().into()
    }
}

/// A fresh nonce at each call.
fn nonce() -> B256 {
    PrivateKeySigner::random().to_bytes()
}

fn domain() -> Eip712Domain {
    eip712_domain! { name: "USDC", version: "2", chain_id: CHAIN_ID, verifying_contract: USDC, }
}

/// r, s and v of 27 or 28.
fn sign(message: &impl SolStruct, key: &PrivateKeySigner) -> Bytes {
    key.sign_hash_sync(&message.eip712_signing_hash(&domain())).unwrap().as_bytes().into()
}

fn split(signature: &Bytes) -> (u8, B256, B256) {
    (signature[64], B256::from_slice(&signature[..32]), B256::from_slice(&signature[32..64]))
}

fn revert_reason(result: alloy::contract::Result<()>) -> String {
    match result {
        Ok(()) => String::new(),
        Err(error) => {
            let data = error.as_revert_data().unwrap_or_else(|| panic!("no revert data: {error}"));
            alloy::sol_types::decode_revert_reason(&data).unwrap().trim_start_matches("revert: ").to_owned()
        }
    }
}

#[tokio::test]
async fn the_chain_id_and_the_tokens_domain_are_base_sepolias() {
    let world = World::start().await;
    assert_eq!(world.rpc.get_chain_id().await.unwrap(), 84532);
    let separator = b256!("0x71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818");
    assert_eq!(domain().separator(), separator);
    assert_eq!(world.token().DOMAIN_SEPARATOR().call().await.unwrap(), separator);
}

#[tokio::test]
async fn an_address_that_is_not_loopback_is_refused() {
    let listen = "0.0.0.0:0".parse().unwrap();
    let error = Devnet::start(DevnetConfig { listen, block_time: None, funded: vec![] }).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn balances_that_overflow_are_refused() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let funded = vec![(USDC, U256::ZERO, U256::MAX), (Address::ZERO, U256::ZERO, U256::ONE)];
    let error = Devnet::start(DevnetConfig { listen, block_time: None, funded }).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn shutdown_frees_the_port_and_drop_stops_listening() {
    let world = World::start().await;
    let listen = world.devnet.rpc_url().trim_start_matches("http://").parse().unwrap();
    // A kept-alive connection must not delay the shutdown.
    world.ask("eth_chainId", json!([])).await;
    tokio::time::timeout(Duration::from_secs(3), world.devnet.shutdown()).await.unwrap();
    let again = Devnet::start(DevnetConfig { listen, block_time: None, funded: vec![] }).await.unwrap();
    drop(again);
    let gone = async {
        while world.http.post(format!("http://{listen}")).body("{}").send().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), gone).await.unwrap();
}
