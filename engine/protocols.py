"""What other people's code implements: captioners, explainers, metrics and dataset readers.

Our own implementations use the same protocols. Plugins are found by their entry points, or named on the command line as
`package.module:factory`; a factory is called without arguments and returns the object. docs/extending.md has an
example of each.
"""

import importlib
import inspect
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:  # importing this module imports nothing of the project and no library
    import numpy as np
    from PIL.Image import Image

    from engine.config import DecodingConfig
    from engine.data.dataset import Dataset
    from engine.data.split import Split
    from engine.explain.attention import WordMaps
    from engine.explain.gradient import Gradients
    from engine.explain.tam import Activations
    from engine.explain.token_scores import TokenScores

Need = Literal["references", "photos", "objects"]
"""What an image must have so that a metric can score its caption."""


class PluginError(ValueError):
    """A plugin that cannot be used; the message names it, what was expected and what to do."""


@dataclass(frozen=True)
class Hypothesis:
    """A caption as a captioner returns it."""

    text: str
    words: tuple[str, ...]
    """The words that maps and word-level results refer to, in order."""
    tokens: tuple[int, ...] | None = None
    """Ids of the new tokens, the end token included; None for captioners that cannot replay a caption."""
    logprob: float | None = None
    """Nats, summed over the tokens."""
    score: float | None = None
    """The value that ranked the hypotheses."""
    finished: bool | None = None
    """Whether an end token was produced before the maximum length."""


@runtime_checkable
class Captioner(Protocol):
    """Photos in, hypotheses out."""

    @property
    def name(self) -> str:
        """Name for people."""

    @property
    def fingerprint(self) -> str:
        """Text that changes with everything that changes captions, such as weights and tokenizer.

        A run is continued only by the captioner that began it.
        """

    @property
    def metadata(self) -> Mapping[str, Any]:
        """JSON values for `run.json` and the dashboard, such as encoder and decoder_layers."""

    def read(self, photo: "Image") -> Any:
        """Return what `caption` needs of a photo (upright, RGB). Runs in the threads that read photos."""

    def caption(
        self, photos: Sequence[Any], image_ids: Sequence[str], config: "DecodingConfig"
    ) -> Mapping[int, Sequence[Sequence[Hypothesis]]]:
        """Return hypotheses at every beam size of `config`.

        Args:
            photos: N results of `read`.
            image_ids: N ids, for seeds that do not depend on the batch.

        Returns:
            Beam size -> N lists of 1 to `config.n_best` hypotheses, best first.
        """


