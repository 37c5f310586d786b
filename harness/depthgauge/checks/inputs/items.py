"""A task for any language model: grammar, facts, opposites, categories and small sums, all of them plain.

A model answers by the likelihood of whole options after the prompt. The items are meant to be easy, so that even a
model of a hundred million parameters is far above chance on every kind, and a step backwards can be seen.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple


class Item(NamedTuple):
    """A question with two to four options, one of which is the answer; grammar has an empty prompt."""

    id: str
    kind: str
    prompt: str
    answer: str
    options: tuple[str, ...]


# Braces hold what is right and what is wrong in otherwise equal sentences.
GRAMMAR = """
The keys to the old cabinet {are|is} on the kitchen table.
The teacher of the younger children {has|have} left the school.
My brothers {play|plays} football in the park every Sunday.
The box of chocolates {was|were} empty by noon.
Each of the houses {has|have} a small garden.
Our neighbour {grows|grow} tomatoes behind the garage.
The pictures on the wall {look|looks} very old.
Everyone in the two villages {knows|know} the story.
There {are|is} seven days in a week.
There {is|are} a stranger at the door.
The farmer and his wife {live|lives} near the river.
One of the windows {was|were} broken during the storm.
The news from the capital {is|are} good today.
Mathematics {is|are} my favourite subject.

She gave the letter to {him|he} before breakfast.
{They|Them} have bought a new house in the country.
My uncle taught {us|we} how to ride a horse.
{I|Me} have never been to Australia.
My aunt went to the concert with {us|we}.
We saw {her|she} at the station yesterday.
{He|Him} works as a nurse in a large hospital.
The dog followed {them|they} all the way home.
{We|Us} usually eat dinner at seven o'clock.
Nobody told {me|I} about the meeting.

The girl hurt {herself|himself} when she fell off her bicycle.
The old man talked to {himself|herself} as he shaved his beard.
We enjoyed {ourselves|themselves} at the wedding, and we danced all night.
The boys washed {themselves|himself} in the cold lake.
I made {myself|yourself} a cup of tea because I was thirsty.
The king looked at {himself|themselves} in the mirror.
You should ask {yourself|myself} what you really want.
The machine switches {itself|themselves} off after an hour.
My mother cut {herself|itself} with the bread knife.
The two queens saw {themselves|herself} in the portrait.

She bought {an|a} orange and two lemons.
He wants to become {a|an} doctor like his father.
{These|This} shoes are too small for me.
{This|These} book belongs to the library.
{Those|That} mountains are covered with snow.
There isn't {much|many} milk left in the bottle.
How {many|much} people came to the party?
We saw {an|a} elephant at the zoo.
{That|Those} bridge was built by the Romans.
He has very {few|little} friends in this town.
I have {a|an} sister who lives in Canada.
{Every|All} student must bring a pencil.

He gave {me a|a me} pen and some paper.
I don't know where {he lives|lives he}.
She put the {red apple|apple red} into her basket.
What {are you|you are} doing here at this hour?
He {always drinks|drinks always} a glass of milk before bed.
The {tall man|man tall} opened the door for us.
Where {did you|you did} find this beautiful ring?
The children {are playing|playing are} behind the barn.
My father {is not|not is} at home today.
We went {to the|the to} cinema last night.
She speaks {English very well|very well English}.
He is {old enough|enough old} to drive a car.
The soldiers {must have|have must} crossed the river at night.
Can you tell me what time {it is|is it} now?

Yesterday we {walked|walk} to the lake and swam.
She {will arrive|arrived} at the airport tomorrow morning.
He has {lived|live} in this village since he was born.
They were {singing|sing} when the lights went out.
Last winter the river {froze|freezes} for three weeks.
I am {waiting|wait} for the next bus.
When I was a child, I {was|am} afraid of the dark.
Did you {see|saw} the rainbow over the hills?
He didn't {know|knew} the answer to the question.
She can {play|plays} the piano and the violin.
We have been {working|work} in the garden all day.
The cake was {eaten|ate} by the children.
Two days ago my cousin {came|comes} back from Brazil.
You must {wash|washed} your hands before dinner.

Nobody has {ever|never} seen a dragon.
I haven't seen {anyone|no one} in the garden today.
She didn't say {anything|nothing} about the accident.
There isn't {any|no} sugar in my tea.
He has not finished his homework {yet|already}.
{Nobody|Somebody} has ever climbed that mountain in winter.
{No|Some} student has ever failed this test.
He hardly {ever|never} goes to the theatre.
I have {never|ever} eaten such good bread.
Hardly {anybody|nobody} came to the concert.

