"""The same tables wherever a run is computed: one process, parts, Ray actors and nodes, some of which are killed."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.cli import inputs
from engine.config import ConfigError, DecodingConfig
from engine.data import registry
from engine.evaluation import captioner_run, pool
from engine.evaluation.captioner_run import Outcome
from engine.evaluation.pool import Here, Part
from engine.protocols import PluginError
from engine.store import records
from engine.store.errors import ResultsError
from tests.conftest import ROOT
from tests.support import slow_captioner, tiny

IMAGES, CHUNK = 26, 3
CHUNKS = 9
NAME = "mine"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A dataset of which one photo is broken, and a captioner."""
    found = tmp_path_factory.mktemp("anywhere")
    tiny.coco(found / "data", count=IMAGES)
    (found / "data" / "val" / "000000000008.jpg").write_bytes(b"broken")
    tiny.captioner_folder(found / "captioner")
    return found


@pytest.fixture(scope="module", autouse=True)
def environment(folder) -> Iterator[None]:
    """The environment of Ray's processes, which start with that of the first one."""
    (folder / "notes").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(slow_captioner.FOLDER, str(folder / "captioner"))
        patched.setenv(slow_captioner.NOTES, str(folder / "notes"))
        patched.setenv(slow_captioner.SECONDS, "0.4")
        patched.setenv("PYTHONPATH", str(ROOT))
        patched.delenv("RAY_ADDRESS", raising=False)
        yield


@pytest.fixture
def notes(folder) -> Path:
    """An empty folder of notes."""
    for note in (folder / "notes").iterdir():
        note.unlink()
    return folder / "notes"


def ask(folder: Path, results: Path, **changes) -> captioner_run.CaptionerRun:
    dataset = registry.load(folder / "data")
    values = {
        "name": NAME,
        "results": results,
        "dataset": dataset,
        "metrics": inputs.metrics(None, dataset),  # as the command line computes them
        "captioner": slow_captioner.NAME,
        "decoding": DecodingConfig(beam_sizes=(1, 3), max_length=8, n_best=2),
        "chunk_size": CHUNK,
        "times_sizes": False,
        "attention_images": 5,  # and those of tagged captions, after the scores
        **changes,
    }
    return captioner_run.CaptionerRun(**values)


def digests(results: Path) -> dict[str, str]:
    tables = sorted(records.run_folder(results, NAME).glob("*.parquet"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tables}


def record(results: Path) -> dict:
    found = records.read_record(records.run_folder(results, NAME))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def whole(folder, environment) -> dict[str, str]:
    """The tables of one undisturbed process."""
    assert captioner_run.evaluate(ask(folder, folder / "whole"))
    found = digests(folder / "whole")
    assert {"attention.parquet", "hypotheses.parquet", "scores.parquet", "beam_statistics.parquet"} <= set(found)
    return found


def stored(results: Path) -> list[Path]:
    return sorted((records.run_folder(results, NAME) / ".parts").glob("captions_*/[0-9]*"))


def wait_until(reached: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "took too long"
        time.sleep(0.02)


def test_the_record_says_who_captioned(folder, whole):
    workers = record(folder / "whole")["workers"]
    assert [(row["device"], row["chunks"], row["images"]) for row in workers] == [("cpu", CHUNKS, IMAGES)]
    assert workers[0]["seconds"] > 0 and workers[0]["node"]
    assert set(record(folder / "whole")["timings"]) >= {"wait for photos", "encode", "decode", "attention"}


# Parts of an array job


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1)])
def test_parts_in_any_order_give_the_same_tables(folder, whole, tmp_path, notes, order):
    found = [
        captioner_run.evaluate_part(ask(folder, tmp_path, place=Here(Part(number, 3)), chunk_size=CHUNK + at))
        for at, number in enumerate(order)  # another machine would choose other chunks: the first one's stay
    ]
    assert found == [Outcome.PARTS_MISSING, Outcome.PARTS_MISSING, Outcome.NEW]
    assert digests(tmp_path) == whole
    assert len(list(notes.iterdir())) == CHUNKS  # no chunk was captioned twice
    again = captioner_run.evaluate_part(ask(folder, tmp_path, place=Here(Part(1, 3))))
    assert again is Outcome.WAS_FINISHED and not (records.run_folder(tmp_path, NAME) / ".parts").exists()


