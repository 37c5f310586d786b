"""How often the gate is wrong: harmless rewritings and planted faults, judged."""
