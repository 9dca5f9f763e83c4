"""The scenarios of the migration commands once more, on a real ClickHouse server: see tests/e2e/migrate/."""

from __future__ import annotations

from tests.e2e.migrate.test_drift import *  # noqa: F403 - the same scenarios
from tests.e2e.migrate.test_history import *  # noqa: F403
from tests.e2e.migrate.test_kinds import *  # noqa: F403
from tests.e2e.migrate.test_lock import *  # noqa: F403
from tests.e2e.migrate.test_migrate import *  # noqa: F403
from tests.e2e.migrate.test_plan import *  # noqa: F403
from tests.e2e.migrate.test_rebuild import *  # noqa: F403
from tests.e2e.migrate.test_refusals import *  # noqa: F403
from tests.e2e.migrate.test_status import *  # noqa: F403
