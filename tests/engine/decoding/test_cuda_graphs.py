"""Which searches are replayed, and when; on a GPU, that a replay finds what the search itself finds."""

from contextlib import nullcontext

import pytest
import torch

from engine.config import DecodingConfig
from engine.decoding import cuda_graphs, sweep
from engine.decoding.cuda_graphs import GraphCache
from tests.support import tiny

CONFIG = DecodingConfig(beam_sizes=(3,), max_length=9)


class FakeReplay:
    """A replay that finds its own number."""

    made = 0

    def __init__(self, *args: object) -> None:
        FakeReplay.made += 1
        self._number = FakeReplay.made

    def __call__(self, looked: object) -> int:
        return self._number


@pytest.fixture
def everywhere(monkeypatch):
    """As if every device could replay every search."""
    FakeReplay.made = 0
    monkeypatch.setattr(cuda_graphs, "_suits", lambda *args: True)
    monkeypatch.setattr(cuda_graphs, "_Replay", FakeReplay)


class Model:
    """A captioner with the searches that were captured for it."""

    def __init__(self) -> None:
        self.captioner, self.graphs = tiny.captioner(), GraphCache()


def asked(model: Model, images: int = 2, config: DecodingConfig = CONFIG):
    with torch.inference_mode():
        cross = model.captioner.precompute_cross_attention(torch.randn(images, 5, 32))
    return model.graphs.replayed(model.captioner, cross, config.beam_sizes, 2, 3, config)


def test_the_second_search_of_a_shape_is_captured_and_replayed_from_then_on(everywhere):
    model = Model()
    assert [asked(model) for _ in range(4)] == [None, {3: 1}, {3: 1}, {3: 1}]
    assert FakeReplay.made == 1


@pytest.mark.parametrize(
    "other",
    [
        {"images": 3},
        {"config": DecodingConfig(beam_sizes=(4,), max_length=9)},
        {"config": DecodingConfig(beam_sizes=(3,), max_length=8)},
        {"config": DecodingConfig(beam_sizes=(3,), max_length=9, length_penalty=0.5)},
        {"config": DecodingConfig(beam_sizes=(3,), max_length=9, early_stopping=True)},
        {"config": DecodingConfig(beam_sizes=(3,), max_length=9, n_best=2)},
    ],
    ids=str,
)
def test_another_shape_or_rule_is_another_search(everywhere, other):
    model = Model()
    assert asked(model) is None and asked(model) is not None
    assert asked(model, **other) is None


def test_the_shapes_captured_first_make_room(everywhere, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "KEPT", 2)
    model = Model()
    for images in (1, 2, 3):
        asked(model, images), asked(model, images)
    assert asked(model, 3) == {3: 3} and asked(model, 2) == {3: 2}
    assert asked(model, 1) is None


def test_a_shape_that_was_seen_long_before_it_is_captured_is_not_the_first_to_go(everywhere, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "KEPT", 2)
    model = Model()
    asked(model, 1)
    for images in (2, 3):
        asked(model, images), asked(model, images)
    assert asked(model, 1) == {3: 3} and asked(model, 1) == {3: 3}
    assert asked(model, 3) == {3: 2} and asked(model, 2) is None


def test_a_dropped_shape_is_captured_again(everywhere):
    model = Model()
    asked(model), asked(model)
    model.graphs.clear()
    assert [asked(model) for _ in range(2)] == [None, {3: 2}]


