"""Registers what this project ships. The plugin itself is installed with the package (entry point `depthgauge`)."""

import methods
import testbeds

__all__ = ["methods", "testbeds"]
