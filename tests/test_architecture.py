"""The rooms of the package: imports run downwards only, and importing it changes nothing of anybody else's."""

import ast
import configparser
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sb3_cardqn

PACKAGE = Path(sb3_cardqn.__file__).parent
# From the ground up. Rooms of one floor do not know each other.
FLOORS = [
    ["version", "errors", "seeds", "cgroups", "signals", "replaced"],
    ["durable", "checks", "hardware", "machine", "python_text"],
    ["yaml_files"],
    ["trust"],
    ["env", "replay"],
    ["cardqn"],
    ["checkpoint", "policy_file"],
    ["options"],
    ["zoo"],
    ["agents"],
    ["evaluate"],
    ["race", "publish"],
    ["compare"],
    ["bench"],
    ["cli"],
    ["worker", "__main__"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
SHIMS = {"common"}  # old paths, for one release


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in SHIMS
    }


def imports(path: Path, known: set[str]) -> set[str]:
    """Modules of the package that a file imports, anywhere in it: also in functions and for types only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sb3_cardqn":
            assert node.level == 0
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in known else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "sb3_cardqn"}
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_module_is_in_a_room() -> None:
    assert {room(module) for module in modules()} == {"", *FLOOR}


def test_what_is_imported_is_declared() -> None:
    options = configparser.ConfigParser()
    options.read(PACKAGE.parent / "setup.cfg")
    extras = options["options.extras_require"]
    lines = f"{options['options']['install_requires']}{extras['ray']}{extras['onnx']}{extras['bench']}".split(
        "\n"
    )
    declared = {re.match(r"[\w.-]*", line)[0].lower().replace("_", "-") for line in lines}
    imported = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).split(".")[0])
    imported -= {*sys.stdlib_module_names, "sb3_cardqn", "Box2D", "pygame"}  # the two of gymnasium[box2d]
    distributions = importlib.metadata.packages_distributions()
    for name in imported:
        known = {one.lower().replace("_", "-") for one in distributions.get(name, [name])}
        assert known & declared, name


def test_imports_run_downwards() -> None:
    known = modules()
    upwards = [
        f"{module} imports {other}"
        for module, path in known.items()
        if module != "sb3_cardqn"
        for other in imports(path, set(known))
        if room(other) != room(module) and (room(other) == "" or FLOOR[room(other)] >= FLOOR[room(module)])
    ]
    assert sorted(upwards) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules()
    below = {module: imports(path, set(known)) - {module} for module, path in known.items() if room(module)}
    order: list[str] = []
    while below:
        free = [module for module, needs in below.items() if not needs & below.keys()]
        assert free, f"a circle among {sorted(below)}"
        for module in free:
            del below[module]
        order += free
    assert len(order) == len(known) - 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("sb3_cardqn", "rl_zoo3 matplotlib plotly ray optuna pandas scipy pygame Box2D"),
        ("sb3_cardqn.cli", "torch stable_baselines3 rl_zoo3 cv2 matplotlib"),
    ],
)
def test_what_an_import_leaves_alone(imported: str, absent: str) -> None:
    check = f"import sys, {imported}; print(*(set({absent.split()!r}) & sys.modules.keys()))"
    assert (
        subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
        == "\n"
    )


def test_the_picture_has_every_room() -> None:
    picture = (PACKAGE.parent / "docs/explanation/rooms.svg").read_text()
    drawn = set(re.findall(r"\w+", " ".join(re.findall(r"<text.*?>(.*?)</text>", picture))))
    assert drawn >= FLOOR.keys() - {"__main__"}
