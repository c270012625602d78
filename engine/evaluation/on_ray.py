"""Caption the chunks of a run on a Ray cluster. The only module that imports Ray.

Ray Data moves chunk numbers with their examples to actors, which keep the captioner in memory and store finished chunks
in the run's folder, which all machines share. So a retry, an actor that is started again and a new driver all continue
with the chunks that are missing.
"""

import os
import pickle
import socket
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from engine.config import ConfigError, DecodingConfig
from engine.evaluation import chunks
from engine.evaluation.captioner_source import CaptionerFacts, CaptionerSource, facts_of
from engine.evaluation.chunks import Chunk, Work
from engine.reading import first_line
from engine.store.errors import ResultsError

TRIES = 3
"""How often an actor is started again, and a chunk given to an actor again, before the run stops."""

TIME_LIMIT = 3_600.0
"""Seconds for a chunk, if the command does not say."""


class OnRay:
    """The actors of a Ray cluster, or of this machine if no cluster is named in RAY_ADDRESS."""

    part = None
    time_limit = TIME_LIMIT

    def __init__(self, workers: int | None = None, worker_cores: int = 1) -> None:
        """Connect to the cluster.

        Args:
            workers: the number of actors; None starts one per GPU, and without GPUs as many as the cores allow.
            worker_cores: cores of each actor.

        Raises:
            ConfigError: Ray is not installed, the cluster cannot be reached, or has too few cores.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if not os.environ.get("RAY_ADDRESS"):
            # Ray then listens on 127.0.0.1 only, as it does on systems where it runs on one machine.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise ConfigError(
                f"--on ray: Ray is not installed ({error}); pip install 'captionscope[cluster]' on every machine"
            ) from error
        self._connect(ray)
        has = ray.cluster_resources()
        self._gpus = int(has.get("GPU", 0))
        cores = int(has.get("CPU", 0)) // worker_cores
        self._workers = workers or (min(self._gpus, cores) if self._gpus else cores)
        if not self._workers or self._workers > (self._gpus or cores):
            raise ConfigError(
                f"--workers {workers or 'as many as possible'}, --worker-cores {worker_cores}: the cluster has "
                f"{int(has.get('CPU', 0))} cores and {self._gpus} GPUs, expected at least those of one worker"
            )
        self._cores = worker_cores
        self.device = "cuda" if self._gpus else "cpu"
        """The device of the actors."""

    @staticmethod
    def _connect(ray: Any) -> None:
        if ray.is_initialized():
            return
        address = os.environ.get("RAY_ADDRESS", "")
        # Without "local", Ray would join a cluster that somebody else has started on this machine.
        more: dict[str, Any] = (
            {"address": "auto"} if address not in ("", "local") else {"address": "local", "include_dashboard": False}
        )
        if address.startswith("ray://"):
            raise ConfigError(
                f"RAY_ADDRESS is {address!r}: a run through a Ray client ends with its connection; "
                "run the command on a machine of the cluster, with RAY_ADDRESS=HOST:6379"
            )
        if address not in ("", "auto", "local"):
            _reach(address)
        try:
            ray.init(log_to_driver=False, logging_level="error", **more)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise ConfigError(
                f"--on ray: no Ray cluster at RAY_ADDRESS {os.environ.get('RAY_ADDRESS')!r} "
                f"({' '.join(str(error).split())[:200]}); start one with 'ray start --head'"
            ) from error

    def facts(self, source: CaptionerSource, config: DecodingConfig) -> CaptionerFacts:
        """Load the captioner on a machine of the cluster; see `pool.Place`."""
        import ray
        from ray.exceptions import RayError

        task = ray.remote(num_cpus=self._cores, num_gpus=1 if self._gpus else 0, max_retries=TRIES, max_calls=1)(
            _facts_there
        )
        try:
            found = pickle.loads(ray.get(task.remote(pickle.dumps((source, config)))))
        except RayError as error:
            raise _ended(error) from error
        if isinstance(found, Exception):
            raise found
        return found

    def run(self, work: Work, missing: Sequence[Chunk]) -> Iterator[int]:
        """Caption chunks; see `pool.Place`.

        Raises:
            ResultsError: actors ended more often than TRIES allows; finished chunks are kept.
        """
        import ray
        from ray.data import ActorPoolStrategy, DataContext
        from ray.exceptions import RayError

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.verbose_stats_logs = False
        _quiet()
        rows = [{"chunk": pickle.dumps(chunk)} for chunk in missing]
        # Two calls at a time in an actor: one reads photos while the other uses the model.
        actors = ActorPoolStrategy(
            size=min(self._workers, len(rows)), max_concurrent_calls_per_actor=2, enable_true_multi_threading=True
        )
        with warnings.catch_warnings():
            # The documented way to bound retries, until Ray has another one.
            warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
            found = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                _Actor,
                batch_size=1,
                compute=actors,
                fn_constructor_args=(pickle.dumps(work), self._cores),
                num_cpus=self._cores,
                num_gpus=1 if self._gpus else 0,
                max_restarts=TRIES,
                max_task_retries=TRIES,
            )
        try:
            for row in found.iter_rows():
                if row["error"]:
                    raise pickle.loads(row["error"])
                yield int(row["images"])
        except RayError as error:
            raise _ended(error) from error

    def metadata(self) -> None:
        """Return nothing: each worker has a captioner of its own."""


def _reach(address: str) -> None:
    """Check that something answers at an address: Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10):
            pass
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"--on ray: no Ray cluster at RAY_ADDRESS {address!r} ({first_line(error)}); expected HOST:6379 of a "
            "machine on which 'ray start --head' runs"
        ) from error


class _Actor:
    """Captions chunks on a machine of the cluster."""

    def __init__(self, packed: bytes, cores: int) -> None:
        import ray

        work: Work = pickle.loads(packed)
        _prepare(work.source.device, cores)
        node = f"{socket.gethostname()} ({ray.get_runtime_context().get_node_id()[:8]})"
        self._worker = chunks.Worker(work, work.source.load(), node, readers=max(2, cores))

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        (packed,) = batch["chunk"]
        try:
            return {"images": [self._worker.one(pickle.loads(packed))], "error": [b""]}
        except Exception as error:  # Ray would return a text, and try again
            return {"images": [0], "error": [_packed(error)]}


def _facts_there(packed: bytes) -> bytes:
    source, config = pickle.loads(packed)
    try:
        _prepare(source.device, 1)
        return pickle.dumps(facts_of(source.load(), config))
    except Exception as error:
        return _packed(error)


def _prepare(name: str, cores: int) -> None:
    """Prepare a process of the cluster for models, as a command does."""
    import torch

    from engine.models import device

    device.prepare(name)
    torch.set_num_threads(cores)


def _quiet() -> None:
    import logging

    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _ended(error: Exception) -> ResultsError:
    text = " ".join(str(error).split())
    return ResultsError(
        f"workers of the cluster ended {TRIES} times over the same chunk ({text[:300]}); finished chunks are kept: "
        "run the same command again to continue"
    )


def _packed(error: Exception) -> bytes:
    """Return an error to be raised on the driver, or raise it here if it is a bug, whose traceback Ray shows."""
    if not (type(error).__module__.startswith("engine.") or isinstance(error, OSError)):
        raise error
    return pickle.dumps(error)
