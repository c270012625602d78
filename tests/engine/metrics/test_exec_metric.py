"""Metrics that are commands: known scores, one start for all captions, and a sentence for everything that fails."""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import __main__ as command
from engine.data.split import Split
from engine.metrics import registry
from engine.metrics.base import MetricError
from engine.metrics.measure import measure
from engine.protocols import PluginError
from engine.store import database, queries, records
from tests.conftest import ROOT
from tests.support import tiny

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
WORD_COUNT = re.search(r"(?s)```python\n(# word_count\.py.*?)```", PAGE)[1]
SPLIT = Split(("a", "b", "c"), (("one",), ("two", "more"), ()), (Path("/x.jpg"), None, None))
CAPTIONS = ["a dog", "", "two cats on a mat"]


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Return a function that writes a script and returns the name of its metric."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "theirs.py") -> str:
        (tmp_path / name).write_text("import json, sys\n" + text, encoding="utf-8")
        return f"exec:{sys.executable} {name}"

    return write


def scored(name: str, captions=None) -> dict:
    return measure(captions or {1: CAPTIONS}, SPLIT, registry.named([name]))


ANSWER = "for line in sys.stdin:\n    asked = json.loads(line)\n    print(json.dumps({}))\n"
WORDS = ANSWER.format('{"score": len(asked["caption"].split())}')


def test_scores_are_those_of_the_command_with_mean_and_interval(script):
    found = scored(script(WORDS))[1]
    assert found.per_image["theirs"].tolist() == [2, 0, 5]
    corpus = found.corpus["theirs"]
    assert corpus.value == pytest.approx(7 / 3) and corpus.low <= corpus.value <= corpus.high


def test_the_command_sees_id_caption_references_and_photo(script):
    name = script(
        "lines = sys.stdin.readlines()\nopen('seen', 'a').writelines(lines)\n"
        "for line in lines:\n    print(json.dumps({'score': 1}))\n"
    )
    scored(name)
    first, second, _ = map(json.loads, Path("seen").read_text().splitlines())
    assert first == {"image_id": "a", "caption": "a dog", "references": ["one"], "photo": "/x.jpg"}
    assert second["photo"] is None and second["references"] == ["two", "more"]


def test_one_start_scores_all_beam_sizes(script):
    name = script("open('starts', 'a').write('x')\n" + WORDS)
    found = scored(name, {1: CAPTIONS, 3: ["x"] * 3, 5: CAPTIONS[::-1]})
    assert [each.per_image["theirs"].tolist() for each in found.values()] == [[2, 0, 5], [1, 1, 1], [5, 0, 2]]
    assert Path("starts").read_text() == "xx"  # once for the header, once for all captions


def test_answers_with_ids_may_come_in_any_order(script):
    found = scored(
        script(
            "found = [json.loads(line) for line in sys.stdin]\n"
            "for each in found[::-1]:\n"
            "    print(json.dumps({'image_id': each['image_id'], 'score': len(each['caption'])}))\n"
        )
    )
    assert found[1].per_image["theirs"].tolist() == [len(each) for each in CAPTIONS]


def test_the_header_describes_the_metric_and_null_is_no_value(script):
    header = {"key": "mine", "title": "My score", "unit": "0 to 9", "higher_is_better": False, "digits": 1}
    header |= {"definition": "what I mean", "needs": ["references"]}
    answer = ANSWER.format('{"score": None if asked["image_id"] == "a" else 4}')
    name = script(f"print({json.dumps(json.dumps(header))})\n" + answer)
    (metric,) = registry.named([name])
    assert {key: getattr(metric, key) for key in header} == header
    found = measure({1: CAPTIONS}, SPLIT, [metric])[1]
    assert np.isnan(found.per_image["mine"]).tolist() == [True, False, True]  # c has no references
    assert found.corpus["mine"].value == 4


