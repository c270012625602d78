"""The study's figures: read where they are, a sentence where they cannot be used, nothing where they are not."""

from pathlib import Path

import pytest

from engine import published


def write(results: Path, name: str, content: str | bytes) -> None:
    path = results / "published" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_figures_are_numbers_and_a_beam_size_may_be_unknown(tmp_path):
    write(
        tmp_path, "beams.csv", "beam_size,metric,value,source\n3,cider,0.9413,study\n,clipscore,0.731,\nx,cider,?,s\n"
    )
    frame = published.beams(tmp_path).frame
    assert list(frame.value) == [0.9413, 0.731]
    assert frame.beam_size.isna().tolist() == [False, True]
    assert list(frame.source) == ["study", "published"]


@pytest.mark.parametrize(
    ("content", "said"),
    [("beam,metric,value\n1,cider,2\n", "no column 'beam_size'"), (b"\xff\xfe\x00", "cannot be read"), ("", "cannot")],
)
def test_a_file_that_cannot_be_used_is_a_sentence(tmp_path, content, said):
    write(tmp_path, "beams.csv", content)
    found = published.beams(tmp_path)
    assert found.frame.empty and said in found.problem


def test_no_file_is_no_problem(tmp_path):
    (tmp_path / "published").mkdir()
    assert published.beams(tmp_path).problem == published.attempts(tmp_path).problem == ""
    assert published.attempts(tmp_path).frame.empty


def test_a_results_folder_of_its_own_without_figures_takes_the_projects(tmp_path):
    assert published.folder(tmp_path) == Path(published.__file__).parents[1] / "results" / "published"
