// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// The smallest smart wallet worth the name: one key owns it, signs for it (ERC-1271) and acts through it.
///
/// For tests of payers that are contracts. The owner is in storage slot 0, so a test may also place the
/// runtime code and that slot without running the constructor.
contract Wallet1271 {
    address public owner;

    constructor(address owner_) {
        owner = owner_;
    }

    receive() external payable {}

    /// ERC-1271: 0x1626ba7e when the owner signed exactly this digest, 0xffffffff otherwise. Never reverts
    /// over a bad signature.
    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        if (signature.length != 65) return 0xffffffff;
        uint256 s = uint256(bytes32(signature[32:64]));
        if (s > 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0) return 0xffffffff;
        address signer = ecrecover(digest, uint8(signature[64]), bytes32(signature[:32]), bytes32(s));
        return signer != address(0) && signer == owner ? this.isValidSignature.selector : bytes4(0xffffffff);
    }

    /// Makes a call as this wallet; a revert of the callee is passed on with its reason.
    function execute(address target, uint256 value, bytes calldata data) external returns (bytes memory) {
        require(msg.sender == owner, "Wallet1271: caller is not the owner");
        (bool ok, bytes memory answer) = target.call{value: value}(data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
        return answer;
    }
}
