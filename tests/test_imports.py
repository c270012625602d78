"""The import rules: which folder may import which."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

RANKS = (
    # What imports nothing of the project.
    {"reading", "writing", "parallel", "resampling", "store/answer_schema", "store/word_schema"}
    | {"store/slice_schema"},
    {"limits"},
    {"config", "statistics", "store/schema", "protocols"},
    {"data"},
    {"models", "decoding", "explain", "metrics", "diagnosis"},
    {"captioners"},
    {"training"},
    {"store"},
    {"evaluation", "export"},
    {"gate"},
    {"demo", "cli"},
    {"__main__"},
    {"live"},
)
"""The folders and modules of the engine from the bottom to the top. An import points to a lower rank or stays within
the folder; folders of one rank do not import each other."""

MAY = {
    "limits": {"reading"},
    "config": {"limits", "reading"},
    "statistics": {"resampling"},
    "store/slice_schema": set(),
    "store/answer_schema": set(),
    "store/word_schema": set(),
    "store/schema": {"store/answer_schema", "store/word_schema", "store/slice_schema"},
    "protocols": set(),
    "decoding": {"config"},
    "metrics": {"statistics", "store/schema", "protocols", "data", "reading"},
    "diagnosis": {"data"},
    "explain": set(),
    "store": {"statistics", "store/schema", "store/answer_schema", "store/word_schema", "store/slice_schema"}
    | {"data", "diagnosis", "metrics", "reading", "writing"},
    "export": {"store", "store/schema", "data", "protocols", "reading", "writing"},
    "data": {"protocols", "reading"},
}
"""Folders that may import less than what their rank allows. `decoding` knows token ids and numbers; `metrics` and
`diagnosis` take arrays and strings."""

DASHBOARD_MAY = {"store", "store/schema", "statistics", "config"}
DASHBOARD_RANKS = (
    {"theme", "items", "metrics", "serving"},
    {"text"},
    {"state"},
    {"annotations"},
    {"figures"},
    {"report", "components"},
    {"widgets"},
    {"views"},
    {"app", "page"},
)
"""The same for the dashboard."""

TORCH = {"models", "decoding", "captioners", "explain", "training", "evaluation", "cli", "demo"}

ENGINE = sorted((ROOT / "engine").rglob("*.py"))
DASHBOARD = sorted((ROOT / "dashboard").rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in [*ENGINE, *DASHBOARD]}


def imported(path: Path) -> set[str]:
    """Return every module that the file imports, also inside functions, but not for type checkers only."""
    names, nodes = set(), [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            known = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES
            names |= known or {node.module}
        nodes += ast.iter_child_nodes(node)
    return names


def place(module: str) -> str | None:
    """Return the folder of an engine module, or its name where it has a rank of its own; None for other packages."""
    parts = module.split(".")
    if parts[0] != "engine" or len(parts) == 1:
        return None
    own = "/".join(parts[1:3])
    return own if any(own in rank for rank in RANKS) else parts[1]


def rank(name: str) -> int:
    return next(level for level, names in enumerate(RANKS) if name in names)


@pytest.mark.parametrize("path", ENGINE, ids=module_name)
def test_imports_of_the_engine_point_downwards(path):
    own = place(module_name(path))
    names = imported(path)
    assert not any(name.split(".")[0] in ("dashboard", "streamlit") for name in names)
    found = {place(name) for name in names} - {None, own}
    if own is None:
        assert not found
        return
    assert all(rank(name) < rank(own) for name in found), f"{own} imports {found}"
    if own in MAY:
        assert found <= MAY[own]
    if any(name.split(".")[0] == "torch" for name in names):
        assert own in TORCH


def test_no_module_imports_one_that_imports_it():
    graph = {module_name(path): imported(path) & MODULES for path in ENGINE}
    seen: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in seen:
            for other in sorted(graph[name] - {name}):
                visit(other, (*above, name))
            seen.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", DASHBOARD, ids=module_name)
def test_imports_of_the_dashboard_point_downwards(path):
    ranks = {folder: level for level, folders in enumerate(DASHBOARD_RANKS) for folder in folders}
    own = ".".join(module_name(path).split(".")[1:2])
    found = {name.split(".")[1] for name in imported(path) if name.startswith("dashboard.")} - {own}
    assert all(ranks[name] < ranks[own] for name in found), f"{own} imports {found}"


@pytest.mark.parametrize("path", DASHBOARD, ids=module_name)
def test_the_dashboard_imports_only_stored_results(path):
    names = imported(path)
    assert {place(name) for name in names} - {None} <= DASHBOARD_MAY
    assert not any(name.split(".")[0] in ("torch", "open_clip", "timm") for name in names)


def test_the_modules_of_the_dashboard_start_without_torch(tmp_path):
    names = [name for path in DASHBOARD if not (name := module_name(path)).startswith("dashboard.views")]
    names = [name for name in names if name != "dashboard.app"]  # a script
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    # Importing the page draws it: without runs, whatever is in this folder's results.
    environment = os.environ | {"CAPTIONSCOPE_RESULTS": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, env=environment).returncode == 0


@pytest.mark.parametrize("path", [*ENGINE, *DASHBOARD], ids=module_name)
def test_sql_is_written_only_in_the_store(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    statements = [text for text in texts if text.lstrip().startswith(("SELECT ", "FROM ", "WITH "))]
    assert not statements or place(module_name(path)) == "store", statements[:1]


@pytest.mark.parametrize("path", [*ENGINE, *DASHBOARD], ids=module_name)
def test_no_module_outside_the_demo_has_more_than_400_lines(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400 or "demo" in path.parts


def test_every_test_folder_is_a_folder_of_a_package():
    for package in ("engine", "dashboard"):
        folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests" / package).rglob("test_*.py")}
        assert all((ROOT / folder).is_dir() for folder in folders)


def test_importing_the_package_imports_nothing():
    code = "import sys; before = set(sys.modules); import engine; sys.exit(len(set(sys.modules) - before - {'engine'}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
