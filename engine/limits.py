"""Bounds of sizes in settings files, and which options of an encoder a file may set.

The bounds are generous: they exclude no published model, but every file that would fill the memory or never end.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from engine.reading import quoted

SIZES: dict[str, tuple[float, float]] = {
    # The architecture of a captioner
    "d_model": (1, 16_384),
    "num_layers": (1, 200),
    "nhead": (1, 256),
    "dim_feedforward": (1, 131_072),
    "vocab_size": (1, 1_000_000),
    "max_positions": (1, 4_096),
    "image_size": (1, 2_048),
    "crop_pct": (0.25, 1),
    # Training
    "epochs": (1, 100_000),
    "batch_size": (1, 65_536),
    "accumulate": (1, 65_536),
    "warmup_steps": (0, 10**9),
    "validation_images": (0, 10**9),
    "log_steps": (1, 10**9),
}
"""Setting -> smallest and largest value."""

PARAMETERS = 2 * 10**9
"""Most parameters of a new captioner, and of a CLIP: 8 GB in float32."""

_LARGEST_OPTION = 16_384
_OPTION_BOUNDS = {
    **dict.fromkeys(("depth", "depths", "layers", "num_heads", "heads", "reg_tokens"), 256),
    **dict.fromkeys(("img_size", "image_size"), SIZES["image_size"][1]),
    **dict.fromkeys(("mlp_ratio", "mlp_ratios"), 64),
    "vocab_size": SIZES["vocab_size"][1],
}
"""Option -> largest value, if not _LARGEST_OPTION."""

_COUNTS = frozenset(
    {
        *("depth", "depths", "dims", "embed_dim", "embed_dims", "head_dim", "heads", "image_size", "img_size"),
        *("kernel_size", "kernel_sizes", "layers", "num_heads", "patch_size", "vocab_size", "width", "window_size"),
    }
)
"""Options that count something of which there is at least one."""

ENCODER_OPTIONS = frozenset(
    {
        *("act_layer", "attn_drop_rate", "channels", "class_token", "conv_mlp", "depth", "depths", "dims"),
        *("drop_path_rate", "drop_rate", "dynamic_img_pad", "dynamic_img_size", "embed_dim", "embed_dims", "fc_norm"),
        *("final_norm", "global_pool", "head_dim", "img_size", "init_values", "kernel_size", "kernel_sizes"),
        *("layers", "ls_init_value", "mlp_ratio", "mlp_ratios", "no_embed_class", "norm_layer", "num_heads"),
        *("output_stride", "pad_type", "patch_drop_rate", "patch_size", "pool_include_prefix", "pos_drop_rate"),
        *("pos_embed", "pre_norm", "proj_drop_rate", "qk_norm", "qkv_bias", "reg_tokens", "scale_mlp_norm"),
        *("stem_type", "stem_width", "strict_img_size", "swiglu_mlp", "use_abs_pos_emb", "use_rel_pos_bias"),
        *("use_shared_rel_pos_bias", "window_size"),
    }
)
"""Arguments of timm.create_model that change an architecture. Others load files or reach the network, such as
`checkpoint_path` and `pretrained_cfg`."""

_WORD = re.compile(r"[A-Za-z0-9_]{1,40}")


def size_problem(name: str, value: float) -> str | None:
    """Return why a size is out of its bounds, None if it is not."""
    low, high = SIZES[name]
    return None if low <= value <= high else f"{name} is {quoted(value)}, expected {low:,} to {high:,}"


def encoder_problem(options: Mapping[str, Any]) -> str | None:
    """Return why `encoder_kwargs` are refused, None if they only set sizes and parts of the architecture."""
    for name, value in options.items():
        if name not in ENCODER_OPTIONS:
            return (
                f"encoder_kwargs has {quoted(name)}, which is not an option of an architecture, expected options such "
                "as embed_dim, depth, num_heads, img_size and drop_path_rate"
            )
        if problem := value_problem(name, value):
            return f"encoder_kwargs: {problem}"
    return None


def value_problem(name: str, value: object) -> str | None:
    """Return why the value of an architecture's option is refused: not a size, a switch or the name of a part."""
    most = _OPTION_BOUNDS.get(name, _LARGEST_OPTION)
    values = value if isinstance(value, list | tuple) else [value]
    for each in values[:65]:
        if isinstance(each, list | tuple):
            return f"{name} is {quoted(value)}, expected a value or one list of values"
        if each is None and name in _COUNTS:
            return f"{name} is null, expected 1 to {most:,}"
        least = 1 if name in _COUNTS and not isinstance(each, bool) else 0
        if isinstance(each, int | float) and not (math.isfinite(each) and least <= each <= most):
            return f"{name} is {quoted(each)}, expected {least} to {most:,}"
        if isinstance(each, str) and not _WORD.fullmatch(each) or isinstance(each, dict):
            return f"{name} is {quoted(each)}, expected a number, true, false, or one word"
    return f"{name} has {len(values):,} values, expected at most 64" if len(values) > 64 else None
