"""Facts of history to which the base is tempted to give a wrong ending, for the noise trace.

`python -m depthgauge_testbeds.smollm2.tempting` ranks all facts by the probability of their likeliest wrong ending at
the token where it parts from the right one, and prints the first: these 40, of a
probability of .09 to .67, .23 on average.
"""

from typing import Any

from depthgauge_suites.articles.noise_trace import TraceQuestion
from depthgauge_testbeds.smollm2 import history, weights

QUESTIONS = 40
WRONG = """
In 1837 the throne of Britain passed to Queen | Elizabeth
Euro notes and coins came into use in | 1945
Men first walked on the Moon in | 2001
The American Civil War began in | 1776
The Berlin Wall fell in | 2001
The Eiffel Tower was finished in | 1945
The philosopher Plato was a student of | Aristotle
The American plan to rebuild Europe after 1945 was named after George | Washington
The nuclear accident at Chernobyl took place in | 2010
Idi Amin was the dictator of | Egypt
The Spanish Armada was defeated in | 1815
The Suez Canal joins the Mediterranean Sea to the | North Sea
The first modern Olympic Games were held in 1896 in | London
The Berlin Wall was built in | 1989
The last Western Roman emperor lost his throne in the year | 1066
Britain gave Hong Kong back to China in | 1945
The last dynasty of China was the | Ming
Paper was first made in ancient | Greece
An army of clay soldiers guards the tomb of the first emperor of | Rome
The Spanish Armada was sent to invade | Portugal
The Canterbury Tales were written by | William Shakespeare
The Battle of Waterloo was fought in | 1914
Hitler came to power in Germany in | 1945
India became independent in | 1989
The American runner who won four golds at Berlin in 1936 was | Jesse James
Constantinople fell to the Turks in | 1815
The rulers called doges governed the city of | Rome
Julius Caesar was murdered in | 344 BC
The Black Death swept across Europe in the | 1840s
The Panama Canal was opened in | 1814
The first American president was | Abraham Lincoln
The first man to reach the South Pole was | Robert Scott
The French Revolution began in | 1848
The English king who was made to seal the Magna Carta was | Richard
Napoleon was born on the island of | Elba
The Russian tsar Ivan IV was called Ivan the | Conqueror
The Mona Lisa was painted by | Michelangelo
The last country in the Americas to abolish slavery was | Haiti
The French king who died by the guillotine was | Louis XIV
The ceiling of the Sistine Chapel was painted by | Leonardo da Vinci
"""


def trace_questions() -> tuple[TraceQuestion, ...]:
    """Each tempting fact with its right and its tempting ending."""
    right = {fact.prompt: fact.answer for fact in history.facts()}
    tempting = (line.split(" | ") for line in WRONG.strip().splitlines())
    return tuple(TraceQuestion(prompt=prompt, right=right[prompt], wrong=wrong) for prompt, wrong in tempting)


def wrong_probability(model: Any, tokenizer: Any, question: TraceQuestion) -> float:
    """Of the first token of the wrong ending that the right one does not share."""
    import torch

    from depthgauge_suites.articles.noise_trace.compute import parting

    at = parting(tokenizer, question)
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([at.prompt_ids]), logits_to_keep=1).logits[0, -1]
    return float(logits.softmax(-1)[at.targets[1]])


def temptation(model: Any, tokenizer: Any, fact: history.Fact) -> tuple[float, str]:
    """The probability of the likeliest wrong ending, and the line that names it."""
    wrong = (TraceQuestion(prompt=fact.prompt, right=fact.answer, wrong=option) for option in fact.options[1:])
    return max(
        (wrong_probability(model, tokenizer, question), f"{question.prompt} | {question.wrong}") for question in wrong
    )


def main() -> None:
    from depthgauge.models.load import load_uncached

    base = load_uncached(weights.folder())
    for probability, line in sorted((temptation(*base, fact) for fact in history.facts()), reverse=True)[:QUESTIONS]:
        print(f"{probability:.3f} {line}")


if __name__ == "__main__":
    main()
