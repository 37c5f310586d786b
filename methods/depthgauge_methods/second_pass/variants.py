"""TRL's GRPO trainer with what variants of GRPO add to it, and with what a method must remember from step to step."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from trl import GRPOTrainer

METHOD_STATE = "method_state.safetensors"
REFERENCE = "reference/"


class VariantGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPO with noise on the embeddings in the forward pass of the loss, and with all that it remembers in its states.

    transformers' own option for that noise also disturbs rollouts, as TRL generates in training mode.
    """

    def __init__(self, *args: Any, neftune_alpha: float | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.alpha = neftune_alpha

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if self.alpha is None or not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        with noisy_embeddings(self.accelerator.unwrap_model(model), self.alpha):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def method_state(self) -> dict[str, Tensor]:
        """What a resumed training must know beside what TRL saves: the reference, where it is not the base."""
        if self.ref_model is None or not self.args.sync_ref_model:
            return {}
        return {f"{REFERENCE}{name}": tensor for name, tensor in self.ref_model.named_parameters()}

    def set_method_state(self, state: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self.ref_model.named_parameters() if self.ref_model is not None else ():
                if f"{REFERENCE}{name}" in state:
                    tensor.copy_(state[f"{REFERENCE}{name}"])

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.method_state().items()}
        if state and self.accelerator.is_main_process:
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            save_file(state, folder / METHOD_STATE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        saved = Path(resume_from_checkpoint) / METHOD_STATE
        if saved.is_file():
            self.set_method_state(load_file(saved, device=str(self.accelerator.device)))


@contextmanager
def noisy_embeddings(model: Any, alpha: float) -> Iterator[None]:
    """Within it, embeddings (B, T, width) get uniform noise of at most alpha / sqrt(T * width)."""

    def add(_module: Any, _inputs: Any, embeddings: Tensor) -> Tensor:
        most = alpha / (embeddings.shape[1] * embeddings.shape[2]) ** 0.5
        return embeddings + torch.empty_like(embeddings).uniform_(-most, most)

    handle = model.get_input_embeddings().register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
