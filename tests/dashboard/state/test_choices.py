"""Choices from a URL in which anything may be written."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from dashboard.state.data import RESULTS_VARIABLE
from tests.conftest import ROOT

SIZES = [1, 3, 5]
HOSTILE = [
    "9" * 5000,
    "-" + "9" * 5000,
    "-1",
    "nan",
    "inf",
    "1e999",
    "NaN:NaN",
    "-inf:inf",
    "0.2:0.1",
    "[" * 2000,
    json.dumps({"a": {"b": [1]}}),
    "x" * 100_000,
    "../../etc/passwd",
    "\x00",
    "%00%ff",
    "²",
    "٣",
    "<script>alert(1)</script>",
    "a,b;1,2;3,4;nan,nan",
    "cider,clipscore;1e999,0;0,0;1,1",
    "=1+1",
    "1" + "0" * 400 + ":1",
    " ",
]
ANYTHING = st.one_of(
    st.sampled_from(HOSTILE), st.text(st.characters(codec="utf-8"), max_size=30), st.integers().map(str)
)
KEYS = ("one", "many", "count", "span", "open", "words")


def script() -> None:
    import streamlit as st

    from dashboard.state import choices

    choices.restore()
    st.session_state["found"] = {
        "one": choices.one_of("One", "one", [1, 3, 5], 3),
        "many": choices.several("Many", "many", ["a", "b"], ["a"]),
        "count": choices.number("Count", "count", 1, 9, 2),
        "span": choices.span("Span", "span", 0.0, 1.0, 0.1),
        "open": choices.opened("Open", "open").open,
        "words": choices.text("Words", "words"),
    }
    st.session_state["refused"] = choices.refused()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING))
def test_any_url_gives_allowed_values_and_a_sentence_for_what_is_not_honoured(parameters):
    app = AppTest.from_function(script, default_timeout=30)
    for key, value in parameters.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    found = app.session_state["found"]
    assert found["one"] in SIZES and set(found["many"]) <= {"a", "b"} and 1 <= found["count"] <= 9
    span = found["span"]
    assert span is None or (0 <= span[0] <= span[1] <= 1 and all(map(math.isfinite, span)))
    refused = app.session_state["refused"]
    assert all(len(sentence) < 200 for sentence in refused)
    kept = parameters.get("one", "") in ("", *map(str, SIZES))
    assert kept == (not any(sentence.startswith("One “") for sentence in refused))


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("one", "7", "One “7” is not available; shown: 3"),
        ("many", "a,z", "Many “a,z” is not available; shown: the others"),
        ("count", "100", "Count “100” is not available; shown: 9"),
        ("count", "nan", "Count “nan” is not available; shown: 2"),
        ("span", "b:a", "Range “b:a” is not available; shown: all values"),
    ],
)
def test_the_sentence_names_the_value_and_what_is_shown(key, value, sentence):
    app = AppTest.from_function(script)
    app.query_params[key] = value
    assert app.run().session_state["refused"] == [sentence]
    app.query_params[key] = {"one": "5", "many": "b", "count": "9", "span": "0.1:0.5"}[key]
    assert app.run().session_state["refused"] == []


VIEWS = {
    "overview": ("run",),
    "failures": ("run", "beam", "sort", "order", "show", "k", "page", "image", "text", "tag", "condition", "verdict")
    + ("match", "photo", "fact", "says", "lasso", "in_cider", "plots", "rest", "exact"),
    "attention": ("run", "beam", "image", "word", "layer", "head", "subtract", "opacity", "scale", "pointing")
    + ("second", "word2"),
    "compare": ("run", "left_beam", "right", "right_beam", "contrast", "image", "gains_page", "losses_page"),
    "beams": ("run", "metric_left", "metric_right"),
    "zeroshot": (
        "run",
        "template",
        "outcome",
        "label",
        "predicted",
        "zero_page",
        "unchanged",
        "zero_left",
        "zero_right",
    ),
    "export": ("run", "report_beam", "report_images", "chapter_1", "layer", "head", "opacity", "scale"),
}


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_fails_whatever_the_url_says(view, full_results, monkeypatch):
    monkeypatch.setenv(RESULTS_VARIABLE, str(full_results))

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.dictionaries(st.sampled_from(VIEWS[view]), ANYTHING, min_size=1), st.booleans())
    def holds(parameters, is_known):
        app = AppTest.from_file(str(ROOT / "dashboard" / "page.py"), default_timeout=60)
        for key, value in (parameters | ({"run": "demo"} if is_known else {})).items():
            app.query_params[key] = value
        app.run()
        if view != "overview":
            app.switch_page(f"views/{view}.py").run()
        assert not app.exception and not app.error
        assert all(len(each.value) < 2000 for each in (*app.warning, *app.caption, *app.markdown))

    holds()


@pytest.mark.parametrize("value", HOSTILE)
def test_every_parameter_of_a_view_may_be_hostile_at_once(value, full_results, monkeypatch):
    monkeypatch.setenv(RESULTS_VARIABLE, str(full_results))
    for view in ("failures", "attention", "export"):
        app = AppTest.from_file(str(ROOT / "dashboard" / "page.py"), default_timeout=60)
        for key in VIEWS[view]:
            # Streamlit itself drops a query of more than 512 Ki characters.
            app.query_params[key] = "demo" if key == "run" else value[:20_000]
        app.run()
        app.switch_page(f"views/{view}.py").run()
        assert not app.exception and not app.error
        said = "\n".join(each.value for each in app.warning)
        assert "could be shown" in said or "No maps were stored" in said
        assert len(said) < 4000
