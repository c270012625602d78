"""Results on object storage (S3 and compatible): a local folder mirrors them.

Commands and pages work in the mirror. Finished runs are uploaded, `run.json` last: object storage cannot rename a
folder, so this object is the commit, and readers ignore a run without it. Of a chunk, the record is uploaded last.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from engine.reading import first_line, quoted
from engine.store import atomic, locks, records, shards
from engine.store.errors import ResultsError
from engine.store.parts import PARTS, RECORD
from engine.store.schema import RUN_RECORD
from engine.writing import user_cache

_ADDRESS, _SYNCED, _PULLED = ".remote", ".synced", ".pulled"


def is_address(text: str) -> bool:
    """Return whether results are named by an address of object storage, and not by a folder."""
    return re.match(r"s3://[A-Za-z0-9][A-Za-z0-9._-]+(/|\?|$)", text) is not None


def folder_of(address: str) -> Path:
    """Return the folder that mirrors an address; make it if it does not exist."""
    folder = user_cache("mirrors") / hashlib.sha256(address.encode()).hexdigest()[:16]
    if not (folder / _ADDRESS).is_file():
        atomic.write_text(folder / _ADDRESS, f"{address}\n")
    return folder


def of(results: Path) -> "Remote | None":
    """Return the remote results that a folder mirrors, or None."""
    file = results / _ADDRESS
    return Remote(file.read_text(encoding="utf-8").strip(), results) if file.is_file() else None


class Remote:
    """Results at an address such as s3://bucket/prefix, and their mirror.

    Credentials, region and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on) or from
    the address, as in s3://bucket/prefix?endpoint_override=HOST:PORT.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Remote, (self.address, self.folder)  # a connection is not sent to another process

    @cached_property
    def _place(self) -> tuple[fs.FileSystem, str]:
        try:
            found, root = fs.FileSystem.from_uri(self.address)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ResultsError(
                f"results {quoted(self.address)}: {first_line(error)}; expected s3://BUCKET/PREFIX"
            ) from error
        return found, root.rstrip("/")

    @contextmanager
    def _reporting(self) -> Generator[tuple[fs.FileSystem, str]]:
        """Yield the file system and the root; an error of the storage becomes one sentence."""
        try:
            yield self._place
        except (pa.ArrowException, OSError) as error:
            raise ResultsError(
                f"results {quoted(self.address)}: {first_line(error)[:300]}; check the address, AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL, and run the same command again: what is computed is kept "
                f"in {self.folder}"
            ) from error

    def pull(self) -> list[str]:
        """Copy finished runs that are new or changed into the mirror; return their names.

        Raises:
            ResultsError: the storage cannot be read, or a run was computed in the mirror and differently elsewhere.
        """
        with self._reporting() as (system, root):
            found = fs.FileSelector(f"{root}/runs", recursive=True, allow_not_found=True)
            every = [each for each in system.get_file_info(found) if each.is_file]
            markers = [each for each in every if _is_marker(each.path, root)]
            return [name for each in markers if (name := self._pull_run(system, each, every)) is not None]

    def _pull_run(self, system: fs.FileSystem, marker: fs.FileInfo, every: Sequence[fs.FileInfo]) -> str | None:
        prefix = marker.path.removesuffix(RUN_RECORD)
        name = prefix.split("/")[-2]
        with system.open_input_stream(marker.path) as stream:
            content = stream.read()
        files = {each.path.removeprefix(prefix): each.size for each in every if each.path.startswith(prefix)}
        files = {path: size for path, size in files.items() if not path.startswith(f"{PARTS}/")}
        target = records.run_folder(self.folder, name)
        there = _state(files, content)
        if (target / RUN_RECORD).is_file():
            here = _state(_files(target), (target / RUN_RECORD).read_bytes())
            if here == there:
                atomic.write_text(target / _SYNCED, there)
                return None
            if _synced(target) != here:  # it was computed or extended in the mirror
                if (target / RUN_RECORD).read_bytes() == content:
                    return None
                raise ResultsError(
                    f"run {name!r} is finished in {target} and, with other content, at {self.address}; "
                    f"choose another --run, or delete {target}"
                )
        with locks.waiting(self.folder / _PULLED / f"{name}.lock"):
            temporary = self.folder / _PULLED / name
            shutil.rmtree(temporary, ignore_errors=True)
            for path in files:
                self._download(system, f"{prefix}{path}", temporary / path)
            (temporary / _SYNCED).write_text(there)
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, target)
        return name

    def push(self) -> list[str]:
        """Upload the finished runs of the mirror that are not there yet, and return their names."""
        runs, _ = records.find_runs(self.folder)
        return [run.name for run in runs if self.push_run(run.name)]

    def push_run(self, name: str) -> bool:
        """Upload a finished run unless it is there; return whether it was uploaded."""
        folder = records.run_folder(self.folder, name)
        state = _state(_files(folder), (folder / RUN_RECORD).read_bytes())
        if _synced(folder) == state:
            return False
        with self._reporting() as (system, root):
            prefix = f"{root}/runs/{name}"
            if system.get_file_info(f"{prefix}/{RUN_RECORD}").is_file:
                system.delete_file(f"{prefix}/{RUN_RECORD}")  # no reader sees a mixture of two runs
            for path in sorted(_files(folder)):
                if path != RUN_RECORD:
                    self._upload(system, folder / path, f"{prefix}/{path}")
            self._upload(system, folder / RUN_RECORD, f"{prefix}/{RUN_RECORD}")
            self._delete(system, f"{prefix}/{PARTS}")
        atomic.write_text(folder / _SYNCED, state)
        return True

    def push_chunk(self, folder: Path) -> None:
        """Upload a finished chunk, its record last."""
        with self._reporting() as (system, root):
            key = f"{root}/{folder.relative_to(self.folder)}"
            files = sorted(folder.iterdir(), key=lambda path: path.name == RECORD)
            for path in files:
                self._upload(system, path, f"{key}/{path.name}")

    def pull_chunks(self, stage: Path) -> None:
        """Copy the finished chunks of a stage that the mirror lacks; `stage` is their folder in the mirror."""
        with self._reporting() as (system, root):
            key = f"{root}/{stage.relative_to(self.folder)}"
            found = system.get_file_info(fs.FileSelector(key, recursive=True, allow_not_found=True))
            paths = [each.path for each in found if each.is_file]
            for marker in (path for path in paths if path.endswith(f"/{RECORD}")):
                prefix = marker.removesuffix(RECORD)
                target = stage / prefix.rstrip("/").split("/")[-1]
                if target.exists():
                    continue
                temporary = target.with_name(f".{target.name}.pull")
                shutil.rmtree(temporary, ignore_errors=True)
                for path in (path for path in paths if path.startswith(prefix)):
                    self._download(system, path, temporary / path.removeprefix(prefix))
                os.replace(temporary, target)

    def push_table(self, folder: Path, table: str) -> None:
        """Upload a table of an unfinished run, which workers on other machines read."""
        with self._reporting() as (system, root):
            for path in shards.files_of(folder, table):
                self._upload(system, path, f"{root}/{path.relative_to(self.folder)}")

    def pull_table(self, folder: Path, table: str) -> None:
        """Copy a table of an unfinished run into the mirror, unless it is there."""
        if all(path.is_file() for path in shards.files_of(folder, table)):
            return
        with self._reporting() as (system, root):
            key = f"{root}/{folder.relative_to(self.folder)}"
            selector = fs.FileSelector(key, recursive=True, allow_not_found=True)
            for each in system.get_file_info(selector):
                name = each.path.removeprefix(f"{key}/")
                if each.is_file and (name == f"{table}.parquet" or name.startswith(f"{table}/")):
                    self._download(system, each.path, folder / name)

    @staticmethod
    def _download(system: fs.FileSystem, path: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with system.open_input_stream(path) as source, target.open("wb") as copy:
            for block in _blocks(source):
                copy.write(block)
            copy.flush()
            os.fsync(copy.fileno())
        if target.stat().st_size != (expected := system.get_file_info(path).size):
            raise OSError(f"{path}: {target.stat().st_size} bytes were read, expected {expected}")

    @staticmethod
    def _upload(system: fs.FileSystem, path: Path, key: str) -> None:
        with path.open("rb") as source, system.open_output_stream(key) as copy:
            for block in _blocks(source):
                copy.write(block)

    @staticmethod
    def _delete(system: fs.FileSystem, key: str) -> None:
        if system.get_file_info(key).type == fs.FileType.Directory:
            system.delete_dir(key)


def _blocks(source: Any) -> Iterator[bytes]:
    while block := source.read(2**23):
        yield block


def _is_marker(path: str, root: str) -> bool:
    """Return whether an object is the record of a run."""
    return path.endswith(f"/{RUN_RECORD}") and path.removeprefix(f"{root}/runs/").count("/") == 1


def _files(folder: Path) -> dict[str, int]:
    """Return the files of a run with their sizes, without those that stay in the mirror."""
    every = [path for path in folder.rglob("*") if path.is_file() and path.name != _SYNCED]
    names = {path.relative_to(folder).as_posix(): path.stat().st_size for path in every}
    return {name: size for name, size in names.items() if not name.startswith(f"{PARTS}/")}


def _state(files: Mapping[str, int], record: bytes) -> str:
    """Return a text that changes with the record of a run and with the names and sizes of its files."""
    return hashlib.sha256(record + repr(sorted(files.items())).encode()).hexdigest()


def _synced(folder: Path) -> str:
    """Return the state of a run when it was last equal in the mirror and at the address."""
    file = folder / _SYNCED
    return file.read_text(encoding="utf-8") if file.is_file() else ""
