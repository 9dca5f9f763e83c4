"""The scenarios that need Kafka once more, on a real server that reads Apache Kafka: see tests/e2e/migrate/."""

from __future__ import annotations

from tests.e2e.migrate.test_live_edits import (
    test_every_kind_is_edited_20_times_under_traffic_and_every_row_counts_once as test_live_edits,
)
from tests.e2e.migrate.test_replay import (
    reading,
    test_an_unknown_topic_and_one_that_nobody_reads_are_refused,
    test_lost_rows_come_back_repeats_count_once_and_no_alert_is_raised,
)

__all__ = [
    "reading",
    "test_an_unknown_topic_and_one_that_nobody_reads_are_refused",
    "test_live_edits",
    "test_lost_rows_come_back_repeats_count_once_and_no_alert_is_raised",
]
