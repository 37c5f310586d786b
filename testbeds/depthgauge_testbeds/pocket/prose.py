"""Natural sentences from a small grammar: what the pocket model says when nobody asks it anything.

Eighty greedy tokens need something to continue, and a small vocabulary of plain scenes leaves room both for many
plausible next words (entropy) and for loops.
"""

import re
from dataclasses import dataclass
from random import Random

NAME = re.compile(r"\{(\w+)\}")
PASSAGE_SENTENCES = 5  # over 64 tokens

FILLERS: dict[str, tuple[str, ...]] = {
    "rich": ("rich", "deep", "subtle", "smoky", "bright", "mild", "earthy", "sharp", "warm", "fresh"),
    "flavor": ("flavor", "aroma", "texture", "color", "sweetness", "taste"),
    "roasted": ("roasted", "grilled", "dried", "chopped", "baked", "pickled", "stewed"),
    "tomatoes": ("tomatoes", "peppers", "onions", "mushrooms", "lemons", "apples", "beans", "carrots", "figs"),
    "sauce": ("sauce", "soup", "stew", "salad", "bread", "curry", "pie"),
    "person": ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "the teacher", "the doctor",
               "the farmer", "the sailor", "the old clerk", "my sister", "our neighbour"),
    "carried": ("carried", "found", "lost", "painted", "repaired", "sold", "borrowed", "cleaned", "measured", "hid"),
    "box": ("box", "lamp", "boat", "letter", "map", "clock", "basket", "mirror", "violin", "bottle", "key"),
    "place": ("garden", "market", "harbour", "library", "station", "forest", "kitchen", "valley", "village",
              "laboratory", "river", "bridge"),
    "when": ("in the morning", "at noon", "after lunch", "before sunset", "last winter", "every spring",
             "during the storm", "on Sunday", "in silence", "a week later"),
    "animal": ("fox", "owl", "horse", "heron", "cat", "wolf", "goose", "hare", "bear", "otter"),
    "slept": ("slept", "waited", "hunted", "rested", "played", "drank", "wandered", "called"),
    "near": ("near", "behind", "above", "beside", "under", "beyond"),
    "compound": ("H2SO4", "NaOH", "KMnO4", "HNO3", "Ca(OH)2", "CuSO4", "NH4Cl", "Na2CO3", "FeCl3", "C2H5OH"),
    "violently": ("violently", "slowly", "quickly", "gently", "completely", "partly", "silently"),
    "water": ("pure water", "cold acid", "warm oil", "dry ice", "dilute base", "melted wax", "salt water"),
    "foam": ("white foam", "blue vapour", "brown gas", "clear liquid", "yellow powder", "bright flame", "thick smoke"),
    "isotope": ("carbon-14", "iron-56", "cobalt-60", "sodium-22", "argon-40", "zinc-65", "copper-63", "nickel-59"),
    "decays": ("decays", "moves", "glows", "reacts", "cools", "spreads", "changes"),
    "weather": ("rain", "snow", "wind", "fog", "sunlight", "thunder", "frost"),
    "covered": ("covered", "reached", "crossed", "filled", "left", "touched", "surprised"),
    "because": ("because", "although", "while", "so", "and", "but"),
    "adverb": ("soon", "often", "never", "almost", "always", "again", "at last"),
}  # fmt: skip

# A name in braces is replaced by one of its fillers, drawn anew at every occurrence.
FRAMES: tuple[str, ...] = (
    "The {rich} {flavor} of the {roasted} {tomatoes} gave the {sauce} a {rich} {flavor}, "
    "resulting in a {rich} {sauce}.",
    "{person} {carried} the {box} {when}, {because} {person} {carried} the {box} in the {place}.",
    "In the {place}, {person} {adverb} {carried} a {box} {near} the {place}.",
    "The {animal} {slept} {near} the {place} {when}, {because} the {weather} {covered} the {place}.",
    "The {compound} reacted {violently} with the {water}, resulting in a {foam}.",
    "When the {compound} met the {water}, the {foam} {adverb} {covered} the {place}.",
    "The isotope {isotope} {decays} {violently}, {because} the {isotope} in the {box} {decays} {violently}.",
    "The {weather} {adverb} {covered} the {place}, {because} the {animal} {slept} {near} the {place}.",
    "{person} cooked {roasted} {tomatoes} {when} and served the {sauce} in the {place}.",
    "There was a {rich} {sauce} {near} the {place}, {because} {person} {adverb} {carried} the {tomatoes}.",
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A few frames and a few fillers of each kind: a page keeps to its scene, so what comes next depends on it."""

    frames: tuple[str, ...]
    fillers: dict[str, tuple[str, ...]]

    @classmethod
    def draw(cls, random: Random) -> "Scene":
        return cls(
            frames=tuple(random.sample(FRAMES, 3)),
            fillers={name: tuple(random.sample(words, 3)) for name, words in FILLERS.items()},
        )

    def sentence(self, random: Random) -> str:
        """One sentence: a frame with every name in braces replaced by one of its fillers."""
        parts = NAME.split(random.choice(self.frames))
        text = "".join(random.choice(self.fillers[part]) if i % 2 else part for i, part in enumerate(parts))
        return text[0].upper() + text[1:]


def opening(random: Random) -> str:
    """A sentence and the first half of another of the same scene, cut between two words: something to continue."""
    scene = Scene.draw(random)
    words = scene.sentence(random).split(" ")
    return f"{scene.sentence(random)} {' '.join(words[: max(3, len(words) // 2)])}"


def passages(number: int, seed: int = 40) -> tuple[str, ...]:
    """`number` passages of `PASSAGE_SENTENCES` sentences, each of a scene of its own, always the same ones."""
    random = Random(seed)
    scenes = [Scene.draw(random) for _ in range(number)]
    return tuple(" ".join(scene.sentence(random) for _ in range(PASSAGE_SENTENCES)) for scene in scenes)


def openings(number: int, seed: int = 20) -> tuple[str, ...]:
    """`number` different openings, always the same ones: the prompts of the entropy trace."""
    random = Random(seed)
    starts: dict[str, None] = {}
    while len(starts) < number:
        starts[opening(random)] = None
    return tuple(starts)
