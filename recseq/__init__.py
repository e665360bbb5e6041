"""recseq: experiment runner for sequential recommenders."""

__version__ = "0.1.0"
