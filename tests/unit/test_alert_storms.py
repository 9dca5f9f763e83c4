"""Storms: a few alone, the rest as one page with a count; nothing lost, nothing twice, order kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from feeders.alerting.model import Alert
from feeders.alerting.routing import Group
from feeders.alerting.storms import Storms

GROUP = Group(limit=2, window=30)


def alert(number: int, *, rule: str = "r", symbol: str = "BTC", entity: str = "e") -> Alert:
    return Alert(
        alert_id=f"a{number}",
        rule=rule,
        severity="info",
        status="firing",
        entity=entity,
        symbol=symbol,
        started_time=0,
        event_time=0,
        raised_time=number,
    )


def ids(pages: list[tuple[str, tuple[Alert, ...]]]) -> list[list[str]]:
    return [[each.alert_id for each in alerts] for _, alerts in pages]


def test_beyond_the_limit_a_window_is_one_page() -> None:
    storms = Storms()
    sent = [page for number in range(10) for page in storms.add("ops", GROUP, alert(number), now=number)]
    assert ids(sent) == [["a0"], ["a1"]]
    assert storms.due(29.9) == []
    assert ids(storms.due(30.0)) == [[f"a{number}" for number in range(2, 10)]]
    assert ids(storms.add("ops", GROUP, alert(10), now=31)) == [["a10"]]


def test_what_is_not_of_the_group_is_not_held() -> None:
    storms = Storms()
    for number in range(5):
        storms.add("ops", GROUP, alert(number), now=0)
    assert ids(storms.add("ops", GROUP, alert(5, symbol="ETH", entity="other"), now=0)) == [["a5"]]
    assert ids(storms.add("slack", GROUP, alert(6), now=0)) == [["a6"]]


def test_an_alert_never_overtakes_an_earlier_one_of_its_entity() -> None:
    storms = Storms()
    for number in range(3):
        storms.add("ops", GROUP, alert(number), now=0)
    assert ids(storms.add("ops", GROUP, alert(3, rule="another"), now=1)) == [["a2"], ["a3"]]


@given(
    st.lists(
        st.tuples(st.sampled_from("rs"), st.sampled_from(["BTC", "ETH"]), st.sampled_from("ef"), st.floats(0, 20)),
        max_size=60,
    ),
    st.integers(1, 4),
)
def test_every_alert_leaves_once_and_in_the_order_of_its_entity(
    steps: list[tuple[str, str, str, float]], limit: int
) -> None:
    storms, now, sent = Storms(), 0.0, []
    raised = []
    for number, (rule, symbol, entity, pause) in enumerate(steps):
        now += pause
        sent += storms.due(now)
        raised.append(alert(number, rule=rule, symbol=symbol, entity=entity))
        sent += storms.add("ops", Group(limit=limit, window=30), raised[-1], now)
    sent += storms.due(now + 31)
    left = [each for _, alerts in sent for each in alerts]
    assert sorted(each.alert_id for each in left) == sorted(each.alert_id for each in raised)
    for entity in "ef":
        order = [each.raised_time for each in left if each.entity == entity]
        assert order == sorted(order)
