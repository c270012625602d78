"""The processes of one training, one per GPU: which rank this is, and how ranks wait, share results and add numbers.

`torchrun` starts the processes and describes them in environment variables. In a single process nothing here has an
effect.
"""

import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from engine.reading import first_line, quoted
from engine.training.errors import TrainingError

T = TypeVar("T")

JOIN_TIMEOUT = timedelta(minutes=10)
"""How long a rank waits until all ranks have started."""
STEP_TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for the gradients of another, which may have to read slow photos first."""
WAIT_TIMEOUT = timedelta(days=7)
"""How long ranks wait for rank 0, which encodes or validates alone. A rank that ends is noticed at once."""

_GRACE = 5.0
"""Seconds before a rank ends because of another one's error. Until then torchrun has read the status of that rank, has
reported it as the cause, and has ended the others."""

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@dataclass(frozen=True)
class Ranks:
    """The rank of this process and the number of ranks; by default this process is alone."""

    rank: int = 0
    size: int = 1
    local_rank: int | None = None
    """The number of this process on its machine; None if torchrun did not start it."""
    waiting: dist.ProcessGroup | None = None
    """All ranks, over the CPU: waiting for rank 0 occupies no GPU and may take long."""

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which writes files and prints."""
        return self.rank == 0

    def first(self, work: Callable[[], T]) -> T:
        """Run `work` on rank 0 while the others wait; return its result, which can be pickled, on every rank.

        If `work` fails, its error is raised on rank 0 and the other ranks end without a message.
        """
        if self.size == 1:
            return work()
        if not self.is_first:
            outcome = self._broadcast(None)
            if outcome is None:
                _leave()
            return outcome[0]
        try:
            result = work()
        except Exception:
            with suppress(RuntimeError):  # another rank has ended as well
                self._broadcast(None)
            raise
        self._broadcast((result,))
        return result

    def in_turn(self, work: Callable[[], T]) -> T:
        """Run `work` on rank 0, then on all others at once; return this rank's own result.

        An error that every rank would meet is raised, and printed, by rank 0 only.
        """
        kept: list[T] = []
        self.first(lambda: kept.append(work()))
        return kept[0] if kept else work()

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum over all ranks of a tensor of one shape."""
        if self.size == 1:
            return value
        total = value.clone()
        dist.all_reduce(total)
        return total

    def wrap(self, module: nn.Module, device: torch.device, has_trained_encoder: bool) -> nn.Module:
        """Return the module whose backward pass averages gradients over ranks, and whose weights are those of rank 0.

        Args:
            has_trained_encoder: encoders have weights that no caption needs, and batch statistics, which are then those
                of rank 0 on all ranks before every step.
        """
        if self.size == 1:
            return module
        return DistributedDataParallel(
            module,
            device_ids=None if device.type == "cpu" else [device],
            forward_sync_buffers=has_trained_encoder,
            find_unused_parameters=has_trained_encoder,
        )

    def device(self, name: str | None) -> str | None:
        """Return the device of `--device` for this rank: under torchrun, each process has its own GPU.

        Raises:
            TrainingError: there are fewer GPUs than processes, or `name` is one GPU for all processes.
        """
        if self.local_rank is None or name == "cpu" or (name is None and not torch.cuda.is_available()):
            return name
        if name not in (None, "cuda"):
            if self.size == 1:
                return name
            raise TrainingError(
                f"--device {name}: {self.size} processes cannot share one device, expected cuda or cpu; leave out "
                "--device to give each process its own GPU"
            )
        if self.local_rank >= torch.cuda.device_count():
            raise TrainingError(
                f"process {self.local_rank} of this machine has no GPU: the machine has {torch.cuda.device_count()}; "
                "start as many processes as GPUs (--nproc-per-node), or use --device cpu"
            )
        return f"cuda:{self.local_rank}"

    def _broadcast(self, value: tuple[Any] | None) -> Any:
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self.waiting)
        return values[0]


def syncing(module: nn.Module, is_last: bool) -> AbstractContextManager:
    """Return the context of one backward pass of a step: only the last one exchanges gradients."""
    if is_last or not isinstance(module, DistributedDataParallel):
        return nullcontext()
    return module.no_sync()


def from_environment(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Return the rank that torchrun gave this process; without its variables the process is alone.

    Raises:
        TrainingError: a variable is missing or damaged.
    """
    if not any(name in environment for name in _VARIABLES):
        return Ranks()
    rank, size, local_rank = (_number(environment, name) for name in _VARIABLES)
    for name, value, end in (("RANK", rank, size), ("LOCAL_RANK", local_rank, size)):
        if value >= end:
            raise TrainingError(_expected(name, value, f"a number below WORLD_SIZE ({size})"))
    if size > 1:
        if not 0 < (port := _number(environment, "MASTER_PORT")) < 2**16:
            raise TrainingError(_expected("MASTER_PORT", port, "a port from 1 to 65535"))
        if not environment.get("MASTER_ADDR"):
            raise TrainingError(_expected("MASTER_ADDR", environment.get("MASTER_ADDR"), "the address of rank 0"))
    return Ranks(rank, size, local_rank)


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name)
    if text is None or not (text.isascii() and text.isdigit() and len(text) < 10):
        raise TrainingError(_expected(name, text, "a whole number from 0"))
    return int(text)


