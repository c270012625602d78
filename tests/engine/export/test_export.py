"""Runs as files of other programs: read by those programs, complete, safe, and never over something that exists."""

import csv
import json

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import __main__ as command
from engine.export import coco, fiftyone_folder, flat, gallery, source, target
from engine.store import database, queries, records, tables
from tests.conftest import ROOT
from tests.support import runs, tiny
from tests.support.servers import CHROMIUM


@pytest.fixture
def demo(full_results):
    return source.read(full_results, "demo", 3)


def export(results, *arguments, code=0):
    assert command.main(["export", *map(str, arguments), "--results", str(results)]) == code


def test_csv_has_the_numbers_of_the_page_and_runs_no_formula(full_results, tmp_path):
    export(full_results, "demo", "--to", "csv", "--beam", 3, "--out", tmp_path / "a.csv")
    rows = list(csv.DictReader((tmp_path / "a.csv").open(encoding="utf-8")))
    cursor = database.connect(full_results)[0].cursor()
    page = queries.cases(cursor, "demo", 3, "cider", True).set_index("image_id")
    assert [row["image_id"] for row in rows] == runs.image_ids()
    for row in rows:
        mine = page.loc[row["image_id"]]
        assert all(float(row[metric]) == mine[metric] for metric in runs.METRICS if mine[metric] == mine[metric])
        assert row["tags"].split("; ") == [tag["tag"] for tag in mine.tags] or not row["tags"]
        assert json.loads(row["references"]) == list(mine.references)


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "@x", "+a", "\x1b[31mred"])
def test_a_caption_that_a_spreadsheet_would_run_is_text(tmp_path, text):
    results = tmp_path / "results"
    folder = runs.partial_run(results)
    rows = [{**row, "caption": text} for row in tables.read_table(folder, "captions").to_pylist()]
    tables.write_table(folder, "captions", tables.table_of("captions", rows))
    flat.write_csv(source.read(results, "partial"), tmp_path / "a.csv")
    cells = [row["caption"] for row in csv.DictReader((tmp_path / "a.csv").open(encoding="utf-8"))]
    assert all(cell[0] in "'r" and "\x1b" not in cell for cell in cells) and len(cells) == 6


def test_parquet_has_every_column_with_its_type(demo, tmp_path):
    flat.write_parquet(demo, tmp_path / "a.parquet")
    found = duckdb.sql(f"SELECT * FROM '{tmp_path / 'a.parquet'}'").df()
    assert found.image_id.tolist() == runs.image_ids() and set(found.run) == {"demo"} and set(found.beam_size) == {3}
    assert found.cider.tolist() == demo.cases.cider.tolist()
    assert found.objects[0][0]["label"] == demo.cases.objects[0][0]["label"]


def test_images_that_coco_did_not_name_keep_their_names(demo, tmp_path):
    coco.write(demo, tmp_path / "a.json")
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [row["image_id"] for row in found] == runs.image_ids()
    assert all(row.keys() == {"image_id", "caption"} for row in found)


def test_cocos_own_evaluation_scores_the_exported_captions_as_the_run_does(tmp_path, capsys):
    """The references of the annotation file against the exported results, by pycocotools and pycocoevalcap."""
    from pycocotools.coco import COCO

    from engine.metrics.measure import score_captions

    data = tiny.coco(tmp_path / "data")
    annotations = data / "annotations" / "captions_val.json"
    images = json.loads(annotations.read_text(encoding="utf-8"))["images"]
    said = {image["file_name"]: f"a photo of number {place}" for place, image in enumerate(images)}
    (tmp_path / "said.json").write_text(json.dumps(said), encoding="utf-8")
    results = tmp_path / "results"
    arguments = ["score", tmp_path / "said.json", "--data", data, "--run", "mine", "--results", results]
    assert command.main(list(map(str, arguments))) == 0
    export(results, "mine", "--to", "coco", "--out", tmp_path / "captions_val_mine_results.json")
    truth = COCO(str(annotations))
    loaded = truth.loadRes(str(tmp_path / "captions_val_mine_results.json"))
    ids = sorted(loaded.getImgIds())
    assert ids == sorted(image["id"] for image in images)
    captions = [loaded.imgToAnns[each][0]["caption"] for each in ids]
    assert captions == [said[truth.imgs[each]["file_name"]] for each in ids]
    references = [[each["caption"] for each in truth.imgToAnns[image]] for image in ids]
    expected = score_captions({1: captions}, references, ["cider"])[1].corpus["cider"].value
    corpus = source.read(results, "mine").corpus.set_index("metric")
    assert corpus.value["cider"] == pytest.approx(expected, abs=1e-9)


