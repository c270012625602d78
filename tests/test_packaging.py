"""What `pip install .` installs: every package that the product imports, the command, and the files it reads."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions

import pytest

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def required() -> set[str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[\w.]+", line) for line in pinned), "each line pins one package"
    return {normal(line.split("==")[0]) for line in pinned}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> set[str]:
    """The top-level packages that engine and dashboard import, also inside functions."""
    names = set()
    for path in [*(ROOT / "engine").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names.add(node.module.split(".")[0])
    # Triton comes with torch where there is a GPU for it; without it the kernels are not used.
    return names - set(sys.stdlib_module_names) - {"engine", "dashboard", "triton"}


def test_every_package_that_the_product_imports_is_pinned():
    homes = packages_distributions()
    extras = PROJECT["project"]["optional-dependencies"]
    optional = {normal(re.split(r"==|\[", line)[0]) for name in ("hf", "cluster") for line in extras[name]}
    known = required() | optional
    missing = {name for name in imported() if not {normal(each) for each in homes.get(name, [name])} & known}
    assert not missing


def test_dependencies_are_those_of_requirements_and_tests_are_an_extra():
    assert PROJECT["project"]["dynamic"] == ["dependencies"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["dependencies"] == {"file": ["requirements.txt"]}
    extra = {normal(line.split("==")[0]) for line in PROJECT["project"]["optional-dependencies"]["tests"]}
    assert {"pytest", "ruff", "hypothesis"} <= extra and not extra & required()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The project as pip builds it, from the tracked files alone."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(f"git archive HEAD | tar -x -C {folder}", shell=True, cwd=ROOT, check=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        folder,
    ]
    subprocess.run(command, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_every_module_recipe_and_model(wheel):
    tracked = subprocess.run(
        ["git", "ls-files", "engine", "dashboard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    left_out = {name for name in tracked if name not in wheel.namelist()}
    assert all(name.startswith("dashboard/screenshots/") for name in left_out)


def test_the_wheel_has_the_command_and_the_pinned_dependencies(wheel):
    (points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "captionscope = engine.__main__:main" in wheel.read(points).decode()
    (metadata,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    lines = wheel.read(metadata).decode().splitlines()
    needed = {
        normal(re.split(r"[=<>; ]", line.split(": ")[1])[0]) for line in lines if line.startswith("Requires-Dist")
    }
    assert required() <= needed


def test_captions_are_scored_from_a_notebook_as_the_documents_show(capsys):
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (example,) = [each for each in examples if "score_captions" in each]
    assert len(example.strip().splitlines()) <= 5 + 1  # a blank line parts the import
    shared: dict = {}
    exec(compile(example, "docs/architecture.md", "exec"), shared)
    found = shared["found"]
    assert found.corpus["cider"].value == pytest.approx(found.per_image["cider"].mean())
    assert capsys.readouterr().out.startswith(f"{found.corpus['cider'].value}")
