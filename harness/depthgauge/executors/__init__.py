"""What a run lacks, made by several processes or machines before anything is judged.

    plan.py      what the claims ask for and the store has not, found by judging them without making anything
    worker.py    one process of several, which takes one job after the other
    engines.py   what starts workers: processes here, SLURM, and Ray
    hand_out.py  rounds of plan and work, until nothing is missing; what was lost is tried once more, and then named

A claim is a plain function that asks for one measurement after the other, and may decide by the first what the second
is. So what it needs is not declared anywhere: each round finds what can be known by then.
"""
