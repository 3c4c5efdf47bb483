"""``python -m sb3_cardqn`` is ``sb3-cardqn``."""

from sb3_cardqn.cli import main

if __name__ == "__main__":
    main()
