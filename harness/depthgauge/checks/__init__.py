"""What any two checkpoints owe each other: compare's claims, a file a stage, and the inputs that they need.

`depthgauge compare` and `pytest --pyargs depthgauge.checks --checkpoint=CANDIDATE --baseline=BASELINE` judge them.
"""
