"""Writes the state-dict names and shapes of timm 0.6.11's ViTs, DeiTs and BEiTs, base and large, for `test_old_timm`.

The study's checkpoints were written under that version, which cannot be installed beside the present one:

    pip install --target OLD --no-deps timm==0.6.11
    PYTHONPATH=OLD python tests/engine/captioners/native/golden/make_timm_keys.py

Made with timm 0.6.11 and torch 2.14.1.
"""

import gzip
import json
import re
import sys
import types
from pathlib import Path

import torch

GOLDEN = Path(__file__).with_name("timm_0_6_11_keys.json.gz")
WANTED = re.compile(r"(vit(_relpos)?|deit3?|beit(v2)?)_(base|large)_")


def main() -> None:
    """Write GOLDEN: {model: {name: shape}}, classifier heads included."""
    # This one module does not import under Python 3.11, and no model wanted here is in it.
    sys.modules["timm.models.maxxvit"] = types.ModuleType("timm.models.maxxvit")
    import timm

    assert timm.__version__ == "0.6.11", f"timm {timm.__version__}: expected 0.6.11; set PYTHONPATH to its folder"
    keys = {name: _shapes(timm, name) for name in timm.list_models() if WANTED.match(name)}
    GOLDEN.write_bytes(gzip.compress(json.dumps(keys, separators=(",", ":")).encode(), mtime=0))
    print(f"{GOLDEN.name}: {len(keys)} models, {GOLDEN.stat().st_size:,} bytes")


def _shapes(timm: types.ModuleType, name: str) -> dict[str, list[int]]:
    linspace = torch.linspace
    # timm 0.6 reads the rates of stochastic depth as numbers while it builds, which meta tensors do not have.
    torch.linspace = lambda *args, **kwargs: linspace(*args, **{**kwargs, "device": "cpu"})
    try:
        # Relative positions of the ViTs that have them are built with an operation that has no meta form.
        with torch.device("cpu" if "relpos" in name else "meta"):
            return {key: list(tensor.shape) for key, tensor in timm.create_model(name).state_dict().items()}
    finally:
        torch.linspace = linspace


if __name__ == "__main__":
    main()
