"""Words that state facts: colours, numbers, attributes, relations, places, postures and kinds of persons.

The lists are ours, in plain English. An underscore means a space.
"""


def words(text: str) -> frozenset[str]:
    """Return the words of a list."""
    return frozenset(word.replace("_", " ") for word in text.split())


def _pairs(text: str) -> frozenset[frozenset[str]]:
    return frozenset(words(pair.replace("/", " ")) for pair in text.split())


def _forms(text: str) -> dict[str, str]:
    """Return word -> its value, of "value: word, word; value: word"."""
    entries = (entry.partition(":") for entry in text.split(";"))
    return {word.strip(): value.strip() for value, _, further in entries for word in further.split(",")}


COLOURS = _forms(
    "red: red, crimson, scarlet; blue: blue; green: green; yellow: yellow; orange: orange; purple: purple, violet, "
    "lavender; pink: pink, magenta; white: white; black: black; brown: brown; gray: gray, grey; maroon: maroon; gold: "
    "golden, gold; silver: silver; tan: tan, khaki; beige: beige; teal: teal; turquoise: turquoise; navy: navy"
)
"""Colour words -> the colour."""

SIMILAR = _pairs(
    "beige/brown beige/tan beige/white beige/yellow black/gray black/navy blue/gray blue/navy blue/purple blue/teal "
    "blue/turquoise brown/gold brown/maroon brown/orange brown/tan brown/yellow gold/orange gold/tan gold/white "
    "gold/yellow gray/silver gray/tan green/teal green/turquoise green/yellow maroon/purple maroon/red orange/red "
    "orange/tan orange/yellow pink/purple silver/white tan/white tan/yellow teal/turquoise"
)
"""Pairs of colours that people confuse: one contradicts the other only if several references agree on it."""
VAGUE = words("beige gold maroon navy silver tan teal turquoise")
"""Colours that never contradict a similar one."""
FURS = (words("brown red gold tan beige"), words("yellow gold tan orange"))
"""Colours of fur between which people do not distinguish."""

_NUMBERS = "two three four five six seven eight nine ten eleven twelve"
NUMBERS: dict[str, int] = {word: number for number, word in enumerate(_NUMBERS.split(), start=2)}
NUMBERS |= {str(number): number for number in range(2, 21)}
SINGLE = words("a an another one 1")
"""Words before a single object."""
MANY = words("several many some multiple various numerous few both more")
"""Words before an unknown number of objects."""
GROUPS = words("group bunch herd flock crowd team row stack pile line variety collection lot")
"""Nouns before "of" and an unknown number of objects."""
TWO = words("couple pair")
"""Nouns before "of" and two objects."""
NO_PAIRS = words("skis scissors pants shorts jeans glasses sunglasses goggles headphones binoculars")
"""Plurals whose pair is one object."""
MEASURES = words("year years story way piece tier tiered layer layered wheel wheeled wheeler door lane lanes")
"""Nouns after a number that does not count objects: a two year old boy."""

ATTRIBUTES = _forms(
    "small: small, little, tiny, smaller; large: big, large, huge, larger, bigger; tall: tall; short: short; long: "
    "long; old: old, elderly, older; young: young, younger; new: new; wooden: wooden, wood; metal: metal; plastic: "
    "plastic; wet: wet; dry: dry; dirty: dirty; clean: clean; empty: empty; full: full; open: open; closed: closed; "
    "striped: striped, stripped; plaid: plaid; shiny: shiny; furry: furry, shaggy, hairy; fluffy: fluffy; bald: bald; "
    "blond: blond, blonde; bare: bare; modern: modern; antique: antique; vintage: vintage; broken: broken; rusty: "
    "rusty; sunny: sunny; cloudy: cloudy; snowy: snowy; grassy: grassy; sandy: sandy; rocky: rocky; dusty: dusty; "
    "muddy: muddy; leafy: leafy; dark: dark; bright: bright; colorful: colorful, colourful; round: round; square: "
    "square; flat: flat; fresh: fresh; ripe: ripe; sliced: sliced; decorated: decorated; parked: parked; crowded: "
    "crowded; busy: busy; narrow: narrow; wide: wide; steep: steep; smiling: smiling; happy: happy; sad: sad; tired: "
    "tired; wild: wild; stuffed: stuffed; electric: electric; brick: brick; concrete: concrete; leather: leather; "
    "paved: paved; tiled: tiled; carpeted: carpeted; cluttered: cluttered; messy: messy; tidy: tidy; homeless: "
    "homeless; shirtless: shirtless; barefoot: barefoot; spotted: spotted; curly: curly; heavy: heavy; thick: thick; "
    "thin: thin; high: high; low: low; deep: deep; shallow: shallow; beautiful: beautiful; pretty: pretty; lush: lush; "
    "calm: calm; rough: rough"
)
"""Adjectives -> the attribute."""
OPPOSITES = _pairs("clean/dirty closed/open dry/wet empty/full messy/tidy metal/wooden old/young plastic/wooden")
"""Attributes that exclude each other; sizes do not, because they are relative."""

