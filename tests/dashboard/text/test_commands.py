"""Commands that the pages name."""

import shlex

from dashboard.text import commands


def test_a_few_images_are_evaluated_again_as_a_run_of_its_own():
    found = shlex.split(
        commands.only("python -m engine evaluate --data 'my data' --run demo --beams 1 3", ["a", "b c"])
    )
    assert found[found.index("--data") + 1] == "my data" and found[found.index("--run") + 1] == "demo-selection"
    assert found[-3:] == ["--only", "a", "b c"]


def test_many_ids_are_read_from_the_file_that_the_page_offers():
    assert shlex.split(commands.only("python -m engine score x.json --run theirs", ["1"] * 1000))[-2:] == [
        "--only",
        "@ids.txt",
    ]
