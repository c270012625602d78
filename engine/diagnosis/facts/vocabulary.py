"""Words that state facts: colours, numbers, attributes, relations, places, postures and kinds of persons.

The lists are ours, in plain English.
"""

COLOURS = {
    **{
        name: name for name in ("red", "blue", "green", "yellow", "orange", "purple", "pink", "white", "black", "brown")
    },
    **{"gray": "gray", "grey": "gray", "violet": "purple", "maroon": "maroon", "golden": "gold", "gold": "gold"},
    **{"silver": "silver", "tan": "tan", "beige": "beige", "teal": "teal", "turquoise": "turquoise", "navy": "navy"},
    **{"crimson": "red", "scarlet": "red", "lavender": "purple", "khaki": "tan", "magenta": "pink"},
}
"""Colour words -> the colour."""

SIMILAR = {
    frozenset(pair.split("/"))
    for pair in (
        "red/orange orange/yellow brown/orange brown/yellow yellow/green pink/purple blue/purple gray/blue gray/black "
        "red/maroon brown/maroon purple/maroon orange/gold orange/tan yellow/gold yellow/tan yellow/beige brown/tan "
        "brown/beige brown/gold tan/beige tan/gold tan/white white/beige white/gold gray/silver white/silver gray/tan "
        "blue/teal blue/turquoise blue/navy green/teal green/turquoise black/navy teal/turquoise"
    ).split()
}
"""Pairs of colours that people confuse: one contradicts the other only if several references agree on it."""
VAGUE = {"tan", "beige", "gold", "silver", "maroon", "teal", "turquoise", "navy"}
"""Colours that never contradict a similar one."""
FURS = ({"brown", "red", "gold", "tan", "beige"}, {"yellow", "gold", "tan", "orange"})
"""Colours of fur between which people do not distinguish."""

NUMBERS = {
    **{
        "two": 2,
        "three": 3,
        "four": 4,
        "five": 5,
        "six": 6,
        "seven": 7,
        "eight": 8,
        "nine": 9,
        "ten": 10,
        "eleven": 11,
    },
    **{"twelve": 12, **{str(number): number for number in range(2, 21)}},
}
SINGLE = {"a", "an", "another", "one", "1"}
"""Words before a single object."""
MANY = {"several", "many", "some", "multiple", "various", "numerous", "few", "both", "more"}
"""Words before an unknown number of objects."""
GROUPS = {
    "group",
    "bunch",
    "herd",
    "flock",
    "crowd",
    "team",
    "row",
    "stack",
    "pile",
    "line",
    "variety",
    "collection",
    "lot",
}
"""Nouns before "of" and an unknown number of objects."""
TWO = {"couple", "pair"}
"""Nouns before "of" and two objects."""
NO_PAIRS = {
    "skis",
    "scissors",
    "pants",
    "shorts",
    "jeans",
    "glasses",
    "sunglasses",
    "goggles",
    "headphones",
    "binoculars",
}
"""Plurals whose pair is one object."""
MEASURES = {
    "year",
    "years",
    "story",
    "way",
    "piece",
    "tier",
    "tiered",
    "layer",
    "layered",
    "wheel",
    "wheeled",
    "wheeler",
    "door",
    "lane",
    "lanes",
}
"""Nouns after a number that is no number of objects: a two year old boy."""

ATTRIBUTES = {
    **{
        word: word
        for word in (
            "small big large little tiny huge tall short long old young new wooden metal plastic wet dry dirty clean empty full "
            "open closed striped plaid shiny furry fluffy shaggy hairy bald blond bare modern antique vintage broken rusty "
            "sunny cloudy snowy grassy sandy rocky dusty muddy leafy green dark bright colorful round square "
            "flat fresh ripe sliced decorated parked crowded busy narrow wide steep smiling happy sad tired wild stuffed "
            "electric brick concrete leather paved tiled carpeted cluttered messy tidy elderly homeless shirtless barefoot "
            "spotted curly heavy thick thin high low deep shallow beautiful pretty lush calm rough"
        ).split()
    },
    **{"blonde": "blond", "stripped": "striped", "colourful": "colorful", "tiny": "small"},
    **{"huge": "large", "big": "large", "little": "small", "elderly": "old", "older": "old", "younger": "young"},
    **{"larger": "large", "smaller": "small", "bigger": "large", "wood": "wooden", "hairy": "furry", "shaggy": "furry"},
}
"""Adjectives -> the attribute."""
OPPOSITES = {
    frozenset(pair.split("/"))
    for pair in "wet/dry dirty/clean empty/full open/closed young/old wooden/metal wooden/plastic messy/tidy".split()
}
"""Attributes that exclude each other; sizes do not, because they are relative."""
COMPARED = {"small", "large"}
for _colour in COLOURS:
    ATTRIBUTES.pop(_colour, None)

COLLECTIVES = {
    "couple",
    "couples",
    "crowd",
    "crowds",
    "family",
    "families",
    "audience",
    "team",
    "teams",
    "groups",
    "pairs",
}
"""Names of several persons each, whose number is no number of persons."""

