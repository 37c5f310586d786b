"""What users notice first: whether a chat model still does what it is plainly asked to do."""

from depthgauge.probes.behaviour.readings import requests_met_beside
from depthgauge.probes.behaviour.settings import TOKENS, Request

__all__ = [
    "TOKENS",
    "Request",
    "requests_met_beside",
]
