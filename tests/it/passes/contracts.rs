//! A smart wallet, whose contract judges signatures, buys a pass and comes back by it.

use alloy::primitives::{Address, B256, hex};
use alloy::sol_types::SolValue;
use coinslot_devnet::wallet1271_runtime_code;
use coinslot_tests::{ServeHost, TestChain, Wallet, encode};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use super::{field, is_challenged, pass_of, post, signed_in};

/// The last 32 bytes of a signature for a wallet that may not be deployed yet. Source: ERC-6492.
const ERC6492_SUFFIX: [u8; 32] = {
    let mut suffix = [0; 32];
    let mut at = 0;
    while at < 32 {
        suffix[at] = if at % 2 == 0 { 0x64 } else { 0x92 };
        at += 1;
    }
    suffix
};

/// A wallet at the address of a payer with money. Its contract takes the signatures of its owner alone (ERC-1271).
struct SmartWallet {
    address: Address,
    owner: Wallet,
}

impl SmartWallet {
    async fn deploy(chain: &TestChain) -> Self {
        let wallet = Self { address: chain.payer(0).address(), owner: Wallet::poor() };
        chain.client().call("anvil_setCode", json!([wallet.address, wallet1271_runtime_code()])).await;
        wallet.is_owned_by(chain, wallet.owner.address()).await;
        wallet
    }

    async fn is_owned_by(&self, chain: &TestChain, owner: Address) {
        let slot = B256::left_padding_from(owner.as_slice());
        chain.client().call("anvil_setStorageAt", json!([self.address, B256::ZERO, slot])).await;
    }

    async fn pay(&self, host: &ServeHost) -> Response {
        let required = coinslot_tests::decode(field(&post(host, "/echo").await, "payment-required"));
        let payment = self.owner.pay_with(&required["accepts"][0], |authorization| authorization.from = self.address);
        let request = Client::new().post(host.url("/echo")).header("PAYMENT-SIGNATURE", payment.header());
        request.send().await.expect("an answer")
    }

    /// The proof of the wallet, signed by its owner.
    async fn proof(&self, host: &ServeHost) -> Value {
        let required = coinslot_tests::decode(field(&post(host, "/echo").await, "payment-required"));
        self.owner.prove(&required, |proof| proof["address"] = self.address.to_checksum(None).into())
    }
}

/// The same proof with the deployment of its wallet around the signature.
fn with_deployment(mut proof: Value) -> Value {
    let inner = hex::decode(proof["signature"].as_str().expect("a signature")).expect("hex");
    let factory = (Address::repeat_byte(0xfa), vec![1_u8, 2, 3], inner).abi_encode_params();
    proof["signature"] = hex::encode_prefixed([&factory[..], &ERC6492_SUFFIX].concat()).into();
    proof
}

async fn shows(host: &ServeHost, proof: &Value) -> Response {
    signed_in(host, "/echo", &encode(proof)).await
}

#[tokio::test]
async fn a_smart_wallet_returns_by_its_pass_as_long_as_its_contract_takes_the_signature() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &pass_of("echo", 3)).await;
    let wallet = SmartWallet::deploy(&chain).await;
    let paid = wallet.pay(&host).await;
    assert_eq!(paid.status(), 200, "{}\n{}", paid.text().await.unwrap_or_default(), host.log());
    let served = shows(&host, &wallet.proof(&host).await).await;
    assert_eq!(served.status(), 200, "{}", host.log());
    assert!(field(&served, "ratelimit").starts_with("\"pass\";r=2"), "{served:?}");
    // The key of the owner is another account, which has bought nothing.
    let as_owner = wallet.owner.sign_in(&post(&host, "/echo").await);
    assert_eq!(signed_in(&host, "/echo", &as_owner).await.status(), 402);
    // The signature of another key is not the wallet's, and uses up nothing.
    let required = coinslot_tests::decode(field(&post(&host, "/echo").await, "payment-required"));
    let of_wallet = |proof: &mut Value| proof["address"] = wallet.address.to_checksum(None).into();
    let forged = Wallet::poor().prove(&required, of_wallet);
    is_challenged(&shows(&host, &forged).await, "invalid_siwx_signature");
    // No factory is called for a signature, whoever made it.
    let wrapped = with_deployment(wallet.proof(&host).await);
    is_challenged(&shows(&host, &wrapped).await, "invalid_siwx_signature");
    // A wallet may change hands: then the signature of its former owner no longer counts.
    let former = wallet.proof(&host).await;
    wallet.is_owned_by(&chain, Wallet::poor().address()).await;
    is_challenged(&shows(&host, &former).await, "invalid_siwx_signature");
    wallet.is_owned_by(&chain, wallet.owner.address()).await;
    let served = shows(&host, &wallet.proof(&host).await).await;
    assert!(served.status() == 200 && field(&served, "ratelimit").starts_with("\"pass\";r=1"), "{served:?}");
    assert_eq!(host.runs(), 3);
}

/// A host deploys no wallet, so such a wallet neither pays nor signs in before it is there.
#[tokio::test]
async fn a_wallet_that_is_not_deployed_neither_pays_nor_signs_in() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], &pass_of("echo", 3)).await;
    let wallet = SmartWallet { address: Wallet::poor().address(), owner: Wallet::poor() };
    let proof = with_deployment(wallet.proof(&host).await);
    is_challenged(&shows(&host, &proof).await, "Payment required");
    assert_eq!(wallet.pay(&host).await.status(), 402);
    assert_eq!((chain.payments_received().await, host.runs()), (0, 0));
}
