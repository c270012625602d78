"""Options that are derived from a settings dataclass, and how long `--help` takes."""

import argparse
import dataclasses
import subprocess
import sys
import time

import pytest

from engine import __main__ as command
from engine.cli import parser
from engine.cli.commands import evaluate
from engine.config import DecodingConfig
from tests.conftest import ROOT

REQUIRED = ["evaluate", "--data", "d", "--captioner", "c", "--run", "r"]


def decoding(*arguments: str) -> DecodingConfig:
    return evaluate._decoding(command.build_parser().parse_args([*REQUIRED, *arguments]))


def test_without_options_the_settings_are_the_defaults_of_the_dataclass():
    assert decoding() == DecodingConfig()


@pytest.mark.parametrize("item", dataclasses.fields(DecodingConfig), ids=lambda item: item.name)
def test_every_setting_is_an_option_with_a_help_and_its_default(item, capsys):
    with pytest.raises(SystemExit):
        command.main(["evaluate", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    flag = item.metadata["flag"] or f"--{item.name.replace('_', '-')}"
    default = " ".join(map(str, item.default)) if isinstance(item.default, tuple) else item.default
    text = item.metadata["help"] + ("" if item.default is False else f" (default: {default})")
    assert f" {flag} " in shown and text in shown


def test_options_have_the_types_of_the_fields():
    given = ["--beams", "2", "4", "--max-length", "12", "--length-penalty", "0.5", "--early-stopping", "--n-best", "2"]
    found = decoding(*given, "--precision", "bf16")
    expected = {"beam_sizes": (2, 4), "max_length": 12, "length_penalty": 0.5, "early_stopping": True, "n_best": 2}
    assert found == DecodingConfig(**expected, precision="bf16")


def test_samples_have_no_beam():
    assert decoding("--sample", "--seed", "7", "--top-p", "0.9").beam_sizes == (1,)


def test_choices_are_those_of_the_field(capsys):
    with pytest.raises(SystemExit):
        decoding("--rule", "other")
    assert "invalid choice: 'other'" in capsys.readouterr().err


def test_a_default_is_shown_where_there_is_one(capsys):
    found = argparse.ArgumentParser(formatter_class=parser._Help)
    parser.add_run(found, default="study")
    parser.add_device(found)
    shown = found.format_help()
    assert "name of the run (default: study)" in shown and "None" not in shown


def test_help_imports_nothing_that_takes_time():
    heavy = {"torch", "numpy", "pandas", "pyarrow", "duckdb", "PIL"}
    code = f"import sys, engine.__main__ as m; m.build_parser(); sys.exit(bool({heavy} & set(sys.modules)))"
    start = time.perf_counter()
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    assert time.perf_counter() - start < 5  # 0.07 s on an idle machine
