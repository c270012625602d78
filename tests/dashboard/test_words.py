"""The pages that show words: chips and evidence in a case, the most suspicious noun, filters, and the section."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.figures import alarms
from dashboard.report import archive, seen_words, word_tables
from dashboard.state.data import RESULTS_VARIABLE
from engine.store import database, queries, tables
from tests.dashboard.test_dashboard import APP, cards, sent, words
from tests.support import runs


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("words") / "results"
    runs.add_grounding(runs.add_words(runs.captioner_run(folder)))
    runs.captioner_run(folder, "older")
    return folder


@pytest.fixture
def opened(monkeypatch, results):
    def of(view: str, run: str = "demo", **parameters) -> AppTest:
        monkeypatch.setenv(RESULTS_VARIABLE, str(results))
        app = AppTest.from_file(str(APP), default_timeout=20)
        for key, value in ({"run": run, "beam": 1} | parameters).items():
            app.query_params[key] = str(value)
        app.run()
        app.switch_page(f"views/{view}.py").run()
        assert not app.exception, app.exception
        return app

    return of


def shown(app: AppTest) -> str:
    """All text of the page, with HTML."""
    return words(app) + "".join(element.proto.body for element in app.main if element.type == "html")


def test_a_case_shows_every_word_with_its_alarm_and_image_gain(opened):
    app = opened("failures", image="scene_08")
    found = sent(app, "word_chips")
    assert [chip["word"] for chip in found["chips"]] == ["a", "red", "triangle", "on", "the", "grass"]
    assert found["chosen"] == 2  # the noun with the highest alarm
    assert [chip["alarm_shown"] for chip in found["chips"]] == ["", "", "0.40", "", "", ""]
    assert [chip["gain_shown"] for chip in found["chips"]] == ["-1.0", "+0.0", "+1.0", "+2.0", "+3.0", "+4.0"]
    text = shown(app)
    assert "10 of 10 samples name the same object" in text and "wrong object (1 boxes, 3 of 3 references)" in text
    assert "0.135 (-1.50 nats)" in text and "0.050 (-2.50 nats)" in text  # exp(-0.5 - 1.5), exp(-0.5 - 2.5)
    assert "Gradient, recommended: peaks inside the object&#x27;s box" in text


def test_the_word_in_the_url_is_chosen_and_samples_that_disagree_are_listed(opened):
    app = opened("failures", image="scene_09", word=0)
    assert sent(app, "word_chips")["chosen"] == 0
    app = opened("failures", image="scene_09", word=2)
    text = shown(app)
    assert "3 of 10 samples name the same object" in text and text.count("nothing of the kind (mirrored photo") == 2


def test_two_methods_are_shown_side_by_side_and_all_heads_when_opened(opened):
    app = opened("failures", image="scene_08", method2="attention", heads=1)
    text = shown(app)
    assert text.count("<figure>") == 2 and "Attention, last layer" in text
    assert 'alt="layer 2, head 2: triangle"' in text


def test_attention_opens_on_the_most_alarming_noun_of_the_worst_case(opened):
    app = opened("attention")
    found = sent(app, "viewer")
    assert (found["name"], found["view"]["word"]) == ("demo/1/scene_11", 2)
    assert sent(opened("attention", word=0), "viewer")["view"]["word"] == 0
    assert sent(opened("attention", "older"), "viewer")["name"] == "older/1/scene_00"


def test_a_run_without_words_names_the_command_that_adds_them(opened):
    for view in ("failures", "attention"):
        app = opened(view, "older")
        assert any("--captioner demo --beams 1 3 5 --run older" in block.value for block in app.code)


def test_failures_are_sorted_by_the_most_alarming_word_and_filtered_by_words(opened):
    app = opened("failures", sort="alarm")
    assert cards(app, "gallery")[:2] == ["scene_11", "scene_10"] and "11 of 12" not in words(app)
    assert sent(app, "gallery")["cards"][0]["note"] == "Most alarming noun 0.55"
    assert cards(app, "gallery")[-1] == runs.SCRIPT_IMAGE  # a caption without words comes last
    app = opened("failures", sort="alarm", fact="wrong object")
    assert cards(app, "gallery") == ["scene_11", "scene_10", "scene_09", "scene_08", "scene_07"]
    assert "5 of 12 cases match the filters" in words(app) and "a word is a wrong object" in words(app)
    app = opened("failures", sort="alarm", fact="wrong object", says="Triangle")
    assert cards(app, "gallery") == ["scene_11", "scene_08"]


def test_the_section_names_the_recommended_method_and_the_quality_of_the_alarm(opened):
    text = words(opened("attention"))
    assert "Which words were seen" in text and "Recommended: **gradient**" in text
    assert "with probability 0.90" in text and "11 nouns, 5 of them wrong" in text and "It is for sorting" in text


def test_a_run_without_a_certificate_names_the_command(opened, results, tmp_path, monkeypatch):
    folder = tmp_path / "results"
    runs.add_words(runs.captioner_run(folder))
    (folder / "runs" / "demo" / "certificates.parquet").unlink()
    monkeypatch.setenv(RESULTS_VARIABLE, str(folder))
    app = AppTest.from_file(str(APP), default_timeout=20)
    app.run()
    app.switch_page("views/attention.py").run()
    assert any(block.value.endswith("--explain attention gradient") for block in app.code)


def test_page_and_export_give_the_same_numbers(results):
    cursor = database.connect(results)[0].cursor()
    found = queries.certificates(cursor, "demo")
    table = word_tables.certificates(found, "")
    assert table.shown["Result"].tolist() == ["recommended", "certified", "not certified"]
    assert table.shown["Hit rate (95 % CI)"][0] == "90.0 % (85.0 to 95.0)" and table.values is found
    gain = "+10.0 points (+5.0 to +15.0)"
    assert table.shown["Hit rate - attention"].tolist() == [gain, "–", gain]
    assert "No method beats chance" in alarms.certificate_sentence(found.assign(recommended=False))
    figure = alarms.bins(queries.alarm_bins(cursor, "demo", 1))
    assert [*figure.data[0].y] == [10, 20, 30, 40, 50] and [*figure.data[1].y] == [12.5, 25, 37.5, 50, 62.5]


def test_two_runs_are_shown_side_by_side(tmp_path, monkeypatch):
    for name in ("demo", "other", "older"):
        folder = runs.captioner_run(tmp_path, name)
        if name != "older":
            runs.add_words(folder)
    app = open_over(tmp_path, monkeypatch, image="scene_03", second="other", word=1, word2=2)
    assert [sent(app, f"chips_{key}")["chosen"] for key in ("word", "word2")] == [1, 2]
    assert "**other**, beam size 1" in words(app)
    choice = next(each for each in app.selectbox if each.label == "Compare with the words of run")
    assert choice.options == ["None", "other"]  # the older run has no words


def open_over(results, monkeypatch, **parameters) -> AppTest:
    monkeypatch.setenv(RESULTS_VARIABLE, str(results))
    app = AppTest.from_file(str(APP), default_timeout=20)
    for key, value in ({"run": "demo", "beam": 1} | parameters).items():
        app.query_params[key] = str(value)
    app.run()
    return app.switch_page("views/attention.py").run()


def test_twins_are_on_the_page_and_in_the_report(tmp_path, monkeypatch):
    folder = runs.add_words(runs.captioner_run(tmp_path))
    rows = [_twin(seed, change) for seed in range(4) for change in ("removed", "mirrored")]
    tables.write_table(folder, "twins", tables.table_of("twins", rows))
    app = open_over(tmp_path, monkeypatch)
    sentence = (
        "Of 8 pairs of pictures that differ in one object, the caption of the original names the object in 6; in 3 of "
        "these the other caption says something else about it. In 2 of all pairs"
    )
    assert sentence in words(app)
    (chapter,) = seen_words.chapters(archive.open_source(tmp_path, "demo", beam=1)[0])
    assert sentence in chapter.lead
    found = {item.name: item for item in chapter.items}
    assert found["twins"].shown["If it was named"].tolist() == [
        "0 of 3 (0.0 %, 0.0 to 56.1)",
        "3 of 3 (100.0 %, 43.9 to 100.0)",
    ]
    texts = [each.text for each in found["twin_pictures"].draw().layout.annotations]
    assert any("difference: only there" in text for text in texts)


def _twin(seed: int, change: str) -> dict:
    buffer = BytesIO()
    Image.new("RGB", (24, 24), (10 * seed, 80, 120)).save(buffer, "WEBP")
    picture = buffer.getvalue() if seed < 2 else None
    changed = change == "removed"
    return {
        **{"seed": seed, "change": change, "label": "dog", "role": "", "original": "a dog on grass"},
        **{"twin": "grass" if changed else "a dog on grass", "named": seed > 0, "object_changed": changed},
        **{"elsewhere_changed": seed == 3, "aspects": ["noun"] if changed else []},
        **{"original_picture": picture, "twin_picture": picture},
    }
