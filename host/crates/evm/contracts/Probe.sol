// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

interface IToken {
    function balanceOf(address account) external view returns (uint256);
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
}

/// What has to be known of many payments, read in one `eth_call`.
///
/// Never deployed: the call runs the constructor, and what it returns are the findings, two words for each
/// payment: the flags below, and the payer's balance. A node needs to know nothing of this contract.
contract Probe {
    struct Question {
        address token;
        address payer;
        bytes32 nonce;
        /// The call that settles; empty when it is not to be tried.
        bytes transfer;
    }

    uint256 private constant HAS_CODE = 1;
    uint256 private constant STATE_READ = 2;
    uint256 private constant USED = 4;
    uint256 private constant BALANCE_READ = 8;
    uint256 private constant TRANSFERS = 16;

    /// More than any transfer by a plain account takes.
    uint256 private constant MOST_GAS = 300_000;
    uint256 private constant MOST_READ_GAS = 100_000;

    constructor(Question[] memory questions) {
        uint256 count = questions.length;
        uint256[] memory findings = new uint256[](2 * count);
        for (uint256 i = 0; i < count; ++i) {
            Question memory question = questions[i];
            uint256 flags = question.payer.code.length > 0 ? HAS_CODE : 0;
            (bool read, uint256 answer) = word(
                question.token, abi.encodeCall(IToken.authorizationState, (question.payer, question.nonce))
            );
            if (read) flags |= STATE_READ;
            if (read && answer != 0) flags |= USED;
            (read, answer) = word(question.token, abi.encodeCall(IToken.balanceOf, (question.payer)));
            if (read) flags |= BALANCE_READ;
            findings[2 * i] = flags;
            findings[2 * i + 1] = answer;
        }
        // Only now is anything moved, so that every balance is the one before. A payer with code is not
        // tried: its wallet would run, with the gas of the others.
        for (uint256 i = 0; i < count; ++i) {
            Question memory question = questions[i];
            if (question.transfer.length == 0 || findings[2 * i] & HAS_CODE != 0) continue;
            (bool moved,) = question.token.call{gas: MOST_GAS}(question.transfer);
            if (moved) findings[2 * i] |= TRANSFERS;
        }
        assembly ("memory-safe") {
            return(add(findings, 0x20), mul(mload(findings), 0x20))
        }
    }

    function word(address token, bytes memory question) private view returns (bool, uint256) {
        (bool ok, bytes memory answer) = token.staticcall{gas: MOST_READ_GAS}(question);
        if (!ok || answer.length < 32) return (false, 0);
        return (true, uint256(bytes32(answer)));
    }
}
