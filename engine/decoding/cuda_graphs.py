"""Small searches on a GPU, captured once as CUDA graphs and replayed: their steps are many launches of little work.

A step at a few hundred prefixes takes a GPU a fraction of the time that launching its operations takes. A graph
launches all of a step at once. The second search of a shape is captured, as capturing takes as long as a few searches;
all later ones are replayed.
"""

import gc
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine.config import DecodingConfig
from engine.decoding import static_shapes
from engine.decoding.steps import TokenHypothesis


class StaticImages(Protocol):
    """Encoded images that a captured search reads."""

    @property
    def device(self) -> torch.device:
        """Where they are."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Images of equal shape can be read by the same graphs."""

    def __len__(self) -> int: ...

    def copy(self) -> "StaticImages":
        """Return a copy in memory of its own."""

    def take(self, other: "StaticImages") -> None:
        """Become a copy of other images of the same shape."""


class StaticModel(Protocol):
    """A decoder that can be captured."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    def start(self, images: StaticImages, max_length: int) -> static_shapes.StaticSteps:
        """Open a decoding of at most `max_length` steps."""


ROWS = 512
"""Images times beams up to which a search is replayed; beyond, a step's work takes longer than its launches."""

KEPT = 16
"""Shapes of a captioner that are kept; the one captured first makes room."""


class _Replay:
    """A search of one shape: one graph a step, which read the images' keys and values where the first left them."""

    def __init__(
        self,
        model: StaticModel,
        images: StaticImages,
        size: int,
        bos_id: int,
        eos_id: int,
        config: DecodingConfig,
    ) -> None:
        self._images = images.copy()
        self._steps: list[tuple[torch.cuda.CUDAGraph, Tensor, static_shapes.State]] = []
        with torch.inference_mode(), torch.cuda.device(model.device):
            self._capture(model, size, bos_id, eos_id, config)

    def _capture(self, model: StaticModel, size: int, bos_id: int, eos_id: int, config: DecodingConfig) -> None:
        pool, stream, walk = torch.cuda.graph_pool_handle(), torch.cuda.Stream(), None
        gc.collect()  # what is freed during a capture would be captured
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(config.max_length):
                graph = torch.cuda.CUDAGraph()
                graph.capture_begin(pool=pool, capture_error_mode="thread_local")
                try:
                    if walk is None:  # in the graph, so that every replay begins anew
                        count, device = len(self._images), model.device
                        self._search = static_shapes.create(count, size, eos_id, config, device)
                        steps = model.start(self._images, config.max_length)
                        walk = static_shapes.run(steps, self._search, count, bos_id, config, device)
                    goes_on, state = next(walk)
                finally:
                    graph.capture_end()
                self._steps.append((graph, goes_on, state))
        torch.cuda.current_stream().wait_stream(stream)

    def __call__(self, images: StaticImages) -> list[list[TokenHypothesis]] | None:
        """The hypotheses of each image; None where an image has none, as where its logits are no numbers."""
        with torch.inference_mode(), torch.cuda.device(images.device):
            self._images.take(images)
            found: static_shapes.State = ()
            for graph, goes_on, state in self._steps:
                graph.replay()
                found = state
                if not bool(goes_on):
                    break
            hypotheses = self._search.found(found)
            return hypotheses if all(hypotheses) else None


@dataclass
class _Shape:
    """What is known of searches of one shape."""

    seen: int = 0
    replay: _Replay | None = None


class GraphCache:
    """The captured searches of one model, whose weights must not change."""

    def __init__(self) -> None:
        self._shapes: dict[tuple, _Shape] = {}

    def replayed(
        self,
        model: StaticModel,
        images: StaticImages,
        sizes: Sequence[int],
        bos_id: int,
        eos_id: int,
        config: DecodingConfig,
    ) -> dict[int, list[list[TokenHypothesis]]] | None:
        """Return what `sweep` would find for `images`; None where it is not replayed here, or not yet."""
        if not _suits(model.device, len(images), sizes, config):
            return None
        (size,) = sizes
        rules = (config.max_length, config.length_penalty, config.early_stopping, config.n_best)
        key = (*images.shape, size, bos_id, eos_id, *rules)
        shape = self._shapes.setdefault(key, _Shape())
        shape.seen += 1
        if shape.seen == 2:
            shape.replay = _captured(model, images, size, bos_id, eos_id, config)
            self._shapes[key] = self._shapes.pop(key)  # in the order of capture: one that was seen long before stays
            self._make_room()
        found = None if shape.replay is None else shape.replay(images)
        return None if found is None else {size: found}

    def clear(self) -> None:
        """Free what is kept for replays, each with a copy of its images' keys and values."""
        self._shapes.clear()

    def _make_room(self) -> None:
        kept = [key for key, shape in self._shapes.items() if shape.replay is not None]
        for key in kept[:-KEPT]:
            del self._shapes[key]


def _suits(device: torch.device, images: int, sizes: Sequence[int], config: DecodingConfig) -> bool:
    return (
        device.type == "cuda"
        and len(sizes) == 1
        and images * sizes[0] <= ROWS
        and not config.sample
        and not config.constrained
    )


def _captured(model: StaticModel, images: StaticImages, *rest: object) -> _Replay | None:
    try:
        return _Replay(model, images, *rest)
    except RuntimeError as error:  # no memory for it, or an operation that this torch cannot capture
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        warnings.warn(f"a search could not be captured as CUDA graphs ({reason}); continuing without", stacklevel=3)
        return None
