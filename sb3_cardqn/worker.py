"""Process of one training run: ``sb3-cardqn``, which ends when the process that started it ends."""

import os
import sys

from sb3_cardqn import cli
from sb3_cardqn.signals import end_after

if __name__ == "__main__":
    end_after(lambda: os.read(0, 1))  # the parent never writes: returns when its end of the pipe is closed
    cli.main(sys.argv[1:])
