"""The device that models run on, and the settings of the process for them."""

from engine.config import ConfigError


def prepare(name: str | None) -> str:
    """Return the device of `--device` after preparing the process for it.

    Args:
        name: cpu, cuda, cuda:1 and the like; None chooses cuda if available, else cpu.

    Raises:
        ConfigError: the device is not usable here.
    """
    import torch

    from engine.models import allocator
    from engine.reading import first_line

    allocator.keep_freed_memory()
    allocator.use_huge_pages()
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32 on a GPU, too; bf16 is the faster choice
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.ones(1, device=name).item()  # fails on a device that stores no numbers, such as meta
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"--device {name}: not usable here ({first_line(error)}); try --device cpu") from error
    if name.startswith("cuda:"):
        torch.cuda.set_device(name)  # kernels, graphs and streams are created on the current device
    return name
