"""Options that are as likely as each other, so that the first one would win."""

from depthgauge.core.errors import InvalidComparison

MOST_TIES = 0.05


def check_ties(ties: int, items: int, what: str) -> None:
    """Raises: InvalidComparison if more than 5 % of the items were tied between options."""
    if ties > MOST_TIES * items:
        raise InvalidComparison(
            f"{ties} of {items} items of {what} tied between options: the model cannot tell them apart in this "
            "precision, and a tie would go to the first option."
        )
