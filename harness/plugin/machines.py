"""Where models run, how many processes train one, and what makes what is missing, as the options ask."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from depthgauge.errors import UsageError
from depthgauge.models.load import choose_device
from depthgauge.plugin.options import Given
from depthgauge.types import Launch, Testbed

if TYPE_CHECKING:
    from depthgauge.jobs.engines import Engine


def device_of(given: Given, *, look: bool) -> str:
    """Where models run; on a cluster that is another machine's, and is taken at its word."""
    asked = given["device"] or "auto"
    elsewhere = given["executor"] in ("slurm", "ray")
    return "cuda" if elsewhere and asked == "cuda" else choose_device(asked, look=look and not elsewhere)


def launch_of(given: Given, testbed: Testbed, *, device: str) -> Launch | None:
    """What trains one model together; None where this process does.

    Raises: UsageError for more processes than there are devices, or cores; for a file that is not there.
    """
    launcher, processes = given["launcher"], given["processes"]
    if launcher is None:
        if processes is not None:
            raise UsageError("--processes are those of a launcher: add --launcher=accelerate.")
        return None
    if launcher != "accelerate":
        config = Path(given.config.invocation_params.dir, launcher)
        if not config.is_file():
            raise UsageError(f"--launcher={launcher} is neither 'accelerate' nor a file of accelerate's configuration.")
        if processes is not None:
            raise UsageError(f"--processes={processes} and {launcher} both say how many: leave one of them out.")
        return Launch(config=config)
    if processes is None or processes < 2:
        raise UsageError(f"--launcher=accelerate needs --processes=N, 2 at least, got {processes}.")
    if given["executor"] is not None:
        there, whose = (testbed.needs.gpus if device == "cuda" else testbed.needs.cpus), "a worker's Needs"
    else:
        there, whose = devices(device), "this machine"
    if processes > there:
        what = "GPUs" if device == "cuda" else "cores"
        raise UsageError(f"--processes={processes} is more than the {there} {what} of {whose}: lower it.")
    return Launch(processes=processes)


def devices(device: str) -> int:
    """How many processes this machine has room for."""
    if device == "cpu":
        return os.cpu_count() or 1
    import torch

    return int(torch.cuda.device_count())


def engine_of(config: pytest.Config) -> "Engine | None":
    """What makes what is missing; None where this process and its siblings of xdist do.

    Raises: UsageError for one that is not known or cannot be had, or beside xdist.
    """
    given = Given(config)
    asked, workers = given["executor"], given["workers"]
    for option in ("executor", "plan"):
        if given[option] is not None and (config.getoption("numprocesses", None) or hasattr(config, "workerinput")):
            raise UsageError(f"--{option} and xdist's -n both say who works: leave -n out, and use --workers.")
    if asked is None:
        if workers is not None:
            raise UsageError("--workers are those of --executor: name one, or use xdist's -n.")
        return None
    from depthgauge.jobs.engines import engine_named

    return engine_named(asked, workers)
