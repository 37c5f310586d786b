"""Probes, a package each: what is measured, how claims read it, and how it shows itself in a report."""
