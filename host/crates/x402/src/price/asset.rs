//! Tokens that endpoints can be paid in, and a table of the well-known ones.

use crate::Network;

/// A token that endpoints can be paid in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    pub network: Network,
    /// The address of the contract (checksummed) or mint.
    pub address: String,
    /// `USDC` and the like, in upper case.
    pub symbol: String,
    /// The decimals of the token: its smallest unit is 10^-decimals.
    pub decimals: u8,
    /// The EIP-712 domain of the token's contract, which `exact` by EIP-3009 needs.
    pub eip712: Option<Eip712>,
    /// The token is a US dollar: amounts without a symbol, which are dollars, can be paid in it.
    pub dollar: bool,
    /// The token is worth nothing: payments in it are never revenue.
    pub testnet: bool,
}

/// `name` and `version` of a token's EIP-712 domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eip712 {
    pub name: String,
    pub version: String,
}

impl Asset {
    /// Finds the default asset of a network, or that with this symbol, in the table of assets that stock clients pay
    /// (the default assets of @x402 2.27) and of testnets that they do not. Symbols may be in any case; `USD` means the
    /// default, as in prices.
    pub fn known(network: &Network, symbol: Option<&str>) -> Option<Self> {
        let chain_id = network.chain_id()?;
        let wanted = symbol.filter(|symbol| !symbol.eq_ignore_ascii_case("USD"));
        KNOWN
            .iter()
            .filter(|row| row.chain_id == chain_id)
            .find(|row| wanted.is_none_or(|symbol| symbol.eq_ignore_ascii_case(row.symbol)))
            .map(Known::asset)
    }

    /// Finds the asset of the table at this address, in any case of letters.
    pub fn at(network: &Network, address: &str) -> Option<Self> {
        let chain_id = network.chain_id()?;
        KNOWN.iter().find(|row| row.chain_id == chain_id && row.address.eq_ignore_ascii_case(address)).map(Known::asset)
    }

    /// True if both are one contract on one network. EVM addresses are compared in any case of letters.
    pub fn is_same_token(&self, other: &Self) -> bool {
        let evm = self.network.chain_id().is_some();
        self.network == other.network
            && if evm { self.address.eq_ignore_ascii_case(&other.address) } else { self.address == other.address }
    }
}

/// A row of the table of well-known tokens.
pub(super) struct Known {
    pub(super) chain_id: u64,
    pub(super) testnet: bool,
    pub(super) symbol: &'static str,
    pub(super) address: &'static str,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

impl Known {
    fn asset(&self) -> Asset {
        Asset {
            network: Network::eip155(self.chain_id),
            address: self.address.to_owned(),
            symbol: self.symbol.to_owned(),
            decimals: DECIMALS,
            eip712: Some(Eip712 { name: self.name.to_owned(), version: self.version.to_owned() }),
            // Every token of the table is one.
            dollar: true,
            testnet: self.testnet,
        }
    }
}

/// The decimals of every token in the table.
const DECIMALS: u8 = 6;

const fn main(
    chain_id: u64,
    symbol: &'static str,
    address: &'static str,
    (name, version): (&'static str, &'static str),
) -> Known {
    Known { chain_id, testnet: false, symbol, address, name, version }
}

const fn test(
    chain_id: u64,
    symbol: &'static str,
    address: &'static str,
    domain: (&'static str, &'static str),
) -> Known {
    Known { testnet: true, ..main(chain_id, symbol, address, domain) }
}

const USD_COIN: (&str, &str) = ("USD Coin", "2");
const USDC: (&str, &str) = ("USDC", "2");
const BRIDGED_USDC: (&str, &str) = ("Bridged USDC", "2");
const USDT0: (&str, &str) = ("USDT0", "1");

/// Tokens with EIP-3009, the default of each network first. Names and versions are those of the contracts' EIP-712
/// domains, which differ between networks: a wrong one makes every settlement fail.
#[rustfmt::skip]
pub(super) const KNOWN: &[Known] = &[
    // Base, Ethereum, Polygon, Arbitrum One, Avalanche C, Monad
    main(8453, "USDC", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", USD_COIN),
    main(1, "USDC", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", USD_COIN),
    main(137, "USDC", "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", USD_COIN),
    main(42161, "USDC", "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", USD_COIN),
    main(43114, "USDC", "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E", USD_COIN),
    main(143, "USDC", "0x754704Bc059F8C67012fEd69BC8A327a5aafb603", USDC),
    // Stable, ADI, HPP, XDC, Flare
    main(988, "USDT0", "0x779Ded0c9e1022225f8E0630b35a9b54bE713736", USDT0),
    main(36900, "USDC.E", "0x9cb8142aEBBcdc60AF7c97Af897A67A8f3CA71C2", ("USDC.e", "2")),
    main(190_415, "USDC", "0x401eCb1D350407f13ba348573E5630B83638E30D", BRIDGED_USDC),
    main(50, "USDC", "0xfA2958CB79b0491CC627c1557F441eF849Ca8eb1", USDC),
    main(14, "USDT0", "0xe7cd86e13AC4309349F30B3435a9d337750fC82D", ("USD\u{20ae}0", "1")),
    // Celo, Sei, Arc
    main(42220, "USDC", "0xcebA9300f2b948710d2653dD7B07f33A8B32118C", USDC),
    main(42220, "USDT", "0x48065fbBE25f71C9282ddf5e1cD6D6A887483D5e", ("Tether USD", "1")),
    main(42220, "USAT", "0xD2ab3C9A02DBBAB236BfEC45D1d755DF4267F771", ("Tether America USD", "1")),
    main(1329, "USDC", "0xe15fC38F6D8c56aF07bbCBe3BAf5708A2Bf42392", USDC),
    main(5042, "USDC", "0x3600000000000000000000000000000000000000", USDC),
    // Base Sepolia, Arbitrum Sepolia, Stable, HPP Sepolia, XDC Apothem, Celo Sepolia, Sei, Arc, Monad
    test(84532, "USDC", "0x036CbD53842c5426634e7929541eC2318f3dCF7e", USDC),
    test(421_614, "USDC", "0x75faf114eafb1BDbe2F0316DF893fd58CE46AA4d", USD_COIN),
    test(2201, "USDT0", "0x78Cf24370174180738C5B8E352B6D14c83a6c9A9", USDT0),
    test(181_228, "USDC", "0x401eCb1D350407f13ba348573E5630B83638E30D", BRIDGED_USDC),
    test(51, "USDC", "0xb5AB69F7bBada22B28e79C8FFAECe55eF1c771D4", USDC),
    test(11_142_220, "USDC", "0x01C5C0122039549AD1493B8220cABEdD739BC44E", USDC),
    test(1328, "USDC", "0x4fCF1784B31630811181f670Aea7A7bEF803eaED", USDC),
    test(5_042_002, "USDC", "0x3600000000000000000000000000000000000000", USDC),
    test(10143, "USDC", "0x534b2f3A21130d7a60830c2Df862319e593943A3", USDC),
    // Avalanche Fuji, Polygon Amoy: stock clients of version 2 pay them only when told to.
    test(43113, "USDC", "0x5425890298aed601595a70AB815c96711a31Bc65", USD_COIN),
    test(80002, "USDC", "0x41E94Eb019C0762f9Bfcf9Fb1E58725BfB0e7582", USDC),
];
