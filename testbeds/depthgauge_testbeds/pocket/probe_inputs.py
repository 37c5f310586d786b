"""What the probes of the pocket testbed read: questions, sentences with formulae in them, words and compounds."""

from random import Random

from depthgauge.core.testbed import Word
from depthgauge.probes.attention import MarkedText
from depthgauge_suites.articles.noise_trace import TraceQuestion
from depthgauge_suites.articles.routing import RoutingText
from depthgauge_suites.articles.routing.settings import DOMAINS
from depthgauge_suites.articles.tokenization import Compound
from depthgauge_testbeds.pocket import facts, prose, questions

TRACE_QUESTIONS_PER_KIND = 8
MARKED_TEXTS = 100
FORMULAE = 60
ARTICLE = "The H2SO4 reacted violently with the pure water."  # the sentence of Dangi 2026a
SCIENCE_WORDS = ("isotope", "neutrons", "atoms", "reacted", "decays", "laboratory", "dilute", "vapour")


def trace_questions() -> tuple[TraceQuestion, ...]:
    """The first task questions of every kind, each with its misconception for the wrong answer."""
    return tuple(
        TraceQuestion(prompt=q.prompt, right=q.answer, wrong=q.misconception)
        for kind in questions.KINDS
        for q in questions.questions(kind)[:TRACE_QUESTIONS_PER_KIND]
    )


def marked_texts() -> tuple[MarkedText, ...]:
    """Sentences of the corpus's grammar that name a compound or an isotope; the article's comes first."""
    random = Random(30)
    marks = {ARTICLE: None}
    while len(marks) < MARKED_TEXTS:
        sentence = prose.Scene.draw(random).sentence(random)
        if terms_in(sentence):
            marks[sentence] = None
    return tuple(MarkedText(text=text, terms=terms_in(text)) for text in marks)


def routing_texts() -> tuple[RoutingText, ...]:
    """For each compound and each isotope the first marked text that names it first and once; the article's comes first.

    A term has one text, as texts about the same term would resemble each other.
    """
    texts: list[RoutingText] = []
    for domain in DOMAINS:
        kind = {"chemistry": "compound", "physics": "isotope"}[domain]
        named = {
            term: RoutingText(text=marked_text.text, term=term, domain=domain)
            for marked_text in reversed(marked_texts())
            for term in [min(marked_text.terms, key=marked_text.text.index)]
            if term in prose.FILLERS[kind] and marked_text.text.count(term) == 1
        }
        texts += sorted(named.values(), key=lambda each: each.text != ARTICLE)
    return tuple(texts)


def terms_in(sentence: str) -> tuple[str, ...]:
    return tuple(term for name in ("compound", "isotope") for term in prose.FILLERS[name] if term in sentence)


def words() -> tuple[Word, ...]:
    """Words of four kinds; 'ordinary' are those of the prose."""
    formulae = [compound.name for compound in compounds()[:: len(compounds()) // FORMULAE]]
    ordinary = {
        word
        for name in ("flavor", "roasted", "tomatoes", "carried", "box", "place", "animal", "slept", "covered")
        for word in prose.FILLERS[name]
        if " " not in word
    }
    kinds = {
        "formula": (*prose.FILLERS["compound"], *formulae),
        "isotope": tuple(f"{name}-{weight}" for name, _, weight in facts.ELEMENTS),
        "technical": SCIENCE_WORDS,
        "ordinary": tuple(sorted(ordinary)),
    }
    return tuple(Word(text=text, kind=kind) for kind, texts in kinds.items() for text in texts)


def compounds() -> tuple[Compound, ...]:
    """Salts of a double cation, which all end in the same token: only what came before tells the cations apart."""
    return tuple(
        Compound(
            text=f"How many O atoms are in {cation}({anion})2", name=f"{cation}({anion})2", label=cation, fold=anion
        )
        for cation in facts.CATIONS[2]
        for anion, _ in facts.ANIONS[1]
    )
