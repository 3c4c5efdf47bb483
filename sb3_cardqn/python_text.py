"""Safe evaluation of Python text that is only data: literals, dict, list, tuple, and classes from a table."""

import ast
import importlib
from collections.abc import Callable, Mapping
from typing import Any

# Package -> classes in it or in its modules. Whatever its arguments, none of them reads or writes a file or
# calls an argument.
_CLASSES: dict[str, set[str]] = {
    "gymnasium.wrappers": {
        "AtariPreprocessing", "ClipAction", "ClipReward", "DelayObservation", "DtypeObservation",
        "FilterObservation", "FlattenObservation", "FrameStackObservation", "GrayscaleObservation",
        "MaxAndSkipObservation", "NormalizeObservation", "NormalizeReward", "RescaleAction",
        "RescaleObservation", "ReshapeObservation", "ResizeObservation", "StickyAction",
        "TimeAwareObservation", "TimeLimit",
    },
    "minigrid.wrappers": {"FlatObsWrapper", "FullyObsWrapper", "ImgObsWrapper", "OneHotPartialObsWrapper"},
    "rl_zoo3.wrappers": {
        "ActionNoiseWrapper", "ActionSmoothingWrapper", "DelayedRewardWrapper", "FrameSkip", "HistoryWrapper",
        "HistoryWrapperObsDict", "MaskVelocityWrapper", "TruncatedOnSuccessWrapper",
        "YAMLCompatResizeObservation",
    },
    "sb3_cardqn": {
        "CarRacingCNN", "CarRacingWrapper", "DiscretizeActions", "DuelingHead", "EndAtLine", "EndWhenLost",
        "FastRender", "FrameReplayBuffer", "FrameSkip", "FrameStack", "GrayscaleObservation",
        "HistogramHead", "MinAtarCNN", "PenalizeMissedTiles", "PenalizeRoadEdge", "PenalizeSideslip",
        "PenalizeSpeed", "PrioritizedFrameReplayBuffer", "QuantileHead", "ResizeObservation",
        "ResumableEpisode", "RoadContrastObservation", "ScaleReward",
    },
    "sb3_contrib.common.wrappers": {"TimeFeatureWrapper"},
    "stable_baselines3": {"HerReplayBuffer"},
    "stable_baselines3.common.atari_wrappers": {
        "AtariWrapper", "ClipRewardEnv", "EpisodicLifeEnv", "FireResetEnv", "MaxAndSkipEnv", "NoopResetEnv",
        "StickyActionEnv", "WarpFrame",
    },
    "stable_baselines3.common.buffers": {"DictReplayBuffer", "NStepReplayBuffer", "ReplayBuffer"},
    "stable_baselines3.common.callbacks": {
        "LogEveryNTimesteps", "ProgressBarCallback", "StopTrainingOnMaxEpisodes",
        "StopTrainingOnRewardThreshold",
    },
    "stable_baselines3.common.sb2_compat.rmsprop_tf_like": {"RMSpropTFLike"},
    "stable_baselines3.common.torch_layers": {"CombinedExtractor", "FlattenExtractor", "NatureCNN"},
    "stable_baselines3.common.vec_env": {"VecCheckNan", "VecFrameStack", "VecNormalize", "VecTransposeImage"},
    "stable_baselines3.her.her_replay_buffer": {"HerReplayBuffer"},
    "torch.nn": {
        "CELU", "ELU", "GELU", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "LogSigmoid", "Mish",
        "PReLU", "ReLU", "ReLU6", "SELU", "Sigmoid", "SiLU", "Softplus", "Softsign", "Tanh",
    },
    "torch.optim": {"Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD"},
}  # fmt: skip
# short names in the zoo's own YAML files
_SHORT = {
    "HerReplayBuffer": "stable_baselines3.HerReplayBuffer",
    "RMSpropTFLike": "stable_baselines3.common.sb2_compat.rmsprop_tf_like.RMSpropTFLike",
}
_ALIASES = {"nn": "torch.nn", "th": "torch", "sb3": "stable_baselines3"}
_BUILT_INS: dict[str, Any] = {"dict": dict, "list": list, "tuple": tuple}

# Keys whose text the zoo evaluates, and keys whose names it imports.
PYTHON_KEYS = ("monitor_kwargs", "normalize", "policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs")
NAME_KEYS = ("callback", "env_wrapper", "policy", "vec_env_wrapper")