The {children|childs} built a castle of sand.
The cat caught two {mice|mouses} in the cellar.
Her {feet|foots} were cold in the wet boots.
The dentist pulled out two of my {teeth|tooths}.
A flock of {geese|gooses} flew over the house.
The bird {flew|flied} over the roof and away.
She {bought|buyed} a ticket to Vienna.
He {taught|teached} us French for two years.
The glass fell and {broke|breaked} into pieces.
I {thought|thinked} that you were asleep.
They {went|goed} home after the concert.
My uncle {caught|catched} a big fish this morning.
The {men|mans} carried the piano up the stairs.
We {drank|drinked} lemonade under the trees.

An elephant is {bigger|more big} than a horse.
This road is {better|gooder} than the other one.
That was the {worst|baddest} film of the year.
She is the {tallest|most tall} girl in her class.
My car is more {expensive|expensiver} than yours.
He runs {faster|more fast} than his brother.
Today the weather is {worse|badder} than yesterday.
Gold is heavier {than|as} iron.
He is as tall {as|than} his father.
She sings {beautifully|beautiful} in the church choir.

The train arrived {at|on} six o'clock in the morning.
My birthday is {in|at} September.
She is very good {at|in} playing chess.
We are waiting {for|to} our friends.
He is afraid {of|from} spiders.
This letter was written {by|from} my grandfather.
The museum is closed {on|at} Mondays.
They are interested {in|at} old coins.
I agree {with|to} you about the price of the house.
She is married {to|with} a doctor.

