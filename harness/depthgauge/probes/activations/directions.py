"""How much of many differences lies along one direction, from a stream of them that is never held whole.

Shapes: L layers, N differences, D numbers of each, K of a sketch.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

WIDEST = 2048  # beyond it a layer's D x D products would take more room than they are worth, and are sketched
SKETCH = 128


class Directions:
    """The sums over differences d of d d^T, one for each layer, or of (d d^T) S with a fixed random S (D, K)."""

    def __init__(self, layers: int, width: int) -> None:
        self._sketch = None if width <= WIDEST else random_frame(width, min(SKETCH, width))
        self._products: list[torch.Tensor | None] = [None] * layers
        self._squares = [0.0] * layers

    def add(self, layer: int, delta_ND: "torch.Tensor") -> None:
        """Count some more differences of a layer."""
        import torch

        right = delta_ND if self._sketch is None else delta_ND @ self._sketch.to(delta_ND)
        before = self._products[layer]
        if before is None:
            before = torch.zeros(delta_ND.shape[1], right.shape[1], dtype=delta_ND.dtype, device=delta_ND.device)
        self._products[layer] = before.addmm_(delta_ND.T, right)
        self._squares[layer] += float(delta_ND.square().sum(dtype=torch.float64))

    def shares(self) -> NDArray[np.float64]:
        """The largest squared singular value of each layer's differences over the sum of all, (L,), not centred.

        NaN where nothing differs. A sketch can only miss some of it.
        """
        return np.array([self._share(layer) for layer in range(len(self._squares))])

    def _share(self, layer: int) -> float:
        products, squares = self._products[layer], self._squares[layer]
        if products is None or squares == 0:
            return float("nan")
        largest = largest_eigenvalue(products) if self._sketch is None else largest_of_sketch(products, self._sketch)
        return min(1.0, largest / squares)


def random_frame(width: int, columns: int) -> "torch.Tensor":
    """Random orthonormal columns, the same on every call: (D, K), in float64."""
    import torch

    drawn = torch.from_numpy(np.random.default_rng(0).standard_normal((width, columns)))
    frame: torch.Tensor = torch.linalg.qr(drawn)[0]
    return frame


def largest_eigenvalue(symmetric: "torch.Tensor") -> float:
    """By Lanczos' iterations from a fixed start: all eigenvalues of all layers take as long as a model's pass."""
    from scipy.sparse.linalg import eigsh

    start = np.random.default_rng(0).standard_normal(len(symmetric))
    eigenvalues = eigsh(symmetric.double().cpu().numpy(), k=1, which="LA", v0=start, return_eigenvectors=False)
    return float(eigenvalues[0])


def largest_of_sketch(products_DK: "torch.Tensor", frame_DK: "torch.Tensor") -> float:
    """The largest eigenvalue of Nystroem's approximation to C from Y = C S, as Tropp et al. (2017) compute it.

    A little of the identity is added to C, and taken off again: float32 sums leave S^T Y not quite positive.
    """
    import torch

    products = products_DK.double().cpu()
    shift = float(torch.finfo(products_DK.dtype).eps * len(products) ** 0.5 * torch.linalg.matrix_norm(products))
    shifted = products + shift * frame_DK
    core = frame_DK.T @ shifted
    factor = torch.linalg.cholesky((core + core.T) / 2)
    tall = torch.linalg.solve_triangular(factor, shifted.T, upper=False)
    # Not its singular values: of 32 layers they took ten minutes on two threads of a machine that was busy.
    return float(torch.linalg.eigvalsh(tall @ tall.T)[-1]) - shift
