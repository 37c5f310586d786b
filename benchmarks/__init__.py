"""The project against its peers or a naive form, as ratios in one run."""
