"""`python -m restyle`: the command `restyle`, where scripts are not on the PATH."""

from __future__ import annotations

from apps.cli import main

if __name__ == "__main__":
    main()
