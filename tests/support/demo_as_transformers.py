"""The demo's captioner, saved as ours and as a VisionEncoderDecoder of transformers with the same weights."""

from pathlib import Path

import torch
from transformers import (
    CLIPImageProcessor,
    MarianConfig,
    PreTrainedTokenizerFast,
    TimmWrapperConfig,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
)

from engine.captioners.native import checkpoints
from tests.conftest import ROOT
from tests.support.peers import _copy_layer

DEMO = ROOT / "engine" / "demo" / "captioner"


def save(folder: Path) -> tuple[Path, Path]:
    """Save both below `folder`. The output bias is zero in both, because Marian's causal model has none."""
    own, words = checkpoints.load(DEMO)
    with torch.no_grad():
        own.head.bias.zero_()
    checkpoints.save(folder / "ours", own, words)
    shape, ids = own.config, {"bos_token_id": words.bos_id, "eos_token_id": words.eos_id, "pad_token_id": words.pad_id}
    encoder = TimmWrapperConfig(
        architecture=shape.encoder, model_args={**shape.encoder_kwargs}, hidden_size=own.encoder.num_features
    )
    decoder = MarianConfig(
        **{"vocab_size": shape.vocab_size, "decoder_vocab_size": shape.vocab_size, "d_model": shape.d_model},
        **{"decoder_layers": shape.num_layers, "decoder_attention_heads": shape.nhead},
        **{"decoder_ffn_dim": shape.dim_feedforward, "activation_function": shape.activation},
        **{"max_position_embeddings": shape.max_positions, "scale_embedding": False, "is_decoder": True},
        **{"add_cross_attention": True, "tie_word_embeddings": False, "decoder_start_token_id": words.bos_id},
        **{"forced_eos_token_id": None, **ids},
    )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.tie_word_embeddings = words.bos_id, False
    config.pad_token_id, config.eos_token_id = words.pad_id, words.eos_id
    model = VisionEncoderDecoderModel(config).eval()
    with torch.no_grad():
        model.encoder.timm_model.load_state_dict(own.encoder.state_dict())
        theirs = model.decoder.model.decoder
        theirs.embed_tokens.weight.copy_(own.word_embedding.weight)
        theirs.embed_positions.weight.copy_(own.positional_embedding.pe[0])
        for ours, layer in zip(own.decoder.layers, theirs.layers, strict=True):
            _copy_layer(ours, layer)
        model.decoder.lm_head.weight.copy_(own.head.weight)
        if hasattr(model, "enc_to_dec_proj"):
            model.enc_to_dec_proj.load_state_dict(own.projection.state_dict())
    for name, value in {**ids, "decoder_start_token_id": words.bos_id, "forced_eos_token_id": None}.items():
        setattr(model.generation_config, name, value)
    target = folder / "transformers"
    model.save_pretrained(target)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "bos_token": "[BOS]", "eos_token": "[EOS]"}
    PreTrainedTokenizerFast(tokenizer_file=str(DEMO / "tokenizer.json"), **names).save_pretrained(target)
    photo = own.preprocessing
    CLIPImageProcessor(
        size={"shortest_edge": photo.size},
        crop_size={"height": photo.size, "width": photo.size},
        image_mean=list(photo.mean),
        image_std=list(photo.std),
        resample={"bicubic": 3, "bilinear": 2}[photo.interpolation],
    ).save_pretrained(target)
    return folder / "ours", target
