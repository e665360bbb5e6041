"""Parts of a user's own: ALBERT for recommendation and some smaller ones; used with `plugins: [albert_parts]`."""

from albert_parts import albert, evaluation, training

__all__ = ["albert", "evaluation", "training"]
