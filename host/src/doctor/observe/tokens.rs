//! Asks a node about the tokens that a challenge names.

use alloy::primitives::Address;
use coinslot_evm::abi::IEip3009;
use coinslot_evm::{CallError, Chain};
use coinslot_x402::Network;
use coinslot_x402::exact::Domain;

use crate::doctor::facts::ChallengeFacts;
use crate::doctor::observation::{ChainFacts, TokenFacts};

/// Asks a node about the tokens of a challenge that are on its chain.
pub async fn observe_tokens(chain: &Chain, challenge: &ChallengeFacts) -> ChainFacts {
    let mut tokens = Vec::new();
    for entry in challenge.entries() {
        let network = entry.network().filter(|network| network.chain_id() == Some(chain.chain_id()));
        let address = entry.text("asset").and_then(|asset| asset.parse::<Address>().ok());
        let (Some(network), Some(address)) = (network, address) else { continue };
        let domain = entry.extra("name").zip(entry.extra("version"));
        match token(chain, entry.index, network, address, domain).await {
            Ok(token) => tokens.push(token),
            Err(error) => return ChainFacts::Unusable(format!("the node does not answer: {error}")),
        }
    }
    ChainFacts::Read(tokens)
}

async fn token(
    chain: &Chain,
    index: usize,
    network: Network,
    address: Address,
    domain: Option<(&str, &str)>,
) -> Result<TokenFacts, CallError> {
    let has_code = !chain.code(address).await?.is_empty();
    let name = of_function(chain.call(address, &IEip3009::nameCall {}, None).await)?;
    let version = of_function(chain.call(address, &IEip3009::versionCall {}, None).await)?;
    let separator = of_function(chain.call(address, &IEip3009::DOMAIN_SEPARATORCall {}, None).await)?;
    let decimals = of_function(chain.call(address, &IEip3009::decimalsCall {}, None).await)?;
    let separator_agrees = separator.zip(domain).map(|(separator, (name, version))| {
        Domain::new(name, version, chain.chain_id(), address).separator() == separator
    });
    Ok(TokenFacts { index, network, address, has_code, name, version, separator_agrees, decimals })
}

/// The answer of a function. None if the contract does not have it.
fn of_function<T>(answer: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(CallError::Reverted(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
