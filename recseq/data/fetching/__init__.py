"""Datasets that are fetched by name: downloaded once, verified, unpacked, kept in a cache folder that all runs share.

The cache is `paths.data`, else the environment variable RECSEQ_DATA, else the user's cache folder of the system. Each dataset has
a folder in it with its files, and beside each file a record (`.<name>.json`) of what came from where and how it was verified.
"""

from recseq.data.fetching.archives import Gzip, Zip
from recseq.data.fetching.dataset import RemoteDataset
from recseq.data.fetching.remote_file import RemoteFile

__all__ = ["Gzip", "RemoteDataset", "RemoteFile", "Zip"]
