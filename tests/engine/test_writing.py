"""Files are written whole or not at all, in an order that a power failure cannot turn around."""

import errno
import os
import time

import pytest

from engine.writing import replacing


def test_the_content_is_on_disk_before_the_name_and_the_name_at_the_end(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def noted(handle: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", lambda *paths: done.append("replace") or replace(*paths))
    with replacing(tmp_path / "new" / "x") as temporary:
        temporary.write_text("new")
    assert done == ["file", "replace", "folder"]
    assert (tmp_path / "new" / "x").read_text() == "new"


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), OSError(errno.EACCES, "denied")])
def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path, shared, error):
    (tmp_path / "x").write_text("old")
    with pytest.raises(type(error)), replacing(tmp_path / "x", shared) as temporary:
        temporary.write_text("half")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["x"] and (tmp_path / "x").read_text() == "old"


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), errno.EDQUOT),
        (RuntimeError("I/O error: No space left on device (os error 28)"), errno.ENOSPC),
        (RuntimeError("File too large (os error 27)"), errno.EFBIG),
    ],
)
def test_a_full_disk_names_the_file_whatever_the_library_reports(tmp_path, error, number):
    with pytest.raises(OSError) as raised, replacing(tmp_path / "x") as temporary:
        temporary.write_text("half")
        raise error
    assert (raised.value.errno, raised.value.filename) == (number, str(tmp_path / "x"))
    assert not list(tmp_path.iterdir())


def test_an_error_behind_the_error_of_a_library_is_found(tmp_path):
    with pytest.raises(OSError, match="No space left"), replacing(tmp_path / "x"):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 576 vs 534")  # noqa: B904  # as torch does


def test_an_error_of_another_kind_stays_itself(tmp_path):
    with pytest.raises(RuntimeError, match="another"), replacing(tmp_path / "x"):
        raise RuntimeError("another")


def test_what_kills_left_is_deleted_and_what_others_write_now_is_not(tmp_path):
    names = [f".x.{digit * 32}" for digit in "ab"] + [f".y.{'a' * 32}"]
    for name in names:
        (tmp_path / name).touch()
    os.utime(tmp_path / names[0], (0, time.time() - 7_200))
    os.utime(tmp_path / names[2], (0, time.time() - 7_200))
    with replacing(tmp_path / "x", shared=True) as temporary:
        temporary.touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [names[1], names[2], "x"]
