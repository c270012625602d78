"""A run in the making: its folder, its plan, its clock, and the record that makes it finished.

Knows what a run is begun with and whether a folder is that run's. Knows no stage.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock

from engine.evaluation import provenance
from engine.store import atomic, locks, records, tables
from engine.store.errors import ResultsError
from engine.store.schema import ATTENTION_PASSES

_EARLIER = {"attention_pass": ATTENTION_PASSES["standard"]}
"""Settings that an earlier form of the plan did not name, as they were the same in every run that has them."""


class RunExists(ValueError):
    """The run's name belongs to other settings."""


@dataclass
class RunInProgress:
    """A run in the making: its folder, its plan, and what the record will say."""

    name: str
    results: Path
    identity: dict[str, Any]
    """What must be the same for a run to continue; `run.json` keeps it as `plan`."""
    command: str
    metadata: dict[str, Any] = field(default_factory=dict)
    """What `run.json` says beside the identity."""

    def __post_init__(self) -> None:
        self.folder = records.run_folder(self.results, self.name)
        self.digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]
        self.watch = provenance.Stopwatch()
        self.tables: list[str] = []
        self._held: FileLock | None = None

    def begin(self) -> bool:
        """Claims the folder; False where the same run is finished already and whole.

        A run whose record or tables cannot be read, or are gone, is made again.

        Raises:
            RunExists: other settings are there, finished or not.
            ResultsError: another process writes the run.
        """
        if self._is_finished():
            return False
        self._held = locks.hold(self.folder / ".parts" / "held", f"run {self.name!r}", "choose another --run")
        if self._is_finished():  # by the process that held it until now
            tables.drop_parts(self.folder)
            return False
        state = self.folder / ".parts" / "plan.json"
        if state.is_file():
            before = json.loads(state.read_text(encoding="utf-8"))
            if different := self._difference(before["plan"]):
                raise RunExists(
                    f"run {self.name!r} was begun with other settings ({different}); "
                    f"choose another --run, or delete {self.folder}"
                )
            self.watch = provenance.Stopwatch(before["seconds"])
        self.keep_time()
        return True

    def _is_finished(self) -> bool:
        """Whether the same run is finished and whole; one that lost a table is made unfinished.

        Raises:
            RunExists: other settings are there, finished.
        """
        record = self._record()
        if record is None:
            return False
        if different := self._difference(record.get("plan") or {"kind": None}):
            raise RunExists(
                f"run {self.name!r} is there with other settings ({different}); "
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
            records.drop_record(self.folder)  # nobody can read it: as if the run had not been finished
            return None

    def keep_time(self) -> None:
        """Writes down the plan and the time so far, for a run that is continued."""
        content = {"digest": self.digest, "plan": self.identity, "seconds": self.watch.seconds}
        atomic.write_json(self.folder / ".parts" / "plan.json", content)

    def write(self, table: str, rows: pa.Table) -> None:
        """Writes a table of the contract into the run's folder."""
        tables.write_table(self.folder, table, rows)
        self.tables.append(table)

    def finish(self) -> None:
        """Writes the record, which makes the run finished."""
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
        tables.drop_parts(self.folder)
        self._let_go()

    def abandon(self) -> None:
        """Deletes what was begun."""
        records.drop_run(self.folder)
        self._let_go()

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.release(force=True)

    def _difference(self, before: dict[str, Any]) -> str:
        """Return which settings differ from the plan `before`, in words, or "".

        A setting that an earlier form of the plan did not name had its value of _EARLIER. Without one there, its value
        is not known, which does not count as a difference.
        """
        before, plan = _flat(before), _flat(json.loads(json.dumps(self.identity)))  # as it was read: tuples are lists
        before = {name: value for name, value in _EARLIER.items() if plan.get(name) is not None} | before
        names = [name for name in before if before[name] != plan.get(name)]
        shown = [f"{name}: {_short(before[name])} before, {_short(plan.get(name))} now" for name in sorted(names)[:2]]
        return ", ".join(shown)


def _flat(plan: dict[str, Any]) -> dict[str, Any]:
    """Groups of settings opened, so that what differs is named and not the whole group."""
    groups = {name: value for name, value in plan.items() if isinstance(value, dict) and value}
    opened = {f"{name}.{key}": each for name, value in groups.items() for key, each in value.items()}
    return {name: value for name, value in plan.items() if name not in groups} | opened


def _short(value: object) -> str:
    """The value for a message; of many names the first."""
    text = str(value)
    return text if len(text) <= 500 else f"{text[:500]} ..."
