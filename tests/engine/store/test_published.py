"""The published numbers: exactly those of the report; a message if a file cannot be used."""

import csv
import tomllib
from pathlib import Path

import pytest

from engine.store import published
from tests.conftest import ROOT, SHARED

RESULTS = ROOT / "results"
# Transcribed from the study's report, HW3 VL Models, digit by digit.
BEAMS = {
    "1": ("0.8932304083679930", "0.7320361833055300"),
    "3": ("0.9412714225585563", "0.7310674335784656"),
    "4": ("0.9447991262307799", "0.7304935871122136"),
    "5": ("0.9408538464367473", "0.7290712530350405"),
    "6": ("0.9468843814599852", "0.7277360876690016"),
    "7": ("0.9477172865308948", "0.7275496387428382"),
    "8": ("0.9498816789336173", "0.7275578268018097"),
    "9": ("0.9492018213553265", "0.7275632855077907"),
    "10": ("0.9453278783705885", "0.7267187213417936"),
    "15": ("0.9525480681625157", "0.7270469260389010"),
    "100": ("0.9538702565136582", "0.725669796870633"),
}
VIT, DEIT = "vit_large_patch16_224", "deit3_large_patch16_224_in21ft1k"
ATTEMPTS = [
    (VIT, "6", "8", "32", "0.787", "0.719"),
    (VIT, "8", "16", "32", "0.815", "0.714"),
    (VIT, "6", "16", "32", "0.827", "0.718"),
    (DEIT, "8", "16", "32", "0.866", "0.725"),
    (DEIT, "4", "8", "8", "0.893", "0.732"),
    (DEIT, "8", "8", "32", "0.901", "0.730"),
]
PROMPTS = {
    "This is a photo of {object}": "0.6736",
    "This is a {object} image.": "0.7284",
    "No {object}, no score.": "0.4552",
}
PAIRS = [("top-1", "000000179758", "0.9765625"), ("last-1", "000000204777", "0.3839111328125")]
SETTINGS = {
    "encoder": DEIT, "num_layers": "4", "nhead": "8", "hidden_size": "1024", "activation": "gelu", "dropout": "0.1",
    "optimizer": "AdamW", "epochs": "5", "learning_rate": "5e-5", "batch_size": "32", "warmup_steps": "1000",
    "schedule": "linear warm-up then cosine", "precision": "bf16", "beam_size": "3", "max_length": "30",
    "cider": "0.9412714225585563", "clipscore": "0.7310674335784656",
}  # fmt: skip


