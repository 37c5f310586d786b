"""How twins are to differ: four dithers by false alarms and power, on tiny baselines and five quantisers."""
