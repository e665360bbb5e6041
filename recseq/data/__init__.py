"""From raw rows to packed batches."""
