"""Commands in the README and in the other documents parse; files, modules and columns that they name exist."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dashboard.annotations import bookmarks, run_labels, verdicts
from dashboard.report import archive
from engine import __main__ as command
from engine.store.answer_schema import ANSWERS
from engine.store.schema import BUILT_IN, TABLES, TAGS, schema_of
from tests.conftest import ROOT
from tests.support import runs

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "tests/benchmarks/README.md", "engine/demo/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


def blocks(document: Path, language: str = "") -> list[str]:
    """Return the contents of the fenced code blocks of `language`."""
    text = document.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [content for name, content in found if name == language]


def commands(document: Path) -> list[str]:
    """Return the lines of the plain code blocks, without their comments."""
    return [line.split("  #")[0].strip() for block in blocks(document) for line in block.splitlines()]


RESULTS = ROOT / "docs" / "results.md"
LINES = commands(ROOT / "README.md")
EVERY_LINE = [line for document in DOCUMENTS for line in commands(document)]
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def lines(start: str, among: list[str] = LINES) -> list[str]:
    return [line for line in among if line.startswith(start)]


@pytest.mark.parametrize("line", lines("python -m engine ", EVERY_LINE))
def test_every_engine_command_is_one_the_parser_takes(line):
    assert command.build_parser().parse_args(shlex.split(line)[3:]).run


@pytest.mark.parametrize("line", lines("python -m dashboard.report ", EVERY_LINE))
def test_the_report_command_is_one_its_parser_takes(line):
    assert archive.build_parser().parse_args(shlex.split(line)[3:]).run == "RUN"


def test_the_readme_shows_how_a_report_is_made():
    assert lines("python -m dashboard.report ")


@pytest.mark.parametrize("line", lines("make ", EVERY_LINE))
def test_every_make_target_exists(line):
    assert line.split()[1] in TARGETS


@pytest.mark.parametrize("line", lines("python tests/", EVERY_LINE))
def test_every_benchmark_exists(line):
    assert (ROOT / line.split()[1]).is_file()


def test_the_readme_names_every_command_and_the_two_first_steps():
    parser = command.build_parser()
    for name in parser._subparsers._group_actions[0].choices:
        assert lines(f"python -m engine {name}"), f"the README does not show {name}"
    assert LINES[:2] == ["make evaluate", "streamlit run dashboard/app.py"]


def test_the_file_tree_names_what_is_there_and_every_module():
    tree = next(block for block in blocks(ROOT / "docs" / "architecture.md") if block.startswith("engine/\n"))
    above: list[str] = []
    listed = set()
    for line in tree.splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        path = "".join(above[:depth]) + name
        assert (ROOT / path).exists(), f"{path} is in the tree of docs/architecture.md and not on disk"
        above = [*above[:depth], name]
        listed.add(path)
    folders = {path for path in listed if path.endswith("/")}
    whole = folders - {str(Path(path).parent) + "/" for path in listed}  # listed as a folder, without its modules
    for module in (path for package in ("engine", "dashboard") for path in (ROOT / package).rglob("*.py")):
        name = module.relative_to(ROOT).as_posix()
        is_listed = name in listed or any(name.startswith(folder) for folder in whole)
        assert is_listed or module.name == "__init__.py", f"{name} is not in the tree of docs/architecture.md"


@pytest.mark.parametrize("table", [*TABLES, *ANSWERS])
def test_the_results_document_describes_every_table_with_every_column(table):
    section = _section(RESULTS, f"### {table}\n")
    missing = [column for column in schema_of(table, []).names if f"`{column}`" not in section]
    assert not missing, f"docs/results.md, section {table}: no description of {missing}"


def test_the_results_document_names_every_metric_and_every_tag():
    assert all(f"`{name}`" in _section(RESULTS, "### scores\n") for name in BUILT_IN)
    assert all(f"`{name}`" in _section(RESULTS, "## Failure tags\n") for name in TAGS)


def test_the_results_document_describes_every_key_of_a_record(full_results):
    record = json.loads((full_results / "runs" / "demo" / "run.json").read_text(encoding="utf-8"))
    assert all(f"`{key}`" in _section(RESULTS, "## run.json\n") for key in record)


def test_the_examples_of_the_results_document_run(full_results, monkeypatch):
    monkeypatch.chdir(full_results.parent)
    found: dict[str, Any] = {}
    for example in blocks(RESULTS, "python"):
        exec(example, found)
    assert len(found["worst"]) == 10 and found["worst"].cider.is_monotonic_increasing
    assert list(found["means"].index) == runs.BEAMS
    assert found["maps"].shape == (len(found["row"]["words"]), 2, 2, 14 * 14)
    assert found["maps"].sum(axis=-1) == pytest.approx(1, abs=0.05)
    assert found["first_word"].shape == (14, 14)


@pytest.mark.parametrize("query", lines("python -m engine sql ", commands(RESULTS)))
def test_the_queries_of_the_results_document_run(query, full_results, capsys):
    assert command.main([*shlex.split(query)[3:], "--results", str(full_results)]) == 0
    assert "demo" in capsys.readouterr().out or "--csv" in query


def test_the_stored_entries_of_the_results_document_are_read(tmp_path):
    kept, saved, labelled = blocks(RESULTS, "json")
    files = (verdicts.path(tmp_path, "demo"), bookmarks.path(tmp_path), run_labels.path(tmp_path))
    for path, content in zip(files, (kept, saved, labelled), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    assert verdicts.read(tmp_path, "demo").of("000002000000", 3).attends == "partly"
    assert bookmarks.read(tmp_path)[0][0].view == "failures"
    labels = run_labels.read(tmp_path)
    assert labels.titles == {"demo": "Base model"} and labels.actions[0].described == "rename demo to Base model"


def _section(document: Path, heading: str) -> str:
    """Return the text below a heading, up to the next heading."""
    below = document.read_text(encoding="utf-8").split(f"\n{heading}")[1]
    return re.split(r"^#", below, maxsplit=1, flags=re.MULTILINE)[0]


def test_the_readme_is_short():
    words = len((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert words <= 1200, f"README.md has {words} words, expected at most 1,200; move details into docs/"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_points_to_a_file(document):
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    relative = [link.split("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    missing = [link for link in relative if not (document.parent / link).exists()]
    assert not missing, f"{document.name} links to {missing}, which do not exist"


def test_every_document_is_reached_from_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"]({path.relative_to(ROOT)})" in readme for path in DOCUMENTS if path.name != "README.md")


def test_make_help_lists_every_target_and_variable():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    variables = set(re.findall(r"^([A-Z]+)\s+\?=", makefile, re.MULTILINE))
    for target in TARGETS:
        assert f"make {target}" in shown
    for variable in variables:
        assert re.search(rf"^  {variable} ", shown, re.MULTILINE), f"make help does not list {variable}"


def test_data_without_a_captioner_is_one_sentence():
    done = subprocess.run(
        ["make", "evaluate", "DATA=somewhere", "-o", ".venv/.installed"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "choose a trained captioner: make evaluate DATA=somewhere CAPTIONER=folder" in done.stdout


def test_the_top_level_is_the_agreed_one():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    if not listed[0]:
        pytest.skip("not a git checkout")
    rooms = {"engine", "dashboard", "results", "tests", "requirements.txt", "Makefile"}
    beside = {"README.md", "CHANGELOG.md", "LICENSE", "docs", "pyproject.toml", ".gitignore", ".ci"}
    assert {name.split("/")[0] for name in listed if name} <= rooms | beside
