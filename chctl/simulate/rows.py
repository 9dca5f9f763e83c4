"""A simulated market as rows: Arrow tables for the landing tables, JSON rows for the topics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from chctl.simulate.venue import ACTIONS, LOGIN, LOGIN_FAILED, SYMBOLS, VENUE, Market

MS = pa.timestamp("ms", "UTC")
US = pa.timestamp("us", "UTC")


def _names(choices: tuple[str, ...], codes: Any) -> pa.Array:
    """Codes as strings."""
    return pa.array(np.array(choices, dtype=object)[codes], pa.string())


def _times(start_ms: int, ms: Any) -> pa.Array:
    return pa.array(np.asarray(ms) + start_ms, MS)


def _received(start_ms: int, ms: Any) -> pa.Array:
    return pa.array((np.asarray(ms) + start_ms) * 1000, US)


def user_actions(market: Market, start_ms: int) -> pa.Table:
    """Columns of `user_actions_landing`, in order of arrival."""
    a = market.actions
    order = a["action"] < ACTIONS.index("deposit")
    fill = a["action"] == ACTIONS.index("fill")
    transfer = ~order & (a["action"] < LOGIN)
    login = (a["action"] == LOGIN) | (a["action"] == LOGIN_FAILED)

    def only(mask: Any, values: Any, kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind, mask=~mask)

    count = len(a["time"])
    tiers = market.tiers
    filled = np.where(fill, a["quantity"], 0.0)
    symbol = np.array(SYMBOLS, dtype=object)[a["symbol"]]
    side = np.array(("BUY", "SELL"), dtype=object)[a["side"]]
    taker = fill & (a["created"] == a["time"])
    return pa.table(
        {
            "event_id": pa.array([f"{market.seed}-{i}" for i in a["event"].tolist()]),
            "event_time": _times(start_ms, a["time"]),
            "receive_time": _received(start_ms, a["arrival"]),
            "user_id": pa.array(a["user"], pa.uint64()),
            "user_tier": pa.array([tiers[u] for u in a["user"].tolist()]),
            "action": _names(ACTIONS, a["action"]),
            "venue": pa.array(np.where(login, "", VENUE).astype(object), pa.string()),
            "symbol": pa.array(np.where(order, symbol, ""), pa.string()),
            "order_id": only(order, a["order"], pa.uint64()),
            "side": only(order, side, pa.string()),
            "type": only(order, np.full(count, "limit", dtype=object), pa.string()),
            "price": only(order, a["price"], pa.float64()),
            "quantity": only(order, a["quantity"], pa.float64()),
            "filled_quantity": only(order, filled, pa.float64()),
            "trade_id": only(fill, a["trade"], pa.uint64()),
            "counterparty_id": only(fill, a["other"], pa.uint64()),
            "liquidity": only(fill, np.where(taker, "taker", "maker").astype(object), pa.string()),
            "order_time": pa.array(a["created"] + start_ms, MS, mask=~order),
            "asset": only(transfer, np.full(count, "USDT", dtype=object), pa.string()),
            "amount": only(transfer, a["quantity"], pa.float64()),
        }
    )


def market_trades(market: Market, start_ms: int) -> pa.Table:
    """Columns of `market_trades_landing`."""
    t = market.trades
    count = len(t["time"])
    return pa.table(
        {
            "venue": pa.array([VENUE] * count),
            "symbol": _names(SYMBOLS, t["symbol"]),
            "trade_id": pa.array(t["trade"], pa.uint64()),
            "event_time": _times(start_ms, t["time"]),
            "receive_time": _received(start_ms, t["arrival"]),
            "price": pa.array(t["price"]),
            "quantity": pa.array(t["quantity"]),
            "side": _names(("BUY", "SELL"), t["side"]),
            "taker": pa.array([True] * count),
            "order_id": pa.array([0] * count, pa.uint64()),
        }
    )


def market_l2(market: Market, start_ms: int) -> pa.Table:
    """Columns of `market_l2_landing`: one row a book and second, and the gaps; prices have two decimals, sizes six."""
    rows: list[dict[str, Any]] = []
    b = market.books
    arrays = ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots", "depth_bps", "bid_depth", "ask_depth")
    for time, symbol, bid, ask, depth in zip(
        b["time"].tolist(), b["symbol"].tolist(), b["bid"], b["ask"], b["depth"], strict=True
    ):
        levels = range(5)
        lots = [int(depth / 20 * 1e6)] * 5
        rows.append(
            {
                "time": time,
                "symbol": SYMBOLS[symbol],
                "update_type": "delta" if time > 1000 else "snapshot",
                "bid_ticks": [round(bid * 100) - i for i in levels],
                "bid_lots": lots,
                "ask_ticks": [round(ask * 100) + i for i in levels],
                "ask_lots": lots,
                "depth_bps": [5, 10, 25],
                "bid_depth": [depth / 4, depth / 2, depth],
                "ask_depth": [depth / 4, depth / 2, depth],
                "reason": None,
            }
        )
    for time, symbol, reason in b["gaps"]:
        rows.append(
            {"time": time, "symbol": SYMBOLS[symbol], "update_type": "gap", "reason": reason} | {c: [] for c in arrays}
        )
    rows.sort(key=lambda row: row["time"])
    times = np.array([row["time"] for row in rows])
    count = len(rows)
    kinds = {"depth_bps": pa.uint16(), "bid_depth": pa.float64(), "ask_depth": pa.float64()}
    columns = {c: pa.array([row[c] for row in rows], pa.list_(kinds.get(c, pa.int64()))) for c in arrays}
    return pa.table(
        {
            "venue": pa.array([VENUE] * count),
            "symbol": pa.array([row["symbol"] for row in rows]),
            "update_type": pa.array([row["update_type"] for row in rows]),
            "window_start": _times(start_ms, times // 100 * 100),
            "event_time": _times(start_ms, times),
            "receive_time": _received(start_ms, times + 10),
            "first_seq": pa.array(times, pa.uint64()),
            "last_seq": pa.array(times, pa.uint64()),
            "diffs": pa.array([1] * count, pa.uint32()),
            "price_scale": pa.array([2] * count, pa.uint8()),
            "size_scale": pa.array([6] * count, pa.uint8()),
            **columns,
            "reason": pa.array([row["reason"] for row in rows], pa.string()),
        }
    )
