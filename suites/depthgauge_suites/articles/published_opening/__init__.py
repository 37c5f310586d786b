"""The one opening that the articles' figures and table of diversity are of, as published."""

from depthgauge_suites.articles.published_opening.probe import PublishedOpening, PublishedTrace
from depthgauge_suites.articles.published_opening.readings import loops, repeats

__all__ = ["PublishedOpening", "PublishedTrace", "loops", "repeats"]
