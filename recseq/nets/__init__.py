"""Torch modules; they know nothing of configs, files or users.

Shapes: B users, T tokens of a packed batch, D `n_factors`, R rows of the item matrix (padding, items, special tokens),
C category columns.
"""

from recseq.nets import item_net_blocks  # noqa: F401 - registers the blocks
