import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.captioners.native import replay
from engine.explain import attention
from engine.store.schema import END_WORD
from tests.support import tiny


@pytest.fixture(scope="module")
def memory() -> torch.Tensor:
    torch.manual_seed(4)
    with torch.inference_mode():
        return tiny.captioner().encode(torch.randn(2, 3, 224, 224))


def stepwise_maps(captioner, tokens, memory, bos_id):
    """What a search of that caption alone would see: the last row of each growing prefix."""
    rows = []
    for length in range(1, len(tokens) + 1):
        ids = torch.tensor([[bos_id, *tokens[: length - 1]]])
        with torch.inference_mode():
            rows.append(captioner.replay(ids, memory)[1][0, :, :, -1])
    return torch.stack(rows).numpy()  # [T, layers, heads, P]


@pytest.mark.parametrize("merge", attention.MERGES)
def test_the_map_of_a_word_belongs_to_the_step_that_predicts_it(memory, merge):
    captioner, words = tiny.captioner(), tiny.tokenizer()
    captions = [words.encode("a dog runs")[1:], words.encode("a red bus stands in the street.")[1:]]
    replayed = replay.replay(captioner, words, memory, captions, merge)
    assert any(span.stop - span.start > 1 for tokens in captions for span in replay.spans(words, tokens))
    for image, (tokens, found) in enumerate(zip(captions, replayed, strict=True)):
        expected = stepwise_maps(captioner, tokens, memory[image : image + 1], words.bos_id)[..., 1:]
        spans = replay.spans(words, tokens)
        assert found.words == (*[word.text for word in words.words(tokens)], END_WORD)
        for number, span in enumerate(spans):
            pieces = expected[span.start : span.stop]
            merged = pieces.mean(0) if merge == "mean" else pieces[0]
            # Bytes of the map's own maximum: half a step of 1 / 255 is the most that is lost.
            assert np.abs(found.floats()[number] - merged).max() <= merged.max() / 500


def test_the_class_token_is_left_out_of_the_grid(memory):
    found = replay.replay(tiny.captioner(), tiny.tokenizer(), memory[:1], [[5, 6]])[0]
    assert found.weights.shape == (found.weights.shape[0], 2, 2, 196)
    assert found.grid == (14, 14)


def test_an_unfinished_caption_has_no_end_word(memory):
    words = tiny.tokenizer()
    tokens = words.encode("a dog")[1:-1]
    assert END_WORD not in replay.replay(tiny.captioner(), words, memory[:1], [tokens])[0].words


def test_pieces_merge_to_their_mean_or_to_the_first():
    captions = [[(0, 2), (2, 3)], [(0, 3)]]  # skateboard ##er rides; dogs
    assert attention.pooling(captions, 3, "mean")[0].tolist() == [[0.5, 0.5, 0], [0, 0, 1]]
    assert attention.pooling(captions, 3, "mean")[1].tolist() == [[pytest.approx(1 / 3)] * 3, [0, 0, 0]]
    assert attention.pooling(captions, 3, "first").tolist() == [[[1, 0, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, 0]]]
    with pytest.raises(ValueError, match="expected one of"):
        attention.pooling(captions, 3, "last")


@given(arrays(np.float32, (2, 1, 3, 7), elements=st.floats(0, 1, width=32)))
def test_a_stored_map_differs_by_at_most_half_a_byte_of_its_maximum(maps):
    found = attention.WordMaps.of(("a", "b"), maps, (1, 7))
    on_device = (each.numpy() for each in replay.quantise(torch.from_numpy(maps)))
    assert all(np.array_equal(one, other) for one, other in zip(on_device, (found.weights, found.scale), strict=True))
    assert (np.abs(found.floats() - maps) <= maps.max(-1, keepdims=True) / 509).all()


def test_a_caption_without_any_word_has_no_map(memory):
    words = tiny.tokenizer()
    for captions in ([[words.pad_id]], [[words.pad_id], words.encode("a dog")[1:]]):
        found = replay.replay(tiny.captioner(), words, memory[: len(captions)], captions)
        assert found[0].words == () and found[0].weights.shape == (0, 2, 2, 196) and found[0].scale.shape == (0, 2, 2)
        assert all(len(each.words) == 3 for each in found[1:])


def test_no_captions_have_no_maps(memory):
    assert replay.replay(tiny.captioner(), tiny.tokenizer(), memory[:0], []) == []


def test_the_share_is_the_mean_over_layers_and_heads_of_exact_sums():
    maps = np.zeros((2, 1, 2, 1000), np.float32)
    maps[0, 0, 0], maps[0, 0, 0, 0] = 0.0004, 0.2  # the small weights are 0.51 of a step, stored as one
    maps[0, 0, 1, 5], maps[1, 0, :, 3] = 1, 0.25
    found = attention.WordMaps.of(("a", "b"), maps, (10, 100))
    assert found.share == pytest.approx([(0.2 + 999 * 0.0004 + 1) / 2, 0.25], abs=1e-6)
    assert abs(found.floats().sum(-1).mean((1, 2))[0] - found.share[0]) > 0.1  # the stored weights would not do


def test_maps_of_another_unit_have_no_share():
    assert attention.WordMaps.of(("a",), np.full((1, 1, 1, 4), 200.0), (2, 2)).share is None


def test_our_own_maps_hold_the_attention_to_patches_and_not_that_to_the_class_token(memory):
    captioner, words = tiny.captioner(), tiny.tokenizer()
    tokens = words.encode("a dog runs")[1:]
    found = replay.replay(captioner, words, memory[:1], [tokens])[0]
    exact = stepwise_maps(captioner, tokens, memory[:1], words.bos_id)[..., 1:].sum(-1).mean((1, 2))
    assert len(found.share) == len(found.words) and (found.share < 1).all()
    assert found.share[-1] == pytest.approx(exact[-1], abs=1e-5)  # <end> is a single token
