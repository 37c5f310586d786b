"""Non-negative sparse coding: states as sums of few atoms, and the atoms that do it best.

Minimised over codes a of at least 0 is |x - a Phi|^2 / 2 + penalty * sum(a), with atoms, the rows of Phi, of length 1.
Shapes: N states, D numbers, A atoms.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from depthgauge.errors import InvalidCheckpoint, Undefined

if TYPE_CHECKING:
    import torch

BATCH, LOOSE, TIGHT = 200, 1e-2, 1e-4  # states in a batch; KKT residuals while atoms are learnt, and afterwards
MOST_STEPS, CHECK_EVERY = 20_000, 10
FORGET = 0.98  # of what earlier batches said, at each new one
SAVE_EVERY = 20  # batches


class Codes(NamedTuple):
    """Codes (N, A), and by how much the worst of them misses the conditions of Karush, Kuhn and Tucker."""

    values: "torch.Tensor"
    kkt: float


def encode(states: "torch.Tensor", atoms: "torch.Tensor", penalty: float, *, tolerance: float = TIGHT) -> Codes:
    """By FISTA (Beck and Teboulle 2009), restarted where a state's objective rises (O'Donoghue and Candes 2015).

    The residual is the largest |a - max(0, a - gradient)|, 0 exactly at the minimum. A state that meets the tolerance
    is done, and the others go on without it.

    Raises: Undefined if the tolerance is not met in 20,000 steps.
    """
    import torch

    gram, aims = atoms @ atoms.T, states @ atoms.T - penalty
    size = 1 / float(torch.linalg.matrix_norm(gram, 2))
    found = torch.zeros_like(aims)
    left, worst = torch.arange(len(aims)), 0.0
    codes = ahead = found.clone()
    momentum = torch.ones(len(aims), 1, dtype=aims.dtype)
    for step in range(1, MOST_STEPS + 1):
        new = (ahead - size * (ahead @ gram - aims)).clamp_min_(0)
        rising = ((ahead - new) * (new - codes)).sum(1, keepdim=True) > 0
        momentum = torch.where(rising, 1.0, momentum)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = new + torch.where(rising, 0.0, (momentum - 1) / following) * (new - codes)
        codes, momentum = new, following
        if step % CHECK_EVERY == 0:
            residuals = (codes - (codes - (codes @ gram - aims)).clamp_min_(0)).abs().amax(1)
            done = residuals <= tolerance
            found[left[done]] = codes[done]
            worst = max(worst, float(residuals[done].max()) if done.any() else 0.0)
            if done.all():
                return Codes(found, worst)
            left, aims, codes, ahead, momentum = (each[~done] for each in (left, aims, codes, ahead, momentum))
    raise Undefined(
        f"sparse coding does not settle: {len(left)} of {len(states)} states are not at their minimum to {tolerance:g} "
        f"after {MOST_STEPS} steps."
    )


def learn(
    states: "torch.Tensor",
    atoms: int,
    penalty: float,
    *,
    epochs: int,
    seed: int,
    kept: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> "torch.Tensor":
    """The atoms (A, D), by online dictionary learning (Mairal et al. 2009): from batches, an atom at a time.

    An atom that no state uses is replaced by a state that is explained badly. With `kept`, a file, the fit goes on from
    where it was interrupted.

    Raises: Undefined for more atoms than states; InvalidCheckpoint for states that are not finite.
    """
    import torch

    if atoms > len(states):
        raise Undefined(f"{atoms} atoms cannot be learnt from {len(states)} states: give more texts, or fewer atoms.")
    if not torch.isfinite(states).all():
        raise InvalidCheckpoint("this model computes states that are NaN or infinite: train or save it again.")
    random = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(len(states), generator=random) for _ in range(epochs)])
    batches = -(-epochs * len(states) // BATCH)
    first = states[torch.randperm(len(states), generator=random)[:atoms]]
    fit = Fit(0, unit(first), torch.zeros(atoms, atoms), torch.zeros(atoms, states.shape[1]))
    if kept is not None and kept.exists():
        fit = Fit.load(kept)
    for batch in range(fit.batches, batches):
        fit = fit.after(states[order[batch * BATCH : (batch + 1) * BATCH]], penalty)
        if kept is not None and (fit.batches % SAVE_EVERY == 0 or fit.batches == batches):
            fit.save(kept)
            tell(f"batch {fit.batches} of {batches}")
    return fit.atoms


class Fit(NamedTuple):
    """How far a fit is: batches seen, the atoms, and sums over codes a and states x of a'a and a'x."""

    batches: int
    atoms: "torch.Tensor"
    code_products: "torch.Tensor"
    state_products: "torch.Tensor"

    def after(self, states: "torch.Tensor", penalty: float) -> "Fit":
        """With one batch more."""
        codes = encode(states, self.atoms, penalty, tolerance=LOOSE).values
        code_products = FORGET * self.code_products + codes.T @ codes
        state_products = FORGET * self.state_products + codes.T @ states
        atoms = self.atoms.clone()
        used = code_products.diagonal() > 1e-6 * code_products.diagonal().max()
        for atom in used.nonzero().flatten().tolist():
            moved = atoms[atom] + (state_products[atom] - code_products[atom] @ atoms) / code_products[atom, atom]
            atoms[atom] = moved / moved.norm().clamp_min(1e-12)
        unused = (~used).nonzero().flatten()[: len(states)]
        worst = (states - codes @ self.atoms).norm(dim=1).argsort(descending=True)[: len(unused)]
        atoms[unused] = unit(states[worst])
        return Fit(self.batches + 1, atoms, code_products, state_products)

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        written = path.with_suffix(".new.npz")
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in self._asdict().items()}
        np.savez(written, **arrays)
        written.replace(path)

    @staticmethod
    def load(path: Path) -> "Fit":
        import torch

        with np.load(path) as held:
            return Fit(int(held["batches"]), *(torch.from_numpy(held[name]) for name in Fit._fields[1:]))


def unit(rows: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.nn.functional.normalize(rows, dim=1)
