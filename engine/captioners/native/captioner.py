"""The captioning model: a timm encoder and the study's transformer decoder, from images to logits.

Files are read in `checkpoints`, search is in `decoding`, and text in `models.tokenizer`. Parameter names are those of
torch's `nn.TransformerDecoder`, so that the study's state dicts load unchanged; attention is computed here, so that
attention weights are available without patching torch.

Shapes: B images, K beams, T tokens, P memory tokens, D model width, H heads, d = D / H, V vocabulary.
"""

import math
import warnings
from collections.abc import Iterable
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.data import resolve_model_data_config
from torch import Tensor, nn

from engine.captioners.native import kv_cache
from engine.captioners.native.incremental import (
    CrossAttentionCache,
    DecoderWeights,
    FullPrefixReader,
    IncrementalDecoder,
    precompute_cross_attention,
    state_of,
)
from engine.config import CaptionerConfig, ConfigError
from engine.data.photos import Preprocessing
from engine.decoding import memory as search_memory
from engine.models import timm_names
from engine.reading import first_line, quoted


class CaptionerError(ValueError):
    """A captioner cannot be built; the message says why and what to do."""


class EncoderMissing(CaptionerError):
    """Published encoder weights are not on this machine."""


class Attention(nn.Module):
    """Multi-head attention with the parameters of `nn.MultiheadAttention`."""

    def __init__(self, d_model: int, nhead: int) -> None:
        super().__init__()
        self.nhead = nhead
        self.in_proj_weight = nn.Parameter(torch.empty(3 * d_model, d_model))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * d_model))
        self.out_proj = nn.Linear(d_model, d_model)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def project(self, x: Tensor, first: int, last: int) -> tuple[Tensor, ...]:
        """Project [B, T, D] to queries (0), keys (1), values (2) from `first` to `last`, each [B, H, T, d]."""
        width = x.shape[-1]
        rows = slice(first * width, (last + 1) * width)
        joint = F.linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows])
        heads = joint.unflatten(-1, (last - first + 1, self.nhead, width // self.nhead))
        return tuple(heads.permute(2, 0, 3, 1, 4))

    def merge(self, heads: Tensor) -> Tensor:
        """Merge heads [B, H, T, d] -> [B, T, D]."""
        return self.out_proj(heads.transpose(1, 2).flatten(2))


def attend_with_weights(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return the heads [B, H, T, d] of attention and its weights [B, H, T, P]."""
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    weights = scores.float().softmax(-1)
    return weights.to(value.dtype) @ value, weights


class DecoderLayer(nn.Module):
    """A post-norm layer: self-attention, cross-attention, feed-forward."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        width = config.d_model
        self.self_attn = Attention(width, config.nhead)
        self.multihead_attn = Attention(width, config.nhead)
        self.linear1 = nn.Linear(width, config.dim_feedforward)
        self.linear2 = nn.Linear(config.dim_feedforward, width)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        self.activation = F.gelu if config.activation == "gelu" else F.relu

    def feed_forward(self, x: Tensor) -> Tensor:
        """Apply feed-forward, residual and norm: [..., D] -> [..., D]."""
        return self.norm3(x + self.dropout(self.linear2(self.dropout(self.activation(self.linear1(x))))))

    def forward(
        self, x: Tensor, memory: Tensor, rows: Tensor | None, want_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Apply the layer to x [B, T, D] and memory [B, P, D]: [B, T, D] and, if wanted, weights [B, H, T, P].

        With `rows` int64[B], the memory is that of fewer images [I, P, D] and caption b reads image rows[b].
        """
        query, key, value = self.self_attn.project(x, 0, 2)
        heads = F.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=self._attention_dropout)
        x = self.norm1(x + self.dropout(self.self_attn.merge(heads)))
        (query,) = self.multihead_attn.project(x, 0, 0)
        key, value = self.multihead_attn.project(memory, 1, 2)
        if rows is not None:
            key, value = key.index_select(0, rows), value.index_select(0, rows)
        weights = None
        if want_weights:
            heads, weights = attend_with_weights(query, key, value)
        else:
            heads = F.scaled_dot_product_attention(query, key, value, dropout_p=self._attention_dropout)
        x = self.norm2(x + self.dropout(self.multihead_attn.merge(heads)))
        return self.feed_forward(x), weights

    @property
    def _attention_dropout(self) -> float:
        return self.dropout.p if self.training else 0.0


class Decoder(nn.Module):
    """The stack of layers, named `layers.N` as in `nn.TransformerDecoder`."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))


class SinusoidalPositions(nn.Module):
    """Fixed sine and cosine position embeddings, in the buffer `pe` [1, max_positions, D]."""

    def __init__(self, d_model: int, max_positions: int) -> None:
        super().__init__()
        position = torch.arange(max_positions).float().unsqueeze(1)
        rate = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(10_000.0) / d_model))
        table = torch.zeros(max_positions, d_model)
        table[:, 0::2] = torch.sin(position * rate)
        table[:, 1::2] = torch.cos(position * rate)[:, : d_model // 2]
        self.register_buffer("pe", table.unsqueeze(0))

    @property
    def table(self) -> Tensor:
        """Return the positions [1, max_positions, D]."""
        return self.get_buffer("pe")


class CaptionerModel(nn.Module):
    """Encoder and decoder.

    `encode` computes the memory of an image once, `logits` and `replay` read whole captions, and `start` begins
    incremental decoding.
    """

    def __init__(self, config: CaptionerConfig, pretrained: bool = False) -> None:
        super().__init__()
        self.encoder: Any = _create_encoder(config.encoder, config.encoder_kwargs, pretrained)
        width = self.encoder.num_features
        self.config = config
        self.projection = nn.Identity() if width == config.d_model else nn.Linear(width, config.d_model)
        self.word_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.positional_embedding = SinusoidalPositions(config.d_model, config.max_positions)
        self.decoder = Decoder(config)
        self.head = nn.Linear(config.d_model, config.vocab_size)
        self.dropout = nn.Dropout(config.dropout)
        self._laid_out: tuple[list, DecoderWeights] | None = None

    def __getstate__(self) -> dict:
        # oneDNN's weight layout cannot be copied; a copy creates its own.
        return {**self.__dict__, "_laid_out": None}

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.head.weight.device

    @property
    def preprocessing(self) -> Preprocessing:
        """How photos are prepared for the encoder: the config's values, else timm's for this encoder."""
        own = resolve_model_data_config(self.encoder)
        config = self.config
        return Preprocessing(
            size=config.image_size,
            crop_pct=own["crop_pct"] if config.crop_pct is None else config.crop_pct,
            interpolation=config.interpolation or own["interpolation"],
            mean=_rgb(own["mean"] if config.mean is None else config.mean),
            std=_rgb(own["std"] if config.std is None else config.std),
        )

    @property
    def prefix_tokens(self) -> int:
        """Number of memory tokens before the grid: class and register tokens of a ViT, 0 for a CNN."""
        return getattr(self.encoder, "num_prefix_tokens", 0)

    def grid(self, memory_tokens: int) -> tuple[int, int]:
        """Return height and width in patches of a memory of `memory_tokens`; the input is square."""
        side = math.isqrt(memory_tokens - self.prefix_tokens)
        if side * side != memory_tokens - self.prefix_tokens:
            patches = memory_tokens - self.prefix_tokens
            raise CaptionerError(
                f"encoder {self.config.encoder!r} returns {patches} patch tokens; expected a square grid"
            )
        return side, side

    def pixels(self, windows: Tensor) -> Tensor:
        """Normalise crops uint8[B, S, S, 3] -> float32[B, 3, S, S] on their device, as `Preprocessing.normalise` does.

        Only a quarter of the bytes are transferred to a GPU this way, and the reading threads have less work.
        """
        prepare = self.preprocessing
        mean, std = (windows.new_tensor(each, dtype=torch.float32) for each in (prepare.mean, prepare.std))
        return ((windows.float() / 255.0 - mean) / std).permute(0, 3, 1, 2).contiguous()

    def features(self, pixels: Tensor) -> Tensor:
        """Return the encoder's tokens [B, P, width] of float32[B, 3, S, S]; a CNN's map is read row by row."""
        try:
            features = self.encoder.forward_features(pixels)
        except AssertionError as error:  # timm's check of the size
            raise CaptionerError(
                f"encoder {self.config.encoder!r} does not accept photos of {pixels.shape[-1]} pixels ({error}); set "
                "image_size in the recipe to the encoder's size, or encoder_kwargs = { img_size = ... } to change it"
            ) from error
        if features.dim() == 4:
            channels_last = features.shape[-1] == self.encoder.num_features != features.shape[1]
            features = features.flatten(1, 2) if channels_last else features.flatten(2).transpose(1, 2)
        return features

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the memory float[B, P, D] of float32[B, 3, S, S]."""
        return self.projection(self.features(pixels))

    def embed(self, ids: Tensor, first: int = 0) -> Tensor:
        """Return the embeddings [B, T, D] of ids [B, T] at positions from `first`."""
        return self.word_embedding(ids) + self.positional_embedding.table[0, first : first + ids.shape[1]]

    def logits(self, ids: Tensor, memory: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return logits [B, T, V] of ids int64[B, T] and memory [B, P, D], with teacher forcing and a causal mask.

        Captions of the same image share its keys and values: with `rows` int64[B], the memory is [I, P, D] and
        caption b reads image rows[b].
        """
        return self.head(self._read(ids, memory, rows, want_weights=False)[0])

    def replay(self, ids: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B, T, V] as `logits` does, and cross-attention weights float32[B, layers, H, T, P].

        Row t of the weights belongs to the step whose input is token t; it predicts token t + 1.
        """
        x, weights = self._read(ids, memory, None, want_weights=True)
        return self.head(x), torch.stack(weights, dim=1)

    def replay_layers(self, ids: Tensor, memory: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the same with weights [B, H, T, P] per layer, as they are part of the computation."""
        x, weights = self._read(ids, memory, None, want_weights=True)
        return self.head(x), weights

    def _read(
        self, ids: Tensor, memory: Tensor, rows: Tensor | None, want_weights: bool
    ) -> tuple[Tensor, list[Tensor]]:
        x = self.embed(ids)
        every = []
        for layer in self.decoder.layers:
            x, weights = layer(x, memory, rows, want_weights)
            every.append(weights)
        return x, every

    def step_weights(self) -> DecoderWeights:
        """Return the weights in the layout for steps; recomputed only after they changed, as between epochs."""
        state = state_of(self.decoder, self.head)
        if self._laid_out is None or self._laid_out[0] != state:
            self._laid_out = (state, DecoderWeights(self.decoder, self.head, self.config.nhead, self.embed))
        return self._laid_out[1]

    def precompute_cross_attention(self, memory: Tensor) -> CrossAttentionCache:
        """Return cross-attention keys and values of memory [B, P, D], computed once for all beam sizes of a sweep."""
        return precompute_cross_attention(self.step_weights(), memory)

    def reader(self, cross: CrossAttentionCache) -> FullPrefixReader:
        """Return a reader of whole prefixes without a causal mask, as in the study."""
        return FullPrefixReader(self.step_weights(), cross)

    def start(self, memory: Tensor | CrossAttentionCache, max_length: int) -> IncrementalDecoder:
        """Start incremental decoding of the images of `memory` [B, P, D], with at most `max_length` steps."""
        if max_length > self.config.max_positions:
            raise ConfigError(
                f"max_length is {max_length}, expected at most {self.config.max_positions} (the captioner's positions)"
            )
        cross = memory if isinstance(memory, CrossAttentionCache) else self.precompute_cross_attention(memory)
        return IncrementalDecoder(self.step_weights(), cross, max_length)

    def bytes_per_image(self, cross: CrossAttentionCache, beams: int, steps: int) -> int:
        """Return the bytes per image of a search of `beams` beams over `steps` steps."""
        return search_memory.bytes_per_image(
            beams=beams,
            steps=steps,
            layers=self.config.num_layers,
            width=self.config.d_model,
            vocabulary=self.config.vocab_size,
            memory_tokens=cross.shape[2],
            item=self.head.weight.element_size(),
            spare_layers=kv_cache.spare_layers(self.device),
        )


def encoder_width(encoder: str, kwargs: dict) -> int:
    """Return the width of an encoder's tokens, without allocating its weights."""
    with torch.device("meta"):
        return _create_encoder(encoder, kwargs, pretrained=False).num_features


def _rgb(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue


def _create_encoder(name: str, kwargs: dict, pretrained: bool) -> Any:
    if problem := timm_names.problem(name):
        raise CaptionerError(f"encoder {problem}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # timm warns about old names, which it maps to the new ones
            return timm.create_model(timm_names.current(name), pretrained=pretrained, num_classes=0, **kwargs)
    except RuntimeError as error:
        raise CaptionerError(f"encoder {name!r}: {first_line(error)}") from error
    except (TypeError, ValueError, AssertionError, ArithmeticError, LookupError, AttributeError) as error:
        options = f"encoder_kwargs {quoted(kwargs)}"
        raise CaptionerError(f"encoder {name!r} does not accept {options}: {first_line(error)}") from error
    except OSError as error:
        raise EncoderMissing(missing_encoder(name)) from error
    except Exception as error:  # huggingface_hub's errors for failed downloads do not derive from OSError
        if pretrained:
            raise EncoderMissing(missing_encoder(name)) from error
        raise


def missing_encoder(name: str) -> str:
    """Return the message for an encoder whose published weights are missing."""
    return (
        f"the weights of encoder {name!r} are not in the cache and could not be downloaded; either run once on a "
        "machine with a network and copy its Hugging Face cache (HF_HOME), or set encoder_weights in the recipe to a "
        "safetensors file"
    )
