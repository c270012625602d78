"""Answers over all captions of a run, which the run stores: reading them takes milliseconds instead of minutes.

The same functions compute them for the run and, if a run has no such table, for the page.
"""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
from duckdb import DuckDBPyConnection

from engine.store.answer_schema import ANSWERS


def answer(
    cursor: DuckDBPyConnection,
    table: str,
    run: str,
    keys: dict[str, Any],
    compute: Callable[[], pd.DataFrame],
    order: str,
) -> pd.DataFrame:
    """Return the rows of a table of ANSWERS that belong to `keys`, or those of `compute` if the run has no such table.

    Both have the same columns, types and order: those of the table, without the keys.

    Args:
        keys: column -> value.
        order: the order of the rows, in SQL.
    """
    schema = pa.schema([field for field in ANSWERS[table] if field.name not in keys])
    if not is_stored(cursor, table, run):
        return _frame(as_table(compute(), schema))
    columns = ", ".join(f'"{name}"' for name in schema.names)
    where = "".join(f' AND "{name}" = ${name}' for name in keys)
    select = f"SELECT {columns} FROM {table} WHERE run = $run{where} ORDER BY {order}"
    return _frame(cursor.sql(select, params={"run": run} | keys).to_arrow_table().cast(schema))


def is_stored(cursor: DuckDBPyConnection, table: str, run: str) -> bool:
    """Return whether a run has a table that can be read."""
    found = cursor.execute("SELECT count(*) FROM readable WHERE run = ? AND name = ?", [run, table]).fetchall()
    return found[0][0] > 0


def files_of(cursor: DuckDBPyConnection, table: str, run: str) -> list[str]:
    """Return the files of a table of a run that can be read, each as a text in SQL."""
    select = "SELECT path FROM readable WHERE run = ? AND name = ? ORDER BY path"
    return ["'" + path.replace("'", "''") + "'" for (path,) in cursor.execute(select, [run, table]).fetchall()]


def as_table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Return an answer as a table; NaN becomes NULL."""
    return pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)


def _frame(found: pa.Table) -> pd.DataFrame:
    return found.replace_schema_metadata(None).to_pandas()
