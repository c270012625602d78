"""The tiny models, each made once per session."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import tiny_transformers


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> Callable[[str], Path]:
    """Return the folder of a tiny model by the name of its family; tests change only copies."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tiny_transformers.make(name, tmp_path_factory.mktemp("hf") / name)
        return made[name]

    return folder
