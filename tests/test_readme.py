"""What the README says runs, and what it lists is there."""

import re
import shlex
import subprocess

import pytest

from dashboard import report
from engine import __main__ as command
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
LINES = [line.split("  #")[0].strip() for block in BLOCKS for line in block.splitlines()]
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def lines(start: str) -> list[str]:
    return [line for line in LINES if line.startswith(start)]


@pytest.mark.parametrize("line", lines("python -m engine "))
def test_every_engine_command_is_one_the_parser_takes(line):
    assert command.build_parser().parse_args(shlex.split(line)[3:]).run


@pytest.mark.parametrize("line", lines("python -m dashboard.report "))
def test_the_report_command_is_one_its_parser_takes(line):
    assert report.build_parser().parse_args(shlex.split(line)[3:]).run == "RUN"


def test_the_readme_shows_how_a_report_is_made():
    assert lines("python -m dashboard.report ")


@pytest.mark.parametrize("line", lines("make "))
def test_every_make_target_exists(line):
    assert line.split()[1] in TARGETS


def test_the_readme_names_every_command_and_the_two_first_steps():
    parser = command.build_parser()
    for name in parser._subparsers._group_actions[0].choices:
        assert lines(f"python -m engine {name}"), f"the README does not show {name}"
    assert LINES[:2] == ["make evaluate", "streamlit run dashboard/app.py"]


def test_the_file_tree_names_what_is_there_and_every_module():
    tree = next(block for block in BLOCKS if block.startswith("engine/\n"))
    folder, listed = "", set()
    for line in tree.splitlines():
        name = line.split()[0]
        folder = "" if not line.startswith(" ") else folder
        assert (ROOT / folder / name).exists(), f"{folder}{name} is in the README's tree and not on disk"
        listed.add(f"{folder}{name}")
        if not line.startswith(" "):
            folder = name
    modules = {f"{room}/{path.name}" for room in ("engine", "dashboard") for path in (ROOT / room).glob("*.py")}
    assert modules - {"engine/__init__.py", "dashboard/__init__.py"} <= listed


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
    beside = {"README.md", "CHANGELOG.md", "LICENSE", "docs", "pyproject.toml", ".gitignore", ".streamlit", ".ci"}
    assert {name.split("/")[0] for name in listed if name} <= rooms | beside
