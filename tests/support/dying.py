"""An S3 that the worker does not outlive: it is killed before or after one of its writes."""

from __future__ import annotations

from typing import Any

from restyle.s3.store import Store


class Died(BaseException):
    """Kill -9: nobody cleans up behind it."""


class DyingStore(Store):
    """A store by way of another, in which a worker dies at a write."""

    def __init__(self, store: Store, *, writes: int, after: bool) -> None:
        """Keeps what to go by.

        Args:
            store: the one that is asked.
            writes: how many go well before the one that kills.
            after: whether that one has been done when it does.
        """
        self._store = store
        self._left = writes
        self._after = after

    def put(self, *args: Any, **kwargs: Any) -> str:
        """As asked, or the end."""
        answer: str = self._write("put", *args, **kwargs)
        return answer

    def copy(self, *args: Any, **kwargs: Any) -> str:
        """As asked, or the end."""
        answer: str = self._write("copy", *args, **kwargs)
        return answer

    def delete(self, *args: Any, **kwargs: Any) -> None:
        """As asked, or the end."""
        self._write("delete", *args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """As asked."""
        return self._store.get(*args, **kwargs)

    def head(self, *args: Any, **kwargs: Any) -> Any:
        """As asked."""
        return self._store.head(*args, **kwargs)

    def _write(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self._left -= 1
        if self._left == -1 and not self._after:
            raise Died(name)
        answer = getattr(self._store, name)(*args, **kwargs)
        if self._left == -1:
            raise Died(name)
        return answer
