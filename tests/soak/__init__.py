"""The soak: customers, workers and random faults for as long as one likes, then a verdict.

`make soak MINUTES=30`. Faults and customers are drawn from a seed, so that a run can be repeated;
how they meet depends on the machine.
"""
