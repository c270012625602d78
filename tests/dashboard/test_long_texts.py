"""One value of 70,000 characters: it is shortened in every message, page, figure and table."""

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.items import Figure
from dashboard.report import archive, chapters, exports
from dashboard.state.data import RESULTS_VARIABLE
from engine.store import records, tables
from engine.store.csv_safety import LONGEST
from tests.conftest import ROOT
from tests.support import runs

HUGE = 70_000
VIEWS = ["overview", "failures", "attention", "compare", "beams", "zeroshot", "export"]


def rewritten(folder: Path, table: str, change, metrics=()) -> None:
    rows = tables.read_table(folder, table).to_pylist()
    for row in rows:
        change(row)
    tables.write_table(folder, table, tables.table_of(table, rows, *metrics))


def longer_captions(row: dict) -> None:
    if row["image_id"] == "scene_01":
        row["caption"], row["words"] = "L" * HUGE, ["L" * HUGE]


def longer_images(row: dict) -> None:
    if row["image_id"] == "scene_02":
        row["file_name"], row["references"] = "F" * HUGE + ".jpg", ["R" * HUGE, "R " * HUGE]


def longer_classes(row: dict) -> None:
    row["template"] = "M" * HUGE if row["template"] == runs.TEMPLATES[1] else row["template"]
    if row["image_id"] == "scene_03":
        row["label"], row["predicted"] = row["label"] and "C" * HUGE, "P" * HUGE
        row["top"] = [{**guess, "label": f"{place}{'T' * HUGE}"} for place, guess in enumerate(row["top"])]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("long") / "results"
    folder = runs.captioner_run(made)
    rewritten(folder, "captions", longer_captions)
    rewritten(folder, "images", longer_images)
    rewritten(folder, "zero_shot", longer_classes)
    rewritten(folder, "skipped", lambda row: row.update(image_id="I" * HUGE, file_name="Q" * HUGE, reason="Z" * HUGE))
    changed = {
        "data": {"name": "D" * HUGE, "split": "S" * HUGE},
        "command": "K" * HUGE,
        "clip": {"name": "V" * HUGE, "fingerprint": "W" * HUGE, "demo": True},
        "hardware": {"device": "H" * HUGE},
        "kind": "captioner",
    }
    records.write_record(folder, records.read_record(folder) | changed)
    return made


def longest(text: str) -> int:
    return max((len(found[0]) for found in re.finditer(r"([A-Z])\1*", text)), default=0)


def test_no_table_figure_or_text_of_a_report_is_flooded(results):
    source, _ = archive.open_source(results, "demo")
    written = chapters.chapters(source)
    names = set()
    for item in [item for chapter in written for item in chapter.items]:
        names.add(item.name)
        if isinstance(item, Figure):
            assert longest(exports.printed(item).layout.to_json().replace("#", " ")) < 1000, item.name
            continue
        assert (
            longest(exports.table(item, "tex").decode()) < 1000 and longest(exports.table(item, "md").decode()) < 1000
        )
        assert longest(exports.table(item, "csv").decode()) < LONGEST
    assert {"templates", "best_and_worst", "setting"} <= names
    document = archive.document(source, written, ("png", "svg", "pdf"))
    assert longest(document) < 4000 and longest(document.replace("K" * 1000, "")) < 1000


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("image", ["scene_01", "scene_02"])
def test_no_text_of_a_page_is_flooded(results, monkeypatch, view, image):
    monkeypatch.setenv(RESULTS_VARIABLE, str(results))
    app = AppTest.from_file(str(ROOT / "dashboard" / "page.py"), default_timeout=60)
    app.query_params.update({"run": "demo", "image": image, "beam": "1"})
    app.run()
    app = app if view == "overview" else app.switch_page(f"views/{view}.py").run()
    assert not app.exception and not app.error
    for each in [*app.main, *app.sidebar]:
        # The browser cuts the cells of tables itself; photos are long data URIs, and commands are meant to be copied.
        if each.type in ("arrow_data_frame", "dataframe", "code", "plotly_chart"):
            continue
        text = re.sub(r"data:image/[^\"']+|\"weights\": ?\"[^\"]+\"", "", str(getattr(each, "proto", "")))
        assert longest(text) < 2500, (each.type, text[:200])