def rows(name: str, folder: Path = RESULTS / "published") -> list[dict[str, str]]:
    lines = (folder / name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def test_the_files_hold_the_digits_of_the_report():
    assert {row["beam_size"]: (row["cider"], row["clipscore"]) for row in rows("beams.csv")} == BEAMS
    columns = ("encoder", "num_layers", "nhead", "batch_size", "cider", "clipscore")
    assert [tuple(row[name] for name in columns) for row in rows("attempts.csv")] == ATTEMPTS
    assert [(row["rank"], row["image_id"], row["clipscore"]) for row in rows("pairs.csv")] == PAIRS
    assert {row["name"]: row["value"] for row in rows("settings.csv")} == SETTINGS
    report = [row for row in rows("prompts.csv") if row["source"] == published.REPORT]
    assert {row["template"]: row["accuracy"] for row in report} == PROMPTS
    assert {(row["model"], row["images"]) for row in report} == {("ViT-L/14", "2500")}


def test_every_row_names_its_source_and_only_the_report_is_called_the_report():
    for name in ("beams.csv", "attempts.csv", "pairs.csv", "settings.csv"):
        assert {row["source"] for row in rows(name)} == {published.REPORT}
    others = [row for row in rows("prompts.csv") if row["source"] != published.REPORT]
    assert {(row["model"], row["source"]) for row in others} == {
        ("ViT-B/32", "the course's prediction file of this prompt")
    }
    assert sorted(row["accuracy"] for row in others) == ["0.5496", "0.6084", "0.6784"]
    assert published.REPORT not in {row["source"] for row in rows("models.csv")}


@pytest.mark.skipif(not (SHARED.parent / "study").is_dir(), reason="the study's own tables are not on this machine")
@pytest.mark.parametrize("name", ["beams.csv", "attempts.csv", "pairs.csv", "settings.csv", "prompts.csv"])
def test_the_files_agree_with_the_studys_own_tables(name):
    theirs = rows(name, SHARED.parent / "study")
    ours = [row for row in rows(name) if row["source"] == published.REPORT]
    assert [{**row, "model": row["model"].replace("L/14", "L-14")} if "model" in row else row for row in ours] == [
        row | {"source": published.REPORT} for row in theirs
    ]


def test_the_loader_returns_those_numbers():
    beams = published.beams(RESULTS).frame
    assert {(row.beam_size, row.metric): row.value for row in beams.itertuples()} == {
        (int(size), metric): float(value)
        for size, both in BEAMS.items()
        for metric, value in zip(("cider", "clipscore"), both, strict=True)
    }
    assert published.attempts(RESULTS).frame.cider.tolist() == [float(row[4]) for row in ATTEMPTS]
    assert published.pairs(RESULTS).frame.clipscore.tolist() == [0.9765625, 0.3839111328125]
    assert published.setting(RESULTS, "learning_rate") == "5e-5" and published.setting(RESULTS, "colour") == ""


def test_the_report_contradicts_itself_on_the_batch_size_and_that_is_one_sentence(tmp_path):
    said = published.contradiction(RESULTS)
    assert "batch size 32" in said and "batch size 8." in said and said.count(". ") == 0
    (tmp_path / "published").mkdir()
    for name in ("settings.csv", "beams.csv", "attempts.csv"):
        text = (RESULTS / "published" / name).read_text(encoding="utf-8")
        (tmp_path / "published" / name).write_text(text.replace("batch_size,32,", "batch_size,8,"), encoding="utf-8")
    assert published.contradiction(tmp_path) == ""


def test_each_published_setting_has_a_recipe_with_its_scores():
    recipes = {
        path.stem: (tomllib.loads(path.read_text(encoding="utf-8")), path.read_text(encoding="utf-8"))
        for path in (ROOT / "engine" / "recipes").glob("study*.toml")
    }
    assert len(recipes) == len(ATTEMPTS)
    for encoder, layers, heads, batch, cider, clipscore in ATTEMPTS:
        shape = {"encoder": encoder, "num_layers": int(layers), "nhead": int(heads)}
        same = [text for recipe, text in recipes.values() if shape.items() <= recipe["model"].items()]
        assert len(same) == 1 and cider in same[0] and clipscore in same[0]
        assert batch == "32" or f"batch size {batch}" in same[0]


def test_the_best_recipe_is_the_reports_setting():
    recipe = tomllib.loads((ROOT / "engine" / "recipes" / "study.toml").read_text(encoding="utf-8"))
    names = {"hidden_size": "d_model"}
    for row in rows("settings.csv"):
        if row["part"] in ("model", "training") and row["name"] not in ("optimizer", "schedule"):
            value = recipe[row["part"]][names.get(row["name"], row["name"])]
            assert value == type(value)(row["value"])


def write(results: Path, name: str, content: str | bytes) -> None:
    path = results / "published" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_figures_are_numbers_and_a_beam_size_may_be_unknown(tmp_path):
    write(tmp_path, "beams.csv", "beam_size,cider,clipscore,source\n3,0.9413,,study\n,?,0.731,\n")
    frame = published.beams(tmp_path).frame
    assert list(frame.value) == [0.9413, 0.731] and list(frame.metric) == ["cider", "clipscore"]
    assert frame.beam_size.isna().tolist() == [False, True]
    assert list(frame.source) == ["study", "published"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("beam,cider,source\n1,2,s\n", "no column 'beam_size'"),
        ("beam_size,colour,source\n1,2,s\n", "no column of a metric"),
        (b"\xff\xfe\x00", "cannot be read"),
        ("", "cannot"),
    ],
)
def test_a_file_that_cannot_be_used_results_in_a_message(tmp_path, content, said):
    write(tmp_path, "beams.csv", content)
    found = published.beams(tmp_path)
    assert found.frame.empty and said in found.problem


def test_no_file_is_no_problem(tmp_path):
    (tmp_path / "published").mkdir()
    readers = (published.beams, published.attempts, published.settings, published.prompts, published.pairs)
    assert all(read(tmp_path).problem == "" and read(tmp_path).frame.empty for read in readers)
    assert published.contradiction(tmp_path) == ""


def test_a_results_folder_without_published_numbers_uses_those_of_the_project(tmp_path):
    assert published.folder(tmp_path) == ROOT / "results" / "published"
