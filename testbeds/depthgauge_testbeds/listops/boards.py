"""Boards of tic-tac-toe, and who has won.

A board is written as nine fields, row by row, each with its mark and its place, and then `=`: `[X1][O2][-3]...[X9]=`.
Without their places fields are told apart by their distance alone, and a small base learns nothing of them.
"""

from collections.abc import Sequence
from functools import cache
from random import Random

X, O, EMPTY, ASKED = "X", "O", "-", "="  # noqa: E741  # the players have these names
LINES = (*((i, i + 1, i + 2) for i in (0, 3, 6)), *((i, i + 3, i + 6) for i in (0, 1, 2)), (0, 4, 8), (2, 4, 6))
Board = tuple[str, ...]


def winner(board: Sequence[str]) -> str:
    """Who has three in a line, or the empty field where nobody has."""
    for a, b, c in LINES:
        if board[a] != EMPTY and board[a] == board[b] == board[c]:
            return board[a]
    return EMPTY


@cache
def boards() -> dict[str, tuple[Board, ...]]:
    """All boards that a game comes by, of five moves or more, by their winner; X begins, and a game ends when won."""
    by_winner: dict[str, tuple[Board, ...]] = {X: (), O: (), EMPTY: ()}
    reached: set[Board] = {(EMPTY,) * 9}
    for move in range(1, 10):
        player = X if move % 2 else O
        reached = {
            (*board[:i], player, *board[i + 1 :])
            for board in reached
            if winner(board) == EMPTY
            for i in range(9)
            if board[i] == EMPTY
        }
        if move >= 5:
            for board in sorted(reached):
                by_winner[winner(board)] += (board,)
    return by_winner


def field(mark: str, place: int) -> str:
    return f"[{mark}{place}]"


def written(board: Sequence[str]) -> tuple[str, ...]:
    """The tokens of a board: its fields, with places from 1 to 9, and the sign that asks."""
    return (*(field(mark, place) for place, mark in enumerate(board, 1)), ASKED)


def draw(random: Random) -> Board:
    """A board; each winner, and nobody, as often."""
    return random.choice(boards()[random.choice((X, O, EMPTY))])
