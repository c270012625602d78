"""Record where numbers come from: versions, hardware and timings."""

import os
import platform
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version

_PACKAGES = ("captionscope", "torch", "timm", "open_clip_torch", "pycocoevalcap", "tokenizers", "numpy", "pyarrow")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that influence results."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def hardware(device: str) -> dict[str, object]:
    """Return the properties of the machine that influence speed and rounding."""
    found: dict[str, object] = {"device": device, "machine": platform.machine(), "cores": os.cpu_count()}
    if device != "cpu":
        import torch

        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def now() -> str:
    """Return the current time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


class Stopwatch:
    """Sums seconds by name."""

    def __init__(self, before: dict[str, float] | None = None) -> None:
        self.seconds = dict(before or {})

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add seconds that were measured elsewhere."""
        for name, more in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + more

    @contextmanager
    def measure(self, name: str) -> Generator[None]:
        """Add the time spent in the context to `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
