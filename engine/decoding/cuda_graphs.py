"""Capture small searches on a GPU as CUDA graphs and replay them.

With a few hundred prefixes, launching the operations of a step takes much longer than executing them; a graph launches
the whole step at once. The second search of a shape is captured, because a capture takes as long as a few searches;
later ones are replayed.
"""

import gc
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.config import DecodingConfig
from engine.decoding import static_shapes
from engine.decoding.steps import TokenHypothesis


class StaticImages(Protocol):
    """Encoded images that a captured search reads."""

    @property
    def device(self) -> torch.device:
        """The device of the images."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Images of equal shape can use the same graphs."""

    def __len__(self) -> int: ...

    def copy(self) -> "StaticImages":
        """Return a copy in separate memory."""

    def take(self, other: "StaticImages") -> None:
        """Copy the content of other images of the same shape."""


class StaticModel(Protocol):
    """A decoder that can be captured."""

    @property
    def device(self) -> torch.device:
        """The device of the weights."""

    def start(self, images: Any, max_length: int, /) -> Any:
        """Start a decoding of at most `max_length` steps."""


ROWS = 512
"""Maximum images times beams of a replayed search; above, the work of a step takes longer than its launches."""

KEPT = 16
"""Maximum number of captured shapes per captioner; the oldest capture is dropped first."""


class _Replay:
    """A captured search of one shape: one graph per step; all read the images' keys and values from the same memory."""

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
        pool, stream, states = torch.cuda.graph_pool_handle(), torch.cuda.Stream(), None
        gc.collect()  # memory that is freed during a capture would be captured
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(config.max_length):
                graph = torch.cuda.CUDAGraph()
                graph.capture_begin(pool=pool, capture_error_mode="thread_local")
                try:
                    if states is None:  # inside the graph, so that every replay starts from the beginning
                        count, device = len(self._images), model.device
                        self._search = static_shapes.create(count, size, eos_id, config, device)
                        steps = model.start(self._images, config.max_length)
                        states = static_shapes.run(steps, self._search, count, bos_id, config, device)
                    is_open, state = next(states)
                finally:
                    graph.capture_end()
                self._steps.append((graph, is_open, state))
        torch.cuda.current_stream().wait_stream(stream)

    def __call__(self, images: StaticImages) -> list[list[TokenHypothesis]] | None:
        """Return the hypotheses of each image; None if an image has none, for example because its logits are NaN."""
        with torch.inference_mode(), torch.cuda.device(images.device):
            self._images.take(images)
            found: static_shapes.State = ()
            for graph, is_open, state in self._steps:
                graph.replay()
                found = state
                if not bool(is_open):
                    break
            hypotheses = self._search.found(found)
            return hypotheses if all(hypotheses) else None


@dataclass
class _Shape:
    """The number of searches of one shape so far, and their capture."""

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
        """Return what `sweep` would find for `images`; None if the search is not (yet) replayed."""
        if not _suits(model.device, len(images), sizes, config):
            return None
        (size,) = sizes
        rules = (config.max_length, config.length_penalty, config.early_stopping, config.n_best)
        key = (*images.shape, size, bos_id, eos_id, *rules)
        shape = self._shapes.setdefault(key, _Shape())
        shape.seen += 1
        if shape.seen == 2:
            shape.replay = _captured(model, images, size, bos_id, eos_id, config)
            self._shapes[key] = self._shapes.pop(key)  # ordered by capture, not by first use
            self._make_room()
        found = None if shape.replay is None else shape.replay(images)
        return None if found is None else {size: found}

    def clear(self) -> None:
        """Free all captured searches, each with its copy of the images' keys and values."""
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


def _captured(model: StaticModel, images: StaticImages, *rest: Any) -> _Replay | None:
    try:
        return _Replay(model, images, *rest)
    except RuntimeError as error:  # out of memory, or an operation that this version of torch cannot capture
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        warnings.warn(
            f"the search could not be captured as CUDA graphs ({reason}); continuing without CUDA graphs", stacklevel=3
        )
        return None
