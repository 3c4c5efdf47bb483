"""Importing the package changes nothing of other libraries; what it changes later is in architecture.md's table."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.test_architecture import PACKAGE, modules

PAGE = PACKAGE.parent / "docs/explanation/architecture.md"
# change what belongs to the process, or to an object that is handed to them
FUNCTIONS = {
    "chdir", "delattr", "filterwarnings", "mallopt", "putenv", "replaced", "set_num_threads",
    "set_start_method", "setLevel", "setNumThreads", "setattr", "seterr", "signal", "simplefilter", "use",
}  # fmt: skip
METHODS = {"append", "clear", "extend", "insert", "pop", "remove", "setdefault", "update"}
OURS = {"cardqn/arguments.py", "replaced.py"}  # the agent's own attributes; the tool


def root(node: ast.expr) -> str:
    """Name that an attribute or an item is of; "vars" for what ``vars(...)`` returns."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return root(node.func) if isinstance(node, ast.Call) else getattr(node, "id", "")


def targets(node: ast.AST) -> Iterator[ast.Attribute | ast.Subscript]:
    """What a statement assigns to or deletes, besides plain names."""
    several = node.targets if isinstance(node, (ast.Assign, ast.Delete)) else [getattr(node, "target", None)]
    for target in several:
        for one in target.elts if isinstance(target, ast.Tuple) else [target]:
            if isinstance(one, (ast.Attribute, ast.Subscript)):
                yield one


def is_private_of_another(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr.startswith("_") and root(node) not in ("self", "cls")


def changes(path: Path) -> Iterator[str]:
    """Statements that change an object of another library, as far as they can be told from the text."""
    tree = ast.parse(path.read_text())
    foreign = {"vars"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) or (
            isinstance(node, ast.ImportFrom) and not str(node.module).startswith("sb3_cardqn")
        ):
            foreign |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else root(node.func)
            called_on = root(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            changed = name in FUNCTIONS or (name in METHODS and called_on in foreign)
        else:
            changed = any(root(one) in foreign or is_private_of_another(one) for one in targets(node))
        if changed:
            yield ast.unparse(node)


def test_the_finder_finds(tmp_path: Path) -> None:
    found = [
        "setattr(x, 'y', 1)", "torch.set_num_threads(1)", "replaced(utils, 'a', 1)", "torch.nn.x = 1",
        "utils.ALGOS['a'] = 1", "vars(x)['y'] = 1", "vars(x).update(y=1)", "a.b._c = 1", "del a._b",
        "a.__class__ = B", "os.environ['A'] = 'b'", "os.environ.update(A='b')", "a._b, c = (1, 2)",
    ]  # fmt: skip
    left = ["self._b = 1", "a.b = 1", "a = torch.nn", "c = a.update(b)", "utils.read(a)"]
    path = tmp_path / "module.py"
    path.write_text("\n".join(["import os, torch", "from rl_zoo3 import utils", *found, *left]))
    assert sorted(changes(path)) == sorted(found)


def test_every_change_of_another_library_is_in_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## What is changed in other libraries")[2]
    listed = set(re.findall(r"\]\(\.\./\.\./sb3_cardqn/([\w/]+\.py)\)", text))
    found = {
        str(path.relative_to(PACKAGE)): list(changes(path))
        for path in modules().values()
        if any(changes(path))
    }
    assert {name: found[name] for name in found.keys() - listed - OURS} == {}
    assert listed - OURS <= found.keys()


WHAT_IMPORTS_CHANGE = """
import importlib, os, signal, sys, types, warnings

import cv2, torch

foreign, ours = sys.argv[1].split(), sys.argv[2].split()
for name in foreign:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:  # what is in a module; some import more when it is used
        module, _, name = name.rpartition(".")
        getattr(importlib.import_module(module), name)


def held():
    numbers = [number for number in signal.Signals if number not in (signal.SIGKILL, signal.SIGSTOP)]
    found = {"threads": (torch.get_num_threads(), cv2.getNumThreads()), "arguments": tuple(sys.argv)}
    found |= {"environment": tuple(os.environ.items()), "signals": tuple(map(signal.getsignal, numbers))}
    found |= {"warnings": tuple(warnings.filters)}
    modules = [module for module in sys.modules.values() if type(module) is types.ModuleType]
    for module in modules:
        package = module.__name__.partition(".")[0]
        if package in ("sb3_cardqn", "__main__", "__mp_main__"):
            continue
        for name, value in list(vars(module).items()):
            place = module.__name__, name
            if type(value) is not types.ModuleType:
                found[place] = value
            if issubclass(type(value), type) and value.__module__ == module.__name__:
                found |= {(*place, key): item for key, item in list(vars(value).items())}
            elif package in sys.stdlib_module_names:
                continue  # its caches
            elif type(value) is dict:
                found |= {(*place, str(key)): item for key, item in list(value.items())}
            elif type(value) in (list, set):
                found[*place, "items"] = tuple(map(id, value))
    return found, {module.__name__ for module in modules}


before, known = held()
for name in ours:
    importlib.import_module(name)
after, _ = held()
for place in sorted(before.keys() | after.keys(), key=str):
    if place[0] in known or type(place) is str:
        old, new = before.get(place), after.get(place)
        if old is not new and not (type(old) is tuple and old == new):
            print(place if type(place) is str else " ".join(place))
"""
# what imports add to dictionaries: ``sb3_cardqn`` to Gymnasium's, ``sb3_cardqn.zoo`` to the zoo's; they change no more
REGISTERED = {
    "registry CarRacingPixels-v3",
    "ALGOS cardqn",
    "HYPERPARAMS_CONVERTER cardqn",
    "HYPERPARAMS_SAMPLER cardqn",
}


def test_importing_every_module_changes_nothing_of_other_libraries() -> None:
    imported = set()
    for path in modules().values():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    foreign = {name for name in imported if name.partition(".")[0] != "sb3_cardqn"}
    ours = [module for module in modules() if not module.endswith(("__main__", "ray_launcher"))]
    command = [sys.executable, "-c", WHAT_IMPORTS_CHANGE, " ".join(sorted(foreign)), " ".join(ours)]
    # not what an import has set in this process
    env = {name: os.environ[name] for name in ("HOME", "PATH", "PYTHONPATH") if name in os.environ}
    changed = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
    added = {line.partition(" ")[2] for line in changed}
    assert {name for name in added if not name.startswith("registry MinAtar/")} == REGISTERED
    assert all(line.startswith(("gymnasium", "rl_zoo3")) for line in changed)
