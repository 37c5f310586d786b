"""depthgauge fetch TASK: bring the data of tasks of lm-eval."""

import argparse
from pathlib import Path

from depthgauge.cli.arguments import Commands, add_command
from depthgauge.core.installed import check_installed


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "fetch", fetch, summary="bring the data of lm-eval tasks into the cache, where there is a network",
        example="depthgauge fetch gsm8k hellaswag",
    )  # fmt: skip
    parser.add_argument("tasks", nargs="+", metavar="TASK")
    parser.add_argument("--include-path", type=Path, metavar="DIR", help="a folder of tasks beside lm-eval's own")


def fetch(arguments: argparse.Namespace) -> int:
    check_installed(("lm-eval",), "fetch")
    from depthgauge.core.testbed import LmEvalTask
    from depthgauge.tasks.lm_eval_tasks import fetch as fetch_task

    for name in arguments.tasks:
        fetch_task(LmEvalTask(name=name, path=arguments.include_path))
        print(f"{name} is in the cache")
    return 0
