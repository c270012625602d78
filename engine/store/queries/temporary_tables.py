"""Tables in memory that keep the rows of a SELECT for later questions of the same connection."""

import threading
from collections.abc import Callable
from hashlib import blake2s
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

_MOST_ROWS = 2_500_000
"""Rows held in memory at a time, about 250 bytes each."""


_lock = threading.Lock()


def keep(cursor: DuckDBPyConnection, select: str, bound: dict[str, Any], base: str = "held") -> str:
    """The name of the table that holds the rows of `select`, made on its first use.

    It is as old as the connection's first look: whoever writes results opens a new connection.

    Args:
        base: the held table whose row numbers `select` gives, if it does: it takes this one with it when it goes.
    """
    return make(cursor, table_name(select, bound, base), lambda: (select, bound))


def table_name(select: str, bound: dict[str, Any], base: str = "held") -> str:
    return f"{base}_" + blake2s(repr((select, sorted(bound.items()))).encode(), digest_size=12).hexdigest()


def make(cursor: DuckDBPyConnection, name: str, rows: Callable[[], tuple[str, dict[str, Any]]]) -> str:
    """`name`, after the table with the rows of a SELECT and what is bound in it was made, if it was not there."""
    if not exists(cursor, name):
        select, bound = rows()
        with _lock:  # two pages that open at once would make the same table
            if not exists(cursor, name):
                cursor.execute(f"CREATE TABLE {name} AS {select}", bound)
                _evict(cursor, name)
    return name


def exists(cursor: DuckDBPyConnection, name: str) -> bool:
    try:
        cursor.table(name)  # a third of the time of a SELECT: every question of a page asks this first
    except duckdb.CatalogException:
        return False
    return True


def _evict(cursor: DuckDBPyConnection, newest: str) -> None:
    """Drops the oldest held tables until at most _MOST_ROWS rows are left; never the newest and what it rests on.

    With a table go those that hold its row numbers: one made anew may number its rows otherwise.
    """
    held = cursor.execute(
        "SELECT table_name, estimated_size FROM duckdb_tables() WHERE starts_with(table_name, 'held_') "
        "ORDER BY table_oid DESC"
    ).fetchall()
    rows, names = 0, [name for name, _ in held]
    for name, size in held:
        rows += size
        if rows > _MOST_ROWS and not newest.startswith(name):
            for gone in (each for each in names if each.startswith(name)):
                cursor.execute(f"DROP TABLE IF EXISTS {gone}")
