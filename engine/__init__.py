"""The engine: from photos to results that explain why a captioner fails.

    photos - data - captioners - decoding - explain, metrics, diagnosis - store

`evaluation` lists these stages in order, `cli` is the command line. `protocols` defines what other people's captioners,
metrics and dataset readers implement. Importing this package imports nothing.
`engine.load(results, run)` returns the tables of a run as DataFrames, see `store/notebook.py`.
"""


def __getattr__(name: str) -> object:
    if name == "load":
        from importlib import import_module  # at its first use

        return import_module("engine.store.notebook").load
    raise AttributeError(f"module 'engine' has no attribute {name!r}")
