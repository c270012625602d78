"""Results on object storage, served by moto: the same tables, commits by a marker, errors as sentences."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from engine import __main__ as command
from engine.store import database, parts, records, remote, tables
from engine.store.errors import ResultsError
from engine.writing import CACHE
from tests.conftest import ROOT
from tests.support import runs, tiny

moto = pytest.importorskip("moto.server", reason="moto is not installed: pip install -e '.[tests]'")
BUCKET = "captions"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    found = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    found.start()
    host, port = found.get_host_and_port()
    yield f"http://{host}:{port}"
    found.stop()


@pytest.fixture
def address(server, tmp_path, monkeypatch, request) -> str:
    """An empty prefix on the server, and the environment of a user of it."""
    values = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    values |= {"AWS_ENDPOINT_URL": server, "AWS_EC2_METADATA_DISABLED": "true"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(CACHE, str(tmp_path / "first"))
    storage().create_dir(BUCKET)
    return f"s3://{BUCKET}/{request.node.name.split('[')[0]}"


def storage() -> fs.FileSystem:
    return fs.FileSystem.from_uri(f"s3://{BUCKET}?allow_bucket_creation=true")[0]


def objects(address: str) -> list[str]:
    root = address.removeprefix("s3://")
    found = storage().get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    return sorted(each.path.removeprefix(f"{root}/") for each in found if each.is_file)


def place(address: str) -> remote.Remote:
    found = remote.of(remote.folder_of(address))
    assert found is not None
    return found


def another_machine(monkeypatch, tmp_path, name: str = "second") -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / name))


def test_a_run_is_the_same_on_another_machine(address, tmp_path, monkeypatch):
    here = place(address)
    runs.captioner_run(here.folder)
    assert here.push() == ["demo"] and here.push() == [] and here.pull() == []
    another_machine(monkeypatch, tmp_path)
    there = place(address)
    assert there.folder != here.folder and there.pull() == ["demo"] and there.pull() == []
    for path in records.run_folder(here.folder, "demo").rglob("*.*"):
        copy = there.folder / path.relative_to(here.folder)
        assert copy.read_bytes() == path.read_bytes()
    connection, problems = database.connect(there.folder)
    assert not problems and connection.sql("SELECT count(*) > 0 FROM scores").fetchall() == [(True,)]
    assert there.push() == []


def test_a_run_without_its_marker_is_not_read(address, tmp_path, monkeypatch):
    here = place(address)
    runs.captioner_run(here.folder)
    here.push()
    root = address.removeprefix("s3://")
    storage().delete_file(f"{root}/runs/demo/run.json")
    assert len(objects(address)) > 3
    another_machine(monkeypatch, tmp_path)
    assert place(address).pull() == []


def test_an_upload_that_ends_midway_is_no_run_and_is_completed_by_the_next_command(address, tmp_path, monkeypatch):
    here = place(address)
    runs.captioner_run(here.folder)
    upload, count = remote.Remote._upload, []

    def broken(system, path, key):
        count.append(key)
        if len(count) == 4:
            raise OSError("AWS Error NETWORK_CONNECTION during PutObject: connection lost")
        upload(system, path, key)

    with monkeypatch.context() as patched, pytest.raises(ResultsError, match="connection lost; check the address, AWS"):
        patched.setattr(remote.Remote, "_upload", staticmethod(broken))
        here.push()
    assert len(objects(address)) == 3 and "runs/demo/run.json" not in objects(address)
    assert here.push() == ["demo"] and "runs/demo/run.json" in objects(address)


def test_a_run_that_is_computed_differently_on_two_machines_is_refused_and_nothing_is_lost(
    address, tmp_path, monkeypatch
):
    here = place(address)
    runs.captioner_run(here.folder)
    here.push()
    another_machine(monkeypatch, tmp_path)
    there = place(address)
    runs.captioner_run(there.folder, "demo", grid=7)
    before = (records.run_folder(there.folder, "demo") / "attention.parquet").read_bytes()
    record = records.read_record(records.run_folder(there.folder, "demo"))
    records.write_record(records.run_folder(there.folder, "demo"), record | {"seed": 7})
    with pytest.raises(ResultsError, match="run 'demo' is finished in .* and, with other content, at s3://"):
        there.pull()
    assert (records.run_folder(there.folder, "demo") / "attention.parquet").read_bytes() == before


def test_maps_that_are_added_to_a_run_reach_other_machines(address, tmp_path, monkeypatch):
    here = place(address)
    folder = runs.captioner_run(here.folder)
    here.push()
    another_machine(monkeypatch, tmp_path)
    there = place(address)
    there.pull()
    rows = tables.read_table(folder, "attention").slice(0, 1)
    tables.add_rows(folder, "attention", rows)
    assert here.push() == ["demo"] and there.pull() == ["demo"]
    assert tables.count_rows(records.run_folder(there.folder, "demo"), "attention") == tables.count_rows(
        folder, "attention"
    )


def test_chunks_of_one_machine_are_used_on_another_and_half_uploaded_ones_are_not(address, tmp_path, monkeypatch):
    here = place(address)
    folder = records.run_folder(here.folder, "big")
    skipped = {"skipped": tables.table_of("skipped", [{"image_id": "a", "file_name": "a.jpg", "reason": "x"}])}
    for number in (0, 1):
        parts.write_part(folder, "captions_64", number, skipped, {"node": "one"})
        here.push_chunk(parts.part_folder(folder, "captions_64", number))
    marker = next(each for each in objects(address) if each.endswith("000001/computed.json"))
    storage().delete_file(f"{address.removeprefix('s3://')}/{marker}")
    another_machine(monkeypatch, tmp_path)
    there = place(address)
    other = records.run_folder(there.folder, "big")
    there.pull_chunks(parts.stage_folder(other, "captions_64"))
    assert parts.is_part(other, "captions_64", 0, ["skipped"]) and not parts.is_part(
        other, "captions_64", 1, ["skipped"]
    )
    assert parts.read_part_record(other, "captions_64", 0) == {"node": "one"}


def test_commands_take_an_address(address, tmp_path, monkeypatch, capsys):
    tiny.coco(tmp_path / "data")
    names = [path.stem for path in sorted((tmp_path / "data" / "val").glob("*.jpg"))]
    tiny.write_json(tmp_path / "mine.json", [{"image_id": name, "caption": "a dog"} for name in names])
    score = ["score", str(tmp_path / "mine.json"), "--data", str(tmp_path / "data"), "--run", "mine"]
    assert command.main([*score, "--results", address]) == 0
    assert f"run 'mine' is at {address}" in capsys.readouterr().out
    another_machine(monkeypatch, tmp_path)
    assert command.main(["sql", "SELECT run, count(*) FROM scores GROUP BY run", "--results", address]) == 0
    assert "mine" in capsys.readouterr().out
    assert command.main([*score, "--results", address]) == 0
    assert "finished already" in capsys.readouterr().out
    for wrong in ("gs://bucket/x", "s3://", "s3:///x"):
        with pytest.raises(SystemExit):
            command.main(["sql", "SELECT 1", "--results", wrong])
        assert f"{wrong}: expected a folder, or an address such as s3://BUCKET/PREFIX" in capsys.readouterr().err


def test_two_parts_on_machines_without_a_shared_disk_give_the_tables_of_one(address, tmp_path, monkeypatch, capsys):
    tiny.coco(tmp_path / "data", count=6)
    tiny.captioner_folder(tmp_path / "captioner")
    options = ["--data", str(tmp_path / "data"), "--captioner", str(tmp_path / "captioner"), "--beams", "1", "3"]
    options += ["--max-length", "6", "--run", "mine", "--chunk-size", "2", "--device", "cpu", "--attention-images", "2"]
    whole = tmp_path / "whole"
    assert command.main(["evaluate", *options, "--skip-timing", "--results", str(whole)]) == 0
    for part in (1, 2):
        another_machine(monkeypatch, tmp_path, f"machine{part}")
        last = ["--skip-timing", "--results", address, "--part", f"{part}/2"]
        assert command.main(["evaluate", *options, *last]) == 0
    assert "chunks of other parts are missing" in capsys.readouterr().out
    another_machine(monkeypatch, tmp_path, "reader")
    there = place(address)
    assert there.pull() == ["mine"]
    for path in sorted((whole / "runs" / "mine").glob("*.parquet")):
        assert (there.folder / "runs" / "mine" / path.name).read_bytes() == path.read_bytes(), path.name
    assert not [each for each in objects(address) if ".parts" in each]
    record = json.loads((there.folder / "runs" / "mine" / "run.json").read_text())
    assert sum(row["images"] for row in record["workers"]) == 6


def test_a_storage_that_cannot_be_reached_or_a_wrong_address_is_one_sentence(address, monkeypatch, capsys):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert command.main(["sql", "SELECT 1", "--results", address]) == 2
    said = capsys.readouterr().err
    assert (
        said.startswith("error: results ")
        and "s3://captions/test_a_storage" in said
        and "check the address, AWS_ACCESS_KEY_ID" in said
    )
    assert "Traceback" not in said


def test_the_dashboard_shows_the_runs_at_an_address_and_says_when_it_cannot_be_reached(address, tmp_path, monkeypatch):
    from streamlit.testing.v1 import AppTest

    here = place(address)
    runs.captioner_run(here.folder)
    here.push()
    another_machine(monkeypatch, tmp_path)
    monkeypatch.setenv("CAPTIONSCOPE_RESULTS", address)
    app = AppTest.from_file(str(ROOT / "dashboard" / "page.py"), default_timeout=30).run()
    assert not app.exception and "demo" in [each.value for each in app.selectbox]
    another_machine(monkeypatch, tmp_path, "third")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    app = AppTest.from_file(str(ROOT / "dashboard" / "page.py"), default_timeout=30).run()
    assert not app.exception
    shown = " ".join(each.value for each in (*app.warning, *app.markdown, *app.error, *app.caption))
    assert "check the address, AWS" in shown.replace("\\", "")


def test_a_folder_that_mirrors_nothing_has_no_remote(tmp_path):
    assert remote.of(tmp_path) is None
    assert Path(remote.folder_of("s3://a/b")).name == remote.folder_of("s3://a/b").name
