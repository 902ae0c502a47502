//! Declares the contracts that are called, as far as they are called. Sources: EIP-3009, ERC-20, ERC-1271, and
//! FiatToken 2.2 for the overload that takes the signature as bytes.

use alloy::primitives::{Address, address};

alloy::sol! {
    /// A token with transfers by authorisation.
    #[derive(Debug)]
    interface IEip3009 {
        function name() external view returns (string);
        function version() external view returns (string);
        function decimals() external view returns (uint8);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function balanceOf(address account) external view returns (uint256);
        function transfer(address to, uint256 value) external returns (bool);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);

        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) external;

        event Transfer(address indexed from, address indexed to, uint256 value);
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);
    }

    /// A wallet that is a contract.
    #[derive(Debug)]
    interface IErc1271 {
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
    }

    /// A contract that makes many calls in one.
    #[derive(Debug)]
    interface IMulticall3 {
        struct Call3 {
            address target;
            bool allowFailure;
            bytes callData;
        }
        struct Result {
            bool success;
            bytes returnData;
        }
        function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory returnData);
    }

    /// A question to `Probe.sol` about one payment.
    #[derive(Debug)]
    struct ProbeQuestion {
        address token;
        address payer;
        bytes32 nonce;
        bytes transfer;
    }
}

/// The address of Multicall3 on every chain that has it.
pub const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");

/// The answer of `isValidSignature` to a valid signature.
pub const ERC1271_MAGIC: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];

/// The last 32 bytes of a signature that wants its wallet deployed first (ERC-6492).
pub const ERC6492_SUFFIX: [u8; 32] = {
    let mut suffix = [0x64; 32];
    let mut at = 1;
    while at < 32 {
        suffix[at] = 0x92;
        at += 2;
    }
    suffix
};
