"""Build CLIP models from files of other people: checkpoints for a named model, and folders in open_clip's layout.

A folder's config is untrusted: only sizes, switches and names of parts are accepted, and the model is compared with its
weights before it takes memory.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip import factory
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor, nn

from engine import limits
from engine.models import state_dicts, timm_names
from engine.reading import first_line, quoted, read_object

OPENAI_MARKS = ("input_resolution", "context_length", "vocab_size")
"""Entries of OpenAI's state dicts that are not weights and that no other CLIP has."""

_MODEL = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_scale", "init_logit_bias", "output_dict"}
_BLOCKS = {"block_type", "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"}
_VISION = _BLOCKS | {
    *("layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "ls_init_value", "patch_dropout"),
    *("attentional_pool", "attn_pooler_queries", "attn_pooler_heads", "no_ln_pre", "pos_embed_type"),
    *("final_ln_after_pool", "pool_type", "output_tokens", "timm_model_name", "timm_pool", "timm_proj"),
    *("timm_proj_bias", "timm_drop", "timm_drop_path"),
}
_TEXT = _BLOCKS | {
    *("context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "ls_init_value", "embed_cls", "pad_id"),
    *("eos_id", "no_causal_mask", "final_ln_after_pool", "pool_type", "proj_bias", "proj_type", "output_tokens"),
}
_OFF = {"timm_model_pretrained": False, "hf_tokenizer_name": None, "hf_model_name": None, "hf_model_pretrained": False}
"""Settings that would load other files or reach the network, and the values with which they do nothing."""


def create(model_name: str, path: Path, device: str, error: type[ValueError]) -> tuple[nn.Module, Callable]:
    """Return a model of open_clip with the weights in `path`, and its preprocessing.

    Accepts checkpoints of open_clip, OpenAI and Hugging Face. OpenAI's weights get QuickGELU, regardless of the model's
    name; for those of Hugging Face the `config.json` next to the file decides, if there is one.

    Raises:
        error: the file cannot be read, or does not fit the model.
    """
    weights = state_dicts.read(path, error)
    is_quick = bool(set(OPENAI_MARKS) & set(weights))
    weights = {name: tensor.float() for name, tensor in weights.items() if name not in OPENAI_MARKS}
    is_hugging_face = "text_model.final_layer_norm.weight" in weights
    if is_hugging_face:
        is_quick = _is_quick(path.with_name("config.json"), error)
    model, _, prepare = open_clip.create_model_and_transforms(model_name, device=device, force_quick_gelu=is_quick)
    try:
        weights = _adapted(model, from_hugging_face(weights, path, error) if is_hugging_face else weights)
    except error:
        raise
    except Exception as problem:  # shapes that cannot be joined or resized
        raise error(f"{path} does not fit {model_name}: {first_line(problem)[:200]}") from problem
    if why := state_dicts.misfit(weights, model.state_dict()):
        raise error(f"{path} does not fit {model_name}: {why}")
    model.load_state_dict(weights)
    return model, prepare


def _adapted(model: Any, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of other versions and sizes as open_clip adapts them."""
    weights = convert_state_dict(model, weights)
    if "positional_embedding" in weights and not hasattr(model, "positional_embedding"):
        weights = convert_to_custom_text_state_dict(weights)
    for name in ("logit_scale", "logit_bias"):
        own = getattr(model, name, None)
        if name in weights and own is not None and weights[name].numel() == own.numel():
            weights[name] = weights[name].reshape(own.shape)
    if getattr(model, "logit_bias", None) is not None and "logit_scale" in weights:
        weights.setdefault("logit_bias", torch.zeros_like(weights["logit_scale"]))
    weights.pop("text.transformer.embeddings.position_ids", None)
    factory.resize_pos_embed(weights, model)
    factory.resize_text_pos_embed(weights, model)
    return weights


def from_hugging_face(weights: Mapping[str, Tensor], path: Path, error: type[ValueError]) -> dict[str, Tensor]:
    """Return the weights of transformers' CLIPModel under open_clip's names.

    Raises:
        error: a weight is missing.
    """
    try:
        return {
            "logit_scale": weights["logit_scale"],
            "text_projection": weights["text_projection.weight"].mT,
            "token_embedding.weight": weights["text_model.embeddings.token_embedding.weight"],
            "positional_embedding": weights["text_model.embeddings.position_embedding.weight"],
            **_pair(weights, "text_model.final_layer_norm", "ln_final"),
            **_blocks(weights, "text_model.encoder.layers.", "transformer.resblocks."),
            "visual.proj": weights["visual_projection.weight"].mT,
            "visual.class_embedding": weights["vision_model.embeddings.class_embedding"].flatten(),
            "visual.conv1.weight": weights["vision_model.embeddings.patch_embedding.weight"],
            "visual.positional_embedding": weights["vision_model.embeddings.position_embedding.weight"],
            **_pair(weights, "vision_model.pre_layrnorm", "visual.ln_pre"),  # spelled so in transformers
            **_pair(weights, "vision_model.post_layernorm", "visual.ln_post"),
            **_blocks(weights, "vision_model.encoder.layers.", "visual.transformer.resblocks."),
        }
    except KeyError as missing:
        name = quoted(str(missing.args[0]))
        raise error(f"{path}: missing {name}; expected the state dict of transformers' CLIPModel") from missing


def _pair(weights: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    return {f"{ours}.{part}": weights[f"{theirs}.{part}"] for part in ("weight", "bias")}


def _blocks(weights: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    """Return the weights of all layers of a tower."""
    numbers = {name.removeprefix(theirs).split(".")[0] for name in weights if name.startswith(theirs)}
    found: dict[str, Tensor] = {}
    for number in numbers:
        old, new = f"{theirs}{number}.", f"{ours}{number}."
        for part in ("weight", "bias"):
            projections = [weights[f"{old}self_attn.{each}_proj.{part}"] for each in "qkv"]
            found[f"{new}attn.in_proj_{part}"] = torch.cat(projections)
        for their, our in (("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2")):
            found |= _pair(weights, f"{old}{their}", f"{new}{our}")
        found |= _pair(weights, f"{old}mlp.fc1", f"{new}mlp.c_fc") | _pair(weights, f"{old}mlp.fc2", f"{new}mlp.c_proj")
    return found


def _is_quick(config: Path, error: type[ValueError]) -> bool:
    """Return whether transformers' config demands QuickGELU, its default; False without a config."""
    if not config.is_file():
        return False
    parts = [read_object(config, error).get(name) for name in ("text_config", "vision_config")]
    activations = [part.get("hidden_act", "quick_gelu") if isinstance(part, dict) else "quick_gelu" for part in parts]
    return "quick_gelu" in activations


def create_folder(folder: Path, error: type[ValueError]) -> tuple[open_clip.CLIP, Callable]:
    """Return the model in a folder of open_clip's layout and its preprocessing.

    Raises:
        error: the config is not that of a CLIP without other files, or does not fit the weights.
    """
    file = folder / "open_clip_config.json"
    content = read_object(file, error)
    config = _checked(content.get("model_cfg"), f"{file}: model_cfg", error)
    weights = {name: tensor.float() for name, tensor in state_dicts.read(_weights(folder), error).items()}
    try:
        with torch.device("meta"):  # without memory first: the config must not allocate what it claims
            shapes = open_clip.CLIP(**config).state_dict()
        if why := state_dicts.misfit(weights, shapes):
            raise error(f"{folder}: the weights do not fit the config: {why}")
        model = open_clip.CLIP(**config)
        model.load_state_dict(weights)
    except error:
        raise
    except Exception as problem:  # open_clip and timm check little, so that wrong settings raise anything
        raise error(f"{file}: not a CLIP that open_clip can build ({first_line(problem)[:200]})") from problem
    preprocessing = content.get("preprocess_cfg", {})
    return model, _preprocessing(preprocessing, model.visual.image_size, f"{file}: preprocess_cfg", error)


def _weights(folder: Path) -> Path:
    return folder / "open_clip_model.safetensors"


def _checked(config: object, where: str, error: type[ValueError]) -> dict[str, Any]:
    """Return the settings of a model without those that do nothing; raise `error` for unknown ones and sizes."""
    known = _known(config, _MODEL, where, error)
    for name, allowed in (("vision_cfg", _VISION), ("text_cfg", _TEXT)):
        known[name] = _known(known.get(name), allowed, f"{where}: {name}", error)
    vision = known["vision_cfg"].get("timm_model_name")
    if vision is not None and (why := timm_names.problem(vision)):
        raise error(f"{where}: vision_cfg: timm_model_name is {why}")
    if "embed_dim" not in known:
        raise error(f"{where}: the setting 'embed_dim' is missing")
    return known


def _known(values: object, allowed: set[str], where: str, error: type[ValueError]) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise error(f"{where} is {quoted(values)}, expected an object of settings")
    found = {}
    for name, value in values.items():
        if name in _OFF and value == _OFF[name]:
            continue
        if name not in allowed:
            raise error(
                f"{where} has {quoted(name)}, which is unknown or loads other files; "
                "choose one of open_clip's models as name:file instead"
            )
        if not isinstance(value, dict) and name != "timm_model_name" and (why := limits.value_problem(name, value)):
            raise error(f"{where}: {why}")
        found[name] = value
    return found


def _preprocessing(values: object, size: Any, where: str, error: type[ValueError]) -> Callable:
    """Return the transform of photos to the model's `size`; unknown settings are left out, as open_clip does."""
    if not isinstance(values, dict):
        raise error(f"{where} is {quoted(values)}, expected an object of settings")
    known = {name: value for name, value in values.items() if name in PreprocessCfg.__dataclass_fields__}
    for name, value in known.items():
        if why := limits.value_problem("image_size" if name == "size" else name, value):
            raise error(f"{where}: {why}")
    try:
        prepare = image_transform_v2(PreprocessCfg(**{"size": size, **known}), is_train=False)
        shape = tuple(prepare(Image.new("RGB", (4, 3))).shape)  # most wrong settings show only with a photo
    except Exception as problem:  # open_clip checks by assertions
        raise error(f"{where}: {first_line(problem)[:200]}; expected open_clip's settings") from problem
    expected = (3, *(size if isinstance(size, list | tuple) else (size, size)))
    if shape != expected:
        raise error(f"{where}: photos become {shape}, expected {expected}, the size of the model")
    return prepare
