"""The plugin is installed with the package, and brings methods, testbeds and probes by entry points: nothing to do."""
