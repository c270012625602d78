"""State dicts of the encoders that the study's code could use, written under timm 0.6.11, fit today's encoders.

The names and shapes are those of timm 0.6.11 itself; see `golden/make_timm_keys.py`.
"""

import gzip
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.captioners.native import checkpoints
from engine.captioners.native.captioner import CaptionerModel
from engine.captioners.native.checkpoints import CheckpointError
from tests.support import tiny

FOLDER = Path("folder")
KEYS = json.loads(gzip.decompress((Path(__file__).parent / "golden" / "timm_0_6_11_keys.json.gz").read_bytes()))


def captioner(encoder: str) -> CaptionerModel:
    """A captioner without memory for its weights: the large ones have a gigabyte."""
    with torch.device("meta"):
        return CaptionerModel(tiny.config(encoder=encoder, encoder_kwargs={}))


def old_weights(encoder: str, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The captioner's state dict as the study's code wrote it."""
    rest = {name: tensor for name, tensor in own.items() if not name.startswith("encoder.")}
    return rest | {f"encoder.{name}": torch.empty(shape, device="meta") for name, shape in KEYS[encoder].items()}


def encoder_shapes(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items() if name.startswith("encoder.")}


def test_the_golden_file_has_every_family_the_study_chose_from():
    families = ("vit_base", "vit_large", "deit_base", "deit3_base", "deit3_large")
    beits = ("beit_base", "beit_large", "beitv2_base", "beitv2_large")
    assert len(KEYS) == 67
    for family in (*families, *beits):
        assert any(name.startswith(f"{family}_patch") for name in KEYS)
    assert any(name.endswith(".relative_position_index") for name in KEYS["beit_base_patch16_224_in22k"])
    assert "head.weight" in KEYS["deit3_base_patch16_224_in21ft1k"]


@pytest.mark.parametrize("encoder", sorted(KEYS))
def test_a_state_dict_of_timm_0_6_fits(encoder):
    own = captioner(encoder).state_dict()
    weights = old_weights(encoder, own)
    fitted = checkpoints.fitting(weights, own, FOLDER)
    assert encoder_shapes(fitted) == encoder_shapes(own)
    # With `num_classes=0`, as the study created its encoders, timm wrote no classifier.
    without = {name: tensor for name, tensor in weights.items() if not name.startswith("encoder.head")}
    assert encoder_shapes(checkpoints.fitting(without, own, FOLDER)) == encoder_shapes(own)


def test_only_what_the_tokens_do_not_depend_on_is_left_out():
    encoder = "beit_base_patch16_224_in22k"
    own = captioner(encoder).state_dict()
    weights = old_weights(encoder, own)
    left = set(weights) - set(checkpoints.fitting(weights, own, FOLDER))
    assert {name.rsplit(".", 1)[-1] for name in left if "head" not in name} == {"relative_position_index"}
    assert {name for name in left if "head" in name} == {"encoder.head.weight", "encoder.head.bias"}
    for unknown in ("encoder.extra.weight", "decoder.relative_position_index", "encoder.blocks.0.attn.head.weight"):
        with pytest.raises(CheckpointError, match=f"unknown .*{unknown}"):
            checkpoints.fitting({**weights, unknown: torch.empty(1, device="meta")}, own, FOLDER)