COLLECTIVES = words("couple couples crowd crowds family families audience team teams groups pairs")
"""Names of several persons each, whose number does not count persons."""
PERSONS = {
    **dict.fromkeys(words("man men gentleman gentlemen businessman policeman guy guys"), ("man", "male", "adult")),
    **dict.fromkeys(words("woman women lady ladies businesswoman policewoman"), ("woman", "female", "adult")),
    **dict.fromkeys(words("male males"), ("man", "male", "")),
    **dict.fromkeys(words("female females"), ("woman", "female", "")),
    **dict.fromkeys(words("boy boys baby_boy baby_boys"), ("boy", "male", "child")),
    **dict.fromkeys(words("girl girls baby_girl baby_girls"), ("girl", "female", "child")),
    **dict.fromkeys(words("child children kid kids toddler toddlers"), ("child", "", "child")),
    **dict.fromkeys(words("baby babies infant infants"), ("baby", "", "child")),
}
"""Words for persons -> what they say: the person, the gender and the age ("" where they do not say it)."""

LOCATIVES = words(
    "above across against along around at behind beneath beside between by down from in inside into near off on onto "
    "outside over through under up"
)
"""Prepositions before a place."""
PLACES = words(
    "airport alley balcony barn baseball_field basement bathroom beach bedroom bridge canyon city classroom cliff "
    "closet court desert dining_room dirt_road dock enclosure farm field football_field forest garage garden grass gym "
    "hallway hill hotel_room house ice ice_rink kitchen lake library living_room market mountain museum ocean office "
    "park parking_lot path playground pond pool porch restaurant river room runway sand sidewalk skate_park sky slope "
    "snow soccer_field stadium stage station store stream street train_track valley water yard zoo"
)
"""Nouns of our lexicon that are places."""
ROOMS = _pairs(
    "bathroom/bedroom bathroom/kitchen bathroom/living_room beach/kitchen bedroom/kitchen bedroom/office "
    "classroom/kitchen kitchen/living_room kitchen/street"
)
"""Places that exclude each other."""

POSTURES = _forms(
    "standing: standing, stands, stand, stood; sitting: sitting, sits, sit, seated, sat; lying: lying, laying, lies, "
    "lie, lays, lay; kneeling: kneeling, kneels; crouching: crouching, crouches, squatting, crouched, squats; walking: "
    "walking, walks, walk, strolling, strolls, stroll; running: running, runs, run, jogging, jogs, jog, sprinting, "
    "sprints; jumping: jumping, jumps, jump, leaping, leaps; flying: flying, flies, fly, soaring, soars, soar; "
    "sleeping: sleeping, sleeps, sleep, napping, asleep; swimming: swimming, swims, swim; grazing: grazing, grazes, "
    "graze, feeding, feed; parked: parked; resting: resting, rests, rest; climbing: climbing, climbs, climb; sailing: "
    "sailing, sails, sail; floating: floating, floats, drifting; leaning: leaning, leans; skiing: skiing, skis; "
    "surfing: surfing, surfs; skateboarding: skateboarding; snowboarding: snowboarding"
)
"""Verbs -> the posture or movement."""
POSTURES_APART = _pairs(
    "flying/lying flying/parked flying/sitting flying/sleeping flying/standing flying/swimming grazing/lying "
    "grazing/sitting grazing/sleeping jumping/lying jumping/sitting jumping/sleeping lying/running lying/sitting "
    "lying/standing lying/walking running/sitting running/sleeping running/standing sitting/standing sitting/swimming "
    "sitting/walking sleeping/standing sleeping/walking"
)
"""Postures that exclude each other."""

