"""Names of objects: COCO's categories with synonyms, and further nouns of captions that no category covers.

The lists are ours, in the form `noun: name, name; noun`. Plurals are formed by `lexicon.plural`.
"""


def _entries(text: str) -> dict[str, tuple[str, ...]]:
    """Return noun -> names of a list."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in text.replace("\n", " ").split(";"):
        noun, _, names = entry.partition(":")
        found[noun.strip()] = tuple(name.strip() for name in names.split(",") if name.strip())
    return found


SYNONYMS = _entries("""
person: man, woman, boy, girl, child, kid, baby, toddler, infant, lady, guy, gentleman, male, female, adult, teenager,
teen, youth, youngster, human, people, player, rider, skier, surfer, skateboarder, snowboarder, skater, biker,
bicyclist, cyclist, motorcyclist, swimmer, runner, jogger, climber, hiker, couple, crowd, men, women, children, chef,
cook, baker, waiter, waitress, passenger, pedestrian, driver, worker, employee, student, teacher, policeman,
policewoman, officer, cop, soldier, fireman, firefighter, sailor, fisherman, farmer, cowboy, cowgirl, pilot, athlete,
batter, catcher, umpire, goalie, referee, dancer, singer, musician, guitarist, performer, artist, bride, groom,
tourist, shopper, vendor, customer, spectator, businessman, businesswoman, coworker, doctor, nurse, someone, somebody,
mother, father, mom, dad, parent, brother, sister, son, daughter, friend, teammate, boater, kayaker, wakeboarder,
windsurfer, jockey, snowmobiler, cheerleader, nun, priest, clown, santa, audience, family, grandmother, grandfather,
motorist, baby boy, baby girl, rock climber; bicycle: bike, cycle, tricycle, mountain bike, bmx bike; motorcycle:
motorbike, motor bike, motor cycle, scooter, moped, dirt bike, motor scooter; airplane: plane, jet, aircraft,
aeroplane, air plane, jetliner, airliner, biplane, seaplane; bus: minibus, double decker; car: automobile, taxi, cab,
van, suv, sedan, minivan, jeep, limousine, police car, race car; boat: ship, sailboat, canoe, kayak, ferry, yacht,
dinghy, motorboat, speedboat, rowboat, gondola, barge, tugboat, fishing boat, lifeboat; train: locomotive, tram,
passenger train, freight train, subway train; truck: pickup, lorry, pickup truck, fire truck, firetruck, dump truck,
tow truck; fire hydrant: hydrant; traffic light: stoplight, traffic signal, stop light; stop sign; parking meter;
bench: pew, park bench; dog: puppy, pup, hound, doggy, doggie, terrier, retriever, poodle, bulldog, greyhound, collie,
spaniel, beagle, husky, labrador, dachshund, chihuahua, rottweiler, sheepdog, baby dog, german shepherd, dalmatian,
corgi, lap dog; cat: kitten, kitty, tabby, kitty cat; horse: pony, foal, colt, mare, stallion, racehorse, baby horse;
sheep: lamb, ram, ewe; cow: cattle, bull, calf, ox, bison, heifer, yak, water buffalo, buffalo; elephant: baby
elephant; bear: panda, polar bear, grizzly, bear cub; zebra; giraffe; fish: fishes; bird: seagull, gull, pigeon, duck,
parrot, eagle, goose, swan, owl, chicken, rooster, heron, pelican, flamingo, sparrow, crow, hawk, peacock, duckling,
hummingbird, parakeet, ostrich, turkey, baby bird, egret, woodpecker, robin, penguin, wild turkey; backpack: rucksack,
knapsack, book bag; umbrella: parasol; handbag: purse; tie: necktie, bow tie, bowtie; suitcase: luggage, baggage;
frisbee: flying disc; skis: ski; snowboard; sports ball: ball, football, baseball, basketball, soccer ball, tennis
ball, volleyball, beach ball, bowling ball, golf ball; kite; baseball bat: bat; baseball glove: mitt, catcher mitt,
baseball mitt; skateboard: skate board, longboard; surfboard: board, surf board, bodyboard, boogie board, paddle board,
paddleboard; tennis racket: racket, racquet, tennis racquet; bottle: wine bottle, water bottle, beer bottle; wine
glass: glass, goblet, wineglass; cup: mug, coffee cup, teacup, tea cup, coffee mug; fork; knife; spoon; bowl; banana;
apple; sandwich: hamburger, burger, cheeseburger, sub sandwich; orange; broccoli; carrot; hot dog: hotdog; pizza: slice
of pizza; donut: doughnut; cake: cupcake, birthday cake, wedding cake, cheesecake, piece of cake, slice of cake; chair:
armchair, stool, seat, lawn chair, rocking chair, beach chair, lounge chair; couch: sofa, loveseat, love seat, futon;
potted plant: plant, houseplant, house plant; bed; dining table: table, table top, tabletop, desk, kitchen table,
dinner table, picnic table, coffee table, dining room table; toilet: urinal, commode; tv: television, screen, monitor,
flat screen, flat screen tv, television set, tv screen; laptop: computer, notebook, laptop computer, lap top, notebook
computer, macbook; mouse: computer mouse; remote: remote control, wii remote, game controller; keyboard: computer
keyboard; cell phone: phone, cellphone, smartphone, mobile phone, telephone, iphone, smart phone; microwave: microwave
oven; oven: stove, stovetop, stove top, stove top oven; toaster: toaster oven; sink: washbasin, wash basin;
refrigerator: fridge, freezer; book; clock: clock face; vase; scissors: pair of scissors; teddy bear: teddy, stuffed
animal, stuffed bear, teddybear; hair drier: hair dryer, hairdryer, blow dryer; toothbrush: tooth brush
""")
"""Label -> further names. The keys are COCO's 80 categories and, because other datasets have it, "fish"."""

