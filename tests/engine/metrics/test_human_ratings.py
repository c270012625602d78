import json

import numpy as np
import pytest

from engine.data import registry
from engine.metrics import human_ratings
from engine.metrics.human_ratings import RatingsError
from engine.metrics.measure import score_captions
from tests.conftest import SHARED, needs_shared


def write(path, *entries) -> None:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")


@needs_shared("human")
def test_metrics_agree_with_flickr8ks_experts_as_published():
    # Published over the separate ratings (Hessel et al. 2021, table 1): 43.9, 30.8; over the mean of the three experts'
    # a point more. These are the numbers of pycocoevalcap's own scores on this file, within half a point.
    ratings = human_ratings.read(SHARED / "human" / "flickr8k_expert_mean.jsonl")
    references = {each.file_name: each.references for each in registry.load(SHARED / "flickr8k", split="all").examples}
    found = score_captions(
        {1: [each.caption for each in ratings]},
        [references[each.image] for each in ratings],
        ["cider", "bleu_4", "rouge_l"],
    )[1]
    people = np.array([each.rating for each in ratings])
    for name, expected in (("cider", 45.4), ("bleu_4", 31.1), ("rouge_l", 32.6)):
        found_tau = human_ratings.agreement(found.per_image[name], people)
        assert 100 * found_tau.tau_c == pytest.approx(expected, abs=0.5), name
        assert found_tau.pairs == 5664


def test_perfect_and_reversed_ranks_are_one_and_minus_one():
    people = np.array([1.0, 2.0, 3.0, 4.0])
    assert human_ratings.agreement(people * 10, people).tau_c == pytest.approx(1)
    assert human_ratings.agreement(-people, people).tau_b == pytest.approx(-1)


def test_captions_without_a_value_are_left_out_and_counted():
    found = human_ratings.agreement(np.array([0.1, np.nan, 0.3]), np.array([1.0, 4.0, 2.0]))
    assert (found.tau_b, found.pairs) == (pytest.approx(1), 2)
    with pytest.raises(RatingsError, match="1 rated captions"):
        human_ratings.agreement(np.array([0.1, np.nan]), np.array([1.0, 2.0]))
    with pytest.raises(RatingsError, match="all 2 rated captions have the human_mean 3; expected different ratings"):
        human_ratings.agreement(np.array([0.1, 0.2]), np.array([3.0, 3.0]))


def test_a_file_of_ratings_is_read(tmp_path):
    write(tmp_path / "r.jsonl", {"image": "a.b.jpg", "caption": "a dog", "human_mean": 2})
    assert human_ratings.read(tmp_path / "r.jsonl") == [human_ratings.Rating("a.b.jpg", "a dog", 2.0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "contains no ratings"),
        ("not json\n", "line 1: not JSON"),
        ('{"image": "a.jpg", "caption": "a", "human_mean": NaN}\n', "line 1 has the human_mean nan, expected a number"),
        ('{"image": "a.jpg", "caption": "\\ud83d", "human_mean": 1}\n', "line 1: the surrogate .* is unpaired"),
        ("\n" + "[" * 100_000, "line 2: .*nested too deeply"),
        ('{"image": "a.jpg", "caption": "a"}\n', "expected an object with image, caption and human_mean"),
        ('{"image": "a.jpg", "caption": "a", "human_mean": "good"}\n', "line 1"),
        ("[1]\n", "line 1"),
    ],
)
def test_a_bad_file_names_the_line(tmp_path, text, message):
    (tmp_path / "r.jsonl").write_text(text)
    with pytest.raises(RatingsError, match=message):
        human_ratings.read(tmp_path / "r.jsonl")
    with pytest.raises(RatingsError, match="there is no such file"):
        human_ratings.read(tmp_path / "other.jsonl")


def test_only_line_feeds_end_a_line_and_a_byte_order_mark_is_removed(tmp_path):
    line = '{"image": "a.jpg", "caption": "a \u2028dog", "human_mean": 2}\r\n'
    (tmp_path / "r.jsonl").write_bytes(line.encode("utf-8-sig"))
    assert [each.rating for each in human_ratings.read(tmp_path / "r.jsonl")] == [2.0]


def test_another_encoding_is_one_clear_error(tmp_path):
    (tmp_path / "r.jsonl").write_bytes('{"image": "a.jpg", "caption": "café", "human_mean": 2}'.encode("latin-1"))
    with pytest.raises(RatingsError, match="r.jsonl: not UTF-8 text .*; save it as UTF-8"):
        human_ratings.read(tmp_path / "r.jsonl")
