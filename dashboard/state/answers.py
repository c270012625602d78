"""Answers of the results: a file that turns out to be damaged in the middle of a query is one sentence.

Knows queries and DuckDB's errors. Needs no page, so that the report on the command line can use it.
"""

import re
from collections.abc import Callable
from typing import Any

import duckdb
import pandas as pd

from engine.store.errors import ResultsError

Function = Callable[..., pd.DataFrame]
"""A function of `engine.store.queries`."""


def answer(connection: duckdb.DuckDBPyConnection, function: Function, *arguments: Any) -> pd.DataFrame:
    """Return the answer of a function of `engine.store.queries`.

    Raises:
        ResultsError: a file of the results cannot be read.
    """
    try:
        try:
            return function(connection.cursor(), *arguments)
        except duckdb.CatalogException:  # another page dropped a cached table between two steps of the query
            return function(connection.cursor(), *arguments)
    except duckdb.Error as error:
        raise ResultsError(_sentence(" ".join(str(error).split()))) from error


_FILE = re.compile(r'Failed to read file "(?P<path>.+?)": (?P<reason>.+)')
_LONGEST = 400  # characters of DuckDB's message, which may repeat a whole query


def _sentence(message: str) -> str:
    found = _FILE.search(message)
    what = f"{found['path']} cannot be read ({found['reason'][:_LONGEST]})" if found else message[:_LONGEST]
    return f"{what}: restore the file from a copy, or make its run again."