COCO = frozenset(SYNONYMS) - {"fish"}
"""COCO's 80 categories."""

COCO_LIKE = 40
"""Different labels, all of them COCO's, from which a split is assumed to be annotated with COCO's 80 categories."""

LOOSE = _entries("""
bike: motorcycle; biker; cycle: motorcycle; scooter: skateboard; van: truck, bus; suv: truck; jeep: truck; minivan:
truck; pickup: car; pickup truck: car; tram: bus; double decker; cab: truck; gondola; glass: cup, vase; plant: vase;
desk; seat: couch, bench; board; stool: bench; computer: tv, keyboard; screen: laptop, cell phone; notebook: book;
monitor: laptop; coffee table; picnic table: bench; bat; buffalo; bison; yak; lamb; game controller; toaster oven:
oven; freezer; bow tie; football; baseball; basketball; volleyball; luggage: backpack, handbag; baggage: backpack,
handbag; purse: backpack; cupcake: donut; armchair: couch; urinal; tricycle; stuffed animal; cook; audience; crowd;
family; chicken; turkey; santa; clown; someone; somebody
""")
"""Names that also fit other labels, with these labels. An object with such a name may be there without an annotation of
its category, so that its absence from the annotations proves nothing."""

HIDDEN = tuple(
    _entries("""
rock climbing; road race; motorcycle gear; red sox; white sox; work station; rock concert; dog show; horse riding;
horseback riding; mountain climbing; rock climb; water polo; snow angel; street hockey
""")
)
"""Compounds that name no object, although their parts do."""