def test_the_version_changes_with_the_script_and_the_command(script):
    name = script(WORDS)
    first = registry.named([name])[0]
    assert first.signature == {"command": name} and registry.named([name])[0] is first
    script(WORDS + "# changed\n")
    assert registry.named([name])[0].tool != first.tool
    assert registry.named([name + " --flag"])[0].tool != first.tool


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sys.stdin.read()\nprint('oops', file=sys.stderr)\nsys.exit(3)\n", "ended with exit status 3 (oops)"),
        ("import os\nos.kill(os.getpid(), 9)\n", "ended with signal 9"),
        (ANSWER.format('{"score": float("nan")}'), "the score of image 'a' is nan, expected a finite number, or null"),
        (ANSWER.format('{"score": float("inf")}'), "the score of image 'a' is inf, expected a finite number"),
        (ANSWER.format('{"score": 10**400}'), "expected a finite number"),
        (ANSWER.format('{"score": True}'), "the score of image 'a' is True, expected a finite number"),
        (ANSWER.format('{"score": "4"}'), "the score of image 'a' is '4', expected a finite number"),
        (ANSWER.format("[1]"), "answer 1 is [1], expected"),
        (ANSWER.format('{"image_id": "z", "score": 1}'), "answer 1 is of image 'z', which was not asked for"),
        (ANSWER.format('{"image_id": "a", "score": 1}'), "two answers for image 'a'"),
        ("for line in sys.stdin:\n    print('dog')\n", "line 1 is 'dog': not JSON"),
        (
            "for line in sys.stdin:\n    print('{\"score\": 1}\\n' * 2)\n",
            "more than 3 answers, expected one per caption",
        ),
        ("sys.stdin.readline() and print('{\"score\": 1}')\n", "1 of 3 captions have an answer, expected all"),
        ("sys.stdin.read() and print('x' * 2**21)\n", "longer than 1,048,576 characters"),
        ("print('{\"score\": 1}')\n" * 3, "it printed {'score': 1} without input"),
        ("print('{\"colour\": 1}')\n", "it printed {'colour': 1} without input"),
        ('print(\'{"key": "a", "colour": 1}\')\n', "its header has 'colour', expected key, title"),
        ("print('{\"key\": 3}')\n", "key of its header is 3, expected a text"),
        ('print(\'{"key": "a", "timeout": -1}\')\n', "timeout is -1, expected seconds"),
        ('print(\'{"key": "cider"}\')\n', "metric 'cider' is built in"),
        ('print(\'{"key": "No Column"}\')\n', "metric key 'No Column': expected a letter"),
        ('print(\'{"key": "a", "digits": 1.5}\')\n', "digits is 1.5, expected a whole number"),
    ],
)
def test_everything_that_fails_is_one_sentence(script, text, sentence):
    with pytest.raises((MetricError, PluginError)) as failed:
        scored(script(text))
    said = str(failed.value)
    assert sentence in said and "theirs.py" in said and "\n" not in said


def test_a_command_that_does_not_answer_is_ended(script):
    name = script(
        'import time\nprint(\'{"key": "slow", "timeout": 0.5}\')\nif sys.stdin.readline():\n    time.sleep(60)\n'
    )
    start = time.monotonic()
    with pytest.raises(MetricError, match="no answer for 0.5 seconds after 1 lines; expected a JSON line per caption"):
        scored(name)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("exec:", "expected a command after exec:"),
        ("exec:'a", "No closing quotation; expected exec: and a command with balanced quotes"),
        ("exec:/nowhere/at/all", "'/nowhere/at/all' cannot be started (No such file or directory)"),
    ],
)
def test_a_command_that_cannot_be_started_is_one_sentence(name, sentence):
    with pytest.raises(MetricError) as failed:
        registry.named([name])
    assert sentence in str(failed.value)


def test_a_shell_reads_no_part_of_the_command(script):
    name = script(WORDS) + " ; touch shell > shell2"
    scored(name)
    assert not Path("shell").exists() and not Path("shell2").exists()


_ROWS = st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10, deadline=None)
@given(_ROWS, st.text(max_size=30))
def test_any_text_arrives_and_any_number_comes_back(script, numbers, text):
    name = script(
        "for line in sys.stdin:\n    print(json.dumps({'score': float(json.loads(line)['caption'].split('|')[-1])}))\n"
    )
    captions = [f"{text}|{number!r}" for number in numbers]
    assert scored(name, {1: captions})[1].per_image["theirs"].tolist() == numbers


def run(*arguments, code=0):
    assert command.main(list(map(str, arguments))) == code


def test_score_and_correlate_take_the_program_of_the_page(tmp_path, monkeypatch, capsys):
    """docs/extending.md, from the command line to the signature, the interval and the correlation with people."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "word_count.py").write_text(WORD_COUNT, encoding="utf-8")
    data = tiny.coco(tmp_path / "data")
    images = json.loads((data / "annotations" / "captions_val.json").read_text(encoding="utf-8"))["images"]
    said = {image["file_name"]: " ".join(["dog"] * (place + 1)) for place, image in enumerate(images)}
    (tmp_path / "said.json").write_text(json.dumps(said), encoding="utf-8")
    name = f"exec:{sys.executable} word_count.py"
    run("score", "said.json", "--data", data, "--metrics", "cider", name, "--run", "mine", "--results", "results")
    cursor = database.connect(tmp_path / "results")[0].cursor()
    row = queries.corpus_scores(cursor, "mine").set_index("metric").loc["word_count"]
    assert row.value == pytest.approx(sum(range(1, len(images) + 1)) / len(images)) and row.low <= row.value <= row.high
    assert row.signature.startswith("Words|") and f"|command:{name}|version:exec-" in row.signature
    record = records.read_record(tmp_path / "results" / "runs" / "mine")
    assert record["plan"]["metric_tools"]["word_count"].startswith("exec-")
    assert record["metric_definitions"]["word_count"]["higher_is_better"] is False
    lines = [
        {"image": image, "caption": caption, "human_mean": len(caption.split())}
        for image, caption in said.items()
        for caption in (caption, caption + " dog")
    ]
    (tmp_path / "ratings.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    capsys.readouterr()
    run("correlate", "ratings.jsonl", "--data", data, "--metrics", "cider", name, "--results", "results")
    found = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Words"))
    assert found.split()[2:5] == ["100.0", "1.000", "1.000"]
    (tmp_path / "word_count.py").write_text(WORD_COUNT + "sys.exit(1)\n", encoding="utf-8")
    run("correlate", "ratings.jsonl", "--data", data, "--metrics", name, "--results", "results", code=2)
    said = capsys.readouterr().err
    assert "the command ended with exit status 1" in said and "Traceback" not in said