def _expected(name: str, value: object, expected: str) -> str:
    given = "is not set" if value is None else f"is {quoted(value)}"
    return (
        f"the environment variable {name} {given}, expected {expected}; start the command with torchrun, or unset "
        f"{', '.join(_VARIABLES)} to train in one process"
    )


@contextmanager
def joined(device: str | None) -> Generator[Ranks]:
    """Connect the processes that torchrun started; only rank 0 prints within this context.

    Args:
        device: the value of `--device`.

    Raises:
        TrainingError: the environment is damaged, a process has no GPU, or the connection to another rank is lost.
    """
    ranks = from_environment()
    if ranks.size == 1:
        yield ranks
        return
    backend = "gloo" if _own_device(ranks, device) in (None, "cpu") else "nccl"
    with _quiet(ranks), _connection(ranks):
        dist.init_process_group(backend, store=_store(), rank=ranks.rank, world_size=ranks.size, timeout=STEP_TIMEOUT)
        yield replace(ranks, waiting=dist.new_group(backend="gloo", timeout=WAIT_TIMEOUT))
        # Only after success: after an error other ranks may never answer.
        dist.destroy_process_group()


def _store() -> dist.Store:
    """Return the store by which ranks find each other.

    torchrun keeps it when it restarts killed ranks, which must not read the addresses of the earlier ones.
    """
    try:
        store, _, _ = next(dist.rendezvous("env://", timeout=JOIN_TIMEOUT))
    except dist.DistError as error:
        where, minutes = (os.environ.get(name) for name in ("MASTER_ADDR", "MASTER_PORT")), JOIN_TIMEOUT.seconds // 60
        raise TrainingError(
            f"rank {os.environ['RANK']}: no connection to rank 0 at {':'.join(map(str, where))} within {minutes} "
            f"minutes ({first_line(error)[:100]}); start all ranks with the same address and port"
        ) from error
    return dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _own_device(ranks: Ranks, name: str | None) -> str | None:
    try:
        device = ranks.device(name)
    except TrainingError:
        # All processes of the machine fail, or those without a GPU: the first of them reports it.
        if ranks.local_rank != (torch.cuda.device_count() if name in (None, "cuda") else 0):
            _leave()
        raise
    if device is not None and device.startswith("cuda"):
        torch.cuda.set_device(device)
    return device


@contextmanager
def _quiet(ranks: Ranks) -> Generator[None]:
    """Discard what other ranks than rank 0 print; errors leave this context and are printed."""
    if ranks.is_first:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            yield
        except KeyboardInterrupt:  # reported by rank 0
            raise SystemExit(130) from None


@contextmanager
def _connection(ranks: Ranks) -> Generator[None]:
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
            raise
        time.sleep(_GRACE)
        raise TrainingError(
            f"rank {ranks.rank} lost the connection to another rank ({first_line(error)[:100]}); see the messages of "
            "the others, and run the same command again to continue"
        ) from error


def _leave() -> None:
    """End this process because of an error that another rank reports."""
    time.sleep(_GRACE)
    raise SystemExit(2)
