"""Rows of the DataFrames that queries return."""

from collections.abc import Iterator
from typing import Any

import pandas as pd


def named_rows(frame: pd.DataFrame) -> Iterator[Any]:
    """Return the rows as named tuples with the columns of the query, which a type checker cannot know."""
    return iter(frame.itertuples())


def groups(frame: pd.DataFrame, by: Any) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Return (key, rows) of each group in the order of the keys; the key of several columns is a tuple."""
    return iter(frame.groupby(by))
