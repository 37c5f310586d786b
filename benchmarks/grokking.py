"""The study of grokking: seeds, weight decay, shares of training pairs and p, beyond what the main command trains.

`python -m benchmarks.grokking --seeds 0 1 2 3 4` trains what its store does not hold, resumes what was killed, and
prints a row a training. Each takes minutes; 40,000 steps at p = 113 take over half an hour on two cores.
"""

import argparse
import json
from itertools import product
from pathlib import Path

from tabulate import tabulate

from depthgauge.core.errors import HarnessError
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.load import Placement, choose_device
from depthgauge.probes.training import LOG
from depthgauge.store.folders import Store
from depthgauge_methods.full_batch import grokked_at
from depthgauge_methods.grokking import GROKKING
from depthgauge_suites.grokking.fourier import taken_apart
from depthgauge_suites.grokking.fourier.transformer import ModularTask
from depthgauge_testbeds.modular_addition import MODULAR_ADDITION

HEADERS = ("p", "training pairs", "weight decay", "seed", "steps", "groks at", "test sums right", "test loss",
           "key frequencies", "W_L outside", "beyond rank 10", "neurons explained", "restricted over full",
           "excluded (nats)", "attention to '='", "least ablated over full")  # fmt: skip


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--p", type=int, nargs="+", default=[113], help="odd primes (default: 113)")
    parser.add_argument("--train-fraction", type=float, nargs="+", default=[0.3], help="shares (default: 0.3)")
    parser.add_argument("--weight-decay", type=float, nargs="+", default=[1.0], help="of AdamW (default: 1)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="each a split and fresh weights (default: 0)")
    parser.add_argument("--steps", type=int, default=40_000, help="at most (default: 40000)")
    parser.add_argument("--to-the-end", action="store_true", help="do not stop once it has grokked and cleaned up")
    parser.add_argument("--store", type=Path, default=Path(".depthgauge"), help="default: .depthgauge")
    return parser.parse_args()


def row(candidate: CheckpointSet, seed: int) -> tuple[str, ...]:
    settings, log = candidate.method.settings, json.loads((candidate.checkpoints[0].folder / LOG).read_text())
    grokked = grokked_at(log, GROKKING.settings.until_test_loss)
    found = taken_apart(candidate)[0].arrays
    final = {name: float(value) for name, value in found.items() if value.ndim == 0}
    keys = found["key_frequencies"].tolist()
    return (
        str(settings.p), f"{settings.train_fraction:.0%}", f"{settings.weight_decay:g}", str(seed),
        f"{log[-1]['step']:,.0f}", f"{grokked:,.0f}" if grokked else "-",
        f"{log[-1]['test_accuracy']:.1%}", f"{log[-1]['test_loss']:.1e}",
        " ".join(map(str, keys)) if len(keys) <= 10 else f"{len(keys)} of them", f"{final['outside_share']:.1%}",
        f"{final['beyond_rank']:.2%}",
        f"{final['explained_neurons']:.1%}", f"{final['restricted_loss'] / final['loss']:.2f}",
        f"{final['excluded_loss']:.1f}", f"{final['own_attention']:.2%}",
        f"{final['least_ablated_loss'] / final['loss']:.0f}",
    )  # fmt: skip


def main() -> None:
    asked = options()
    store = Store(asked.store.resolve(), run="study")
    context = RunContext(
        testbed=MODULAR_ADDITION, placement=Placement(device=choose_device("auto")), store=store, tell=print
    )
    changes = {"steps": asked.steps} | ({"until_test_loss": None} if asked.to_the_end else {})
    rows = []
    wanted = list(product(asked.p, asked.train_fraction, asked.weight_decay, asked.seeds))
    for p, fraction, _, seed in wanted:
        ModularTask(p=p, train_fraction=fraction, seed=seed)  # refused before anything is trained
    for p, fraction, decay, seed in wanted:
        method = GROKKING.evolve(
            name="grokking", summary="", p=p, train_fraction=fraction, weight_decay=decay, **changes
        )  # fmt: skip
        rows.append(row(CheckpointSet.of(method, (seed,), context), seed))
        print(tabulate(rows, headers=HEADERS, tablefmt="github", disable_numparse=True), flush=True)


if __name__ == "__main__":
    try:
        main()
    except HarnessError as error:
        raise SystemExit(f"depthgauge: {error}") from None
