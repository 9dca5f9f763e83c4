"""Large transfers on an EVM chain by JSON-RPC: ERC-20 Transfer logs and native value, behind the reach of reorgs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from feeders.sources.polling import Cursor, LaterError, Poll, ask, decoded, post

_SETTING = "CHCTL_ONCHAIN_RPC_URL"
#: keccak256 of Transfer(address,address,uint256), EIP-20.
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@dataclass(frozen=True, slots=True)
class Token:
    """An ERC-20 token, and the amount from which a transfer is large."""

    symbol: str
    address: str
    decimals: int
    large: float


def parse_tokens(text: str) -> list[Token]:
    """ "USDT:0xdac1...:6:1000000,..." as tokens. Raises ValueError with the entry at fault."""
    tokens = []
    for entry in filter(None, (e.strip() for e in text.split(","))):
        parts = entry.split(":")
        if len(parts) != 4 or not parts[1].startswith("0x") or len(parts[1]) != 42:
            raise ValueError(f"CHCTL_ONCHAIN_TOKENS: expected SYMBOL:0xADDRESS:DECIMALS:LARGE, not {entry!r}")
        tokens.append(Token(parts[0], parts[1].lower(), int(parts[2]), float(parts[3])))
    return tokens


class Onchain:
    """Goes through the chain block by block, `confirmations` behind its head, so that no block is taken back later."""

    name = "onchain"

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        tokens: list[Token],
        *,
        chain: str = "ethereum",
        native: str = "ETH",
        native_large: float = 1000.0,
        confirmations: int = 12,
        blocks: int = 20,
        interval: float = 12.0,
    ) -> None:
        self._client = client
        self._url = url
        self._tokens = {t.address: t for t in tokens}
        self._chain = chain
        self._native = native
        self._native_large = native_large
        self._confirmations = confirmations
        self._blocks = blocks
        self._interval = interval

    async def poll(self, cursor: Cursor) -> Poll:
        """The large transfers of the next blocks. Raises LaterError and SetupError."""
        head = int(await self._call("eth_blockNumber", []), 16) - self._confirmations
        first = int(cursor.get("next", head))
        if first > head:
            return Poll([], {"next": first}, self._interval)
        span = min(int(cursor.get("span", self._blocks)), head - first + 1)
        try:
            logs = await self._logs(first, first + span - 1)
        except _TooManyError:
            if span == 1:
                raise LaterError("a single block has too many logs") from None
            return Poll([], {"next": first, "span": max(1, span // 2)}, 0.0)
        posts: list[dict[str, Any]] = []
        for number in range(first, first + span):
            block = await self._call("eth_getBlockByNumber", [hex(number), True])
            if block is None:
                raise LaterError("block not there yet")
            at = float(int(block["timestamp"], 16))
            posts += [p for entry in logs if int(entry["blockNumber"], 16) == number if (p := self._erc20(entry, at))]
            posts += [p for transaction in block["transactions"] if (p := self._value(transaction, at))]
        behind = first + span <= head
        # A span that was halved grows again, one block a poll.
        after = {"next": first + span, "span": min(self._blocks, span + 1) if span < self._blocks else self._blocks}
        return Poll(posts, after, 0.0 if behind else self._interval)

    async def _logs(self, first: int, last: int) -> list[dict[str, Any]]:
        if not self._tokens:
            return []
        query = {
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "address": sorted(self._tokens),
            "topics": [TRANSFER],
        }
        return list(await self._call("eth_getLogs", [query]))

    async def _call(self, method: str, parameters: list[Any]) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        answer = decoded(await ask(self._client, "POST", self._url, setting=_SETTING, json=request), _SETTING)
        if error := answer.get("error"):
            # -32005 is EIP-1474's "limit exceeded": for logs it means the range, for others the rate.
            if method == "eth_getLogs" and (error.get("code") == -32005 or "range" in str(error.get("message"))):
                raise _TooManyError
            raise LaterError(f"{method}: {error.get('code')}")
        return answer.get("result")

    def _erc20(self, entry: dict[str, Any], at: float) -> dict[str, Any] | None:
        token = self._tokens.get(entry["address"].lower())
        if token is None or entry.get("removed") or len(entry["topics"]) != 3 or entry["data"] in ("0x", ""):
            return None
        amount = int(entry["data"], 16) / 10**token.decimals
        if amount < token.large:
            return None
        name = f"{entry['transactionHash']}:{int(entry['logIndex'], 16)}"
        return self._transfer(name, at, amount, token.symbol, f"0x{entry['topics'][1][-40:]}")

    def _value(self, transaction: dict[str, Any], at: float) -> dict[str, Any] | None:
        amount = int(transaction["value"], 16) / 10**18
        if amount < self._native_large:
            return None
        return self._transfer(transaction["hash"], at, amount, self._native, transaction["from"])

    def _transfer(self, name: str, at: float, amount: float, symbol: str, sender: str) -> dict[str, Any]:
        return post(
            f"onchain:{self._chain}:{name}",
            at,
            "onchain",
            f"Large transfer: {amount:,.0f} {symbol} on {self._chain}",
            author=sender,
            language="en",
            symbols=[symbol],
            metadata={"chain": self._chain, "amount": round(amount, 2), "asset": symbol},
        )


class _TooManyError(Exception):
    """The range holds more logs than the service gives at once."""
