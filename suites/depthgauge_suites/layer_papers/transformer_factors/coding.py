"""Non-negative sparse coding: states as sums of few atoms, and the atoms that do it best.

Minimised over codes a of at least 0 is |x - a Phi|^2 / 2 + penalty * sum(a), with atoms, the rows of Phi, of length 1.
Shapes: N states, D numbers, A atoms.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from depthgauge.core.errors import InvalidCheckpoint, StatisticUndefined

if TYPE_CHECKING:
    import torch

BATCH, TIGHT = 200, 1e-4  # states in a batch; the KKT residual
STEPS, MARGIN = 30, 1.05  # of FISTA and of the power method; by which the latter may fall short
SINGLE_ROUNDS, DOUBLE_ROUNDS = 40, 400  # of active sets, by precision
TAKEN_IN = 8  # atoms a round, in as many rounds
FORGET = 0.98  # of what earlier batches said, at each new one
SAVE_EVERY = 20  # batches


class Codes(NamedTuple):
    """Codes (N, A), and by how much the worst of them misses the conditions of Karush, Kuhn and Tucker."""

    values: "torch.Tensor"
    kkt: float


def encode(states: "torch.Tensor", atoms: "torch.Tensor", penalty: float, *, tolerance: float = TIGHT) -> Codes:
    """Steps of FISTA find most atoms that a state is made of, and active sets the minimum, exactly.

    The residual is the largest |a - max(0, a - gradient)|, 0 exactly at the minimum. What is not there in single
    precision goes on in double: dictionaries have atoms that hardly differ.

    Raises: StatisticUndefined if the tolerance is not met in 400 rounds, or every atom is 0.
    """
    gram, aims = atoms @ atoms.T, states @ atoms.T - penalty
    aimed_at = 0.9 * tolerance  # and the rest is left to rounding
    codes, left = active_sets(fista(aims, gram), aims, gram, aimed_at, SINGLE_ROUNDS)
    missed = residuals(codes, aims - codes @ gram)
    if len(left):
        sharp = atoms.double()
        products, those = sharp @ sharp.T, states[left].double() @ sharp.T - penalty
        exact, unsettled = active_sets(codes[left].double().nan_to_num(), those, products, aimed_at, DOUBLE_ROUNDS)
        if len(unsettled):
            raise StatisticUndefined(
                f"sparse coding does not settle: {len(unsettled)} of {len(states)} states are not at their minimum to "
                f"{tolerance:g} after {DOUBLE_ROUNDS} rounds."
            )
        codes[left] = exact.to(codes.dtype)
        missed[left] = residuals(exact, those - exact @ products).to(codes.dtype)
    return Codes(codes, float(missed.max()))


def residuals(codes: "torch.Tensor", slack: "torch.Tensor") -> "torch.Tensor":
    """By state; `slack` is the gradient, turned round."""
    return (codes - (codes + slack).clamp_min(0)).abs().amax(1)


def fista(aims: "torch.Tensor", gram: "torch.Tensor") -> "torch.Tensor":
    """Codes after thirty steps (Beck and Teboulle 2009)."""
    import torch

    step, codes, ahead, momentum = 1 / (MARGIN * largest_eigenvalue(gram)), torch.zeros_like(aims), aims * 0, 1.0
    for _ in range(STEPS):
        new = (ahead - step * (ahead @ gram - aims)).clamp_min_(0)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = new + (momentum - 1) / following * (new - codes)
        codes, momentum = new, following
    return codes


def largest_eigenvalue(gram: "torch.Tensor") -> float:
    """By the power method, from below. Raises: StatisticUndefined where all is 0."""
    import torch

    vector = torch.randn(len(gram), dtype=gram.dtype, generator=torch.Generator().manual_seed(0))
    for _ in range(STEPS):
        vector = torch.nn.functional.normalize(gram @ vector, dim=0)
    eigenvalue = float(vector @ gram @ vector)
    if eigenvalue <= 0:
        raise StatisticUndefined(
            "every atom is 0, as where all states are alike: there is nothing to code them by.", code="zero"
        )
    return eigenvalue


def active_sets(
    codes: "torch.Tensor", aims: "torch.Tensor", gram: "torch.Tensor", tolerance: float, rounds: int
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Codes (N, A) at their minimum, and the numbers of the states that are not there after so many rounds.

    `aims` (N, A) are the products of states and atoms less the penalty, `gram` (A, A) those of the atoms.

    Non-negative least squares (Lawson and Hanson 1974), many states at a time: where the atoms in use are at their
    best, those are taken in that would help most, eight in the first rounds and then one; where the best would need a
    negative code, a state goes as far towards it as it can, and drops the atom that stops it.
    """
    import torch

    active, left = codes.clone(), torch.arange(len(codes))
    at_best = torch.zeros(len(codes), 1, dtype=torch.bool)
    for number in range(rounds):
        slack = aims - codes @ gram
        active[left] = codes
        going = ~(residuals(codes, slack) <= tolerance)  # also of what is no number
        left, codes, aims, slack, at_best = (each[going] for each in (left, codes, aims, slack, at_best))
        if not len(left):
            break
        used = codes > 0
        helpful = slack.masked_fill(used, -1).topk(min(TAKEN_IN if number < TAKEN_IN else 1, codes.shape[1]), 1)
        taken_in = at_best & (helpful.values > tolerance / 2)
        best = least_squares(aims, gram, used.scatter(1, helpful.indices, taken_in | used.gather(1, helpful.indices)))
        reach = torch.where(used & (best <= 0), codes / (codes - best).clamp_min(1e-30), torch.inf)
        step = reach.amin(1, keepdim=True).clamp_max(1)
        codes = (codes + step * (best - codes)).masked_fill(reach <= step, 0).clamp_min(0)
        at_best = (step == 1) & (best >= 0).all(1, keepdim=True)
    return active, left