The woman {who|which} lives next door is a lawyer.
The house {which|who} we bought has four rooms.
This is the boy {whose|who} father repairs bicycles.
I want {to learn|learning} how to swim.
He enjoys {reading|to read} in the garden.
She let her son {drive|to drive} the tractor.
They made us {wait|to wait} for two hours.
My sister {doesn't|don't} eat meat.
{Does|Do} your father speak Italian?
It is raining, so take {your|you} umbrella.
The dog wagged {its|it} tail when we came home.
If I {had|would have} more time, I would learn Greek.
"""

# A prompt, its answer and three other options.
FACTS = """
The capital of France is: Paris Berlin Rome Madrid
The capital of Germany is: Berlin Vienna London Oslo
The capital of Italy is: Rome Athens Lisbon Paris
The capital of Spain is: Madrid Rome Warsaw Dublin
The capital of Japan is: Tokyo Beijing Seoul Bangkok
The capital of Russia is: Moscow Minsk Helsinki Prague
The capital of China is: Beijing Tokyo Hanoi Delhi
The capital of Greece is: Athens Cairo Rome Budapest
The capital of Egypt is: Cairo Nairobi Baghdad Athens
The capital of Austria is: Vienna Munich Brussels Stockholm
The capital of Portugal is: Lisbon Madrid Geneva Havana
The capital of Ireland is: Dublin London Glasgow Oslo
The capital of Poland is: Warsaw Prague Berlin Sofia
The capital of Cuba is: Havana Lima Miami Santiago
The capital of England is: London Liverpool Dublin Paris
Paris is a city in: France Spain Germany Italy
Munich is a city in: Germany Denmark Portugal Greece
Barcelona is a city in: Spain Italy Mexico France
Chicago is a city in the state of: Illinois Texas Oregon Florida
Sydney is a city in: Australia Canada Scotland India
Mumbai is a city in: India Egypt China Brazil
Toronto is a city in: Canada England Mexico Australia
Shanghai is a city in: China Japan Korea Vietnam
Venice is a city in: Italy Spain Sweden Turkey
Kenya is a country in: Africa Asia Europe America
Thailand is a country in: Asia Africa Europe America
Norway is a country in: Europe Africa Asia America
The river that flows through Egypt is called the: Nile Rhine Amazon Danube
The river that flows through London is called the: Thames Nile Seine Volga
The highest mountain in the world is Mount: Everest Fuji Vesuvius Olympus
The largest ocean in the world is the: Pacific Atlantic Arctic Indian
The largest planet in the solar system is: Jupiter Mars Earth Venus
The planet that is closest to the Sun is: Mercury Saturn Earth Neptune
The planet that is known for its rings is: Saturn Mars Venus Mercury
The planet that is called the red planet is: Mars Venus Neptune Uranus
The star at the centre of our solar system is the: Sun Moon Earth Comet
The Earth moves around the: Sun Moon Mars Stars
In Brazil most people speak: Portuguese German Dutch Polish
In Mexico most people speak: Spanish French Russian Italian
In Austria most people speak: German Spanish Portuguese Greek
In Australia most people speak: English Spanish Arabic German
In Egypt most people speak: Arabic Hindi English Turkish
The currency of Japan is the: yen dollar pound peso
The currency of the United States is the: dollar euro yen rupee
The currency of Germany is the: euro dollar yen rupee
Romeo and Juliet was written by William: Shakespeare Wordsworth Blake Faulkner
The theory of relativity was developed by Albert: Einstein Newton Darwin Camus
The theory of evolution was developed by Charles: Darwin Dickens Einstein Chaplin
The Mona Lisa was painted by Leonardo da: Vinci Paris Gama Milano
The first president of the United States was George: Washington Lincoln Bush Orwell
The first man on the Moon was Neil: Armstrong Young Diamond Gagarin
The president of the United States during the Civil War was Abraham: Lincoln Washington Roosevelt Kennedy
In 1492 America was reached by Christopher: Columbus Wren Marlowe Nolan
The law of gravity was described by Isaac: Newton Einstein Asimov Galilei
The symphony known as the Ninth was composed by Ludwig van: Beethoven Mozart Gogh Dyck
The Sistine Chapel ceiling was painted by: Michelangelo Picasso Monet Rembrandt
The chemical symbol O stands for: oxygen gold iron silver
The chemical symbol H stands for: hydrogen copper mercury sodium
The chemical symbol C stands for: carbon iron zinc silver
The gas that humans need to breathe is: oxygen helium methane neon
The gas that plants take in from the air is carbon: dioxide nitrogen copper water
Water is made of hydrogen and: oxygen carbon iron sulfur
Table salt is made of sodium and: chlorine oxygen carbon gold
Ice is frozen: water milk sand air
Steam is water in the form of a: gas solid metal stone
At sea level, water boils at 100 degrees: Celsius Fahrenheit north longitude
The organ that pumps blood through the body is the: heart brain liver stomach
The organ that we think with is the: brain heart kidney skin
We breathe with our: lungs ears knees kidneys
We see with our: eyes ears hands teeth
We hear with our: ears eyes feet lips
We smell with our: nose elbow foot hair
Blood is carried away from the heart by the: arteries bones nerves teeth
The colour of blood is: red green blue yellow
The colour of the sky on a clear day is: blue green purple brown
The colour of snow is: white green red purple
The colour of fresh grass is: green red purple orange
The colour of a ripe banana is: yellow blue black purple
The colour of coal is: black white yellow pink
Blue and yellow paint mixed together make: green red white black
Bees make: honey milk bread wool
Cows eat: grass meat fish stones
Sheep give us: wool silk eggs honey
Hens lay: eggs milk stones wool
Spiders catch flies in their: webs cups boots beds
A spider has eight: legs wings heads tails
A baby dog is called a: puppy kitten calf lamb
A baby cat is called a: kitten puppy calf chick
A baby sheep is called a: lamb puppy kitten cub
The animal known as the king of the jungle is the: lion mouse rabbit cow
The largest animal in the ocean is the blue: whale shark crab seal
The tallest animal in the world is the: giraffe mouse rabbit snake
The animal with a long trunk is the: elephant lion sheep wolf
Fish breathe with their: gills fins lungs tails
Birds are covered with: feathers scales hair leaves
Butter and cheese are made from: milk wheat grapes sand
Wine is made from: grapes potatoes wool wheat
Bread is made from: flour honey grapes leather
Paper is made from: wood iron glass honey
Windows are made of: glass wool bread leather
Tyres are made of: rubber wood paper sugar
Raisins are dried: grapes apples onions potatoes
The first month of the year is: January March August October
The last month of the year is: December June April September
The day after Monday is: Tuesday Sunday Friday Saturday
The day before Sunday is: Saturday Monday Wednesday Thursday
The season after winter is: spring autumn summer night
The month after June is: July March October January
An hour has sixty: minutes days weeks years
A week has seven: days months hours minutes
A year has twelve: months days minutes hours
A person who bakes bread is called a: baker pilot lawyer painter
A person who flies a plane is called a: pilot baker farmer nurse
A person who teaches children is called a: teacher dentist sailor butcher
A doctor who looks after teeth is called a: dentist pilot lawyer farmer
Sick people are treated in a: hospital factory theatre prison
Books can be borrowed from a: library bakery stable bank
The sun rises in the: east west north south
A triangle has three: sides circles wheels doors
A bicycle has two: wheels engines roofs wings
"""

# A word, its opposite and three other options.
OPPOSITES = """
hot: cold tall late loud
big: small wet early sad
good: bad round tall green
happy: sad wide quick round
fast: slow sweet thin blue
tall: short rich warm loud
old: young deep clean sharp
light: dark slow honest thick
wet: dry tall cheap angry
hard: soft late poor bright
strong: weak wide sweet early
rich: poor short dark quiet
early: late big hot clean
full: empty fast blue angry
open: closed sweet young tall
loud: quiet yellow thin cheap
thick: thin late happy warm
wide: narrow hungry old bitter
high: low wet kind new
deep: shallow angry green quick
clean: dirty tall sudden brave
cheap: expensive round cold sleepy
easy: difficult yellow thirsty wet
heavy: light rude late curly
sharp: dull rich early tall
sweet: bitter flat quick high
safe: dangerous purple short dry
brave: cowardly warm round new
polite: rude deep tall yellow
true: false thick sleepy cold
right: wrong cheap salty soft
alive: dead wide sour noisy
first: last blue soft narrow
near: far sad rich bitter
same: different cold empty slow
beautiful: ugly early dry fast
smooth: rough late hungry young
north: south table winter bread
left: right green hungry slow
up: down soon never blue
in: out red slow yes
yes: no up soon here
always: never green quickly here
before: after under slowly around
day: night chair river bread
summer: winter garden bottle Monday
love: hate bread paper sleep
war: peace money water grass
friend: enemy kitchen window apple
black: white loud early thin
push: pull sing drink write
buy: sell swim think fall
win: lose cook walk write
begin: end sing wash carry
remember: forget swim paint cook
laugh: cry read build buy
arrive: leave paint think count
question: answer garden horse river
success: failure window forest garden
increase: decrease borrow whisper invite
male: female empty rapid sour
past: future spoon sugar horse
positive: negative sudden wooden hungry
possible: impossible yellow sleepy salty
"""

# A category and its members; the categories of one line are never options together.
CATEGORIES = """
bird: sparrow eagle parrot penguin owl | insect: ant beetle mosquito | fish: salmon trout tuna | dog: poodle beagle
fruit: apple banana mango pear | vegetable: carrot cabbage spinach | tree: oak birch willow | flower: tulip daisy rose
tool: hammer chisel screwdriver | weapon: sword rifle dagger | furniture: chair table sofa
vehicle: car truck bus | boat: canoe yacht ferry
instrument: violin piano trumpet guitar
metal: iron copper gold silver
fabric: cotton silk velvet
sport: tennis football hockey
disease: malaria measles diabetes
drink: coffee lemonade beer
clothing: shirt jacket skirt
shape: triangle circle square
"""

SOLVED_SUMS = "1 + 1 = 2\n2 + 4 = 6"
SOLVED_DIFFERENCES = "5 - 3 = 2\n9 - 1 = 8"


def items() -> tuple[Item, ...]:
    """All items, kind after kind; the order of an item's options depends on the item alone."""
    return (
        *_grammar(),
        *_cloze("facts", FACTS, "{}"),
        *_cloze("opposites", OPPOSITES, "The opposite of {} is"),
        *_categories(),
        *_sums(),
    )