@pytest.mark.parametrize(
    ("message", "reason"),
    [("operation not permitted when stream is capturing\nmore", "operation not permitted"), ("", "RuntimeError")],
)
def test_a_search_that_cannot_be_captured_continues_without_graphs_and_warns(everywhere, monkeypatch, message, reason):
    def broken(*args: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(cuda_graphs, "_Replay", broken)
    model = Model()
    assert asked(model) is None
    with pytest.warns(UserWarning, match=f"could not be captured .*{reason}"):
        assert asked(model) is None
    assert asked(model) is None


@pytest.mark.parametrize(
    ("device", "images", "changes"),
    [
        ("cpu", 2, {}),
        ("cuda", cuda_graphs.ROWS // 3 + 1, {}),
        ("cuda", 2, {"beam_sizes": (1, 3)}),
        ("cuda", 2, {"sample": True, "beam_sizes": (1,)}),
        ("cuda", 2, {"repetition_penalty": 1.2}),
        ("cuda", 2, {"no_repeat_ngram": 2}),
    ],
    ids=str,
)
def test_a_search_with_other_needs_is_not_replayed(device, images, changes):
    config = DecodingConfig(**{"beam_sizes": (3,), **changes})
    assert not cuda_graphs._suits(torch.device(device), images, config.beam_sizes, config)
    plain = DecodingConfig(beam_sizes=(3,))
    assert cuda_graphs._suits(torch.device("cuda"), 2, plain.beam_sizes, plain)


class FakeGraph:
    """What is captured on a CPU runs at once; a replay changes nothing, so the first images' captions stay."""

    def __init__(self) -> None:
        self.replayed = 0

    def capture_begin(self, pool: object, capture_error_mode: str) -> None:
        """Nothing is captured."""

    def capture_end(self) -> None:
        """Nothing was."""

    def replay(self) -> None:
        self.replayed += 1


@pytest.fixture
def captured_at_once(monkeypatch):
    """As if a CPU could capture: what is captured runs then and there."""

    class Stream:
        wait_stream = staticmethod(lambda other: None)

    fakes = {"CUDAGraph": FakeGraph, "Stream": Stream, "current_stream": Stream, "graph_pool_handle": lambda: None}
    for name, fake in (fakes | {"device": nullcontext, "stream": nullcontext}).items():
        monkeypatch.setattr(torch.cuda, name, fake)


@pytest.mark.parametrize("size", [1, 3])
def test_a_graph_is_a_step_and_none_is_replayed_after_the_last_image_is_done(captured_at_once, size):
    captioner, words = tiny.captioner(), tiny.tokenizer()
    with torch.no_grad():
        captioner.head.bias[words.eos_id] += 4
    ids, config = (words.bos_id, words.eos_id), DecodingConfig(beam_sizes=(size,), max_length=12)
    with torch.inference_mode():
        looked = captioner.precompute_cross_attention(
            2 * torch.randn(4, 20, 32, generator=torch.Generator().manual_seed(1))
        )
    replay = cuda_graphs._Replay(captioner, looked, size, *ids, config)
    found = replay(looked)
    with torch.inference_mode():
        steps = captioner.start(looked, 12)
    expected = sweep.sweep(steps, 4, [size], *ids, config, captioner.device)[size]
    assert [each[0].tokens for each in found] == [each[0].tokens for each in expected]
    taken = [graph.replayed for graph, *_ in replay._steps]
    assert len(taken) == 12 and 0 < sum(taken) < 12 and taken == sorted(taken, reverse=True)


def test_an_image_with_nan_logits_is_not_replayed(captured_at_once, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "_suits", lambda *args: True)
    captioner, words, config = tiny.captioner(), tiny.tokenizer(), DecodingConfig(beam_sizes=(3,), max_length=5)
    memory = torch.randn(2, 20, 32, generator=torch.Generator().manual_seed(1))
    memory[1] = torch.nan
    search = tiny.search(captioner, words, memory, config, GraphCache())
    found = [[len(image) for image in search.run()[3]] for _ in range(3)]
    assert found == [[1, 1]] * 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("size", [1, 3, 10])
def test_a_replay_finds_what_the_search_finds(size):
    captioner, words = tiny.captioner().to("cuda"), tiny.tokenizer()
    with torch.no_grad():
        captioner.head.bias[words.eos_id] += 1
    config = DecodingConfig(beam_sizes=(size,), max_length=12, n_best=min(size, 2))
    graphs = GraphCache()
    for seed in range(6):
        memory = 2 * torch.randn(4, 20, 32, generator=torch.Generator().manual_seed(seed)).cuda()
        search = tiny.search(captioner, words, memory, config, graphs)
        found = search.run()[size]
        with torch.inference_mode():
            steps = captioner.start(captioner.precompute_cross_attention(memory), config.max_length)
        expected = sweep.sweep(steps, 4, [size], words.bos_id, words.eos_id, config, captioner.device)[size]
        assert [[each.tokens for each in image] for image in found] == [
            [each.tokens for each in image] for image in expected
        ]
    (shape,) = graphs._shapes.values()
    assert shape.seen == 6 and shape.replay is not None
