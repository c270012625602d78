"""Tables that LaTeX sets as they are meant, on the page; set by the real one where it is installed."""

import re
import shutil
import string
import subprocess

import pandas as pd
import pytest

from dashboard.items import Table
from dashboard.report import archive, chapters, exports, latex, tables
from dashboard.state.record import Run
from tests.support import runs

NASTY = "<script>alert(1)</script> 50 % & $x_1$ #1 {a} ~ ^ \\input | [l](u) `c` *b*\nnext"
CAPTION = "a man in a red shirt and a woman in a blue dress are standing in front of a building ."
SIGNATURE = "CLIPScore|beam:3|images:600|refs:5|data:c0b0dee7ce888572|rule:standard|max_length:30|dtype:float32"
METRICS = ("CIDEr", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "METEOR", "SPICE", "CLIPScore", "RefCLIPScore")

TABLES = {
    "scores": pd.DataFrame({"Beam size": ["1 (greedy)", "3", "100"], **{name: ["0.501"] * 3 for name in METRICS}}),
    "texts": pd.DataFrame({"Rank": ["1"], "Caption": [CAPTION], "A reference": [CAPTION], "Tag": ["omitted object"]}),
    "names": pd.DataFrame({"Run": ["demo"], "Encoder": ["deit3_large_patch16_224_in21ft1k"], "Note": [SIGNATURE]}),
    "marks": pd.DataFrame({"Mark": list(string.punctuation), "Text": [NASTY] + [CAPTION] * 31}),
    "many": pd.DataFrame({"Image": [f"{i:012}" for i in range(150)], "Caption": [CAPTION] * 150}),
    "many wide": pd.DataFrame({"Image": [f"{i}" for i in range(60)], **{name: ["1.000"] * 60 for name in METRICS}}),
    "far too wide": pd.DataFrame({"Image": ["1"], **{f"A metric of number {i}": ["1.000"] for i in range(20)}}),
    "many and wide": pd.DataFrame({"Image": ["1"] * 60, **{f"A metric called {i}": ["1.000"] * 60 for i in "abcdefg"}}),
    "none": pd.DataFrame({"Image": [], "Caption": []}),
    "one column": pd.DataFrame({"Caption": [CAPTION]}),
}
PREAMBLE = r"\documentclass{article}\usepackage{array,booktabs,longtable,tabularx,rotating,pdflscape}\begin{document}"


def rows_of(made: str) -> list[list[str]]:
    """The cells of every row, heads included, of all blocks."""
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r" \\"))]
        for line in made.splitlines()
        if line.endswith(r" \\") and not line.startswith(r"\caption")
    ]


def test_every_mark_is_escaped_and_the_rules_are_booktabs():
    made = latex.table("A title with 5 % & more", pd.DataFrame({"Name": [NASTY], "Value": ["0.5"]}))
    assert all(
        rule in made for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{A title with 5 \% \& more}")
    )
    assert r"\textless{}script\textgreater{}alert(1)" in made
    assert r"50 \% \& \$x\_" in made and r"\#1 \{a\} \textasciitilde{} \textasciicircum{} \textbackslash{}input" in made
    assert made.count("{") - made.count(r"\{") == made.count("}") - made.count(r"\}")


def test_no_row_begins_with_what_latex_takes_for_its_own_and_hyphens_stay_hyphens():
    made = latex.table("T", pd.DataFrame({"First": ["[2cm] a", "*", "a -- b", "–"], "Second": ["x", "y", "z", "w"]}))
    assert "\n{[}2cm] a & x" in made and "\n{*} & y" in made and "a -{}- b & z" in made and "\n-- & w" in made


def test_numbers_are_right_aligned_names_left_and_long_texts_wrap():
    made = latex.table("T", pd.DataFrame({"Image": ["000012"], "Value": ["1.4 %"], "Caption": [CAPTION]}))
    assert r"\begin{tabularx}{\linewidth}{lr>{\raggedright\arraybackslash}X}" in made
    long = latex.table(
        "T", pd.DataFrame({"Image": ["000012"] * 99, "Value": ["1.4 %"] * 99, "Caption": [CAPTION] * 99})
    )
    kinds = re.search(r"\\begin\{longtable\}\{lr>\{\\raggedright\\arraybackslash\}p\{(0\.\d+)\\linewidth\}\}", long)
    assert float(kinds[1]) > 0.6  # what the other two leave


