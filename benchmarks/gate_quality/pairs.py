"""Pairs of a baseline and a new one: what is done to make one, the baseline's folder, and what is on record."""

import argparse
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gate_quality.kinds import of_one_layer
from depthgauge.core.registry import METHODS, TESTBEDS
from depthgauge.corruptions import CORRUPTIONS, FolderTensors, corrupt
from depthgauge.formats.parts import depth_of, layer_of
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.store.folders import Store

JUDGED, COSTS = (Path(__file__).with_name(name) for name in ("quality.jsonl", "damage.jsonl"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A corruption, its dose, and the seed that draws its place."""

    kind: str
    dose: float
    seed: int

    @property
    def draw(self) -> np.random.Generator:
        return np.random.default_rng([zlib.crc32(self.kind.encode()), round(abs(self.dose) * 1e6), self.seed])


def results(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def record(path: Path, line: Mapping[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def planted(pair: Pair, baseline: Path, candidate: Path) -> list[int]:
    """Fill the folder; the layers at fault, where it is not all of them."""
    corruption, draw = CORRUPTIONS[pair.kind], pair.draw
    layers = None
    if of_one_layer(corruption):
        layers = (int(draw.integers(depth_of(FolderTensors(baseline).shapes))),)
    changed = corrupt(baseline, candidate, corruption, seed=int(draw.integers(1 << 31)), dose=pair.dose, layers=layers)
    return [] if layers is None else sorted({layer for name in changed if (layer := layer_of(name)) is not None})


def baseline_folder(name: str, seed: int, testbed: str, store: Path) -> Path:
    """A folder, or the checkpoint of a method, trained where the store has none."""
    if name not in METHODS:
        return Path(name)
    context = RunContext(testbed=TESTBEDS[testbed], store=Store(store, run="quality"), tell=print)
    return CheckpointSet.of(METHODS[name], (seed,), context).checkpoints[0].folder


def options(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("baseline", nargs="?", default="grpo", help="a folder or a method (default: %(default)s)")
    parser.add_argument("--testbed", default="pocket", help="default: %(default)s")
    parser.add_argument("--tasks", default="science", help="default: %(default)s")
    parser.add_argument("--store", type=Path, default=Path(".depthgauge"), help="default: %(default)s")
    return parser
