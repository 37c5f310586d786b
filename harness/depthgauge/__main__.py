"""`python -P -m depthgauge`: the console command. Without -P, Python looks for modules where it is started."""

from depthgauge.cli import main

if __name__ == "__main__":
    main()
