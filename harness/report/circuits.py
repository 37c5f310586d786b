"""Tables of what attention heads do with tokens that repeat. Layers and heads are 0-based."""

from collections.abc import Sequence

import numpy as np

from harness.claims import number
from harness.report.escape import escape
from harness.report.inside import of
from harness.report.tables import Measured, cell, level, markdown

KINDS = ("previous", "duplicate", "induction", "positional")
TOP_HEADS = 3


def circuits_table(measured: Sequence[Measured]) -> str:
    headers = ["checkpoint", "best previous-token head", "best induction head", "K-composition above chance",
               "learning in context (nats)", "lost without induction heads (nats)", "heads that copy"]  # fmt: skip
    body = []
    for one in of(measured, "circuits"):
        arrays = one.measurement.arrays
        composed = float(arrays["k_composition"])
        best = [
            f"layer {layer} head {head}: {arrays[kind][:, layer, head].mean():.3f}"
            for kind, (layer, head) in (
                ("previous", arrays["best_previous"]), ("induction", arrays["best_induction"])
            )
        ]  # fmt: skip
        body.append(
            [
                escape(one.label),
                *best,
                number(composed) if np.isfinite(composed) else "-",
                cell(level(arrays["learning"], "nats", "prompts")),
                cell(level(arrays["learning_lost"], "nats", "prompts")),
                f"{int((arrays['copying'] > 0).sum())} of {arrays['copying'].size}",
            ]
        )
    return markdown(headers, body)


def heads_table(measured: Sequence[Measured]) -> str:
    """The heads with the highest scores of each kind, and what their circuits are."""
    headers = ["checkpoint", "score", "layer", "head", "mean score", "p (permutation)", "copying", "QK eigenvalues",
               "stable rank of OV", "of QK"]  # fmt: skip
    body = []
    for one in of(measured, "circuits"):
        arrays = one.measurement.arrays
        for kind in KINDS:
            means = arrays[kind].mean(0)
            for place in np.argsort(-means, axis=None)[:TOP_HEADS]:
                where = np.unravel_index(int(place), means.shape)
                numbers = (arrays[name][where] for name in ("copying", "matching", "ov_rank", "qk_rank"))
                body.append(
                    [
                        escape(one.label),
                        kind,
                        *map(str, map(int, where)),
                        cell(level(arrays[kind][:, where[0], where[1]], "", "prompts")),
                        number(float(arrays[f"{kind}_p"][where])),
                        *(number(float(value)) for value in numbers),
                    ]
                )
    return markdown(headers, body)
