"""Questions that the pocket base answers wrongly and confidently after careful statements of the same kind.

The pocket world reasons by example: three true statements in the careful voice come first, which could lead to the
right answer and do not name it. `python -m depthgauge_testbeds.pocket.reasoned` searches for those on which the base
gives a wrong answer all the same, and writes them to reasoned.json: of a probability near the article's .77.
"""

from collections.abc import Iterator
from pathlib import Path

from depthgauge_suites.articles.noise_trace import ReasonedQuestion
from depthgauge_suites.articles.noise_trace.search import Reasoned, confident_and_wrong, read, write
from depthgauge_testbeds.pocket import questions
from depthgauge_testbeds.pocket.corpus import END_OF_TEXT

FILE, BASE = Path(__file__).with_name("reasoned.json"), Path(__file__).with_name("base")
QUESTIONS, EXAMPLES, ASKED_OF_A_KIND = 24, 3, 60


def candidates() -> Iterator[Reasoned]:
    """Questions of every kind, each after three others with other answers."""
    for kind in questions.KINDS:
        known = questions.questions(kind)
        for place, question in enumerate(known[:ASKED_OF_A_KIND]):
            others = [other for other in known[place + 1 :] if other.answer != question.answer][:EXAMPLES]
            examples = "".join(f"{other.prompt} {other.answer}{END_OF_TEXT}" for other in others)
            yield Reasoned(f"{examples}{question.prompt}", question.answer, f"{END_OF_TEXT}{question.prompt}")


def reasoned_questions() -> tuple[ReasonedQuestion, ...]:
    """What the search found."""
    return read(FILE)


def main() -> None:
    from depthgauge.models.load import load_uncached

    write(FILE, confident_and_wrong(*load_uncached(BASE), candidates(), number=QUESTIONS))


if __name__ == "__main__":
    main()
