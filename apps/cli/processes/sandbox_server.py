"""`restyle sandbox`: serves the sandbox in this process and says where it listens."""

from __future__ import annotations

from pydantic import ValidationError

from apps.cli.options import pairs
from apps.sandbox.options import SandboxOptions
from apps.sandbox.serve import serve
from apps.terminal.console import say
from restyle.errors import ConfigurationError


def sandbox_options(
    *, credits: float, price: float, latency: float, api_key: str | None, rpm: int, faults: list[str]
) -> SandboxOptions:
    """A sandbox's behaviour from the command's options.

    Raises:
        ConfigurationError: a fault has no rate, or does not exist.
    """
    try:
        rates = {name: float(rate) for name, rate in pairs(faults, "--fault").items()}
        return SandboxOptions(
            credits=credits, price=price, latency=latency, api_key=api_key or "", rpm=rpm, rates=rates
        )
    except ValidationError as error:
        raise ConfigurationError(str(error.errors()[0]["msg"]).removeprefix("Value error, ")) from None
    except ValueError:
        raise ConfigurationError("--fault takes a share of all calls, e.g. --fault 500=0.1") from None


def serve_sandbox(host: str, port: int, options: SandboxOptions) -> None:
    """Serves until Ctrl-C."""

    def ready(taken: int) -> None:
        url = f"http://{host}:{taken}/v1/sdxl-img2img"
        say(f"The sandbox answers at {url}", "bold")
        say(f"Use it: RESTYLE_API_URL={url} RESTYLE_API_KEY={options.api_key or 'any'} restyle run MANIFEST", "dim")

    try:
        serve(options, host=host, port=port, ready=ready)
    except OSError as error:
        raise ConfigurationError(f"{host}:{port} cannot be listened on: {error.strerror}") from None