def beam_table(metrics: list[str]) -> Table:
    """The table of eleven beam sizes, with everything that a run can know of them."""
    sizes = [1, 3, 4, 5, 6, 7, 8, 9, 10, 15, 100]
    scores = pd.DataFrame([(size, metric, 0.5) for size in sizes for metric in metrics])
    scores.columns = ["beam_size", "metric", "value"]
    known = pd.DataFrame({"beam_size": sizes, "words": 10.25, "distinct_words": 1234, "unfinished": 0.012})
    run = Run("r", {"seconds_per_image": {str(size): 0.125 for size in sizes}})
    return tables.beams(scores, known.assign(changed=0.775), run, SIGNATURE)


ALL_METRICS = [*runs.METRICS, "meteor", "spice"]


@pytest.mark.parametrize(("metrics", "kind"), [(runs.METRICS, "table"), (ALL_METRICS, "sidewaystable")])
def test_the_beam_table_is_one_table(metrics, kind):
    content = beam_table(metrics)
    made = exports.table(content, "tex").decode()
    assert made.count(r"\begin{tabular}") == 1 and rf"\begin{{{kind}}}" in made
    head, *rows = rows_of(made)
    assert len(head) == len(metrics) + 6 and len(rows) == 11 and {len(row) for row in rows} == {len(head)}
    assert ("rotating" in made.splitlines()[0]) == (kind == "sidewaystable")
    assert kind == "sidewaystable" or ("B-1" in head and r"B-1:\allowbreak{} BLEU-1" in made)


def test_a_table_too_wide_for_any_page_is_split_and_repeats_the_first_column():
    shown = TABLES["far too wide"]
    blocks = latex.table("T", shown).split(r"\end{tabular}")[:-1]
    assert len(blocks) > 1
    heads, firsts = [], []
    for block in blocks:
        head, *rows = rows_of(block)
        heads.append(head)
        firsts.append([row[0] for row in rows])
    assert all(head[0] == "Image" for head in heads) and all(first == firsts[0] for first in firsts)
    assert [name for head in heads for name in head[1:]] == list(shown.columns[1:])
    assert max(map(len, heads)) - min(map(len, heads)) <= 2  # no column is left alone


def test_what_fits_stays_in_one_piece():
    assert latex.table("T", pd.DataFrame({"Metric": ["CIDEr"], "Value": ["0.9"]})).count(r"\toprule") == 1


def test_many_rows_go_over_several_pages_and_the_packages_are_named():
    many, few = (latex.table("T", TABLES[name]) for name in ("many", "texts"))
    assert many.startswith(r"% Needs \usepackage{array,booktabs,longtable}") and r"\endhead" in many
    assert few.startswith(r"% Needs \usepackage{array,booktabs,tabularx}") and "longtable" not in few
    assert len(rows_of(many)) == 151


@pytest.mark.parametrize(("word", "is_named"), [("Gänse – “so” ≈ 5 …", False), ("猫", True), ("Đ", True), ("🐶", True)])
def test_letters_that_pdflatex_may_not_know_are_named(word, is_named):
    assert ("LuaLaTeX" in latex.table("T", pd.DataFrame({"Caption": [word]}))) == is_named


needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="no LaTeX: apt-get install texlive-latex-recommended"
)


def set_by_latex(folder, made: str) -> None:
    """Sets a table, and fails where LaTeX does or where something leaves the page."""
    (folder / "t.tex").write_text(PREAMBLE + made + r"\end{document}", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    for _ in range(3):  # longtable finds its widths by and by
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=60)
        assert found.returncode == 0, found.stdout[-2000:]
    assert not re.findall(r"Overfull.*|.*Float too large.*", found.stdout)


@needs_latex
@pytest.mark.parametrize("name", TABLES)
def test_latex_sets_it_and_nothing_leaves_the_page(tmp_path, name):
    set_by_latex(tmp_path, latex.table(NASTY, TABLES[name], SIGNATURE + "\n" + NASTY))


@needs_latex
def test_every_table_of_a_report_is_set_in_one_piece(tmp_path, full_results):
    source = archive.open_source(full_results, "demo", beam=1)[0]
    written = [item for chapter in chapters.chapters(source) for item in chapter.items if isinstance(item, Table)]
    made = [exports.table(item, "tex").decode() for item in written]
    assert len(made) > 8
    assert [each.count(r"\begin{tabular") + each.count(r"\begin{longtable}") for each in made] == [1] * len(made)
    set_by_latex(tmp_path, r"\clearpage ".join(made))


@needs_latex
@pytest.mark.parametrize("metrics", [runs.METRICS, ALL_METRICS], ids=["portrait", "sideways"])
def test_latex_sets_the_beam_table_on_one_page(tmp_path, metrics):
    set_by_latex(tmp_path, exports.table(beam_table(metrics), "tex").decode())
