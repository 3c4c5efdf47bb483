"""Safe reading of YAML files: no tag runs code, duplicate keys are errors, errors name file and line."""

import re
from pathlib import Path
from typing import Any

import yaml

from sb3_cardqn.durable import read_file
from sb3_cardqn.errors import UserError

_MOST_VALUES = 1_000_000
_NO_KEYS = ("tag:yaml.org,2002:merge", "tag:yaml.org,2002:value")  # << may occur twice; both are merged


class UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML's SafeLoader, but a duplicate key is an error; in PyYAML the last one wins."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """
        :param anchor: anchor of the node
        :return: the node
        :raises yaml.MarkedYAMLError: if a key occurs twice
        """
        # Here, because before construct_mapping a merge (<<) adds keys that may be overridden.
        node = super().compose_mapping_node(anchor)
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag in _NO_KEYS:
                continue
            key, line = self.construct_object(key_node), key_node.start_mark.line + 1
            if key in lines:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} occurs twice, first in line {lines[key]}",
                    problem_mark=key_node.start_mark,
                )
            lines[key] = line
        return node


_WITH_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


def with_numbers(value: Any) -> Any:
    """
    Convert numbers that YAML 1.1 reads as text because they lack a dot, or a sign in the exponent.

    >>> with_numbers({"learning_rate": "1e-4", "buffer_size": "1e3", "policy": "CnnPolicy"})
    {'learning_rate': 0.0001, 'buffer_size': 1000, 'policy': 'CnnPolicy'}

    :param value: data from a YAML file
    :return: same data with numbers for such text; whole numbers are int
    """
    if isinstance(value, dict):
        return {key: with_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_numbers(item) for item in value]
    if isinstance(value, str) and _WITH_EXPONENT.fullmatch(value):
        number = float(value)
        return int(number) if number.is_integer() else number
    return value


def _check_size(node: yaml.Node, sizes: dict[yaml.Node, int | None]) -> int:
    """
    Aliases of aliases make a small file large, or without end.

    :param node: part of a document, before its values and merges (<<) are made
    :param sizes: numbers of values in the lists and mappings seen so far; None while one is counted
    :return: number of values in it, with those of aliases each time
    :raises ValueError: if it contains itself, or more than a million values
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    known = sizes.get(node, 0)
    if known is None:
        raise ValueError("an alias contains itself")
    if not known:
        sizes[node] = None
        is_mapping = isinstance(node, yaml.MappingNode)
        parts = [part for pair in node.value for part in pair] if is_mapping else node.value
        sizes[node] = known = 1 + sum(_check_size(part, sizes) for part in parts)
        if known > _MOST_VALUES:
            raise ValueError(f"its aliases stand for more than {_MOST_VALUES:,} values")
    return known


def read_yaml(path: Path) -> Any:
    """
    Read a file of one YAML document.

    :param path: file to read
    :return: its content; None if it is empty
    :raises UserError: if it is not a regular file, cannot be read, or is not YAML; names file and line
    """
    return parse_yaml(read_file(path), path)


def parse_yaml(contents: bytes, path: Path, loader: type[yaml.SafeLoader] = UniqueKeyLoader) -> Any:
    """
    :param contents: one YAML document
    :param path: file from which it was read, for errors
    :param loader: loader class, which may know more tags
    :return: its content; None if it is empty
    :raises UserError: if it is not YAML; names file and line
    """
    try:
        document = loader(contents)
        node = document.get_single_node()
        if node is None:
            return None
        _check_size(node, {})
        return document.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"'{path}'{line}: {error.problem or error}") from error
    except Exception as error:  # PyYAML's constructors raise other errors, such as ValueError for month 13
        raise UserError(f"'{path}' is not YAML: {' '.join(str(error).split())}") from error
