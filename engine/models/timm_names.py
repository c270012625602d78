"""Which names of encoders are accepted: those of timm's own models."""

import re

import timm

from engine.reading import quoted

_OLD_NAMES = {
    "beit_base_patch16_224_in22k": "beit_base_patch16_224.in22k_ft_in22k",
    "beit_large_patch16_224_in22k": "beit_large_patch16_224.in22k_ft_in22k",
    "beitv2_base_patch16_224_in22k": "beitv2_base_patch16_224.in1k_ft_in22k",
    "beitv2_large_patch16_224_in22k": "beitv2_large_patch16_224.in1k_ft_in22k",
    "vit_base_patch16_224_sam": "vit_base_patch16_224.sam_in1k",
    "vit_base_patch32_224_sam": "vit_base_patch32_224.sam_in1k",
}
"""Names of ViTs and BEiTs in timm 0.6.11 that timm 1.0, unlike those of DeiT-III, does not map to new names."""

_PLAIN = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?")


def current(name: str) -> str:
    """Return the name that timm now has for a model."""
    return _OLD_NAMES.get(name, name)


def problem(name: object) -> str | None:
    """Return why `name` is refused, None for the name of one of timm's own models.

    timm would also take names with `hf-hub:` and `local-dir:`, for which it reads other files or the network.
    """
    if isinstance(name, str) and _PLAIN.fullmatch(current(name)) and timm.is_model(current(name)):
        return None
    start = re.match(r"[A-Za-z0-9]+", str(name))
    close = timm.list_models(f"*{start[0][:20]}*")[:5] if start else []
    return f"{quoted(name)}: timm has no such model; similar names: {', '.join(close) or 'see timm.list_models()'}"
