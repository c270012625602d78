"""Small searches on a GPU, captured once as CUDA graphs and replayed: their steps are many launches of little work.

A step at a few hundred prefixes takes a GPU a fraction of the time that launching its operations takes. A graph
launches all of a step at once. The second search of a shape is captured, as capturing takes as long as a few searches;
all later ones are replayed.

Knows a captioner and a search of even steps. Knows no photo and no table.
"""

import gc
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.captioners.native.captioner import Captioner
from engine.captioners.native.incremental import Looked, weights_of
from engine.config import DecodingConfig
from engine.data.files import first_line
from engine.decoding import static_shapes
from engine.decoding.steps import TokenHypothesis

ROWS = 512
"""Images times beams up to which a search is replayed; beyond, a step's work takes longer than its launches."""

KEPT = 16
"""Shapes of a captioner that are kept; the one captured first makes room."""


class _Replay:
    """A search of one shape: one graph a step, which read the images' keys and values where the first left them."""

    def __init__(
        self, captioner: Captioner, looked: Looked, size: int, bos_id: int, eos_id: int, config: DecodingConfig
    ) -> None:
        self._looked = looked.copy()
        self._steps: list[tuple[torch.cuda.CUDAGraph, Tensor, static_shapes.State]] = []
        with torch.inference_mode(), torch.cuda.device(captioner.device):
            self._capture(captioner, size, bos_id, eos_id, config)

    def _capture(self, captioner: Captioner, size: int, bos_id: int, eos_id: int, config: DecodingConfig) -> None:
        pool, stream, walk = torch.cuda.graph_pool_handle(), torch.cuda.Stream(), None
        gc.collect()  # what is freed during a capture would be captured
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(config.max_length):
                graph = torch.cuda.CUDAGraph()
                graph.capture_begin(pool=pool, capture_error_mode="thread_local")
                try:
                    if walk is None:  # in the graph, so that every replay begins anew
                        images, device = len(self._looked), captioner.device
                        self._search = static_shapes.search_of(images, size, eos_id, config, device)
                        steps = captioner.start(self._looked, config.max_length)
                        walk = static_shapes.walk(steps, self._search, images, bos_id, config, device)
                    goes_on, state = next(walk)
                finally:
                    graph.capture_end()
                self._steps.append((graph, goes_on, state))
        torch.cuda.current_stream().wait_stream(stream)

    def __call__(self, looked: Looked) -> list[list[TokenHypothesis]] | None:
        """The hypotheses of each image; None where an image has none, as where its logits are no numbers."""
        with torch.inference_mode(), torch.cuda.device(looked.device):
            self._looked.take(looked)
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


def replayed(
    captioner: Captioner, looked: Looked, sizes: Sequence[int], bos_id: int, eos_id: int, config: DecodingConfig
) -> dict[int, list[list[TokenHypothesis]]] | None:
    """What `decoding.sweep` would find for the images of `looked`; None where it is not replayed here, or not yet."""
    if not _suits(captioner.device, len(looked), sizes, config):
        return None
    (size,) = sizes
    shapes = weights_of(captioner).replays
    rules = (config.max_length, config.length_penalty, config.early_stopping, config.n_best)
    key = (*looked.layers[0][0].shape, size, bos_id, eos_id, *rules)
    shape = shapes.setdefault(key, _Shape())
    shape.seen += 1
    if shape.seen == 2:
        shape.replay = _captured(captioner, looked, size, bos_id, eos_id, config)
        shapes[key] = shapes.pop(key)  # in the order of capture: one that was seen long before stays
        _make_room(shapes)
    found = None if shape.replay is None else shape.replay(looked)
    return None if found is None else {size: found}


def forget(captioner: Captioner) -> None:
    """Frees what is kept for replays, each with a copy of its images' keys and values; to be called after the last."""
    weights_of(captioner).replays.clear()


def _suits(device: torch.device, images: int, sizes: Sequence[int], config: DecodingConfig) -> bool:
    return (
        device.type == "cuda"
        and len(sizes) == 1
        and images * sizes[0] <= ROWS
        and not config.sample
        and not config.constrained
    )


def _captured(captioner: Captioner, looked: Looked, *rest: object) -> _Replay | None:
    try:
        return _Replay(captioner, looked, *rest)
    except RuntimeError as error:  # no memory for it, or an operation that this torch cannot capture
        reason = first_line(error)
        warnings.warn(f"a search could not be captured as CUDA graphs ({reason}); it goes on without", stacklevel=3)
        return None


def _make_room(shapes: dict[tuple, _Shape]) -> None:
    kept = [key for key, shape in shapes.items() if shape.replay is not None]
    for key in kept[:-KEPT]:
        del shapes[key]
