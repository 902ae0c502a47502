//! Reads tokens from the chain and compares them with the configuration.

use alloy::primitives::{Address, Bytes};
use coinslot_evm::abi::IEip3009;
use coinslot_evm::{CallError, Chain};
use coinslot_x402::exact::Domain;
use coinslot_x402::price::{Asset, Eip712};

/// A token as it was found on the chain.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) address: Address,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) domain: Domain,
}

/// Checks that a token is on the chain and has the EIP-712 domain that is configured, without which no payment in it
/// can be settled. The error says how it differs. It is for an asset that another process settles, too.
pub async fn check_token(chain: &Chain, asset: &Asset) -> Result<(), String> {
    read(chain, asset).await.map(drop)
}

/// Reads a token. The error says how it differs from the configuration.
pub(super) async fn read(chain: &Chain, asset: &Asset) -> Result<Token, String> {
    let address: Address = asset.address.parse().map_err(|_| "not an EVM address".to_owned())?;
    let configured = asset.eip712.as_ref().ok_or("it has no EIP-712 name and version, which `exact` needs")?;
    let code: Bytes = chain.code(address).await.map_err(|error| error.to_string())?;
    if code.is_empty() {
        return Err(format!("there is no contract at this address on chain {}", chain.chain_id()));
    }
    let domain = Domain::new(&configured.name, &configured.version, chain.chain_id(), address);
    match chain.call(address, &IEip3009::DOMAIN_SEPARATORCall {}, None).await {
        Ok(found) if found == domain.separator() => {}
        Err(CallError::Reverted(_)) => {
            // The token has no getter for its domain, so the two parts that it does show are compared.
            let (name, version) = name_and_version(chain, address).await;
            if name.as_ref() != Ok(&configured.name) || version.as_ref() != Ok(&configured.version) {
                return Err(difference(configured, name, version));
            }
        }
        Ok(_) => {
            let (name, version) = name_and_version(chain, address).await;
            return Err(difference(configured, name, version));
        }
        Err(error) => return Err(error.to_string()),
    }
    Ok(Token { address, name: configured.name.clone(), version: configured.version.clone(), domain })
}

async fn name_and_version(chain: &Chain, token: Address) -> (Result<String, CallError>, Result<String, CallError>) {
    let name = chain.call(token, &IEip3009::nameCall {}, None).await;
    (name, chain.call(token, &IEip3009::versionCall {}, None).await)
}

fn difference(configured: &Eip712, name: Result<String, CallError>, version: Result<String, CallError>) -> String {
    let describe = |found: Result<String, CallError>| match found {
        Ok(text) => format!("`{text}`"),
        Err(error) => format!("unreadable ({error})"),
    };
    format!(
        "its EIP-712 domain differs: configured are name `{}` and version `{}`, the contract's name is {} and its version is {}",
        configured.name,
        configured.version,
        describe(name),
        describe(version)
    )
}
