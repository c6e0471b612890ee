"""Values that no `repr`, traceback or log shows, not even one that writes locals as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, NoReturn, TypeVar

T = TypeVar("T")


class Hidden(Generic[T]):
    """A value that only `reveal()` returns; text of `secrets` is masked in messages."""

    __slots__ = ("reveal", "secrets")

    def __init__(self, value: T, secrets: Iterable[str] = ()) -> None:
        texts = tuple(secrets)
        self.reveal: Callable[[], T] = lambda: value
        self.secrets: Callable[[], tuple[str, ...]] = lambda: texts

    def __repr__(self) -> str:
        return "***"

    def __copy__(self) -> Hidden[T]:
        return self

    def __deepcopy__(self, memo: object) -> Hidden[T]:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret cannot be pickled.")


class HiddenMapping(Mapping[str, Any]):
    """A mapping whose `repr` is masked, and which is no dict that JSON could hold."""

    __slots__ = ("_reveal",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._reveal: Callable[[], Mapping[str, Any]] = lambda: values

    def __getitem__(self, name: str) -> Any:
        return self._reveal()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._reveal())

    def __len__(self) -> int:
        return len(self._reveal())

    def __repr__(self) -> str:
        return "***"


class HiddenBytes(bytes):
    """Bytes whose `repr` is masked."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'***'"


def raise_unseen(check: Callable[[], T], *kinds: type[Exception]) -> T:
    """Return `check()`; an error of these kinds is raised without the frames that hold secrets."""
    try:
        return check()
    except kinds as error:
        failed = type(error)(*error.args)
    raise failed