def test_numbers_in_cocos_file_names_are_ids_without_the_annotation_file(tmp_path):
    results = tmp_path / "results"
    folder = records.run_folder(results, "mine")
    names = [f"COCO_val2014_{number:012d}" for number in (42, 391895)]
    images = [{"image_id": name, "file_name": f"{name}.jpg"} for name in names]
    captions = [{"image_id": name, "beam_size": 0, "caption": "a dog"} for name in names]
    tables.write_table(folder, "images", tables.table_of("images", images))
    tables.write_table(folder, "captions", tables.table_of("captions", captions))
    records.write_record(folder, {"run": "mine", "data": {"split": "val2014", "format": "coco", "path": "/gone"}})
    found = source.read(results, "mine")
    assert coco.file_name(found) == "captions_val2014_mine_results.json"
    coco.write(found, tmp_path / "a.json")
    assert [row["image_id"] for row in json.loads((tmp_path / "a.json").read_text())] == [42, 391895]


def test_nothing_that_exists_is_written_over(full_results, tmp_path, capsys):
    for name in ("csv", "html"):
        place = tmp_path / name
        place.write_text("mine", encoding="utf-8")
        export(full_results, "demo", "--to", name, "--out", place, code=2)
        assert place.read_text(encoding="utf-8") == "mine"
    export(full_results, "demo", "--to", "csv", "--out", tmp_path / "csv" / "below", code=2)
    said = capsys.readouterr().err
    assert said.count("already exists; delete it, or choose another place with --out") == 2
    assert "because" in said and "is a file" in said