def _grammar() -> Iterator[Item]:
    for line in filter(None, GRAMMAR.splitlines()):
        right, wrong = (re.sub(r"\{(.*?)\|(.*?)\}", place, line) for place in (r"\1", r"\2"))
        yield _item("grammar", "", right, wrong)


def _cloze(kind: str, table: str, prompt: str) -> Iterator[Item]:
    for line in filter(None, table.splitlines()):
        subject, words = line.rsplit(":", 1)
        yield _item(kind, prompt.format(subject), *words.split())


def _categories() -> Iterator[Item]:
    lines = [[part.split(":") for part in line.split("|")] for line in filter(None, CATEGORIES.splitlines())]
    for line in lines:
        others = [name.strip() for other in lines if other is not line for name, _ in other]
        for name, members in line:
            for member in members.split():
                prompt = f"{'An' if member[0] in 'aeiou' else 'A'} {member} is a kind of"
                yield _item("categories", prompt, name.strip(), *_three(prompt, others))


def _sums() -> Iterator[Item]:
    """Sums and differences of digits, each after two that are solved; no option is one of the item's own terms."""
    for first in range(1, 9):
        for second in range(1, 10 - first):
            total = first + second
            yield from _sum(SOLVED_SUMS, first, "+", second, total)
            yield from _sum(SOLVED_DIFFERENCES, total, "-", first, second)


def _sum(solved: str, first: int, sign: str, second: int, result: int) -> Iterator[Item]:
    """The item, or nothing where it is one of the solved ones."""
    question = f"{first} {sign} {second} ="
    if question not in solved:
        prompt = f"{solved}\n{question}"
        others = [str(digit) for digit in range(1, 10) if digit not in (first, second, result)]
        item = _item("sums", prompt, str(result), *_three(prompt, others))
        yield item._replace(id=f"sums/{question}")


def _item(kind: str, prompt: str, answer: str, *others: str) -> Item:
    return Item(f"{kind}/{prompt or answer}", kind, prompt, answer, tuple(_shuffled(prompt, [answer, *others])))


def _three(prompt: str, others: list[str]) -> list[str]:
    """Three of the others, drawn by another hash than the order is, which would put the answer last."""
    return _shuffled(f"others than the answer to {prompt}", others)[:3]


def _shuffled(prompt: str, options: list[str]) -> list[str]:
    return sorted(options, key=lambda option: hashlib.sha256(f"{prompt}|{option}".encode()).hexdigest())
