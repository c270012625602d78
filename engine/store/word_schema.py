"""The results contract, third part: tables about single words, their explanations and the alarm."""

import pyarrow as pa

_TEXTS = pa.list_(pa.string())

WORD_TABLES: dict[str, pa.Schema] = {
    # A row is a word of a caption: what the model says about it, and whether the image shows what it names.
    "words": pa.schema(
        {
            "image_id": pa.string(),
            "beam_size": pa.int32(),
            "word_index": pa.int32(),  # position in the caption's words, from 0
            "word": pa.string(),
            "logprob": pa.float32(),  # nats, summed over the word's tokens
            "rank": pa.int32(),  # of the word's first token at its step; 1 is the most probable
            "entropy": pa.float32(),  # nats, of the distribution at that step
            "gain_grey": pa.float32(),  # image gain: logprob minus that with a grey picture, nats
            "gain_other": pa.float32(),  # the same with another photo; null if the chunk has one photo
            "attention_entropy": pa.float32(),  # nats, of the last layer's map over its patches, mean of heads
            "attention_share": pa.float32(),  # see attention.share
            "map_distance": pa.float32(),  # 1 - cosine of the word's map and the caption's mean map
            "agreement": pa.float32(),  # share of samples, or of the other hypotheses, that say the same
            "label": pa.string(),  # the object that the word names; of a compound, at its last word
            "label_words": pa.int32(),  # words of the name, up to this one
            "label_logprob": pa.float32(),  # nats: the step begins a name of the label
            "other_label": pa.string(),  # the most probable other label at that step
            "other_logprob": pa.float32(),
            "fact": pa.string(),  # kind of the claim that the word makes, such as object or colour
            "verdict": pa.string(),  # correct, wrong or unknown
            "evidence": pa.string(),
            "alarm": pa.float32(),  # probability that the claim is wrong, from the model alone
            # Nats: logprob minus that with the cells that attention points at in the colour of their surroundings.
            "region_effect": pa.float32(),
            "object_effect": pa.float32(),  # the same for the object's box
            "object_lift": pa.float32(),  # share of the word's attention in the box, over the box's share of the cells
        }
    ),
    # A row is a view of an image: captions that were sampled from the model, for the agreement of words.
    "samples": pa.schema(
        {
            "image_id": pa.string(),
            "view": pa.string(),  # how the photo was changed, such as mirrored
            "captions": _TEXTS,  # one text per sample; of mirrored views with left and right exchanged
        }
    ),
    # A row is a noun and a method: a map of the noun, and how well it points and how faithful it is.
    "explanations": pa.schema(
        {
            "image_id": pa.string(),
            "beam_size": pa.int32(),
            "word_index": pa.int32(),
            "word": pa.string(),
            "label": pa.string(),
            "method": pa.string(),  # "random" orders cells at random
            "map": pa.binary(),  # uint8 [grid_height * grid_width]; 255 is the cell that matters most
            "grid_height": pa.int32(),
            "grid_width": pa.int32(),
            "hit": pa.bool_(),  # the map peaks inside the object's box
            "chance": pa.float64(),  # share of the cells inside the box
            "deletion": pa.float64(),  # area under p(word) while cells are covered, most important first
            "insertion": pa.float64(),  # area under p(word) while cells are shown on an empty picture
            "seconds": pa.float64(),  # per noun
        }
    ),
    # A row is a method: its certificate for this captioner. Intervals are 95 %, images resampled.
    "certificates": pa.schema(
        {"beam_size": pa.int32(), "method": pa.string(), "nouns": pa.int32(), "images": pa.int32()}
        | dict.fromkeys(("hit", "hit_low", "hit_high"), pa.float64())
        | {"chance": pa.float64()}
        | dict.fromkeys(("deletion", "deletion_low", "deletion_high"), pa.float64())
        | dict.fromkeys(("insertion", "insertion_low", "insertion_high"), pa.float64())
        # Differences from attention on the same nouns; null for attention.
        | dict.fromkeys(("hit_gain", "hit_gain_low", "hit_gain_high"), pa.float64())
        | dict.fromkeys(("deletion_gain", "deletion_gain_low", "deletion_gain_high"), pa.float64())
        | dict.fromkeys(("insertion_gain", "insertion_gain_low", "insertion_gain_high"), pa.float64())
        | {"seconds": pa.float64()}
        | {"certified": pa.bool_()}  # points better than chance, and is more faithful than a random order of cells
        | {"recommended": pa.bool_()}
    ),
    # A row is a beam size and a kind of claim: how well the alarm separates wrong from right words, on images that its
    # fit did not see.
    "alarms": pa.schema(
        {
            "beam_size": pa.int32(),
            "kind": pa.string(),  # object, colour, count or relation
            "words": pa.int32(),
            "wrong": pa.int32(),
            "auroc": pa.float64(),  # probability that a wrong word has a higher alarm than a right one
            "low": pa.float64(),  # 95 % interval, images resampled
            "high": pa.float64(),
        }
    ),
    # A row is one of five groups of words of equal size, by their alarm.
    "alarm_bins": pa.schema(
        {
            "beam_size": pa.int32(),
            "kind": pa.string(),
            "bin": pa.int32(),  # 1 has the lowest alarms
            "words": pa.int32(),
            "said": pa.float64(),  # mean alarm
            "wrong": pa.float64(),  # share of words that are wrong
        }
    ),
    # A row is a pair of generated pictures that differ in one object, with the captions of both.
    "twins": pa.schema(
        {
            "seed": pa.int64(),  # of the scene
            "change": pa.string(),  # removed, recoloured, duplicated or mirrored
            "label": pa.string(),  # the object that is changed
            "role": pa.string(),  # of a person, such as woman; else empty
            "original": pa.string(),  # caption of the original picture
            "twin": pa.string(),  # caption of the changed picture
            "named": pa.bool_(),  # the original's caption names the object
            "object_changed": pa.bool_(),  # what is said about the object differs
            "elsewhere_changed": pa.bool_(),  # what is said about other objects or the place differs
            "aspects": _TEXTS,  # of the object that differ: noun, count, colour, side
            "original_picture": pa.binary(),  # WebP; of a few pairs, else null
            "twin_picture": pa.binary(),
        }
    ),
}

WORD_KEYS: dict[str, tuple[str, ...]] = {
    "words": ("image_id", "beam_size", "word_index"),
    "samples": ("image_id", "view"),
    "explanations": ("image_id", "beam_size", "word_index", "method"),
    "certificates": ("beam_size", "method"),
    "alarms": ("beam_size", "kind"),
    "alarm_bins": ("beam_size", "kind", "bin"),
    "twins": ("seed", "change"),
}
"""Table -> the columns that identify a row."""
