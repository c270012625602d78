"""Fixtures of the queries' tests: results whose content is known (tests/support/runs.py)."""

import duckdb
import pytest

from engine.store import database
from tests.support import runs


@pytest.fixture(scope="module")
def connection(full_results):
    return database.connect(full_results)[0]


@pytest.fixture
def cursor(connection) -> duckdb.DuckDBPyConnection:
    return connection.cursor()


@pytest.fixture
def partial(tmp_path) -> duckdb.DuckDBPyConnection:
    """A captioner run, and predictions for five of its photos and one of their own."""
    runs.captioner_run(tmp_path / "results")
    runs.partial_run(tmp_path / "results")
    return database.connect(tmp_path / "results")[0].cursor()


@pytest.fixture
def grounded(tmp_path) -> duckdb.DuckDBPyConnection:
    runs.add_grounding(runs.captioner_run(tmp_path / "results"))
    return database.connect(tmp_path / "results")[0].cursor()
