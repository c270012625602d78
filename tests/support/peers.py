"""Hugging Face transformers as the reference: our decoder's weights in their model, and tables in their search.

The model is Marian's decoder, which has our shape: post-norm layers, cross-attention, fixed positions, an output bias.
Its encoder is empty, as `generate` is given the memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, GenerationMixin, MarianConfig, MarianMTModel, PretrainedConfig
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

from engine.captioners.native.captioner import CaptionerModel

logging.set_verbosity_error()


def marian(captioner: CaptionerModel, bos_id: int, eos_id: int, pad_id: int) -> MarianMTModel:
    """A transformers model with the captioner's decoder weights."""
    shape = captioner.config
    config = MarianConfig(
        **{"vocab_size": shape.vocab_size, "decoder_vocab_size": shape.vocab_size, "d_model": shape.d_model},
        **{"encoder_layers": 0, "decoder_layers": shape.num_layers, "decoder_attention_heads": shape.nhead},
        **{"decoder_ffn_dim": shape.dim_feedforward, "activation_function": shape.activation},
        **{"max_position_embeddings": shape.max_positions, "scale_embedding": False},
        **{"share_encoder_decoder_embeddings": False, "tie_word_embeddings": False},
        **{"pad_token_id": pad_id, "eos_token_id": eos_id, "bos_token_id": bos_id, "decoder_start_token_id": bos_id},
        **{"forced_eos_token_id": None},
    )
    model = MarianMTModel(config).eval().to(captioner.head.weight.dtype)
    with torch.no_grad():
        decoder = model.model.decoder
        decoder.embed_tokens.weight.copy_(captioner.word_embedding.weight)
        decoder.embed_positions.weight.copy_(captioner.positional_embedding.pe[0])
        for ours, theirs in zip(captioner.decoder.layers, decoder.layers, strict=True):
            _copy_layer(ours, theirs)
        model.lm_head.weight.copy_(captioner.head.weight)
        model.final_logits_bias.copy_(captioner.head.bias)
    # Marian's own generation settings name a maximum length and beams; ours are given to each call.
    model.generation_config = GenerationConfig(
        pad_token_id=pad_id, eos_token_id=eos_id, bos_token_id=bos_id, decoder_start_token_id=bos_id
    )
    return model


def _copy_layer(ours: nn.Module, theirs: nn.Module) -> None:
    for own, their in ((ours.self_attn, theirs.self_attn), (ours.multihead_attn, theirs.encoder_attn)):
        parts = zip((their.q_proj, their.k_proj, their.v_proj), own.in_proj_weight.chunk(3), strict=True)
        for (linear, weight), bias in zip(parts, own.in_proj_bias.chunk(3), strict=True):
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
        their.out_proj.load_state_dict(own.out_proj.state_dict())
    theirs.fc1.load_state_dict(ours.linear1.state_dict())
    theirs.fc2.load_state_dict(ours.linear2.state_dict())
    theirs.self_attn_layer_norm.load_state_dict(ours.norm1.state_dict())
    theirs.encoder_attn_layer_norm.load_state_dict(ours.norm2.state_dict())
    theirs.final_layer_norm.load_state_dict(ours.norm3.state_dict())


@dataclass(frozen=True)
class Found:
    """What `generate` returned for one image at one rank."""

    tokens: tuple[int, ...]
    """New tokens, the end token included where there is one."""
    score: float | None
    """Their `sequences_scores`; greedy search has none."""


def generate(
    model: PreTrainedModel, memory: Tensor, beams: int, eos_id: int | Sequence[int], **settings: object
) -> list[list[Found]]:
    """`model.generate` on encoder outputs [B, P, D] -> the hypotheses of each image, best first.

    `eos_id`: the end token of the model; several go to `generate` instead.
    """
    ends = (eos_id,) if isinstance(eos_id, int) else tuple(eos_id)
    settings |= {"eos_token_id": list(ends)} if len(ends) > 1 else {}
    settings = {"max_new_tokens": 30, "do_sample": False, **settings}
    out = model.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=memory),
        attention_mask=torch.ones(memory.shape[:2], dtype=torch.long, device=memory.device),
        num_beams=beams,
        return_dict_in_generate=True,
        output_scores=True,
        **settings,
    )
    each = int(settings.get("num_return_sequences", 1))
    scores = getattr(out, "sequences_scores", None)
    scores = [None] * len(out.sequences) if scores is None else scores.tolist()
    found = [Found(_cut(ids[1:], ends), score) for ids, score in zip(out.sequences.tolist(), scores, strict=True)]
    return [found[at : at + each] for at in range(0, len(found), each)]


def _cut(ids: list[int], ends: Sequence[int]) -> tuple[int, ...]:
    stop = next((at + 1 for at, token in enumerate(ids) if token in ends), len(ids))
    return tuple(ids[:stop])


class _TableConfig(PretrainedConfig):
    model_type = "table"


def table_rows(before: Tensor, last: Tensor, rows: int) -> Tensor:
    """The row of a table that the last two tokens ask for."""
    return (5 * before + last) % rows


class TableSteps:
    """Our `Steps` over logits [images, rows, V] that the last two tokens choose a row of."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.images = torch.arange(len(logits))
        self.before = self.last = torch.zeros_like(self.images)
        self.read = 0

    def step(self, tokens: Tensor) -> Tensor:
        """int64[R] -> [R, V]."""
        self.before, self.last = self.last, tokens
        self.read += len(tokens)
        return self.logits[self.images, table_rows(self.before, self.last, self.logits.shape[1])]

    def reorder(self, parents: Tensor) -> None:
        """Prefixes go on from their parents."""
        self.images, self.before, self.last = self.images[parents], self.before[parents], self.last[parents]


class TableModel(PreTrainedModel, GenerationMixin):
    """The same table as a transformers model; memory [B, 1, 1] holds the number of the image."""

    config_class = _TableConfig
    main_input_name = "input_ids"

    def __init__(self, logits: Tensor, bos_id: int, eos_id: int) -> None:
        ids = {"bos_token_id": bos_id, "eos_token_id": eos_id, "decoder_start_token_id": bos_id, "pad_token_id": eos_id}
        super().__init__(_TableConfig(vocab_size=logits.shape[-1], is_encoder_decoder=True, **ids))
        self.table = logits
        self.anchor = nn.Parameter(torch.zeros(1))  # transformers asks a model's parameters for its device
        self.generation_config = GenerationConfig(use_cache=False, **ids)

    def get_encoder(self, *args: object, **kwargs: object) -> nn.Module:
        """No encoder: `generate` is given its outputs."""
        return nn.Identity()

    def prepare_inputs_for_generation(self, input_ids: Tensor, **kwargs: object) -> dict[str, object]:
        """Every step reads the whole prefix."""
        return {"input_ids": input_ids, "encoder_outputs": kwargs["encoder_outputs"]}

    def forward(
        self,
        input_ids: Tensor,
        encoder_outputs: BaseModelOutput,
        attention_mask: Tensor | None = None,
        **kwargs: object,
    ) -> Seq2SeqLMOutput:
        """Ids [R, T] -> logits [R, 1, V]."""
        image = encoder_outputs.last_hidden_state[:, 0, 0].long()
        before = input_ids[:, -2] if input_ids.shape[1] > 1 else torch.zeros_like(input_ids[:, -1])
        rows = table_rows(before, input_ids[:, -1], self.table.shape[1])
        return Seq2SeqLMOutput(logits=self.table[image, rows].unsqueeze(1))