PERSONS = {
    **{word: ("man", "male", "adult") for word in ("man", "men", "gentleman", "gentlemen", "businessman", "policeman")},
    **{
        word: ("woman", "female", "adult")
        for word in ("woman", "women", "lady", "ladies", "businesswoman", "policewoman")
    },
    **{word: ("man", "male", "adult") for word in ("guy", "guys")},
    **{word: ("man", "male", "") for word in ("male", "males")},
    **{word: ("woman", "female", "") for word in ("female", "females")},
    **{word: ("boy", "male", "child") for word in ("boy", "boys", "baby boy", "baby boys")},
    **{word: ("girl", "female", "child") for word in ("girl", "girls", "baby girl", "baby girls")},
    **{word: ("child", "", "child") for word in ("child", "children", "kid", "kids", "toddler", "toddlers")},
    **{word: ("baby", "", "child") for word in ("baby", "babies", "infant", "infants")},
}
"""Words for persons -> what they say: the person, the gender and the age ("" where they do not say it)."""

LOCATIVES = {
    "in",
    "on",
    "at",
    "by",
    "near",
    "along",
    "through",
    "across",
    "down",
    "over",
    "inside",
    "outside",
    "into",
    "from",
}
LOCATIVES |= {"onto", "around", "up", "off", "above", "beside", "against", "behind", "under", "beneath", "between"}
"""Prepositions before a place."""

PLACES = {
    *(
        "beach",
        "street",
        "sidewalk",
        "alley",
        "path",
        "bridge",
        "parking lot",
        "city",
        "field",
        "grass",
        "sand",
        "snow",
    ),
    *(
        "water",
        "ocean",
        "lake",
        "river",
        "stream",
        "pond",
        "pool",
        "park",
        "forest",
        "desert",
        "hill",
        "mountain",
        "slope",
    ),
    *("kitchen", "bathroom", "bedroom", "living room", "dining room", "office", "classroom", "library", "hotel room"),
    *(
        "hallway",
        "room",
        "restaurant",
        "market",
        "store",
        "station",
        "airport",
        "runway",
        "stadium",
        "zoo",
        "enclosure",
    ),
    *(
        "playground",
        "skate park",
        "court",
        "baseball field",
        "soccer field",
        "football field",
        "garden",
        "yard",
        "farm",
    ),
    *("dock", "garage", "barn", "museum", "stage", "porch", "gym", "house", "train track", "dirt road", "ice", "sky"),
    *("canyon", "valley", "cliff", "ice rink", "basement", "closet", "balcony"),
}
"""Nouns of our lexicon that are places."""
ROOMS = {
    frozenset(pair.split("/"))
    for pair in (
        "kitchen/bathroom kitchen/bedroom kitchen/living room|bathroom/bedroom|bathroom/living room|"
        "bedroom/office|kitchen/classroom|kitchen/beach|kitchen/street"
    )
    .replace(" kitchen/", "|kitchen/")
    .split("|")
}
"""Places that exclude each other."""

POSTURES = {
    **{"standing": "standing", "stands": "standing", "stand": "standing", "stood": "standing"},
    **{"sitting": "sitting", "sits": "sitting", "sit": "sitting", "seated": "sitting", "sat": "sitting"},
    **{"lying": "lying", "laying": "lying", "lies": "lying", "lie": "lying", "lays": "lying", "lay": "lying"},
    **{"kneeling": "kneeling", "kneels": "kneeling", "crouching": "crouching", "crouches": "crouching"},
    **{"squatting": "crouching", "crouched": "crouching", "squats": "crouching"},
    **{"walking": "walking", "walks": "walking", "walk": "walking", "strolling": "walking", "strolls": "walking"},
    **{"stroll": "walking", "running": "running", "runs": "running", "run": "running", "jogging": "running"},
    **{"jogs": "running", "jog": "running", "sprinting": "running", "sprints": "running"},
    **{"jumping": "jumping", "jumps": "jumping", "jump": "jumping", "leaping": "jumping", "leaps": "jumping"},
    **{
        "flying": "flying",
        "flies": "flying",
        "fly": "flying",
        "soaring": "flying",
        "soars": "flying",
        "soar": "flying",
    },
    **{"sleeping": "sleeping", "sleeps": "sleeping", "sleep": "sleeping", "napping": "sleeping", "asleep": "sleeping"},
    **{"swimming": "swimming", "swims": "swimming", "swim": "swimming"},
    **{"grazing": "grazing", "grazes": "grazing", "graze": "grazing", "feeding": "grazing", "feed": "grazing"},
    **{
        "parked": "parked",
        "resting": "resting",
        "rests": "resting",
        "rest": "resting",
        "climbing": "climbing",
        "climbs": "climbing",
        "climb": "climbing",
    },
    **{"sailing": "sailing", "sails": "sailing", "sail": "sailing", "floating": "floating", "floats": "floating"},
    **{"drifting": "floating", "leaning": "leaning", "leans": "leaning", "skiing": "skiing", "skis": "skiing"},
    **{"surfing": "surfing", "surfs": "surfing", "skateboarding": "skateboarding", "snowboarding": "snowboarding"},
}
"""Verbs -> the posture or movement."""
POSTURES_APART = {
    frozenset(pair.split("/"))
    for pair in (
        "standing/sitting standing/lying standing/sleeping sitting/lying sitting/walking sitting/running sitting/jumping "
        "lying/walking lying/running lying/jumping walking/sleeping running/sleeping jumping/sleeping flying/sitting "
        "flying/lying flying/sleeping swimming/flying sitting/swimming lying/grazing sitting/flying parked/flying "
        "standing/flying standing/running sleeping/grazing sitting/grazing"
    ).split()
}
"""Postures that exclude each other."""

