"""Training and recommending on many devices and machines.

Ranks are processes, one a device, that train one model together: each computes its share of every batch, and their gradients are averaged
(Lightning's DDP). Rank 0 is the program: it reads, splits, measures, logs and writes. The others follow it: they are handed each fit and
each recommendation as a task, as JSON and Arrow, and write nothing.
"""
