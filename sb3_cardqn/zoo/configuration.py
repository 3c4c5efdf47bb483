"""Configuration of a training run: hyperparameters from a YAML or Python file, read once and checked."""

import importlib
import inspect
from contextlib import closing
from pathlib import Path
from pprint import pprint
from typing import Any, NamedTuple

import gymnasium as gym
import rl_zoo3
from rl_zoo3 import ALGOS
from rl_zoo3.utils import get_wrapper_class
from stable_baselines3.common.preprocessing import is_image_space

from sb3_cardqn import trust
from sb3_cardqn.cardqn.torch_layers import LEAST_PIXELS
from sb3_cardqn.durable import read_file
from sb3_cardqn.env.training_wrappers import judged_wrappers
from sb3_cardqn.errors import UserError
from sb3_cardqn.python_text import code_in
from sb3_cardqn.yaml_files import parse_yaml, read_yaml, with_numbers
from sb3_cardqn.zoo.config_checks import check_classes, check_entries, check_policy_name, check_values
from sb3_cardqn.zoo.settings import check_hyperparameters, with_whole_numbers


class Configuration(NamedTuple):
    """
    Hyperparameters of one environment from a file.

    :param name: of the entry: the environment's id, "atari" or "default"
    :param source: path of a YAML or Python file, or name of a module
    :param entry: hyperparameters in the zoo's form
    :param contents: bytes of a YAML file; empty for Python
    """

    name: str
    source: str
    entry: dict[str, Any]
    contents: bytes


def own_file(name: str) -> Path:
    """
    :param name: name of one of this package's YAML files without its suffix, such as "race"
    :return: its path, in an installed wheel or in a checkout
    """
    package = Path(__file__).parent.parent
    folder = package / "hyperparams" if (package / "hyperparams").is_dir() else package.parent / "hyperparams"
    return folder / f"{name}.yml"


def hyperparams_path(algo: str, env_id: str) -> str | None:
    """
    Find hyperparameters: this package's or the zoo's.

    :param algo: name of an algorithm, such as "dqn"
    :param env_id: id of an environment, such as "CarRacing-v3"
    :return: path of this package's YAML file if it has an entry for that environment; else for cardqn that of
        the zoo's dqn, whose numbers CarDQN takes as they are; else None, for the zoo's own choice
    """
    path = own_file(algo)
    if path.is_file() and env_id in read_yaml(path):
        return str(path)
    return str(_zoos_dqn()) if algo == "cardqn" else None


def _zoos_dqn() -> Path:
    return Path(rl_zoo3.__file__).parent / "hyperparams/dqn.yml"


def choose_policy(
    configuration: Configuration, typed: dict[str, Any], env_id: str, env_kwargs: dict[str, Any] | None
) -> None:
    """
    Replace the policy of the zoo's entry "default", which is for vectors; a file of the user's keeps its own.

    :param configuration: result of ``read_configuration``
    :param typed: hyperparameters of ``-params``
    :param env_id: id of the environment
    :param env_kwargs: its arguments
    """
    if configuration.name == "default" and configuration.contents == _zoos_dqn().read_bytes():
        made_with = env_kwargs or typed.get("env_kwargs")
        configuration.entry["policy"] = default_policy(env_id, made_with, typed.get("env_wrapper"))


def default_policy(env_id: str, env_kwargs: dict[str, Any] | None, env_wrapper: Any) -> str:
    """
    Choose a policy for an environment without an entry of its own.

    :param env_id: id of the environment
    :param env_kwargs: its arguments
    :param env_wrapper: wrappers around it in the zoo's form, or None
    :return: "CnnPolicy" for pictures large enough for SB3's ``NatureCNN``, "MultiInputPolicy" for Dict
        observations, else "MlpPolicy"
    """
    wrap = get_wrapper_class({"env_wrapper": env_wrapper})
    with closing(gym.make(env_id, **(env_kwargs or {}))) as env:
        space = (env if wrap is None else wrap(env)).observation_space
    if isinstance(space, gym.spaces.Dict):
        return "MultiInputPolicy"
    shape: Any = space.shape or ()
    is_large = len(shape) == 3 and sorted(shape)[1] >= LEAST_PIXELS
    return "CnnPolicy" if is_large and is_image_space(space, check_channels=False) else "MlpPolicy"


