"""Process of one training run: ``sb3-cardqn``, which ends when the process that started it ends."""

import os
import sys
import threading

from sb3_cardqn import cli


def _end_with_parent() -> None:
    os.read(0, 1)  # the parent never writes, so this returns when the parent's end of the pipe is closed
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cli.main(sys.argv[1:])
