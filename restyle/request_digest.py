"""What stands for a request: equal digests need one call between them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable

from restyle.fingerprint import Preparation, canonical, digest_of
from restyle.models import Params


def request_digest(params: Params, model: str, preparation: Preparation) -> str:
    """Hash of all that is sent beside the picture, and of how the picture is prepared.

    The `digest` of these; what most jobs of a run share is written once.
    """
    sent = params.__dict__
    parts = _around(model, preparation, *[sent[name] for name in _SHARED])
    return _digest(parts, sent["prompt"], sent["negative_prompt"], sent["seed"])


def request_digests(
    params: Params, texts: Iterable[tuple[str, str, int]], model: str, preparation: Preparation
) -> list[str]:
    """The same of many at once, which differ in prompt, negative prompt and seed alone."""
    sent = params.__dict__
    parts = _around(model, preparation, *[sent[name] for name in _SHARED])
    return [_digest(parts, prompt, negative, seed) for prompt, negative, seed in texts]


def _digest(parts: tuple[str, str, str, str], prompt: str, negative: str, seed: int) -> str:
    own = _NEGATIVE % _quoted(negative) if negative else ""
    return digest_of(f"{parts[0]}{own}{parts[1]}{_quoted(prompt)}{parts[2]}{seed}{parts[3]}")


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
