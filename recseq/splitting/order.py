"""The order of interactions inside a user."""

import polars as pl


def from_the_end() -> pl.Expr:
    """Each row's place in its user's history counted from the newest, which is 1; of rows at the same time the later row is newer.

    `frame.filter(from_the_end() <= n)` are the n last rows of every user, in the frame's order.

    Returns:
        An expression over the columns `user_id` and `datetime`.
    """
    place = pl.col("datetime").rank("ordinal")  # from the oldest, 1; ties in the order of rows
    return (pl.len() - place + 1).over("user_id")
