"""Tiny transformers captioners of all supported families with random weights, made offline in a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tests.support import tiny

TEXTS = [
    *tiny.SENTENCES,
    "a man in a kitchen is making pizzas, and a woman watches him.",
    "the quick brown fox jumps over the lazy dog near a river bank.",
    "two children play with a ball in front of a large white house.",
] * 3
WIDTH, LAYERS, HEADS, VOCABULARY, STD = 32, 2, 2, 200, 0.15
VISION = {"hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": HEADS}
PHOTO = {"height": 32, "width": 32}

FAMILIES: dict[str, Callable[[Path], None]] = {}
OTHERS: dict[str, Callable[[Path], None]] = {}
"""Families that transformers loads and `families.FAMILIES` does not have."""


def family(make: Callable[[Path], None]) -> Callable[[Path], None]:
    FAMILIES[make.__name__] = make
    return make


def other(make: Callable[[Path], None]) -> Callable[[Path], None]:
    OTHERS[make.__name__] = make
    return make


def make(name: str, folder: Path) -> Path:
    torch.manual_seed(1)
    (FAMILIES | OTHERS)[name](folder)
    return folder


def _tokenizer(kind: str, specials: list[str], **names: Any) -> hf.PreTrainedTokenizerFast:
    trained = {"special_tokens": specials, "show_progress": False, "vocab_size": VOCABULARY}
    if kind == "wordpiece":
        found = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        found.normalizer = normalizers.BertNormalizer(lowercase=True)
        found.pre_tokenizer, found.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(**trained)
    elif kind == "bytes":
        found = Tokenizer(models.BPE())
        found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        found.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(initial_alphabet=alphabet, **trained | {"vocab_size": VOCABULARY + 256})
    else:
        found = Tokenizer(models.BPE(unk_token="<unk>"))
        found.pre_tokenizer, found.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.BpeTrainer(**trained)
    found.train_from_iterator(TEXTS, trainer)
    if kind == "wordpiece":
        ends = [(token, specials.index(token)) for token in ("[CLS]", "[SEP]")]
        found.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return hf.PreTrainedTokenizerFast(tokenizer_object=found, **names)


def _bert() -> hf.PreTrainedTokenizerFast:
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return _tokenizer("wordpiece", specials, **names, mask_token="[MASK]", bos_token="[DEC]")


def _gpt(*extra: str, **names: Any) -> hf.PreTrainedTokenizerFast:
    end = "<|endoftext|>"
    return _tokenizer("bytes", [end, "<pad>", *extra], bos_token=end, eos_token=end, pad_token="<pad>", **names)


def _llama(*extra: str, **names: Any) -> hf.PreTrainedTokenizerFast:
    own = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return _tokenizer("meta", ["<unk>", "<s>", "</s>", "<pad>", *extra], **own, **names)


def _save(folder: Path, model: Any, *parts: Any, **generation: Any) -> None:
    for name, value in generation.items():
        setattr(model.generation_config, name, value)
    model.eval().save_pretrained(folder)
    for part in parts:
        part.save_pretrained(folder)


def _text(kind: Any, vocabulary: int, **more: Any) -> Any:
    shape = {"hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    more = {"num_key_value_heads": 1, "max_position_embeddings": 1024, "initializer_range": STD} | more
    return kind(vocab_size=vocabulary, **shape, **more)


_TEMPLATE = (
    "{% for m in messages %}USER: {% for c in m['content'] %}{% if c['type'] == 'image' %}IMG{% else %}{{ c['text'] }}"
    "{% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)


@family
def vit_gpt2(folder: Path) -> None:
    words = _gpt()
    encoder = hf.ViTConfig(**VISION, initializer_range=STD, image_size=32, patch_size=8)
    decoder = hf.GPT2Config(
        vocab_size=len(words),
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=STD,
        n_positions=128,
    )
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 0, 1, 0
    ids = {"decoder_start_token_id": 0, "pad_token_id": 1, "eos_token_id": 0, "bos_token_id": 0}
    _save(folder, hf.VisionEncoderDecoderModel(config), hf.ViTImageProcessor(size=PHOTO), words, **ids)


@family
def swin_bert(folder: Path) -> None:
    words = _bert()
    encoder = hf.SwinConfig(
        image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4, initializer_range=STD
    )
    decoder = hf.BertConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=48,
        is_decoder=True,
        add_cross_attention=True,
        initializer_range=STD,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
    )
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 2, 0, 3
    ids = {"decoder_start_token_id": 2, "pad_token_id": 0, "eos_token_id": 3}
    _save(folder, hf.VisionEncoderDecoderModel(config), hf.ViTImageProcessor(size=PHOTO), words, **ids)


@family
def blip(folder: Path) -> None:
    words = _bert()
    text = {
        **{"vocab_size": len(words), "hidden_size": WIDTH, "encoder_hidden_size": WIDTH, "intermediate_size": 48},
        **{"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "max_position_embeddings": 64},
        **{"bos_token_id": 5, "eos_token_id": 2, "sep_token_id": 3, "pad_token_id": 0},
        **{"initializer_range": STD, "projection_dim": 16},
    }
    vision = {**VISION, "image_size": 32, "patch_size": 8, "initializer_range": STD}
    config = hf.BlipConfig(text_config=text, vision_config=vision, projection_dim=16)
    processor = hf.BlipProcessor(hf.BlipImageProcessor(size=PHOTO), words)
    _save(folder, hf.BlipForConditionalGeneration(config), processor)


@family
def git(folder: Path) -> None:
    words = _bert()
    vision = {**VISION, "image_size": 32, "patch_size": 8, "initializer_range": STD}
    config = hf.GitConfig(
        vision_config=vision,
        vocab_size=len(words),
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=48,
        max_position_embeddings=64,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
        initializer_range=STD,
    )
    images = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=PHOTO)
    _save(folder, hf.GitForCausalLM(config), hf.GitProcessor(images, words))


def _llava(folder: Path, config: Any, model: Any, processor: Any, images: Any, **more: Any) -> None:
    words = _llama("<image>", extra_special_tokens={"image_token": "<image>"})
    vision = hf.CLIPVisionConfig(**VISION, initializer_range=STD, image_size=32, patch_size=8, projection_dim=WIDTH)
    made = config(
        vision_config=vision,
        text_config=_text(hf.LlamaConfig, len(words), bos_token_id=1, eos_token_id=2, pad_token_id=3),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        **more,
    )
    prepared = processor(
        images,
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_TEMPLATE.replace("IMG", "<image>\\n"),
    )
    _save(folder, model(made), prepared, eos_token_id=2, pad_token_id=3, bos_token_id=1)


@family
def llava(folder: Path) -> None:
    images = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=PHOTO)
    parts = (hf.LlavaConfig, hf.LlavaForConditionalGeneration, hf.LlavaProcessor)
    _llava(folder, *parts, images, image_seq_length=16)


@family
def llava_next(folder: Path) -> None:
    pins = [[32, 64], [64, 32], [64, 64]]
    images = hf.LlavaNextImageProcessor(size={"shortest_edge": 32}, crop_size=PHOTO, image_grid_pinpoints=pins)
    parts = (hf.LlavaNextConfig, hf.LlavaNextForConditionalGeneration, hf.LlavaNextProcessor)
    _llava(folder, *parts, images, image_grid_pinpoints=pins)


_QWEN = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_start|>", "<|im_end|>")


def _qwen(folder: Path, config: Any, model: Any, processor: Any, video: Any, **vision: Any) -> None:
    words = _gpt(*_QWEN)
    id_of = words.convert_tokens_to_ids
    head = {"head_dim": 16} if "qwen3" in folder.name else {}
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
    text = _text(dict, len(words), bos_token_id=0, eos_token_id=7, pad_token_id=1, rope_parameters=rope, **head)
    made = config(
        vision_config=vision,
        text_config=text,
        image_token_id=id_of("<|image_pad|>"),
        video_token_id=id_of("<|video_pad|>"),
        vision_start_token_id=id_of("<|vision_start|>"),
        vision_end_token_id=id_of("<|vision_end|>"),
    )
    patch = vision["patch_size"]
    area = (2 * patch) ** 2
    images = hf.Qwen2VLImageProcessor(patch_size=patch, size={"shortest_edge": area * 4, "longest_edge": area * 12})
    template = _TEMPLATE.replace("IMG", "<|vision_start|><|image_pad|><|vision_end|>")
    ids = {"eos_token_id": [7, 0], "pad_token_id": 1, "bos_token_id": 0}
    _save(folder, model(made), processor(images, words, video(), chat_template=template), **ids)


@family
def qwen2_vl(folder: Path) -> None:
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": WIDTH, "num_heads": 2, "patch_size": 14}
    parts = (hf.Qwen2VLConfig, hf.Qwen2VLForConditionalGeneration, hf.Qwen2VLProcessor, hf.Qwen2VLVideoProcessor)
    _qwen(folder, *parts, **vision, spatial_merge_size=2, initializer_range=STD)


@family
def qwen2_5_vl(folder: Path) -> None:
    vision = {"depth": 2, "hidden_size": 32, "out_hidden_size": WIDTH, "intermediate_size": 48, "num_heads": 2}
    parts = (hf.Qwen2_5_VLConfig, hf.Qwen2_5_VLForConditionalGeneration, hf.Qwen2_5_VLProcessor)
    more = {"patch_size": 14, "spatial_merge_size": 2, "window_size": 56, "fullatt_block_indexes": [1]}
    _qwen(folder, *parts, hf.Qwen2VLVideoProcessor, **vision, **more, initializer_range=STD)


@family
def qwen3_vl(folder: Path) -> None:
    vision = {"depth": 2, "hidden_size": 32, "out_hidden_size": WIDTH, "intermediate_size": 48, "num_heads": 2}
    parts = (hf.Qwen3VLConfig, hf.Qwen3VLForConditionalGeneration, hf.Qwen3VLProcessor, hf.Qwen3VLVideoProcessor)
    more = {
        "patch_size": 16,
        "spatial_merge_size": 2,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }
    _qwen(folder, *parts, **vision, **more, initializer_range=STD)


@family
def paligemma(folder: Path) -> None:
    words = _llama("<image>", "\n", extra_special_tokens={"image_token": "<image>"})
    images = hf.SiglipImageProcessor(size=PHOTO)
    images.image_seq_length = 16
    processor = hf.PaliGemmaProcessor(images, words)  # adds tokens for locations
    count = len(processor.tokenizer)
    ids = {"eos_token_id": 2, "pad_token_id": 3, "bos_token_id": 1}
    vision = hf.SiglipVisionConfig(**VISION, initializer_range=STD, image_size=32, patch_size=8, vision_use_head=False)
    config = hf.PaliGemmaConfig(
        vision_config=vision.to_dict(),
        text_config=_text(hf.GemmaConfig, count, head_dim=16, **ids).to_dict(),
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=WIDTH,
        hidden_size=WIDTH,
        vocab_size=count,
    )
    _save(folder, hf.PaliGemmaForConditionalGeneration(config), processor, **ids)


@family
def florence2(folder: Path) -> None:
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<image>"]
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>"}
    words = _tokenizer("bytes", specials, **names, sep_token="</s>", extra_special_tokens={"image_token": "<image>"})
    words.add_tokens([f"<loc_{number}>" for number in range(1000)])
    images = hf.CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False)
    images.image_seq_length = 5
    text = {
        **{"model_type": "bart", "vocab_size": len(words), "d_model": WIDTH, "encoder_layers": 1},
        **{"decoder_layers": LAYERS, "encoder_attention_heads": HEADS, "decoder_attention_heads": HEADS},
        **{"encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 256, "init_std": STD},
        **{"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2},
        **{"forced_bos_token_id": None},
    }
    vision = {
        **{"embed_dim": [8, 8, 16, 16], "num_heads": [1, 1, 2, 2], "num_groups": [1, 1, 2, 2], "depths": [1, 1, 1, 1]},
        **{"projection_dim": WIDTH, "window_size": 4, "initializer_range": STD},
    }
    token = words.convert_tokens_to_ids("<image>")
    config = hf.Florence2Config(vision_config=vision, text_config=text, image_token_id=token)
    ids = {"eos_token_id": 2, "pad_token_id": 1, "bos_token_id": 0, "decoder_start_token_id": 2}
    rules = {"no_repeat_ngram_size": 3, "forced_eos_token_id": 2}
    _save(folder, hf.Florence2ForConditionalGeneration(config), hf.Florence2Processor(images, words), **ids, **rules)


@family
def blip2(folder: Path) -> None:
    words = _gpt("<image>")
    former = {
        **{"vocab_size": 30, "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": HEADS},
        **{"intermediate_size": 48, "encoder_hidden_size": WIDTH, "cross_attention_frequency": 1},
    }
    text = {
        **{"model_type": "opt", "vocab_size": len(words), "hidden_size": WIDTH, "word_embed_proj_dim": WIDTH},
        **{"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "ffn_dim": 48, "max_position_embeddings": 128},
        **{"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1, "init_std": STD},
    }
    config = hf.Blip2Config(
        vision_config={**VISION, "image_size": 32, "patch_size": 8, "initializer_range": STD},
        qformer_config={**former, "initializer_range": STD},
        text_config=text,
        num_query_tokens=8,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    model = hf.Blip2ForConditionalGeneration(config)
    torch.nn.init.normal_(model.query_tokens, std=1)
    processor = hf.Blip2Processor(hf.BlipImageProcessor(size=PHOTO), words, num_query_tokens=8)
    _save(folder, model, processor, eos_token_id=0, pad_token_id=1, bos_token_id=0)


def _tiled(folder: Path, config: Any, model: Any, processor: Any, image_processor: Any, **more: Any) -> None:
    rows = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
    specials = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *rows)
    names = ("image_token", "fake_image_token", "global_image_token", "end_of_utterance_token")
    words = _llama(*specials, extra_special_tokens=dict(zip(names, specials, strict=False)))
    ids = {"eos_token_id": [2, 7], "pad_token_id": 3, "bos_token_id": 1}
    made = config(
        vision_config={**VISION, "image_size": 32, "patch_size": 8, "initializer_range": STD},
        text_config=_text(dict, len(words), model_type="llama", bos_token_id=1, eos_token_id=2, pad_token_id=3),
        scale_factor=2,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        pad_token_id=3,
    )
    images = image_processor(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    template = _TEMPLATE.replace("IMG", "<image>")
    _save(folder, model(made), processor(images, words, image_seq_len=4, chat_template=template, **more), **ids)


@family
def smolvlm(folder: Path) -> None:
    video = hf.SmolVLMVideoProcessor(
        video_sampling={"fps": 1, "max_frames": 2, "video_size": {"longest_edge": 32}},
        size={"longest_edge": 64},
        max_image_size={"longest_edge": 32},
    )
    parts = (hf.SmolVLMConfig, hf.SmolVLMForConditionalGeneration, hf.SmolVLMProcessor, hf.SmolVLMImageProcessor)
    _tiled(folder, *parts, video_processor=video)


@family
def idefics3(folder: Path) -> None:
    parts = (hf.Idefics3Config, hf.Idefics3ForConditionalGeneration, hf.Idefics3Processor, hf.Idefics3ImageProcessor)
    _tiled(folder, *parts)


@other
def aya_vision(folder: Path) -> None:
    specials = ("<image>", "<|IMG_PATCH|>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "TILE", "TILE_GLOBAL")
    words = _llama(*specials)
    ids = {"eos_token_id": 2, "pad_token_id": 3, "bos_token_id": 1}
    vision = hf.SiglipVisionConfig(**VISION, initializer_range=STD, image_size=32, patch_size=8, vision_use_head=False)
    config = hf.AyaVisionConfig(
        vision_config=vision.to_dict(),
        text_config=_text(hf.Cohere2Config, len(words), head_dim=16, sliding_window=64, **ids).to_dict(),
        image_token_index=words.convert_tokens_to_ids("<|IMG_PATCH|>"),
    )
    images = hf.GotOcr2ImageProcessor(size=PHOTO, crop_to_patches=True, min_patches=1, max_patches=4)
    template = _TEMPLATE.replace("IMG", "<image>")
    processor = hf.AyaVisionProcessor(
        images, words, patch_size=8, img_size=32, downsample_factor=2, chat_template=template
    )
    _save(folder, hf.AyaVisionForConditionalGeneration(config), processor, **ids)


@other
def idefics2(folder: Path) -> None:
    words = _llama()
    images = hf.Idefics2ImageProcessor(size={"shortest_edge": 24, "longest_edge": 32}, do_image_splitting=False)
    template = _TEMPLATE.replace("IMG", "<image>")
    processor = hf.Idefics2Processor(images, words, image_seq_len=4, chat_template=template)
    ids = {"eos_token_id": 2, "pad_token_id": 3, "bos_token_id": 1}
    perceiver = {
        **{"hidden_size": WIDTH, "resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": HEADS},
        **{"resampler_head_dim": 16, "num_key_value_heads": 1, "initializer_range": STD},
    }
    config = hf.Idefics2Config(
        vision_config={**VISION, "image_size": 32, "patch_size": 8, "initializer_range": STD},
        perceiver_config=perceiver,
        text_config=_text(dict, len(processor.tokenizer), model_type="mistral", **ids),
        image_token_id=processor.image_token_id,
    )
    _save(folder, hf.Idefics2ForConditionalGeneration(config), processor, **ids)
