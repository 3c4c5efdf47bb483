"""Old paths of moved modules, which lead to the new ones with a warning, for one release."""

import importlib
import sys
import warnings
from types import ModuleType
from typing import Any

_MOVED = {
    "buffers": "replay.buffers",
    "car_racing": "env.car_racing",
    "checkpoint": "checkpoint.exact",
    "episode": "checkpoint.resumable_episode",
    "fast_render": "env.fast_render",
    "prioritized": "replay.prioritized",
    "road_contrast": "env.road_contrast",
    "schedules": "cardqn.schedules",
    "torch_layers": "cardqn.torch_layers",
    "training_wrappers": "env.training_wrappers",
    "vec_env": "env.vec_env",
    "wrappers": "env.wrappers",
}


class _Moved(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system and inspection look these up
            raise AttributeError(name)
        place = f"sb3_cardqn.{_MOVED[self.__name__.rpartition('.')[2]]}"
        warnings.warn(
            f"{self.__name__} is now {place}; if {name} is public, use sb3_cardqn.{name}",
            FutureWarning,
            stacklevel=2,
        )
        public = importlib.import_module("sb3_cardqn")
        return getattr(public if name in public.__all__ else importlib.import_module(place), name)


for _name in _MOVED:
    sys.modules[f"{__name__}.{_name}"] = _Moved(f"{__name__}.{_name}")
