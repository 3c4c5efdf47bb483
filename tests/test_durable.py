import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sb3_cardqn.durable import (
    FileRecord,
    check_writable,
    from_json,
    read_signed_json,
    replacing,
    to_json,
    what_is_wrong,
    write_file,
    write_signed_json,
    write_text,
)
from sb3_cardqn.errors import UserError
from tests.named import error_naming, missing


def test_a_file_is_whole_or_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    record = write_file(path, lambda file: file.write(b"abc"))
    # sha256 of "abc": the example of FIPS 180-2
    assert record == ("file", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")

    def fail(file: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_file(path, fail)
    assert path.read_bytes() == b"abc"
    assert [other.name for other in tmp_path.iterdir()] == ["file"]


def test_no_link_is_followed(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_bytes(b"mine")
    link.symlink_to(victim)
    write_text(link, "new")
    assert victim.read_bytes() == b"mine"
    assert link.read_bytes() == b"new"
    assert not link.is_symlink()


def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    write_text(tmp_path / "new", "")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_a_pipe_or_a_folder_is_not_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with error_naming(UserError, f"{tmp_path / name}"), replacing(tmp_path / name):
            pytest.fail("not refused")
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "folder"}


def test_what_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("absent")
    for name in ("pipe", ".", "absent/file", "file/file", "x" * 300):
        with pytest.raises(UserError) as error:
            check_writable(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
    for name in ("file", "link", "new", "\N{RACING CAR}" * 60):
        before = sorted(tmp_path.iterdir())
        check_writable(tmp_path / name)
        assert sorted(tmp_path.iterdir()) == before
        write_text(tmp_path / name, "as was promised")
    assert not (tmp_path / "absent").exists()


def test_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    record = write_file(tmp_path / "file", lambda file: file.write(b"abc"))
    assert what_is_wrong(tmp_path, record) is None
    (tmp_path / "file").write_bytes(b"abd")
    assert "checksum" in str(what_is_wrong(tmp_path, record))
    (tmp_path / "file").write_bytes(b"ab")
    assert not missing("2 | 3", str(what_is_wrong(tmp_path, record)))
    (tmp_path / "file").unlink()
    assert what_is_wrong(tmp_path, FileRecord("file", 3, "")) is not None


def test_every_changed_byte_of_signed_json_is_found(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    write_signed_json(path, {"agent_steps": 12, "text": 'a "quoted" word'})
    assert read_signed_json(path) == {"agent_steps": 12, "text": 'a "quoted" word'}
    content = path.read_bytes()
    for i in range(len(content)):
        for changed in (content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :], content[:i]):
            path.write_bytes(changed)
            with error_naming(ValueError, "list.json"):
                read_signed_json(path)


def test_plain_data_goes_through_json_and_back() -> None:
    arrays: dict[str, np.ndarray] = {}
    data = {
        "big": 2**127 + 1, "inf": -np.inf, "third": 1 / 3, "float32": np.float32(0.1), "none": None, "flag": np.True_,
        "tuple": (1, "a"), "array": np.arange(3, dtype=np.uint8), "nested": [{"array": np.zeros((2, 0))}],
    }  # fmt: skip
    back = from_json(json.loads(json.dumps(to_json(data, arrays))), arrays)
    assert back["array"].dtype == np.uint8
    assert back["nested"][0]["array"].shape == (2, 0)
    assert {name: back[name] for name in ("big", "inf", "third", "none", "flag", "tuple")} == {
        "big": 2**127 + 1, "inf": -np.inf, "third": 1 / 3, "none": None, "flag": True, "tuple": [1, "a"],
    }  # fmt: skip
    assert np.float32(back["float32"]) == np.float32(0.1)


@pytest.mark.parametrize(
    ("thing", "named"),
    [(object(), "<object"), (b"bytes", "b'bytes'"), ({1, 2}, "{1, 2}"), (np.array([object()]), "<object")],
)
def test_what_a_checkpoint_cannot_hold_is_refused(thing: Any, named: str) -> None:
    with error_naming(TypeError, named):
        to_json({"thing": thing}, {})
