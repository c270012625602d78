"""Options that say where a run is computed: here, as one of several jobs, or on a Ray cluster."""

import argparse
from typing import TYPE_CHECKING

from engine.cli import parser
from engine.config import ConfigError

if TYPE_CHECKING:  # Ray and the models take seconds to import
    from engine.evaluation.captioner_run import Outcome
    from engine.evaluation.pool import Place


def add(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    command.add_argument(
        "--part",
        metavar="I/N",
        help="caption only the chunks of job I of N; the job that ends last also scores (see docs/scaling.md)",
    )
    command.add_argument(
        "--on", choices=("ray",), help="caption on the Ray cluster of RAY_ADDRESS, or on the cores of this machine"
    )
    command.add_argument(
        "--workers",
        type=parser.positive,
        metavar="N",
        help="workers on the cluster (default: one per GPU; without GPUs as many as the cores allow)",
    )
    command.add_argument(
        "--worker-cores", type=parser.positive, metavar="N", help="cores of each worker on the cluster (default: 1)"
    )
    command.add_argument(
        "--chunk-size",
        type=parser.positive,
        metavar="N",
        help="images that are captioned together and stored at once (default: 64, or 256 on a large GPU)",
    )
    command.add_argument(
        "--chunk-limit",
        type=parser.positive,
        metavar="SECONDS",
        help="time after which an unfinished chunk ends its process (default: none; 3600 on a cluster)",
    )
    command.add_argument(
        "--skip-timing", action="store_true", help="do not time each beam size alone, on the first chunk"
    )


def check(options: argparse.Namespace) -> None:
    """Raise `ConfigError` if options contradict each other."""
    from engine.evaluation import pool

    if options.part is not None:
        pool.part_of(options.part)
        if options.on:
            raise ConfigError(
                f"--part {options.part} and --on {options.on}: expected one of them; Ray divides the work"
            )
    for name, value in (("--workers", options.workers), ("--worker-cores", options.worker_cores)):
        if value is not None and not options.on:
            raise ConfigError(f"{name} {value}: only for workers on a cluster; add --on ray")


def chosen(options: argparse.Namespace) -> "Place":
    """Return the place of the options.

    Raises:
        ConfigError: the cluster cannot be used.
    """
    from engine.evaluation import pool

    if options.on:
        from engine.evaluation.on_ray import OnRay

        return OnRay(options.workers, options.worker_cores or 1)
    return pool.Here(None if options.part is None else pool.part_of(options.part))


def sentence(outcome: "Outcome") -> str:
    """Return what remains to be done after a part."""
    from engine.evaluation.captioner_run import Outcome

    if outcome is Outcome.ELSEWHERE:
        return "captioned; another part completes the run"
    return "captioned; chunks of other parts are missing, and the part that ends last scores the run"