@runtime_checkable
class Explainer(Protocol):
    """Maps of finished captions. A captioner that is one gets attention and grounding."""

    def maps(
        self, photos: Sequence[Any], captions: Sequence[Hypothesis], config: "DecodingConfig", merge: str
    ) -> "Sequence[WordMaps]":
        """Return the word maps of N captions of N photos.

        Args:
            photos: results of `Captioner.read`, as in the call of `caption` before.
            merge: how the maps of a word's tokens become one, `mean` or `first`.
        """

    def crop(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the part of a `width` x `height` photo that the maps cover: x, y, width, height in pixels."""


@runtime_checkable
class TokenScorer(Protocol):
    """Distributions at the steps of finished captions. A captioner that is one gets the table of words."""

    @property
    def fill(self) -> tuple[int, int, int]:
        """Return the RGB colour of covered cells: the mean of the photos that the model was trained on."""

    def region(self, photo: "np.ndarray") -> tuple[float, float, float, float]:
        """Return the part of a photo of `Captioner.read` that maps cover: x, y, width, height in its pixels."""

    def token_scores(
        self,
        photos: Sequence["np.ndarray"],
        captions: Sequence[Hypothesis],
        config: "DecodingConfig",
        candidates: Sequence[int] = (),
    ) -> "Sequence[TokenScores]":
        """Read N captions with N photos and return the distribution at each step.

        Args:
            photos: uint8[height, width, 3] each, as `Captioner.read` returns them, or changed. The same object may
                occur several times, and is then encoded once.
            candidates: tokens whose log-probabilities are returned as well.
        """

    def word_spans(self, caption: Hypothesis) -> Sequence[tuple[int, int]]:
        """Return the first token and one past the last token of each word of `caption`."""

    def first_tokens(self, names: Sequence[str]) -> Sequence[int]:
        """Return the first token of each name as it follows another word."""


@runtime_checkable
class GradientSource(Protocol):
    """Gradients of log p(word). A captioner that has them can be explained by methods that need them."""

    def gradients(self, photo: "np.ndarray", caption: Hypothesis, spans: Sequence[tuple[int, int]]) -> "Gradients":
        """Return the gradients of log p of the tokens of each span of a caption.

        Args:
            photo: uint8[height, width, 3], as `Captioner.read` returns it.
            spans: first token and one past the last token of each word.
        """


@runtime_checkable
class ActivationSource(Protocol):
    """Logits at image tokens inside a language model. A captioner that has them gets token activation maps."""

    def activations(self, photo: "np.ndarray", caption: Hypothesis) -> "Activations":
        """Return the logits of a caption's tokens at the cells of the grid and at the steps of the caption."""


@runtime_checkable
class Metric(Protocol):
    """A caption metric: statistics per image first, the corpus value from their sums."""

    @property
    def key(self) -> str:
        """Column name: lower-case letters, digits and underscores."""

    @property
    def title(self) -> str:
        """Name for people."""

    @property
    def unit(self) -> str:
        """The range, such as "0 to 1", or the unit."""

    @property
    def digits(self) -> int:
        """Decimals that are shown."""

    @property
    def definition(self) -> str:
        """What is computed, in one line."""

    @property
    def higher_is_better(self) -> bool:
        """Decides every order, such as which captions are the worst."""

    @property
    def needs(self) -> Collection[Need]:
        """What an image must have."""

    @property
    def tool(self) -> str:
        """Name and version of the code that defines the number, such as "pycocoevalcap-1.2"; part of the signature."""

    def statistics(self, captions: Sequence[str], split: "Split") -> "np.ndarray":
        """Return float64[N, C] for N captions of the N images of `split`.

        Sums over images of these C columns must be enough for `value`. Every image of `split` has what the metric
        needs: images without are left out before.
        """

    def value(self, sums: "np.ndarray") -> "np.ndarray":
        """Return the metric of (summed) statistics float64[..., C] -> float64[...]."""


@runtime_checkable
class DatasetReader(Protocol):
    """A dataset format."""

    @property
    def name(self) -> str:
        """Name for --format."""

    def recognises(self, path: Path) -> bool:
        """Return whether `path`, a file or folder that exists, is in this format."""

    def read(self, path: Path, split: str | None, hold_out: int) -> "Dataset":
        """Read one split.

        Args:
            split: what --split names, or None for the default: `val` where the dataset has splits, else everything.
            hold_out: photos that make `val` where the dataset has no splits.

        Raises:
            DatasetError: the file, the entry, what was expected and what to do, in one sentence.
        """


Group = Literal["captioners", "metrics", "datasets"]
_PROTOCOLS: dict[str, type] = {"captioners": Captioner, "metrics": Metric, "datasets": DatasetReader}


def installed(group: Group) -> dict[str, EntryPoint]:
    """Return the installed plugins of a group by name: entry points of `captionscope.<group>`."""
    return {point.name: point for point in entry_points(group=f"captionscope.{group}")}


def plugin(group: Group, name: str) -> Any:
    """Return the plugin `name`: an entry point of the group, or `package.module:factory`.

    Raises:
        PluginError: the plugin cannot be found, or its object lacks a part of the protocol.
    """
    point = installed(group).get(name)
    if point is None and ":" not in name:
        known = ", ".join(installed(group)) or "none is installed"
        raise PluginError(f"{group[:-1]} {name!r}: expected an installed plugin ({known}) or package.module:factory")
    factory = _factory(point or EntryPoint(name, name, f"captionscope.{group}"))
    _check_arguments(name, factory)
    made = factory()
    missing = sorted(part for part in _parts(_PROTOCOLS[group]) if not hasattr(made, part))
    if missing:
        raise PluginError(
            f"{group[:-1]} {name!r} has no {missing[0]!r}; expected {', '.join(_parts(_PROTOCOLS[group]))}"
        )
    return made


def _factory(point: EntryPoint) -> Any:
    """Import the factory of a plugin. Modules in the current folder are found, as by `python -m engine`."""
    module, _, attribute = point.value.partition(":")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise PluginError(f"plugin {point.value!r} needs the module {error.name!r}; install it") from error
        raise PluginError(
            f"plugin {point.value!r}: the module {error.name!r} was not found in this folder or this environment; "
            "install it, or change to its folder"
        ) from error
    except (ValueError, TypeError) as error:  # "" or "..": not a module name
        raise PluginError(f"plugin {point.value!r}: expected package.module:factory") from error
    factory = found
    for part in attribute.split("."):
        factory = getattr(factory, part, None)
    if not callable(factory):
        raise PluginError(f"plugin {point.value!r}: {module} has no class or function {attribute!r}")
    return factory


def _check_arguments(name: str, factory: Any) -> None:
    """Check that a factory can be called without arguments."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # written in C: it is called and may fail
        return
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [each.name for each in parameters if each.default is each.empty and each.kind not in optional]
    if needed:
        raise PluginError(f"plugin {name!r} needs the argument {needed[0]!r}; expected a factory without arguments")


def _parts(protocol: type) -> list[str]:
    """Return the names of a protocol's properties and methods."""
    return [
        name
        for name, value in vars(protocol).items()
        if (callable(value) or isinstance(value, property)) and not name.startswith("_")
    ]
