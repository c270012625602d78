"""The tiny models, each made once per session."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.captioners.huggingface import explainer
from engine.captioners.huggingface.explainer import HuggingFaceExplainer
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


@pytest.fixture(scope="session")
def captioners(folders) -> Callable[[str], HuggingFaceExplainer]:
    """Return a tiny captioner by the name of its family; tests do not change it."""
    made: dict[str, HuggingFaceExplainer] = {}

    def captioner(name: str) -> HuggingFaceExplainer:
        if name not in made:
            found = explainer.load(f"hf:{folders(name)}")
            assert isinstance(found, HuggingFaceExplainer)
            made[name] = found
        return made[name]

    return captioner
