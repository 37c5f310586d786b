"""ListOps and the winner of tic-tac-toe (arXiv:2306.12198), learnt by a small base that has read something else.

The base has six layers, of some 400,000 parameters with its words; the methods say which of them are trained.
"""

from functools import cache
from pathlib import Path
from random import Random

from depthgauge import TESTBEDS, ItemTask, Testbed
from depthgauge.core.testbed import Item
from depthgauge_suites.layer_papers.unfreezing import Example, UnfreezingTask
from depthgauge_testbeds.listops import boards, expressions

FOLDER = Path(__file__).parent
BASE = FOLDER / "base"
EXPRESSIONS, BOARDS = 600, 100  # of the tasks; boards of each outcome


@cache
def expression_items() -> tuple[Item, ...]:
    """Different expressions, of one to three levels."""
    random, items = Random(0), dict[str, str]()
    while len(items) < EXPRESSIONS:
        expression = expressions.draw(random)
        items[expression.text] = str(expression.value)
    return tuple(Item(id=text, prompt=text, answer=value) for text, value in items.items())


@cache
def board_items() -> tuple[Item, ...]:
    """Boards, as many that X has won, that O has, and that nobody has."""
    random = Random(0)
    chosen = [(board, won) for won, positions in boards.boards().items() for board in random.sample(positions, BOARDS)]
    texts = [("".join(boards.written(board)), won) for board, won in chosen]
    return tuple(Item(id=text, prompt=text, answer=won) for text, won in texts)


@cache
def examined() -> frozenset[str]:
    """All prompts of the tasks, which no training sees."""
    return frozenset(item.prompt for item in (*expression_items(), *board_items()))


def draw_expression(random: Random) -> Example:
    """An expression that is in no task, asked for the value of each list in it where that ends."""
    while True:
        drawn = expressions.draw(random)
        if drawn.text not in examined():
            return Example(drawn.tokens, tuple(None if value is None else str(value) for value in drawn.values))


def draw_board(random: Random) -> Example:
    """A board that is in no task, asked for its winner."""
    while True:
        board = boards.draw(random)
        tokens = boards.written(board)
        if "".join(tokens) not in examined():
            return Example(tokens, (*(None for _ in board), boards.winner(board)))


LISTOPS_TASK = ItemTask(name="listops", items=expression_items, max_answer_tokens=1)
WINNER_TASK = ItemTask(name="winner", items=board_items, max_answer_tokens=1)

LISTOPS = TESTBEDS.register(
    Testbed(
        name="listops",
        base=BASE,
        tasks=(LISTOPS_TASK, WINNER_TASK),
        probe_inputs={
            UnfreezingTask: lambda: (
                UnfreezingTask(item_task=LISTOPS_TASK, draw=draw_expression),
                UnfreezingTask(item_task=WINNER_TASK, draw=draw_board),
            )
        },
        threads=1,
        suites=("layer_papers",),
        recorded_outcomes=FOLDER / "recorded.json",
    )
)
