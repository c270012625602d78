"""The import rules of the house: which room may know which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

JOINERS = {
    *("evaluate", "predictions_run", "zeroshot_run", "run_facts", "runs", "scoring"),
    *("summary", "contrast", "study", "side_by_side", "__main__"),
}
"""Only these join compute to the store: `evaluate` and the rooms it was split into, and the command line."""

TORCH = {
    *("captioner", "checkpoints", "training", "decoding", "stepping", "memory", "attention", "clip"),
    *("search", "evaluate", "past", "kernels", "graphs", "estimates"),
}
SEARCH = {"prefixes", "beams", "paths", "evenly", "study_rule", "continuations", "constraints", "sampling"}
"""What the search was split into; like `decoding` they know ids and numbers, and no model."""
FOUNDATIONS = {"config", "schema", "documents", "statistics", "tokenizer", "photos", "lexicon", "ngrams", "pooling"}
COMPUTE = {"metrics", "zeroshot", "grounding", "failures"}
DASHBOARD_MAY = {"schema", "store", "queries", "statistics", "published", "signatures"}
MODULES = sorted((ROOT / "engine").glob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module named in an import of the file, also those inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def engine_modules(path: Path) -> set[str]:
    known = {module.stem for module in MODULES} | {"demo"}
    return {parts[1] for name in imported(path) if (parts := name.split("."))[0] == "engine" and len(parts) > 1} & known


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_each_engine_module_keeps_to_its_rank(path):
    found, name = engine_modules(path), path.stem
    assert not any(each.split(".")[0] in ("dashboard", "streamlit") for each in imported(path))
    if name in FOUNDATIONS:
        assert found <= {"schema"}
    if name in COMPUTE | SEARCH | {"decoding"}:
        parts = SEARCH if name in SEARCH | {"decoding"} else set()
        assert found <= {"schema", "config", "statistics", "lexicon", "ngrams", "pooling", "meteor", "spice"} | parts
    if "store" in found | {name}:
        assert name in JOINERS | {"store"}
    if any(each.split(".")[0] == "torch" for each in imported(path)):
        asks_for_the_device = {"provenance", "doctor", "__main__"}
        assert name in TORCH | SEARCH | asks_for_the_device


def test_no_engine_module_imports_one_that_imports_it():
    graph = {path.stem: engine_modules(path) - {path.stem} for path in MODULES if path.stem != "__main__"}
    seen: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in seen:
            for other in sorted(graph.get(name, ())):
                visit(other, (*above, name))
            seen.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", sorted((ROOT / "dashboard").rglob("*.py")), ids=lambda path: path.stem)
def test_the_dashboard_knows_only_stored_results(path):
    assert engine_modules(path) <= DASHBOARD_MAY
    assert not any(name.split(".")[0] in ("torch", "open_clip", "timm") for name in imported(path))


def test_the_dashboards_modules_start_without_torch():
    names = [path.stem for path in (ROOT / "dashboard").glob("*.py") if path.stem not in ("__init__", "app")]
    code = f"import sys, {', '.join('dashboard.' + name for name in names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_sql_stands_only_in_queries_and_the_store():
    for path in [*MODULES, *(ROOT / "dashboard").rglob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        statements = [text for text in texts if text.lstrip().startswith(("SELECT ", "FROM ", "WITH "))]
        assert not statements or path.stem in ("queries", "store"), f"{path.name}: {statements[:1]}"


def test_importing_the_package_imports_nothing():
    code = "import sys; before = set(sys.modules); import engine; sys.exit(len(set(sys.modules) - before - {'engine'}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