class NotDataError(ValueError):
    """Text that is not only data; evaluating it could run any code."""


def evaluate(text: str) -> Any:
    """
    Evaluate Python text that is only data.

    >>> evaluate("dict(net_arch=[256, 256], activation_fn=nn.ReLU)")
    {'net_arch': [256, 256], 'activation_fn': <class 'torch.nn.modules.activation.ReLU'>}

    :param text: literals, calls of ``dict``, ``list`` and ``tuple``, and names from the table
    :return: its value
    :raises NotDataError: if it contains anything else
    """
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise NotDataError(text) from error


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Dict(keys=keys, values=values) if None not in keys:
            pairs = zip(keys, values, strict=True)
            return {_value(key): _value(value) for key, value in pairs if key is not None}
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in _BUILT_INS:
            named = {word.arg: _value(word.value) for word in keywords if word.arg is not None}
            if len(named) < len(keywords):  # it contains **kwargs
                raise NotDataError(ast.unparse(node))
            return _BUILT_INS[name](*map(_value, args), **named)
        case ast.Name() | ast.Attribute():
            name = ast.unparse(node)
            head, dot, rest = _SHORT.get(name, name).partition(".")
            return look_up(f"{_ALIASES.get(head, head)}{dot}{rest}")
    raise NotDataError(ast.unparse(node))


def look_up(name: str) -> Any:
    """
    :param name: full name of a class, such as ``sb3_cardqn.FrameSkip``
    :return: the class
    :raises NotDataError: if it is not in the table, or its package is not installed
    """
    if not all(part.isidentifier() for part in name.split(".")):  # "sb3_cardqn.f().FrameSkip" calls f
        raise NotDataError(name)
    module, _, cls = short_name(name).rpartition(".")
    for package, classes in _CLASSES.items():
        if cls in classes and f"{module}.".startswith(f"{package}."):
            try:
                return find_class(f"{module}.{cls}")
            except ImportError:
                break
    raise NotDataError(name)


def find_class(name: str) -> Any:
    """
    Import any class, like rl-zoo3.

    :param name: full name of a class, such as "sb3_cardqn.FrameSkip"
    :return: the class
    :raises ImportError: if there is no such module, or no such name in it
    """
    module, _, cls = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), cls)
    except (AttributeError, ValueError) as error:  # ValueError: the name has no module
        raise ImportError(str(error)) from error


def short_name(name: str) -> str:
    """
    Public name of a class of this package, whichever module it was in when the name was written.

    >>> short_name("sb3_cardqn.common.wrappers.FrameSkip")
    'sb3_cardqn.FrameSkip'

    :param name: full name of any class
    :return: public name if the class is in the table, else ``name``
    """
    package, _, rest = name.partition(".")
    short = rest.rpartition(".")[2]
    return f"{package}.{short}" if package == "sb3_cardqn" and short in _CLASSES[package] else name


def with_short_names(entries: Any) -> list[Any]:
    """
    :param entries: one or several wrappers in the zoo's form, or None
    :return: list of wrappers, with public names for this package's classes
    """

    def shortened(entry: Any) -> Any:
        if isinstance(entry, dict):
            return {short_name(name): arguments for name, arguments in entry.items()}
        return short_name(entry) if isinstance(entry, str) else entry

    listed = entries if isinstance(entries, list) else [entries] if entries else []
    return [shortened(entry) for entry in listed]


def code_in(hyperparams: Mapping[str, Any]) -> str | None:
    """
    Find text that would run code: text that the zoo evaluates, and names that it imports.

    :param hyperparams: hyperparameters in the zoo's form
    :return: first such text that is not only data; None if there is none
    """
    texts: list[tuple[Callable[[str], Any], Any]] = [
        (evaluate, hyperparams[key]) for key in PYTHON_KEYS if key in hyperparams
    ]
    for key in NAME_KEYS:
        value = hyperparams.get(key)
        names = [name for entry in (value if isinstance(value, list) else [value]) for name in _names(entry)]
        if key == "policy":  # a name without a dot is the algorithm's own
            names = [name for name in names if "." in name]
        texts += [(look_up, name) for name in names]
    for read, text in texts:
        if isinstance(text, str):
            try:
                read(text)
            except NotDataError:
                return text
    return None


def _names(entry: Any) -> list[str]:
    return [name for name in (entry if isinstance(entry, dict) else [entry]) if isinstance(name, str)]
