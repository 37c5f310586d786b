"""A normalising flow that draws showers, and its files. Shapes: N showers, D cells."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from depthgauge.core.errors import InvalidCheckpoint, NotTestable
from depthgauge.models.files import read_json
from depthgauge_suites.layer_papers.showers.settings import MODEL_TYPE
from depthgauge_suites.layer_papers.showers.simulation import CELLS, ENERGIES_GEV

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TRANSFORMS, HIDDEN = 4, (64, 64)


class ShowerFlow(torch.nn.Module):
    """Masked autoregressive (Papamakarios et al. 2017), which is quick to say how likely a shower is.

    A `student` is its inverse (Kingma et al. 2016), which is quick to draw: a pass in place of one for each cell.
    Cells are standardised by `mean` and `spread`, (D,).
    """

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, *, student: bool) -> None:
        super().__init__()
        self.student = student
        self.flow = inverse_of(masked()) if student else masked()
        self.register_buffer("mean", torch.zeros(CELLS))
        self.register_buffer("spread", torch.ones(CELLS))

    def given(self, energies_gev: torch.Tensor) -> Any:
        """The law of standardised cells of showers of these energies (N,): zuko's, after torch's distributions."""
        middle = torch.tensor(ENERGIES_GEV).log().mean()
        return self.flow(energies_gev.log()[:, None] - middle)

    @torch.inference_mode()
    def draw(self, energies_gev: torch.Tensor, seed: int) -> torch.Tensor:
        """A shower of each energy: (N, D)."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            drawn: torch.Tensor = self.given(energies_gev).sample()
        return drawn * self.spread + self.mean


def masked() -> Any:
    return zuko().flows.MAF(CELLS, 1, transforms=TRANSFORMS, hidden_features=HIDDEN)


def inverse_of(flow: Any) -> Any:
    return zuko().lazy.Flow(zuko().lazy.LazyInverse(flow.transform), flow.base)


def zuko() -> Any:
    """The library of flows. Raises: NotTestable where it is not installed."""
    try:
        import zuko as library
    except ImportError as error:
        raise NotTestable("flows of showers need zuko: pip install 'depthgauge[flows]'") from error
    return library


def save(flow: ShowerFlow, folder: Path) -> None:
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in flow.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    (folder / CONFIG).write_text(
        json.dumps({"model_type": MODEL_TYPE, "student": flow.student}, indent=1), encoding="utf-8"
    )


def load(folder: Path) -> ShowerFlow:
    """The flow of a folder. Raises: NotTestable without zuko; InvalidCheckpoint for weights of another shape."""
    flow = ShowerFlow(student=bool(read_json(folder / CONFIG).get("student")))
    try:
        flow.load_state_dict(load_file(folder / WEIGHTS))
    except RuntimeError as error:
        raise InvalidCheckpoint(
            f"the weights of {folder} are not those of a flow of showers: train it again.", code="not-a-flow"
        ) from error
    return flow.eval()
