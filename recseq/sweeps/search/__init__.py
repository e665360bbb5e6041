"""Search of hyperparameters: every combination of a space (`search=grid`), or a study of optuna (`search=optuna`)."""
