"""What is a checkpoint's folder, and the rule that nothing is written into one."""

from contextlib import suppress
from pathlib import Path

from depthgauge.core.errors import UsageError

CONFIG, ADAPTER = "config.json", "adapter_config.json"


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is a checkpoint's, by its files' names: weights beside a configuration, or an adapter."""
    with suppress(OSError):  # a folder that may not be read
        return (folder / ADAPTER).is_file() or ((folder / CONFIG).is_file() and any(folder.glob("*.safetensors")))
    return False


def checkpoint_around(path: Path) -> Path | None:
    """The checkpoint's folder that a path is, or lies in; None where there is none."""
    whole = path.resolve()
    return next((folder for folder in (whole, *whole.parents) if is_checkpoint(folder)), None)


def check_outside(path: Path, option: str) -> None:
    """Raises: UsageError, naming the option, for a place to write to that is a checkpoint's folder or lies in one."""
    checkpoint = checkpoint_around(path)
    if checkpoint is not None:
        raise UsageError(
            f"{path} lies in the checkpoint {checkpoint}, into which nothing is written: give another place with "
            f"{option}.",
            code="in-checkpoint",
        )
