"""Configuration of a training run: hyperparameters from a YAML or Python file, read once and checked."""

import importlib
from pathlib import Path
from pprint import pprint
from typing import Any, NamedTuple

from sb3_cardqn import trust
from sb3_cardqn.durable import read_file
from sb3_cardqn.errors import UserError
from sb3_cardqn.python_text import code_in
from sb3_cardqn.yaml_files import parse_yaml, read_yaml, with_numbers
from sb3_cardqn.zoo.config_checks import check_classes, check_entries, check_values
from sb3_cardqn.zoo.settings import check_hyperparameters, with_whole_numbers


class Configuration(NamedTuple):
    """
    Hyperparameters of one environment from a file.

    :param source: path of a YAML or Python file, or name of a module
    :param entry: hyperparameters in the zoo's form
    :param contents: bytes of a YAML file; empty for Python
    """

    source: str
    entry: dict[str, Any]
    contents: bytes


def hyperparams_path(algo: str, env_id: str) -> str | None:
    """
    Find this package's hyperparameters, in an installed wheel or in a checkout.

    :param algo: name of an algorithm, such as "dqn"
    :param env_id: id of an environment, such as "CarRacing-v3"
    :return: path of the YAML file if it has an entry for that environment, else None for the zoo's own
    """
    package = Path(__file__).parent.parent
    folder = package / "hyperparams" if (package / "hyperparams").is_dir() else package.parent / "hyperparams"
    path = folder / f"{algo}.yml"
    if not path.is_file():
        return None
    entries = read_yaml(path)
    return str(path) if env_id in entries or "default" in entries else None


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
    return Configuration(source, dict(entries[name]), contents)


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
    if configuration.contents:
        read = {name: hyperparams[name] for name in hyperparams.keys() - typed.keys() - sampled.keys()}
        trust.require_for(code_in(read), Path(configuration.source), configuration.contents)
    check_classes(hyperparams, owner)
    print("Default hyperparameters for environment (ones being tuned will be overridden):")
    pprint(hyperparams)
    return hyperparams
