"""One step of a second pass on a model that FSDP2 shards over two processes, or on a whole one: run by test_launch.

TRL's own way there goes by accelerate, which shards on GPUs alone; so the trainer believes itself alone here, and its
model is sharded below it. Both processes have the same batch.
"""

import json
import os
import sys
from pathlib import Path

ENVIRONMENT = {name: os.environ.pop(name, "0") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}

import torch  # noqa: E402
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict  # noqa: E402
from torch.distributed.fsdp import fully_shard  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm  # noqa: E402
from trl import GRPOTrainer  # noqa: E402

from depthgauge.models.load import prepare_libraries  # noqa: E402
from depthgauge_methods.second_pass.launch import read  # noqa: E402
from depthgauge_methods.second_pass.perturb import full  # noqa: E402
from depthgauge_methods.second_pass.run import build_trainer  # noqa: E402
from tests.exactly import alphabetical, plain_logps, plain_norm  # noqa: E402
from tests.launched import Keyed  # noqa: E402

RANK, PROCESSES = int(ENVIRONMENT["RANK"]), int(ENVIRONMENT["WORLD_SIZE"]) or 1


class Stop(Exception):
    pass


def sharded(model):
    torch.distributed.init_process_group("gloo", rank=RANK, world_size=PROCESSES)
    mesh = torch.distributed.init_device_mesh("cpu", (PROCESSES,))
    for block in model.model.layers:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def main(path, sha256):
    prepare_libraries(1)
    torch.multinomial = Keyed()
    Qwen3RMSNorm.forward = plain_norm
    GRPOTrainer._get_per_token_logps_and_entropies = plain_logps
    job = read(path, sha256)
    trainer = build_trainer(job, job.method.settings)
    trainer.reward_funcs[0] = alphabetical
    model = trainer.model.double()
    if PROCESSES > 1:
        sharded(model)
    regularise = trainer._regularise

    def record(model, window):
        regularise(model, window)
        gradients = {name: full(p.grad) for name, p in trainer.model.named_parameters()}
        if RANK == 0:
            torch.save(gradients, job.folder / "gradients.pt")
        raise Stop

    trainer._regularise = record
    try:
        with sdpa_kernel(SDPBackend.MATH):
            trainer.train()
    except Stop:
        pass
    local = sum(getattr(p, "_local_tensor", p).numel() for p in model.parameters())
    share = local / sum(p.numel() for p in model.parameters())
    whole = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))
    if RANK == 0:
        metrics = {name: trainer._metrics["train"][name][0] for name in ("penalty_ratio", "moved_frac")}
        (job.folder / "seen.json").write_text(json.dumps({"share": share, **metrics}))
        model.save_pretrained(job.folder, state_dict={name: tensor.float() for name, tensor in whole.items()})
        trainer.processing_class.save_pretrained(job.folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