RELATIONS = {
    tuple(phrase.split()): relation
    for phrase, relation in _forms(
        "riding: riding, rides, ride, surfing on, riding on, rides on, ride on, riding on top of; holding: holding, "
        "holds, hold, carrying, carries, carry, holding on to, holding up; flying: flying, flies, fly; wearing: "
        "wearing, wears, wear; eating: eating, eats, eat; pulling: pulling, pulls, pull; pushing: pushing, pushes, "
        "push; throwing: throwing, throws, throw; catching: catching, catches, catch; chasing: chasing, chases, chase; "
        "watching: watching, watches, watch; walking: walking, walks; on: on, on top of, atop, upon, onto; under: "
        "under, underneath, below, beneath; in: in, inside, inside of; next to: next to, beside, by, alongside, close "
        "to, near, nearby, besides; in front of: in front of; behind: behind, hidden by, partly hidden by, in back of; "
        "over: over, above; left of: to the left of, on the left of, left of; right of: to the right of, on the right "
        "of, right of"
    ).items()
}
"""Words between subject and object -> the relation."""
PASSIVE = {
    tuple(phrase.split()): relation
    for phrase, relation in _forms(
        "riding: ridden by; holding: held by, carried by; flying: flown by; wearing: worn by; eating: eaten by; "
        "pulling: pulled by; pushing: pushed by; chasing: chased by; behind: hiding, hides"
    ).items()
}
"""Words between object and subject -> the relation."""
CONVERSE = {"over": "under", "behind": "in front of", "right of": "left of"}
"""Relations that are stored as their converse, with subject and object exchanged."""
SYMMETRIC = words("next_to")
"""Relations that hold in both directions."""
RIDDEN = words(
    "bicycle bird boat bus camel car cat cow dog donkey elephant horse motorcycle sheep skateboard skis sled snowboard "
    "surfboard train truck"
)
"""Nouns of which a person rides one."""
RELATIONS_APART = _pairs("holding/riding in/under on/under pulling/riding pushing/riding riding/throwing riding/under")
"""Relations of the same two objects that exclude each other."""

GARMENTS = words(
    "apron clothes dress glasses glove goggles hat helmet jacket jeans mask pants robe scarf shirt shoe shorts skirt "
    "sock suit sunglasses sweater swimsuit tie uniform vest wetsuit"
)
"""Nouns of what persons wear."""
TORSO = words("clothes dress jacket shirt suit sweater uniform")
"""Garments whose colour is that of a person "dressed in red"."""
VIEWS = words("area closeup flock herd photo picture scene shot surface view")
"""Nouns that do not name an object of the image: the image itself, and groups."""

FAMILIES = (
    words(
        "bear bird camel cat cow deer dog donkey elephant fox giraffe goat horse kangaroo lion llama monkey moose pig "
        "rabbit sheep tiger wolf zebra"
    ),
    words("airplane bicycle boat bus car helicopter motorcycle train truck"),
    words("cake donut hot_dog pizza sandwich"),
    words("skateboard skis snowboard surfboard"),
)
"""Objects that people mistake for each other: if references agree on one, another name contradicts them."""
MEMBERS: dict[str, tuple[str, ...]] = {
    **{"animal": (*sorted(FAMILIES[0]), "person"), "vehicle": (*sorted(FAMILIES[1]), "trailer", "tractor")},
    **{"food": tuple(sorted(FAMILIES[2])), "fruit": ("apple", "banana", "orange"), "toy": ("teddy bear",)},
    **{"furniture": ("chair", "couch", "bed", "dining table"), "vegetable": ("broccoli", "carrot")},
    **{"appliance": ("oven", "microwave", "refrigerator", "toaster", "sink")},
}
"""General nouns -> what they may mean."""