def least_squares(aims: "torch.Tensor", gram: "torch.Tensor", used: "torch.Tensor") -> "torch.Tensor":
    """The codes of either sign that are best with the atoms in use alone."""
    import torch

    most = int(used.sum(1).max())
    places = used.byte().topk(most, 1).indices  # padded to as many, with equations of their own
    real = used.gather(1, places)
    own = torch.eye(most, dtype=gram.dtype)
    products = torch.where(real[:, :, None] & real[:, None, :], gram[places[:, :, None], places[:, None, :]], own)
    factor, _ = torch.linalg.cholesky_ex(products + 10 * torch.finfo(gram.dtype).eps * own)
    solved = torch.cholesky_solve((aims.gather(1, places) * real)[:, :, None], factor)[:, :, 0]
    return torch.zeros_like(aims).scatter_(1, places, solved * real)


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

    Raises: StatisticUndefined for more atoms than states, or as `encode`; InvalidCheckpoint for states that are not
    finite.
    """
    import torch

    if atoms > len(states):
        raise StatisticUndefined(
            f"{atoms} atoms cannot be learnt from {len(states)} states: give more texts, or fewer atoms."
        )
    if not torch.isfinite(states).all():
        raise InvalidCheckpoint(
            "this model computes states that are NaN or infinite: train or save it again.", code="not-finite"
        )
    random = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(len(states), generator=random) for _ in range(epochs)])
    batches = -(-epochs * len(states) // BATCH)
    first = states[torch.randperm(len(states), generator=random)[:atoms]]
    fit = Fit(0, unit(first), torch.zeros(atoms, atoms), torch.zeros(atoms, states.shape[1]))
    if kept is not None and kept.exists():
        fit = Fit.load(kept)
    for batch in range(fit.batches, batches):
        fit = fit.after(states[order[batch * BATCH : (batch + 1) * BATCH]], penalty)
        if fit.batches % SAVE_EVERY == 0 or fit.batches == batches:
            if kept is not None:
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
        codes = encode(states, self.atoms, penalty).values
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
