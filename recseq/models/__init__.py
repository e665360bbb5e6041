"""Recommenders, one file each; importing this package registers them."""

from recseq.models import ease, item_knn, popular, sequential
from recseq.models.base import MODELS, Groups, Recommender, Request

__all__ = ["MODELS", "Groups", "Recommender", "Request", "ease", "item_knn", "popular", "sequential"]
