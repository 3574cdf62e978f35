"""What stands for a request: equal digests need one call between them."""

from __future__ import annotations

import functools
import json

from restyle.fingerprint import Preparation, canonical, digest_of
from restyle.models import Params


def request_digest(params: Params, model: str, preparation: Preparation) -> str:
    """Hash of all that is sent beside the picture, and of how the picture is prepared: the `digest` of these."""
    sent = params.__dict__
    return Requests(params, model, preparation).digest(sent["prompt"], sent["negative_prompt"], sent["seed"])


class Requests:
    """Requests that differ in prompt, negative prompt and seed alone: what they share is written once."""

    def __init__(self, params: Params, model: str, preparation: Preparation) -> None:
        """Keeps what they share."""
        sent = params.__dict__
        self._parts = _around(model, preparation, *[sent[name] for name in _SHARED])

    def digest(self, prompt: str, negative_prompt: str, seed: int) -> str:
        """What stands for one of them."""
        before, between, after, end = self._parts
        own = _NEGATIVE % _quoted(negative_prompt) if negative_prompt else ""
        return digest_of(f"{before}{own}{between}{_quoted(prompt)}{after}{seed}{end}")


#: How JSON has a text, in C.
_quoted = json.encoder.encode_basestring


_SHARED = tuple(name for name in Params.model_fields if name not in {"prompt", "negative_prompt", "seed"})


_NEGATIVE = '"negative_prompt":%s,'


@functools.lru_cache(maxsize=256, typed=True)
def _around(model: str, preparation: Preparation, *shared: object) -> tuple[str, str, str, str]:
    """What stands around negative prompt, prompt and seed in the JSON of a request."""
    sent = {**dict(zip(_SHARED, shared, strict=True)), "negative_prompt": "-", "prompt": "-", "seed": 0}
    text = canonical([sent, model, preparation.model_dump()])
    before, _, rest = text.partition(_NEGATIVE % '"-"')
    between, _, rest = rest.partition('"prompt":"-"')
    after, _, end = rest.partition('"seed":0')
    return before, f'{between}"prompt":', f'{after}"seed":', end
