"""One scratch ClickHouse with the whole schema for all of tests/sql."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sql.pipeline import Pipeline


@pytest.fixture(scope="session")
def whole_pipeline() -> Iterator[Pipeline]:
    """All migrations and views, applied once."""
    opened = Pipeline()
    yield opened
    opened.close()


@pytest.fixture
def pipeline(whole_pipeline: Pipeline) -> Pipeline:
    """The pipeline with empty tables."""
    whole_pipeline.reset()
    return whole_pipeline
