"""A model's life after training: on disk, loaded again, trained anew from an earlier run's composition."""

from recseq.lifecycle.folder import save_model
from recseq.lifecycle.loading import LoadedModel, load_model
from recseq.lifecycle.locate import locate

__all__ = ["LoadedModel", "load_model", "locate", "save_model"]
