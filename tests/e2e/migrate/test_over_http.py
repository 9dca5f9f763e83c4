"""The scenarios of the migration commands once more, over HTTP against `chctl node` instead of in-process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from clickhouse_connect.driver.client import Client

from chctl.clickhouse import connect
from chctl.node.run import NodeProcess

from .test_drift import *  # noqa: F403 - the same scenarios
from .test_history import *  # noqa: F403
from .test_kinds import *  # noqa: F403
from .test_lock import *  # noqa: F403
from .test_migrate import *  # noqa: F403
from .test_plan import *  # noqa: F403
from .test_rebuild import *  # noqa: F403
from .test_refusals import *  # noqa: F403
from .test_status import *  # noqa: F403


@pytest.fixture
def open_client(node: NodeProcess) -> Callable[[], Client]:
    """Opens HTTP clients on the shared node."""
    return lambda: connect(node.settings(), database="")