RELATIONS: dict[tuple[str, ...], str] = {
    tuple(words.split()): relation
    for relation, further in {
        "riding": "riding;rides;ride;surfing on;riding on;rides on;ride on;riding on top of",
        "holding": "holding;holds;hold;carrying;carries;carry;holding on to;holding up",
        "flying": "flying;flies;fly",
        "wearing": "wearing;wears;wear",
        "eating": "eating;eats;eat",
        "pulling": "pulling;pulls;pull",
        "pushing": "pushing;pushes;push",
        "throwing": "throwing;throws;throw",
        "catching": "catching;catches;catch",
        "chasing": "chasing;chases;chase",
        "watching": "watching;watches;watch",
        "walking": "walking;walks",
        "on": "on;on top of;atop;upon;onto",
        "under": "under;underneath;below;beneath",
        "in": "in;inside;inside of",
        "next to": "next to;beside;by;alongside;close to;near;nearby;besides",
        "in front of": "in front of",
        "behind": "behind;hidden by;partly hidden by;in back of",
        "over": "over;above",
        "left of": "to the left of;on the left of;left of",
        "right of": "to the right of;on the right of;right of",
    }.items()
    for words in further.split(";")
}
"""Words between subject and object -> the relation."""
PASSIVE: dict[tuple[str, ...], str] = {
    tuple(words.split()): relation
    for words, relation in {
        **{"ridden by": "riding", "held by": "holding", "carried by": "holding", "flown by": "flying"},
        **{"worn by": "wearing", "eaten by": "eating", "pulled by": "pulling", "pushed by": "pushing"},
        **{"chased by": "chasing", "hiding": "behind", "hides": "behind"},
    }.items()
}
"""Words between object and subject -> the relation."""
CONVERSE = {"over": "under", "behind": "in front of", "right of": "left of"}
"""Relations that are stored as their converse, with subject and object exchanged."""
SYMMETRIC = {"next to"}
RIDDEN = {
    "bicycle",
    "motorcycle",
    "horse",
    "elephant",
    "cow",
    "camel",
    "donkey",
    "surfboard",
    "skateboard",
    "snowboard",
    "skis",
}
RIDDEN |= {"bird", "dog", "cat", "sheep", "car", "bus", "boat", "train", "truck", "sled"}
"""Nouns of which a person rides one."""
RELATIONS_APART = {
    frozenset(pair.split("/"))
    for pair in ("on/under in/under riding/holding riding/pushing riding/pulling riding/throwing riding/under").split()
}
"""Relations of the same two objects that exclude each other."""

GARMENTS = {
    *("shirt", "dress", "jacket", "sweater", "vest", "pants", "jeans", "shorts", "skirt", "suit", "wetsuit", "uniform"),
    *(
        "clothes",
        "swimsuit",
        "hat",
        "helmet",
        "scarf",
        "glove",
        "shoe",
        "sock",
        "apron",
        "robe",
        "glasses",
        "sunglasses",
    ),
    *("goggles", "tie", "mask"),
}
"""Nouns of what persons wear."""
TORSO = {"clothes", "shirt", "dress", "jacket", "sweater", "suit", "uniform"}
"""Garments whose colour is that of a person "dressed in red"."""
VIEWS = {"photo", "view", "shot", "scene", "closeup", "area", "surface", "picture", "herd", "flock"}
"""Nouns that are no objects of the image: the image itself, and groups."""

FAMILIES = (
    frozenset(
        "dog cat horse sheep cow elephant bear zebra giraffe bird goat deer moose pig rabbit monkey lion tiger".split()
    )
    | frozenset("camel donkey llama fox wolf kangaroo".split()),
    frozenset({"bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "helicopter"}),
    frozenset({"pizza", "cake", "sandwich", "hot dog", "donut"}),
    frozenset({"surfboard", "skateboard", "snowboard", "skis"}),
)
"""Objects that people mistake for each other: if references agree on one, another name contradicts them."""
MEMBERS: dict[str, tuple[str, ...]] = {
    **{"animal": (*sorted(FAMILIES[0]), "person"), "vehicle": (*sorted(FAMILIES[1]), "trailer", "tractor")},
    **{"food": tuple(sorted(FAMILIES[2])), "fruit": ("apple", "banana", "orange"), "toy": ("teddy bear",)},
    **{"furniture": ("chair", "couch", "bed", "dining table"), "vegetable": ("broccoli", "carrot")},
    **{"appliance": ("oven", "microwave", "refrigerator", "toaster", "sink")},
}
"""General nouns -> what they may mean."""
