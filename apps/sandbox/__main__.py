"""`python -m apps.sandbox`: the sandbox as a process of the embedded stack or of a compose file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from apps.sandbox.options import SandboxOptions
from apps.sandbox.serve import serve


def main() -> None:
    """Serves. The key comes from the environment: every user of the machine can see a command line."""
    parser = argparse.ArgumentParser(prog="python -m apps.sandbox")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--credits", type=float, default=100.0)
    parser.add_argument("--price", type=float, default=0.02)
    parser.add_argument("--latency", type=float, default=0.5)
    parser.add_argument("--port-file", type=Path, help="is written with the port once the sandbox answers")
    given = parser.parse_args()
    options = SandboxOptions(
        credits=given.credits, price=given.price, latency=given.latency, api_key=os.environ.get("SANDBOX_API_KEY", "")
    )

    def ready(port: int) -> None:
        if given.port_file:
            draft = given.port_file.with_suffix(".new")
            draft.write_text(str(port))
            draft.replace(given.port_file)

    serve(options, host=given.host, port=given.port, ready=ready)


if __name__ == "__main__":
    main()