def judged_wrapper_class(hyperparams: dict[str, Any], key: str = "env_wrapper") -> Any:
    """
    Wrapper for judging an agent, without training-only wrappers.

    :param hyperparams: the zoo's hyperparameters
    :param key: key of the wrappers
    :return: result of the zoo's ``get_wrapper_class`` for ``judged_wrappers``
    """
    return get_wrapper_class({key: judged_wrappers(hyperparams.get(key))}, key)


def read_configuration(source: str, env_id: str, is_atari: bool) -> Configuration:
    """
    Read the file of ``train -conf`` like the zoo, but only once, so that the checked values are used.

    :param source: path of a YAML or Python file, or name of a module
    :param env_id: id of an environment, such as "CarRacing-v3"
    :param is_atari: True if entry "atari" is the fallback, False for entry "default"
    :return: the configuration; text in it is not evaluated yet
    :raises UserError: if it cannot be read, has no such entry, or is Python that is not trusted
    """
    path, contents = Path(source), b""
    if path.suffix in (".yml", ".yaml"):
        contents = read_file(path)
        entries = parse_yaml(contents, path)
    else:
        code = trust.read_code(path) if path.suffix == ".py" else None
        try:
            entries = importlib.import_module(source).hyperparams if code is None else _run(code, source)
        except Exception as error:  # Python in the file can raise anything
            raise UserError(
                f"'{source}' has no hyperparameters for {env_id}: {type(error).__name__}: {error}"
            ) from error
    name = check_entries(entries, path, (env_id, "atari" if is_atari else "default"))
    if name == "default":
        print("Using 'default' hyperparameters")
    return Configuration(name, source, dict(entries[name]), contents)


def _run(code: bytes, name: str) -> Any:
    variables: dict[str, Any] = {}
    exec(compile(code, name, "exec"), variables)
    return variables["hyperparams"]


def checked_hyperparams(
    algo: str,
    configuration: Configuration,
    typed: dict[str, Any],
    sampled: dict[str, Any],
    storage: str | None,
) -> dict[str, Any]:
    """
    :param algo: name of an algorithm of the zoo
    :param configuration: result of ``read_configuration``
    :param typed: hyperparameters of ``-params``, which override all others
    :param sampled: hyperparameters of a trial, which override the configuration's
    :param storage: storage of the trial's study, or None
    :return: hyperparameters in the zoo's form, sorted, with numbers as numbers
    :raises UserError: if a name is unknown, the zoo cannot use a value, or code is not trusted
    """
    hyperparams = {**configuration.entry, **sampled, **typed}
    check_hyperparameters(algo, list(hyperparams))
    numbers = {name: with_numbers(value) for name, value in hyperparams.items() if name != "env_kwargs"}
    hyperparams = dict(sorted((hyperparams | with_whole_numbers(algo, numbers)).items()))

    def owner(name: str) -> str:
        return "-params" if name in typed else f"'{storage if name in sampled else configuration.source}'"

    check_values(hyperparams, owner)
    check_policy_name(algo, hyperparams["policy"], owner("policy"))
    if configuration.contents:
        read = {name: hyperparams[name] for name in hyperparams.keys() - typed.keys() - sampled.keys()}
        trust.require_for(code_in(read), Path(configuration.source), configuration.contents)
    check_classes(hyperparams, owner)
    if hyperparams.get("noise_type", "") is None:  # as without it
        for name in ("noise_type", "noise_std"):
            hyperparams.pop(name, None)
    print("Default hyperparameters for environment (ones being tuned will be overridden):")
    pprint(hyperparams)
    return hyperparams


def explored(algo: str, hyperparams: dict[str, Any], asked: bool) -> dict[str, float]:
    """
    Exploration of an agent that starts trained.

    :param algo: name of an algorithm of the zoo
    :param hyperparams: its hyperparameters
    :param asked: True to leave an ``exploration_initial_eps`` among them as it is
    :return: ``exploration_initial_eps`` at the final value, so that it does not drive at random; empty if the
        hyperparameters set it, or the algorithm has none
    """
    parameters = inspect.signature(ALGOS[algo]).parameters
    initial, final = "exploration_initial_eps", "exploration_final_eps"
    if initial not in parameters or final not in parameters or (asked and initial in hyperparams):
        return {}
    epsilon = hyperparams.get(final, parameters[final].default)
    print(f"Epsilon stays at {epsilon}" + (f"; to explore anew: -params {initial}:1.0" if asked else ""))
    return {initial: epsilon}
