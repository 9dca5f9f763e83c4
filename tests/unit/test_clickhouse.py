"""What a command says where no ClickHouse answers."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from chctl.clickhouse import connect
from chctl.settings import Settings
from tests.ports import free_port


def test_a_node_that_does_not_answer_is_named_with_the_reason_and_what_to_do() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(OperationalError) as caught:
        connect(Settings(clickhouse_url=url), timeout=5)
    assert str(caught.value) == (
        f"no ClickHouse answers at {url} (Connection refused): is it up, is CHCTL_CLICKHOUSE_URL right?"
        " `chctl node` starts one on this machine"
    )
