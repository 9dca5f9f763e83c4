"""Which symbols a post is about: cashtags, pairs and aliases; ambiguous words wait until something vouches for them.

The aliases are rows of the table `symbol_aliases`, which DBAs edit; this module only reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

#: Quote assets of the pair form BASE/QUOTE; a quote alone is no subject of a post.
QUOTES = (
    "USDT",
    "USDC",
    "FDUSD",
    "BUSD",
    "TUSD",
    "DAI",
    "USD",
    "EUR",
    "GBP",
    "TRY",
    "JPY",
    "KRW",
    "BTC",
    "ETH",
    "PERP",
)

_CASHTAG = re.compile(r"(?<![\w$])\$([A-Za-z][A-Za-z0-9]{1,9})(?![\w$])")
_PAIR = re.compile(rf"(?<![\w$/])([A-Z0-9]{{2,10}}?)\s?[/_-]\s?({'|'.join(QUOTES)})(?![\w/])")
_FUSED_PAIR = re.compile(rf"(?<!\w)([A-Z0-9]{{2,10}}?)({'|'.join(QUOTES)})(?!\w)")
_CONTEXT = re.compile(
    r"(?<!\w)(?:crypto\w*|blockchain|altcoins?|coins?|tokens?|defi|nfts?|staking|airdrop|mainnet|onchain|on-chain|dex|cex"
    r"|wallets?|hodl\w*|bullish|bearish|leverage[d]?|futures|perps?|listing|validators?|web3|usdt|usdc|satoshis?|sats)(?!\w)",
    re.IGNORECASE,
)

_NAMED = re.compile(
    r"(?<!\w)(?:bitcoin\w*|btc|ethereum|eth|altseason|halving|hashrate|mempool|gwei|\w*coins?|rug\s?pull\w*|ngmi|wagmi"
    r"|liquidat(?:ed|ions?)|stablecoins?|miners?|smart contracts?|hodl\w*|depeg\w*)(?!\w)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Alias:
    """A word for a symbol. An ambiguous one ("near", "link") counts only in capitals and beside other evidence."""

    alias: str
    symbol: str
    ambiguous: bool = False


class SymbolFinder:
    """Finds symbols with one compiled pattern for all aliases; build a new one when the table changes."""

    def __init__(self, aliases: Iterable[Alias]) -> None:
        self._by_word = {a.alias.casefold(): a for a in aliases}
        self._known = {a.symbol for a in self._by_word.values()}
        words = sorted(map(re.escape, self._by_word), key=len, reverse=True)
        # A hashtag counts as the word; a mark of redaction ("[URL]") or a handle does not.
        self._words = re.compile(rf"(?<![\w$@\[])(?:{'|'.join(words)})(?![\w\]])" if words else r"(?!)", re.IGNORECASE)

    def find(self, text: str) -> list[str]:
        """Symbols (base assets, such as BTC) in `text`, sorted, each once."""
        found = {self._resolve(m.group(1)) for m in _CASHTAG.finditer(text)}
        for pattern in (_PAIR, _FUSED_PAIR):
            found |= {self._resolve(m.group(1)) for m in pattern.finditer(text)}
        found &= self._known  # "$YOLO" is no symbol until a DBA adds it
        held_back: set[str] = set()
        for match in self._words.finditer(text):
            alias = self._by_word[match.group().casefold()]
            if not alias.ambiguous:
                found.add(alias.symbol)
            elif match.group() == match.group().upper() and not text.isupper():
                held_back.add(alias.symbol)
        if held_back and (found or _CONTEXT.search(text)):
            found |= held_back
        return sorted(found)

    def _resolve(self, word: str) -> str:
        alias = self._by_word.get(word.casefold())
        return alias.symbol if alias else word.upper()


def in_crypto_context(text: str) -> bool:
    """Whether a text talks of crypto at all, by its wording: for what needs no table of aliases."""
    return bool(_CONTEXT.search(text) or _NAMED.search(text) or _CASHTAG.search(text) or _PAIR.search(text))


def load_aliases(client: Client) -> list[Alias]:
    """All enabled rows of `symbol_aliases`. Raises clickhouse_connect's Error when the table is not there yet."""
    rows = client.query("SELECT alias, symbol, ambiguous FROM symbol_aliases FINAL WHERE enabled").result_rows
    return [Alias(alias, symbol, bool(ambiguous)) for alias, symbol, ambiguous in rows]
