"""Tables in memory that keep the rows of a SELECT for later questions of the same connection.

Sorting and filtering Parquet takes ten times as long. The tables are as old as their first use: a program that writes
results must open a new connection to see them.
"""

import threading
from collections.abc import Callable
from hashlib import blake2s
from itertools import count
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

_MOST_ROWS = 6_000_000
"""Rows kept in memory at a time, about 200 bytes each: six tables of a run of a million images.

A search in texts uses four of them at once.
"""

_PREFIX = "kept"

_lock = threading.Lock()

_clock = count()
_used: dict[str, int] = {}
"""Table -> when it was used last."""


def keep(cursor: DuckDBPyConnection, select: str, bound: dict[str, Any], base: str = _PREFIX) -> str:
    """Return the name of the table with the rows of `select`; make it at its first use.

    Args:
        select, bound: a SELECT, and the values of its parameters.
        base: the kept table whose row numbers `select` returns, if it does: the two are dropped together.
    """
    return make(cursor, table_name(select, bound, base), lambda: (select, bound))


def table_name(select: str, bound: dict[str, Any], base: str = _PREFIX) -> str:
    """Return the name that `keep` gives the table of these rows; it begins with `base`."""
    return f"{base}_" + blake2s(repr((select, sorted(bound.items()))).encode(), digest_size=12).hexdigest()


def make(cursor: DuckDBPyConnection, name: str, rows: Callable[[], tuple[str, dict[str, Any]]]) -> str:
    """Return `name`, after making the table if it does not exist.

    Args:
        rows: returns the SELECT of its rows and the values of the parameters; called only if it does not exist.
    """
    _used[name] = next(_clock)
    if not exists(cursor, name):
        select, bound = rows()
        with _lock:  # two pages that open at the same time would make the same table
            if not exists(cursor, name):
                cursor.execute(f"CREATE TABLE {name} AS {select}", bound)
                _evict(cursor, name)
    return name


def exists(cursor: DuckDBPyConnection, name: str) -> bool:
    """Return whether the table `name` exists."""
    try:
        cursor.table(name)  # a third of the time of a SELECT, and every question of a page needs it
    except duckdb.CatalogException:
        return False
    return True


def _evict(cursor: DuckDBPyConnection, newest: str) -> None:
    """Drop the kept tables used longest ago until at most _MOST_ROWS rows are left; never the newest and its base.

    The tables with the row numbers of a dropped one are dropped too: made again, it may number its rows differently.
    """
    select = "SELECT table_name, estimated_size FROM duckdb_tables() WHERE starts_with(table_name, ?)"
    kept = dict(cursor.execute(select, [f"{_PREFIX}_"]).fetchall())
    names = sorted(kept, key=lambda name: _used.get(name, 0), reverse=True)
    rows = 0
    for name in names:
        size = kept[name]
        rows += size
        if rows > _MOST_ROWS and not newest.startswith(name):
            for dropped in (each for each in names if each.startswith(name)):
                cursor.execute(f"DROP TABLE IF EXISTS {dropped}")