def command(folder: Path, results: Path, *more: str) -> list[str]:
    options = ("--data", folder / "data", "--captioner", slow_captioner.NAME, "--results", results, "--run", NAME)
    search = (
        "--beams",
        1,
        3,
        "--max-length",
        8,
        "--n-best",
        2,
        "--chunk-size",
        CHUNK,
        "--skip-timing",
        "--attention-images",
        5,
        "--device",
        "cpu",
    )
    return [sys.executable, "-m", "engine", "evaluate", *map(str, (*options, *search)), *more]


def start(folder: Path, results: Path, *more: str) -> subprocess.Popen:
    pipe = subprocess.PIPE
    return subprocess.Popen(command(folder, results, *more), cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def finished(process: subprocess.Popen) -> str:
    said, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    return said


def test_parts_at_the_same_time_give_the_same_tables_and_one_of_them_scores(folder, whole, tmp_path, notes):
    processes = [start(folder, tmp_path, "--part", f"{number}/2") for number in (1, 2)]
    said = [finished(each) for each in processes]
    assert sum("CIDEr" in each for each in said) == 1
    assert sum("part 1/2" in each or "part 2/2" in each for each in said) == 1
    assert digests(tmp_path) == whole
    assert len(list(notes.iterdir())) == CHUNKS


def test_a_whole_run_and_a_part_do_not_share_a_folder(folder, tmp_path, notes):
    part = start(folder, tmp_path, "--part", "1/2")
    wait_until(lambda: stored(tmp_path))
    with pytest.raises(ResultsError, match="part 1/2 of run 'mine' is being written by another process"):
        captioner_run.evaluate(ask(folder, tmp_path))
    with pytest.raises(ResultsError, match="part 1/2 of run 'mine' is being written.*run another part"):
        captioner_run.evaluate_part(ask(folder, tmp_path, place=Here(Part(1, 2))))
    assert "chunks of other parts are missing" in finished(part)


@pytest.mark.parametrize("text", ["", "3", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1.5/2", "1/1000000000000"])
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match=r"--part .*: expected the number of this job and of all jobs, such as 3/8"):
        pool.part_of(text)
    assert pool.part_of("3/8") == Part(3, 8)


def test_a_killed_process_continues_with_the_same_bytes(folder, whole, tmp_path, notes):
    process = start(folder, tmp_path)
    wait_until(lambda: len(stored(tmp_path)) >= 3)
    process.kill()
    process.communicate()
    before = {path: path.stat().st_mtime_ns for path in stored(tmp_path)}
    assert len(before) >= 3
    for note in notes.iterdir():
        note.unlink()
    finished(start(folder, tmp_path))
    assert digests(tmp_path) == whole
    assert len(list(notes.iterdir())) == CHUNKS - len(before)


# Ray

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[cluster]'")
on_ray = pytest.importorskip("engine.evaluation.on_ray")


@pytest.fixture(scope="module")
def cluster(environment) -> Iterator:
    """A cluster of a head without cores and one machine with one core, all on 127.0.0.1."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    found.add_node(num_cpus=1)
    ray.init(address=found.address, log_to_driver=False, logging_level="critical")
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture
def second(cluster) -> Iterator:
    """A second machine with one core."""
    node = cluster.add_node(num_cpus=1)
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)


@pytest.mark.cluster
def test_two_actors_on_two_nodes_give_the_same_tables(folder, whole, tmp_path, notes, second):
    assert captioner_run.evaluate(ask(folder, tmp_path, place=on_ray.OnRay(workers=2)))
    assert digests(tmp_path) == whole
    assert len({note.name.split("-")[0] for note in notes.iterdir()}) == 2
    assert len(list(notes.iterdir())) == CHUNKS
    workers = record(tmp_path)["workers"]
    assert len(workers) == 2 and sum(row["images"] for row in workers) == IMAGES
    assert record(tmp_path)["plan_digest"] == record(folder / "whole")["plan_digest"]


@pytest.mark.cluster
def test_a_node_that_is_removed_midway_changes_nothing(folder, whole, tmp_path, notes, cluster, second):
    def remove() -> None:
        wait_until(lambda: len(stored(tmp_path)) >= 2)
        cluster.remove_node(second)

    thread = threading.Thread(target=remove)
    thread.start()
    assert captioner_run.evaluate(ask(folder, tmp_path, place=on_ray.OnRay(workers=2)))
    thread.join()
    assert digests(tmp_path) == whole


@pytest.mark.cluster
def test_a_killed_worker_is_started_again_and_changes_nothing(folder, whole, tmp_path, notes, cluster):
    killed: list[int] = []

    def kill() -> None:
        wait_until(lambda: len(stored(tmp_path)) >= 2)
        killed.append(int(max(notes.iterdir(), key=lambda note: note.stat().st_mtime_ns).name.split("-")[0]))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    assert captioner_run.evaluate(ask(folder, tmp_path, place=on_ray.OnRay(workers=1)))
    thread.join()
    assert digests(tmp_path) == whole
    others = {int(note.name.split("-")[0]) for note in notes.iterdir()} - set(killed)
    assert killed and others  # another process went on


@pytest.mark.cluster
def test_a_killed_driver_is_started_again_and_changes_nothing(folder, whole, tmp_path, notes, cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    first = start(folder, tmp_path, "--on", "ray")
    wait_until(lambda: len(stored(tmp_path)) >= 2)
    first.kill()
    first.communicate()
    said = finished(start(folder, tmp_path, "--on", "ray"))
    assert digests(tmp_path) == whole and "CIDEr" in said


@pytest.mark.cluster
def test_an_actor_that_always_ends_stops_the_run_with_a_sentence_and_keeps_chunks(folder, tmp_path, cluster):
    asked = ask(folder, tmp_path, place=on_ray.OnRay(workers=1), captioner="tests.support.broken_captioner:ends")
    with pytest.raises(ResultsError, match="workers of the cluster ended .* times .* finished chunks are kept"):
        captioner_run.evaluate(asked)


@pytest.mark.cluster
def test_an_error_of_the_captioner_on_a_worker_is_its_own_sentence(folder, tmp_path, cluster):
    asked = ask(folder, tmp_path, place=on_ray.OnRay(workers=1), captioner="tests.support.broken_captioner:lies")
    with pytest.raises(
        captioner_run.PluginError, match=r"captioner 'lies' returned beam sizes \[7\], expected \[1, 3\]"
    ):
        captioner_run.evaluate(asked)
    missing = replace(asked, captioner="tests.support.broken_captioner:nothing")
    with pytest.raises(PluginError, match="no class or function 'nothing'"):
        captioner_run.evaluate(missing)


@pytest.mark.cluster
@pytest.mark.parametrize(("workers", "cores"), [(5, 1), (None, 3), (1, 2)])
def test_more_workers_than_the_cluster_has_are_refused(cluster, workers, cores):
    with pytest.raises(ConfigError, match=r"--workers .*: the cluster has 1 cores and 0 GPUs"):
        on_ray.OnRay(workers, cores)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nobody", "127.0.0.1:x", "127.0.0.1:99999999", "ray://127.0.0.1:1"])
def test_a_cluster_that_cannot_be_reached_is_a_sentence_at_once(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"RAY_ADDRESS .*HOST:6379"):
        on_ray.OnRay()
    assert time.monotonic() - began < 15


@pytest.mark.cluster
def test_every_server_of_ray_listens_on_127_0_0_1(cluster):
    from tests.support.listening import addresses

    every = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    of_ray = [pid for pid in every if cluster.head_node.get_session_dir_path().encode() in _command_of(pid)]
    assert len(of_ray) >= 2
    assert {address for pid in of_ray for address in addresses(pid)} <= {"127.0.0.1"}


@pytest.mark.cluster
def test_ray_on_one_machine_needs_no_cluster_and_listens_on_127_0_0_1(folder, whole, tmp_path, notes, monkeypatch):
    from tests.support.listening import addresses, descendants

    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
    process = start(folder, tmp_path, "--on", "ray", "--workers", "1")
    wait_until(lambda: stored(tmp_path))
    listening = {address for pid in descendants(process.pid) for address in addresses(pid)}
    assert "CIDEr" in finished(process)
    assert listening == {"127.0.0.1"}
    assert digests(tmp_path) == whole


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
