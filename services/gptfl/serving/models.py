"""KServe's view of a server with one model, which is loaded before it starts and stays."""

from typing import NoReturn

from kserve import ModelRepository
from kserve.errors import ModelNotFound, ModelNotReady
from kserve.model import BaseKServeModel
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension


class OneModel(DataPlane):  # type: ignore[misc]  # kserve has no types
    """What both protocols ask; ready when the model is."""

    def __init__(self, model: BaseKServeModel) -> None:
        models = ModelRepository()
        models.update(model)
        super().__init__(models)
        self._model = model
        self.is_draining = False
        """Whether it says that it is not ready, and answers all the same."""

    async def ready(self) -> bool:
        return bool(self._model.ready) and not self.is_draining

    async def model_ready(
        self, model_name: str, disable_predictor_health_check: bool = False
    ) -> bool:
        found = await super().model_ready(model_name, disable_predictor_health_check)
        return bool(found) and not self.is_draining

    def require_ready(self) -> None:
        """Raises ModelNotReady. Who has passed here is answered, even if the server is told to
        stop."""
        if not self._model.ready:
            raise ModelNotReady(self._model.name)

    async def get_model(self, name: str) -> BaseKServeModel:
        # KServe's loads a model that is not ready, in the middle of a request.
        if name != self._model.name:
            raise ModelNotFound(name)
        return self._model


class FixedModels(ModelRepositoryExtension):  # type: ignore[misc]
    """One model for the life of the process: who serves another starts another server."""

    def __init__(self, dataplane: OneModel) -> None:
        super().__init__(dataplane.model_registry)

    async def load(self, model_name: str) -> NoReturn:
        raise NotImplementedError(f"{model_name}: cannot be loaded; start a server with that model")

    async def unload(self, model_name: str) -> NoReturn:
        raise NotImplementedError(f"{model_name}: cannot be unloaded; stop the server")
