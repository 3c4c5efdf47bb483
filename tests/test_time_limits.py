import ast
from pathlib import Path

HOUR = 3600  # seconds: no limit, but for what would hang without end


def limit(node: ast.AST) -> float | None:
    """Of ``run(..., timeout=600)``, ``signal.alarm(600)`` or ``time.monotonic() + 20``; None of anything else."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "signal.alarm":
        value = node.args[0]
    elif isinstance(node, ast.keyword) and "timeout" in (node.arg or ""):
        value = node.value
    elif (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add)
        and ast.unparse(node.left).startswith("time.")
    ):
        value = node.right
    else:
        return None
    is_number = isinstance(value, ast.Constant) and type(value.value) in (int, float)
    return float(ast.unparse(value)) if is_number else None


def test_no_test_fails_because_a_machine_is_slow() -> None:
    found = [
        f"{path.name}:{getattr(node, 'lineno', '?')}"
        for path in sorted(Path(__file__).parent.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if 0 < (limit(node) or 0) < HOUR
    ]
    assert not found
