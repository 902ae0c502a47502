// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// Many calls in one transaction, at the address where most chains have Multicall3.
///
/// Written from the public ABI: `aggregate3` and `tryAggregate` behave as they do there, so that what is
/// settled in one transaction here is settled so elsewhere. Deliberately absent: calls with value, and the
/// getters of block and chain.
contract Multicall3 {
    struct Call {
        address target;
        bytes callData;
    }

    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    /// The results in the order of the calls. Reverts as a whole when a call fails that may not.
    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory results) {
        uint256 count = calls.length;
        results = new Result[](count);
        for (uint256 i; i < count;) {
            Call3 calldata one = calls[i];
            Result memory result = results[i];
            (result.success, result.returnData) = one.target.call(one.callData);
            if (!result.success && !one.allowFailure) revert("Multicall3: call failed");
            unchecked {
                ++i;
            }
        }
    }

    function tryAggregate(bool requireSuccess, Call[] calldata calls)
        external
        payable
        returns (Result[] memory results)
    {
        uint256 count = calls.length;
        results = new Result[](count);
        for (uint256 i; i < count;) {
            Result memory result = results[i];
            (result.success, result.returnData) = calls[i].target.call(calls[i].callData);
            if (requireSuccess && !result.success) revert("Multicall3: call failed");
            unchecked {
                ++i;
            }
        }
    }
}
