"""Entry point of ``python -m sb3_cardqn``, the same as ``sb3-cardqn``."""

from sb3_cardqn.cli import main

if __name__ == "__main__":
    main()