def test_a_folder_is_written_whole_or_not_at_all(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "page", lambda *_: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        gallery.write(demo, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    with target.new_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("a", encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nobody", "--to", "csv"), "run 'nobody' has no captions in the results, expected one of: demo, demo_cnn"),
        (("demo", "--to", "csv", "--beam", "4"), "run 'demo' has no beam size 4, expected one of 1, 3, 5"),
        (("stopped", "--to", "csv"), "run 'stopped' is unfinished"),
    ],
)
def test_a_run_that_cannot_be_exported_is_one_sentence(full_results, capsys, arguments, sentence):
    export(full_results, *arguments, code=2)
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_without_a_beam_size_the_best_one_is_exported(full_results, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    export(full_results, "demo", "--to", "csv")
    best = queries.best_scores(database.connect(full_results)[0].cursor()).query("run == 'demo' and metric == 'cider'")
    assert [path.name for path in tmp_path.iterdir()] == [f"demo_beam{best.beam_size.iloc[0]}.csv"]


# FiftyOne


def test_samples_of_fiftyone_have_relative_boxes_tags_and_scores(demo, tmp_path):
    fiftyone_folder.write(demo, tmp_path / "out")
    samples = json.loads((tmp_path / "out" / "samples.json").read_text(encoding="utf-8"))["samples"]
    first, row = samples[0], demo.cases.iloc[0]
    box = row.objects[0]
    expected = [box["x"] / row.width, box["y"] / row.height, box["width"] / row.width, box["height"] / row.height]
    detection = first["objects"]["detections"][0]
    assert detection["bounding_box"] == pytest.approx(expected) and detection["label"] == box["label"]
    assert first["cider"] == row.cider and first["caption"] == row.caption
    assert [sample["tags"] for sample in samples] == [flat.tags_of(value) for value in demo.cases.tags]
    assert len({sample["_id"]["$oid"] for sample in samples}) == 12
    fields = {each["name"] for each in json.loads((tmp_path / "out" / "metadata.json").read_text())["sample_fields"]}
    public = {name for sample in samples for name in sample if not name.startswith("_")}
    assert public <= fields  # FiftyOne drops values of fields that the dataset does not have


def test_the_format_is_that_of_the_pinned_version():
    assert f'fiftyone = ["fiftyone=={fiftyone_folder.VERSION}"]' in (ROOT / "pyproject.toml").read_text()


@given(*(st.floats(-1e4, 1e4) for _ in range(4)), st.integers(1, 5000), st.integers(1, 5000))
def test_a_box_is_inside_the_photo_or_left_out(x, y, box_width, box_height, width, height):
    class Row:
        image_id = "a"

    Row.width, Row.height = width, height
    box = {"x": x, "y": y, "width": box_width, "height": box_height, "label": "dog"}
    empty = source.Source("run", 1, None, (), None, {})
    found = fiftyone_folder._detection(empty, Row, 0, box)
    if found is not None:
        left, top, across, down = found["bounding_box"]
        assert 0 <= left <= left + across <= 1 + 1e-12 and 0 <= top <= top + down <= 1 + 1e-12
        assert across > 0 and down > 0


def test_a_run_without_photos_has_no_dataset_of_fiftyone(tmp_path, capsys):
    folder = runs.partial_run(tmp_path / "results")
    records.write_record(folder, {"run": "partial"})
    export(tmp_path / "results", "partial", "--to", "fiftyone", "--out", tmp_path / "out", code=2)
    assert "FiftyOne needs the path of every photo" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# The gallery


def test_a_photo_outside_of_the_folder_of_photos_is_not_copied(tmp_path):
    found = source.Source("run", 1, None, (), None, {"roots": {"images": str(tmp_path)}})
    assert found.photo("../secret.png") is None and found.photo("/etc/passwd") is None and found.photo(None) is None
    assert found.photo("a/b.png") == tmp_path / "a" / "b.png"


@given(st.text())
def test_data_never_ends_the_script_it_is_in(text):
    written = gallery._json({"text": text})
    assert "<" not in written and json.loads(written) == {"text": text}


@pytest.fixture
def opened(demo, tmp_path):
    """The gallery in Chromium, from its file, with every request and message that the page made."""
    if not CHROMIUM.exists():
        pytest.skip("no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    gallery.write(demo, tmp_path / "out")
    seen: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: seen.append(request.url))
        page.on("console", lambda message: seen.append(message.text))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("dialog", lambda dialog: seen.append("a dialog"))
        page.goto((tmp_path / "out" / "index.html").as_uri())
        page.wait_for_selector("article")
        yield page, seen
        browser.close()


def test_the_gallery_opens_from_its_file_and_shows_text_as_text(opened):
    page, seen = opened
    assert page.locator("article").count() == 12
    page.wait_for_function("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert page.inner_text(".caption >> nth=0")
    assert runs.SCRIPT in page.locator(".caption").all_inner_texts()
    assert all(entry.startswith("file:") for entry in seen), seen


def test_the_gallery_sorts_and_filters(opened, demo):
    page, _ = opened

    def ids():
        return page.locator(".id").all_inner_texts()

    by_cider = demo.cases.sort_values(["cider", "image_id"], na_position="last").image_id.tolist()
    assert ids() == by_cider  # worst first
    page.fill("#high", str(demo.cases.cider.median()))
    assert len(ids()) == (demo.cases.cider <= demo.cases.cider.median()).sum()
    page.click("text=Reset")
    page.wait_for_function("document.querySelectorAll('article').length === 12")
    tags = sorted({tag for value in demo.cases.tags for tag in flat.tags_of(value)})
    for tag in tags:
        page.select_option("#tag", label=tag)
        assert len(ids()) == sum(tag in flat.tags_of(value) for value in demo.cases.tags)
    page.select_option("#tag", label="all")
    page.fill("#words", "SCENE_03")
    assert ids() == ["scene_03"] and page.inner_text("#count") == "1 of 12 images"
