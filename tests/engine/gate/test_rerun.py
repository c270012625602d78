import pytest

from engine.gate import rerun


def test_the_command_of_a_run_is_repeated_for_the_images():
    typed = "python -m engine evaluate --data 'my data' --beams 1 3 --run new --limit 9 --clip demo --only a b"
    assert rerun.command("new", {"command": typed}, ["x", "y z"]) == (
        "python -m engine evaluate --data 'my data' --beams 1 3 --clip demo --run new-slice --only x 'y z'"
    )
    assert rerun.command("new", {"command": "captionscope score p.json --run=new --data d"}, ["x"]) == (
        "captionscope score p.json --data d --run new-slice --only x"
    )


@pytest.mark.parametrize("record", [{}, {"command": None}, {"command": "x 'y"}, {"command": "make study"}])
def test_an_unknown_command_is_not_repeated(record):
    assert rerun.command("new", record, ["x"]) == ""
