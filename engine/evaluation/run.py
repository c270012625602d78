"""A run while it is computed: its folder, identity, timings, and the record that marks it as finished."""

import hashlib
import json
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock

from engine.evaluation import provenance
from engine.reading import printable, read_object
from engine.store import atomic, locks, parts, records, tables
from engine.store.errors import ResultsError
from engine.store.schema import ATTENTION_PASSES

_EARLIER = {"attention_pass": ATTENTION_PASSES["standard"], "attention_images": "all"}
"""Values of settings that older plans do not contain, because they were the same in all runs."""

_STARTING, _STATE = "starting", "plan.json"


class RunExists(ValueError):
    """A run of this name exists with other settings."""


@dataclass
class RunInProgress:
    """A run while it is computed."""

    name: str
    results: Path
    identity: dict[str, Any]
    """The settings that must be equal for a run to continue; `run.json` stores them as `plan`."""
    command: str
    metadata: dict[str, Any] = field(default_factory=dict)
    """The entries of `run.json` in addition to the identity."""

    def __post_init__(self) -> None:
        self.folder = records.run_folder(self.results, self.name)
        self.digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]
        self.watch = provenance.Stopwatch()
        self.tables: list[str] = []
        self.chunk_size: int | None = None
        """Images per chunk. It stays that of the process that began the run, so that stored chunks fit."""
        self._held: list[FileLock] = []

    @property
    def _parts(self) -> Path:
        return self.folder / parts.PARTS

    def begin(self, chunk_size: int | None = None, part: str | None = None) -> bool:
        """Lock the run's folder; return False if the same run is already finished and complete.

        A run whose record or tables are missing or cannot be read is computed again.

        Args:
            chunk_size: images per chunk, unless the run was begun with another size.
            part: the name of a job that computes only some chunks. It shares the folder with other jobs, and with
                `take_over` one of them completes the run.

        Raises:
            RunExists: a run of this name exists with other settings, finished or not.
            ResultsError: another process writes the run.
        """
        if self._is_finished():
            parts.drop_parts(self.folder)  # a kill after the record was written leaves them
            return False
        with locks.waiting(self._parts / _STARTING):  # parts may start together
            self._hold(part)
            is_finished = self._is_finished()  # by the process that held the lock
            if not is_finished:
                self._continue(chunk_size)
        if is_finished:
            self._release()
            parts.drop_parts(self.folder)
        return not is_finished

    def _hold(self, part: str | None) -> None:
        """Take the lock of the whole run, or that of a part if nobody has the whole."""
        whole = locks.hold(self._parts / parts.HELD, f"run {self.name!r}", "choose another --run")
        try:
            if part is None:
                for each in sorted(self._parts.glob(f"{parts.HELD}-*")):
                    name = each.name.removeprefix(f"{parts.HELD}-").replace("-of-", "/")
                    what = f"part {name} of run {self.name!r}"
                    self._held.append(locks.hold(each, what, "stop it and the other parts"))
                self._held.append(whole)
            else:
                mine = self._parts / f"{parts.HELD}-{part.replace('/', '-of-')}"
                self._held.append(locks.hold(mine, f"part {part} of run {self.name!r}", "run another part"))
        finally:
            if whole not in self._held:
                whole.release(force=True)

    def take_over(self) -> bool:
        """Take the lock of the whole run, whose chunks are all stored; return False if another part completes it."""
        with locks.waiting(self._parts / _STARTING):
            if self._is_finished():
                return False
            try:
                self._held.append(locks.hold(self._parts / parts.HELD, f"run {self.name!r}", "wait"))
            except ResultsError:
                return False
        return True

    @contextmanager
    def finished(self) -> Generator[None]:
        """Hold the lock of a finished run, which is extended.

        Raises:
            ResultsError: the run is not finished, or another process writes it.
            RunExists: the run has other settings.
        """
        if not self._is_finished():
            raise ResultsError(f"run {self.name!r} is not finished; run the command without --attention-of first")
        self._hold(None)
        try:
            yield
        finally:
            self._release()
            parts.drop_parts(self.folder)

    def leave(self) -> None:
        """End the work on a part of the run."""
        self._release()

    def _continue(self, chunk_size: int | None) -> None:
        """Read the state of an unfinished run, or write that of a new one."""
        state = self._parts / _STATE
        if state.is_file():
            before = self._plan(state)
            if different := self._difference(before["plan"]):
                raise RunExists(
                    f"run {self.name!r} was started with other settings ({different}); "
                    f"choose another --run, or delete {self.folder}"
                )
            self.watch = provenance.Stopwatch(before["seconds"])
            self.chunk_size = before.get("chunk_size", chunk_size)
            return
        parts.drop_chunks(self.folder)  # without their settings they may belong to another run of this name
        self.chunk_size = chunk_size
        content = {"digest": self.digest, "plan": self.identity, "seconds": {}, "chunk_size": chunk_size}
        atomic.write_json(state, content)

    def _plan(self, file: Path) -> dict[str, Any]:
        """Return the settings and times of the unfinished run.

        Raises:
            ResultsError: the file is damaged, so that the settings of the stored chunks are not known.
        """
        start_over = f"delete {file.parent} to start over"
        try:
            plan = read_object(file, ResultsError)
        except ResultsError as error:
            raise ResultsError(f"{error}; {start_over}") from error
        seconds = plan.get("seconds")
        size = plan.get("chunk_size")
        is_known = isinstance(plan.get("plan"), dict) and (size is None or (type(size) is int and size > 0))
        if not is_known or not _are_seconds(seconds):
            raise ResultsError(f"{file}: expected the objects 'plan' and 'seconds' of an unfinished run; {start_over}")
        return plan

    def _is_finished(self) -> bool:
        """Return whether the same run is finished and complete; delete its record if a table is missing.

        Raises:
            RunExists: a finished run of this name has other settings.
        """
        record = self._record()
        if record is None:
            return False
        if different := self._difference(record.get("plan") or {"kind": None}):
            raise RunExists(
                f"run {self.name!r} already exists with other settings ({different}); "
                f"choose another --run, or delete {self.folder}"
            )
        if records.lost_tables(self.folder, record.get("tables", [])):
            records.drop_record(self.folder)
            return False
        return True

    def _record(self) -> dict[str, Any] | None:
        try:
            return records.read_record(self.folder)
        except ResultsError:
            records.drop_record(self.folder)  # an unreadable record counts as an unfinished run
            return None

    def write(self, table: str, rows: pa.Table) -> None:
        """Write a table into the run's folder."""
        tables.write_table(self.folder, table, rows)
        self.tables.append(table)

    def write_rows(self, table: str, made: Iterable[pa.Table], rows: int | None = None) -> None:
        """Write a table into the run's folder from parts that are made one after the other; see `tables.write_rows`."""
        tables.write_rows(self.folder, table, made, rows)
        self.tables.append(table)

    def finish(self) -> None:
        """Write the record, which marks the run as finished."""
        record = {
            "run": self.name,
            "created": provenance.now(),
            "command": self.command,
            "plan": self.identity,
            "plan_digest": self.digest,
            "tables": sorted(set(self.tables)),
            "versions": provenance.versions(),
            "timings": {name: round(seconds, 3) for name, seconds in self.watch.seconds.items()},
            **self.metadata,
        }
        records.write_record(self.folder, record)
        parts.drop_parts(self.folder)
        self._release()

    def abandon(self) -> None:
        """Delete the unfinished run."""
        records.drop_run(self.folder)
        self._release()

    def abandon_unbegun(self) -> None:
        """Delete the unfinished run if no chunk of it is stored."""
        if not parts.has_parts(self.folder):
            self.abandon()

    def _release(self) -> None:
        for lock in self._held:
            lock.release(force=True)
        self._held.clear()

    def _difference(self, before: dict[str, Any]) -> str:
        """Return a text that names the settings that differ from the plan `before`, or "".

        Settings that older plans do not contain have their value in _EARLIER; without one their value is unknown and
        does not count as a difference.
        """
        before, plan = (
            _flat(before),
            _flat(json.loads(json.dumps(self.identity))),
        )  # as read from JSON: tuples are lists
        before = {name: value for name, value in _EARLIER.items() if plan.get(name) is not None} | before
        names = [name for name in before if before[name] != plan.get(name)]
        # The fingerprint of a captioner also changes with settings that have a name: it comes last.
        first = sorted(names, key=lambda name: (name == "captioner", name))[:2]
        shown = [f"{_short(name)}: {_short(before[name])} before, {_short(plan.get(name))} now" for name in first]
        return ", ".join(shown)


def _are_seconds(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(each, int | float) for each in found.values())


def _flat(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the plan with groups of settings flattened, so that a difference names the setting, not the group."""
    groups = {name: value for name, value in plan.items() if isinstance(value, dict) and value}
    opened = {f"{name}.{key}": each for name, value in groups.items() for key, each in value.items()}
    return {name: value for name, value in plan.items() if name not in groups} | opened


def _short(value: object) -> str:
    """Return a value as text, truncated for a message."""
    text = " ".join(printable(str(value)[:501]).split())
    return text if len(text) <= 500 else f"{text[:500]} ..."
