"""Tables of what a one-layer transformer computes modular addition with. Frequencies count from 1."""

from collections.abc import Sequence

import numpy as np

from harness.claims import number
from harness.modular_subject import RANK, phases
from harness.probes.fourier import EXPLAINED
from harness.report.escape import escape
from harness.report.inside import of
from harness.report.tables import Measured, markdown

# What Nanda et al. (2023) print for their main model, where they do.
MEASURES = (
    ("loss", "loss on all pairs (nats)", "2.4e-7"),
    ("train_loss", "loss on training pairs (nats)", ""),
    ("restricted_loss", "restricted loss (nats)", "5.5e-8"),
    ("excluded_loss", "excluded loss, training pairs (nats)", ""),
    ("kept_loss", "loss with all other frequencies ablated (nats)", "7.2e-8"),
    ("random_restricted_loss", "restricted loss of random frequencies, least of 50 (nats)", ""),
    ("least_ablated_loss", "loss without a key frequency, the least (nats)", "2.0e-4"),
    ("skip_ablated_loss", "loss with what passes the neurons at its mean (nats)", "7.3e-7 or 9.1e-7"),
    ("outside_share", "norm of W_L outside the key frequencies", "0.55 %"),
    ("beyond_rank", f"norm of W_L beyond rank {RANK}", "0.55 %, if so computed"),
    ("cosine_share", "variance of the logits in cos w(a + b - c)", "95 %"),
    ("explained_neurons", f"neurons explained to {EXPLAINED:.0%}", "84.6 %"),
    ("own_attention", "attention of '=' to itself, the largest head", "0.1 to 0.4 %"),
    ("gini_embedding", "Gini coefficient of W_E by component", ""),
    ("gini_logits", "Gini coefficient of W_L by component", ""),
)


def measures_table(measured: Sequence[Measured]) -> str:
    taken = of(measured, "fourier")
    body = [
        [what, published or "-", *(number(float(one.measurement.arrays[name])) for one in taken)]
        for name, what, published in MEASURES
    ]
    return markdown(["measure", "published", *(escape(one.label) for one in taken)], body)


def frequencies_table(measured: Sequence[Measured]) -> str:
    """Each key frequency: what it weighs in W_E and W_L, the neurons that turn with it, the loss without it."""
    headers = ["checkpoint", "key frequency", "norm in W_E", "norm in W_L", "neurons explained by it",
               "loss without it (nats)"]  # fmt: skip
    body = []
    for one in of(measured, "fourier"):
        arrays = one.measurement.arrays
        explained = arrays["neuron_frequency"][arrays["neuron_share"] >= EXPLAINED]
        for k, loss in zip(arrays["key_frequencies"], arrays["ablated_losses"], strict=True):
            norms = (np.hypot(*arrays[name][2 * k - 1 : 2 * k + 1]) for name in ("embedding_norms", "logit_norms"))
            cells = [str(k), *map(number, map(float, norms)), str(int((explained == k).sum())), number(float(loss))]
            body.append([escape(one.label), *cells])
    return markdown(headers, body)


def attention_table(measured: Sequence[Measured]) -> str:
    headers = ["checkpoint", "head", "attention of '=' to a", "to b", "to itself", "best frequency",
               "variance in waves of it", "loss with its output at the mean"]  # fmt: skip
    body = []
    for one in of(measured, "fourier"):
        arrays = one.measurement.arrays
        columns = (arrays[name] for name in ("head_frequency", "head_share", "head_ablated_losses"))
        for head, (to, best, share, loss) in enumerate(zip(arrays["mean_attention"], *columns, strict=True)):
            figures = [*map(number, map(float, to)), str(best), number(float(share)), number(float(loss))]
            body.append([escape(one.label), str(head), *figures])
    return markdown(headers, body)


def phases_table(measured: Sequence[Measured]) -> str:
    headers = ["checkpoint", "memorises until step", "forms the circuit until", "cleans up until"]
    body = [
        [escape(one.label), *(f"{step:,}" for step in phases(one.measurement.arrays))]
        for one in of(measured, "progress")
    ]
    return markdown(headers, body)
