"""recseq's Hydra plugins; Hydra looks for them in the namespace package `hydra_plugins` only."""
