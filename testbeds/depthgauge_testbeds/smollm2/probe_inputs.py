"""What the probes read on SmolLM2 of chemistry: words, and sentences with formulae in them."""

from itertools import product

from depthgauge.core.testbed import Word
from depthgauge.probes.attention import MarkedText
from depthgauge_suites.articles.routing import RoutingText
from depthgauge_suites.articles.tokenization import Compound
from depthgauge_testbeds.smollm2.compounds import CATIONS, compounds
from depthgauge_testbeds.smollm2.elements import elements

MARKED_TEXTS = 40
ROUTING_TEXTS = 12  # of each domain
ISOTOPES = (
    "americium-241", "polonium-210", "strontium-90", "thorium-234", "uranium-235", "plutonium-239", "radium-226",
    "caesium-137", "cobalt-60", "radon-222", "iodine-131", "technetium-99",
)  # fmt: skip
DECAYS = (
    "An unstable nucleus of {} decays rapidly and leaves a stable one behind.",
    "The sample of {} emits alpha rays steadily behind a wall of lead.",
    "In the chamber a trace of {} glows faintly while it loses half of its atoms.",
)
ARTICLE = "The H2SO4 reacted violently with the pure water."  # the sentence of Dangi 2026a
HAPPENINGS = (
    "The {} reacted violently with the pure water.",
    "She dissolved a spoon of {} in a glass of cold water.",
    "A small amount of {} was heated in the tube until it changed colour.",
    "The label on the old brown bottle said {} in faded letters.",
)
TECHNICAL = ("isotope", "neutron", "molecule", "electrolysis", "polymer", "catalyst", "oxidation", "titration")
ORDINARY = (
    "house", "water", "morning", "garden", "letter", "mother", "window", "bread", "teacher", "river", "winter",
    "village", "music", "paper", "doctor", "kitchen", "mountain", "picture", "table", "brother", "summer", "horse",
    "market", "flower", "silver", "stone", "bridge", "school", "child", "evening",
)  # fmt: skip
ENDINGS = (
    "SO4", "CO3", "(NO3)2", "Cl2", "(OH)2", "Br2", "I2", "F2", "SO3", "CrO4", "(ClO3)2", "S2O3", "C2O4", "(CN)2",
    "SiO3", "(ClO4)2",
)  # fmt: skip
LABELS = tuple(symbol for symbol, charge in CATIONS.values() if charge == 2)


def marked_texts() -> tuple[MarkedText, ...]:
    """Sentences that name a compound by its formula; the article's comes first."""
    formulae = [compound.formula for compound in compounds() if len(compound.formula) > 3]
    chosen = formulae[:: len(formulae) // MARKED_TEXTS][:MARKED_TEXTS]
    sentences = {ARTICLE: "H2SO4"} | {
        HAPPENINGS[place % len(HAPPENINGS)].format(formula): formula for place, formula in enumerate(chosen)
    }
    return tuple(MarkedText(text=text, terms=(term,)) for text, term in sentences.items())


def routing_texts() -> tuple[RoutingText, ...]:
    """The first sentences with a formula, the article's first, and as many of physics with an isotope."""
    chemistry = [
        RoutingText(text=marked_text.text, term=marked_text.terms[0], domain="chemistry")
        for marked_text in marked_texts()[:ROUTING_TEXTS]
    ]
    physics = [
        RoutingText(text=DECAYS[place % len(DECAYS)].format(name), term=name, domain="physics")
        for place, name in enumerate(ISOTOPES[:ROUTING_TEXTS])
    ]
    return (*chemistry, *physics)


def words() -> tuple[Word, ...]:
    """Words of four kinds, as on pocket."""
    kinds = {
        "formula": sorted({compound.formula for compound in compounds()}),
        "isotope": [f"{element.name}-{round(element.mass)}" for element in elements()],
        "technical": list(TECHNICAL),
        "ordinary": list(ORDINARY),
    }
    return tuple(Word(text=text, kind=kind) for kind, texts in kinds.items() for text in texts)


def salts() -> tuple[Compound, ...]:
    """Salts of a double cation: they end alike, so only what came before tells the cations apart."""
    return tuple(
        Compound(text=f"The chemical formula of this salt is {cation}{ending}", name=f"{cation}{ending}",
                 label=cation, fold=ending)
        for cation, ending in product(LABELS, ENDINGS)
    )  # fmt: skip
