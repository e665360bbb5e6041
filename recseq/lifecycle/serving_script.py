"""The code of a logged MLflow model ("models from code"): MLflow copies this file into the model and runs it, so nothing is pickled."""

from mlflow.models import set_model

from recseq.lifecycle.serving import ServedModel

set_model(ServedModel())