THINGS = _entries("""
shirt: t shirt, tshirt, tee shirt, sweatshirt, polo shirt; dress: gown; jacket: coat, parka, raincoat; sweater: hoodie,
pullover; vest: life vest, life jacket; pants: trousers; jeans: blue jeans; shorts; skirt; suit: business suit;
wetsuit: wet suit; uniform; clothes: outfit, clothing, costume; swimsuit: bathing suit, bikini; hat: cap, beanie,
sombrero, baseball cap; helmet: hard hat; scarf: bandana; glove: mitten; shoe: sneaker, boot, sandal; sock; apron;
robe; glasses: eyeglasses; sunglasses: sun glasses; goggles; collar; leash; belt; necklace; headband; wig; mask; hoof;
goat; deer: antelope, elk; moose; pig: piglet; rabbit: bunny; monkey: ape, gorilla; lion; tiger; camel; donkey: mule;
squirrel; turtle; frog; snake; lizard; butterfly; insect; whale; dolphin; seal; fox; wolf; kangaroo; llama: alpaca;
animal: creature; herd; flock; tree: palm tree, pine tree; bush: shrub; flower: rose, tulip; leaf; grass: lawn; branch;
stick; twig; log; rock: boulder; stone; dirt; mud; sand; snow; ice; water; wave; cloud; sky: blue sky; sun; puddle;
pond; pool: swimming pool; fountain; waterfall; stream: creek; lake; river; ocean: sea; beach: shore, shoreline,
seashore; field: pasture, meadow; park; forest: woods, woodland; desert; hill: hillside; mountain: mountainside; cliff;
slope: ski slope; canyon; valley; street: road, roadway, highway, roadside, city street, city road; sidewalk: pavement,
side walk; alley; path: trail, pathway; walkway; bridge; parking lot; city: town, downtown, village; building:
skyscraper, office building; house: home, cottage; barn: stable; tower: clock tower; church: cathedral; castle; tent;
store: shop, supermarket, grocery store; restaurant: cafe, diner, pub; burger king; market: marketplace, farmers
market; airport; runway: tarmac; station: train station, bus station, subway station; train track: track, railroad
track, railway, train tracks; dock: pier, harbor; garage; stadium: arena; zoo; enclosure; playground; skate park:
skatepark; court: tennis court, basketball court; baseball field: baseball diamond, ball field; soccer field; football
field; garden; yard: backyard, back yard; farm; kitchen; bathroom: restroom, washroom; bedroom; living room; dining
room; office; classroom; library; hotel room; hotel; hallway: corridor; lobby; room; basement; closet; gym; museum;
stage; porch: patio, deck; balcony; door: doorway; gate; window; wall; floor: tile floor; ceiling; roof: rooftop;
stairs: stair, staircase, steps; ramp: half pipe, halfpipe; fence: railing; rail: handrail; pole: post; column; sign:
street sign, billboard, road sign; banner; flag; poster; picture; painting: portrait; photo: photograph, image,
snapshot; view; shot; scene; closeup: close up; mirror; shelf: bookshelf, bookcase; cabinet: cupboard; cabinetry;
counter: countertop, counter top; drawer; dresser; curtain: drape, shower curtain; rug: carpet; mat; blanket: quilt,
bedspread, comforter; sheet; pillow: cushion; towel; lamp: lamp post, street light; light: light fixture; candle;
candle holder: candlestick; fireplace; bathtub: bath tub, tub; shower; shower stall; shower head; faucet; fan; basket;
crate; box: carton, cardboard box, pizza box; bag: shopping bag, plastic bag; bucket: pail; trash can: garbage can,
trash bin; pot: pan, skillet; plate: platter; dish; tray; napkin; tablecloth; utensil; kettle: teapot, tea kettle; jug;
jar; blender; dishwasher; washing machine: washer, dryer; appliance; furniture; food; meal; bread: toast; meat: steak;
cheese; egg; salad; soup; rice; pasta: noodle; fries: french fries; fruit; vegetable: veggie; tomato; potato; onion;
pepper; lettuce; strawberry: berry; grape; lemon; pear; peach; pineapple; melon: watermelon; mushroom; corn; pastry:
muffin, croissant, pie; bagel; cookie; chocolate; candy; ice cream: ice cream cone; dessert; sauce; wine: red wine,
white wine; beer; juice: orange juice, apple juice; coffee; tea; milk; drink: beverage; guitar; drum; piano; violin;
microphone; camera: video camera; radio; headphones: headphone, head phones, head phone; newspaper; magazine; letter;
paper; card; pen; pencil; toy: doll; toy car; toy train; toy truck; toy airplane; toy dog; balloon; bubble; puzzle;
swing: swing set; slide: water slide; trampoline; hammock; rope; chain; net; hoop; goal; paddle: oar; sail; rack;
wheel: tire; wagon: cart, carriage, shopping cart; stroller; trailer; tractor; helicopter; rocket; parachute; jet ski;
snowmobile; sled: sleigh; raft; skate: ice skate, rollerblade; ski pole; ski lift: chairlift, chair lift; ski jump;
hair: ponytail; mohawk; face paint; beard: mustache; face; head; mouth; nose; eye; ear; hand; finger; arm; leg; foot;
paw; tail; lap; shoulder; tongue; tooth; chest; neck; vehicle; traffic; crosswalk: cross walk; intersection; machine;
equipment; tool; shovel; knob; fire: campfire; smoke; statue: sculpture; ground; area; surface; crib; stall; dustpan:
dust pan; broom: mop; hose; ladder; tunnel; tv stand; entertainment center; dog house: doghouse; dog bed; cat bed; bird
house: birdhouse; bird cage; birdcage; cat food; dog food; bird feeder; horse race; hurdle: obstacle; ice rink: rink;
puck; hockey stick; tennis match; tennis game; baseball game; soccer game; football game; bus stop; bus lane; car wash;
truck bed; car seat; toilet seat; toilet paper: tissue, toilet paper holder; toilet bowl; toilet tank; train car; boat
house; boat dock; orange tree; apple tree; banana tree; banana peel; oven mitt; cake stand; knife block; book store;
pizza dough; pizza place; pizza shop; pizza parlor; cup holder; umbrella stand; tie dye; chair leg; table cloth; bed
sheet; cutting board; chopping board; score board: scoreboard; white board: whiteboard; board game; bulletin board;
diving board; chalk board: chalkboard; dash board: dashboard; seat belt; bike rack; bicycle rack; bike path; bike
trail; bike lane; bike race; glass door; magnifying glass; looking glass; stained glass; glass window; horse cart; cow
bell; fish bowl; fish tank; sheep pen; clock radio; phone booth; mouse pad; sink hole; tie rack; bear rug; ball pit;
ball game; ball court; foot bridge; race track; race course; dirt track; dirt road: dirt path; tennis shoe; dog leash;
horse back: horseback; motorcycle race; motocross; hot tub; bench press; orange peel; sheep dog; couch cushion; drink
can
""")
"""Noun -> further names, of what COCO's categories do not cover. Compounds hide their parts."""
