"""Confident errors: how often a wrong option is given most of the probability."""

from depthgauge_suites.articles.confident_errors.probe import ConfidentErrors
from depthgauge_suites.articles.confident_errors.readings import confident_errors
from depthgauge_suites.articles.confident_errors.settings import CONFIDENT

__all__ = ["CONFIDENT", "ConfidentErrors", "confident_errors"]
