"""Tables that LaTeX sets as they are meant, on the page; set by the real one where it is installed."""

import re
import shutil
import string
import subprocess

import pandas as pd
import pytest

from dashboard import latex

NASTY = "<script>alert(1)</script> 50 % & $x_1$ #1 {a} ~ ^ \\input | [l](u) `c` *b*\nnext"
CAPTION = "a man in a red shirt and a woman in a blue dress are standing in front of a building ."
SIGNATURE = "CLIPScore|beam:3|images:600|refs:5|data:c0b0dee7ce888572|rule:standard|max_length:30|dtype:float32"
METRICS = ("CIDEr", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "METEOR", "SPICE", "CLIPScore", "RefCLIPScore")

TABLES = {
    "scores": pd.DataFrame({"Beam size": ["1 (greedy)", "3", "100"], **{name: ["0.501"] * 3 for name in METRICS}}),
    "texts": pd.DataFrame({"Rank": ["1"], "Caption": [CAPTION], "A reference": [CAPTION], "Tag": ["missed object"]}),
    "names": pd.DataFrame({"Run": ["demo"], "Encoder": ["deit3_large_patch16_224_in21ft1k"], "Note": [SIGNATURE]}),
    "marks": pd.DataFrame({"Mark": list(string.punctuation), "Text": [NASTY] + [CAPTION] * 31}),
    "many": pd.DataFrame({"Image": [f"{i:012}" for i in range(150)], "Caption": [CAPTION] * 150}),
    "many wide": pd.DataFrame({"Image": [f"{i}" for i in range(60)], **{name: ["1.000"] * 60 for name in METRICS}}),
    "none": pd.DataFrame({"Image": [], "Caption": []}),
    "one column": pd.DataFrame({"Caption": [CAPTION]}),
}
PREAMBLE = r"\documentclass{article}\usepackage{array,booktabs,longtable}\begin{document}"


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


def test_numbers_stand_right_names_left_and_long_texts_wrap():
    made = latex.table("T", pd.DataFrame({"Image": ["000012"], "Value": ["1.4 %"], "Caption": [CAPTION]}))
    kinds = re.search(r"\\begin\{tabular\}\{lr>\{\\raggedright\\arraybackslash\}p\{(0\.\d+)\\linewidth\}\}", made)
    assert float(kinds[1]) > 0.6  # it has what the other two leave


def test_columns_without_room_stand_below_and_each_row_can_still_be_told():
    shown = TABLES["scores"]
    blocks = latex.table("T", shown).split(r"\end{tabular}")[:-1]
    assert len(blocks) > 1
    heads, firsts = [], []
    for block in blocks:
        head, *rows = rows_of(block)
        heads.append(head)
        firsts.append([row[0] for row in rows])
    assert all(head[0] == "Beam size" for head in heads) and all(first == firsts[0] for first in firsts)
    assert [name for head in heads for name in head[1:]] == list(METRICS)
    assert max(map(len, heads)) - min(map(len, heads)) <= 2  # no column is left alone


def test_what_fits_stays_in_one_piece():
    assert latex.table("T", pd.DataFrame({"Metric": ["CIDEr"], "Value": ["0.9"]})).count(r"\toprule") == 1


def test_many_rows_go_over_several_pages_and_the_packages_are_named():
    many, few = (latex.table("T", TABLES[name]) for name in ("many", "texts"))
    assert many.startswith(r"% Needs \usepackage{array,booktabs,longtable}.") and r"\endhead" in many
    assert few.startswith(r"% Needs \usepackage{array,booktabs}.") and "longtable" not in few
    assert len(rows_of(many)) == 151


@pytest.mark.parametrize(("word", "is_named"), [("Gänse – “so” ≈ 5 …", False), ("猫", True), ("Đ", True), ("🐶", True)])
def test_letters_that_pdflatex_may_not_know_are_named(word, is_named):
    assert ("LuaLaTeX" in latex.table("T", pd.DataFrame({"Caption": [word]}))) == is_named


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX: apt-get install texlive-latex-recommended")
@pytest.mark.parametrize("name", TABLES)
def test_latex_sets_it_and_nothing_leaves_the_page(tmp_path, name):
    document = PREAMBLE + latex.table(NASTY, TABLES[name], SIGNATURE + "\n" + NASTY) + r"\end{document}"
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    for _ in range(3):  # longtable finds its widths by and by
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=60)
        assert found.returncode == 0, found.stdout[-2000:]
    assert not re.findall(r"Overfull.*|.*Float too large.*", found.stdout)
