import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.models.tokenizer import CaptionTokenizer, TokenizerError, join_words
from tests.conftest import SHARED, needs_shared
from tests.support import tiny


@needs_shared("course/caption_tokenizer.json")
def test_the_courses_tokenizer_gives_text_without_marks():
    tokenizer = CaptionTokenizer.load(SHARED / "course" / "caption_tokenizer.json")
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_id) == (18022, 2, 3)
    text = tokenizer.decode(tokenizer.encode("A skateboarder's unbelievablenesses, in front of a restaurant ."))
    assert text == "a skateboarder's unbelievablenesses, in front of a restaurant."


@needs_shared("course/caption_tokenizer.json")
def test_a_word_spans_all_its_pieces():
    tokenizer = CaptionTokenizer.load(SHARED / "course" / "caption_tokenizer.json")
    ids = tokenizer.encode("unbelievablenesses yes")
    words = tokenizer.words(ids)
    assert [word.text for word in words] == ["unbelievablenesses", "yes"]
    assert (words[0].start, words[0].stop) == (1, words[1].start)
    assert words[1].stop == len(ids) - 1


KNOWN = ("a", "dog", "runs", "two", "men", "ride", "horses", "cat", "couch", "bus")


@given(st.lists(st.sampled_from(KNOWN), min_size=1, max_size=12))
def test_known_words_survive_the_round_trip(words):
    tokenizer = tiny.tokenizer()
    ids = tokenizer.encode(" ".join(words))
    assert tokenizer.decode(ids) == " ".join(words)
    spans = tokenizer.words(ids)
    covered = [position for word in spans for position in range(word.start, word.stop)]
    assert covered == [*range(1, len(ids) - 1)]


def test_a_cut_caption_keeps_its_end_token():
    tokenizer = tiny.tokenizer()
    ids = tokenizer.encode("a dog runs on the beach.", max_length=4)
    assert len(ids) == 5
    assert ids[-1] == tokenizer.eos_id


def test_training_twice_gives_the_same_file():
    assert tiny.tokenizer().to_json() == tiny.tokenizer().to_json()


def test_a_file_that_is_not_a_tokenizer_is_one_clear_error(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match="not a Hugging Face tokenizers file"):
        CaptionTokenizer.load(tmp_path / "tokenizer.json")
    with pytest.raises(TokenizerError, match="no such file"):
        CaptionTokenizer.load(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["a", "dog", "."], "a dog."),
        (["isn", "'", "t", "it", "?"], "isn't it?"),
        (["the", "dog", "’", "s", "toy"], "the dog’s toy"),
        (["(", "yes", ")", ",", "no"], "(yes), no"),
        (["一只狗", "，", "草地", "。"], "一只狗，草地。"),
        (["a", "t", "-", "shirt", "-", "clad", "man", "-"], "a t-shirt-clad man -"),
        ([], ""),
    ],
)
def test_punctuation_has_the_usual_spacing(words, text):
    assert join_words(words) == text
