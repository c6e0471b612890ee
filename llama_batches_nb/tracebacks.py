"""Short tracebacks in notebooks: the user's line and the message, without internal frames."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from traceback import walk_tb
from typing import Any, TypeVar

from llama_batches_nb.errors import BatchesError

PACKAGES = (
    f"{__package__}.",
    "requests.",
    "urllib3.",
    "http.",
    "concurrent.",
    "threading",
    "queue",
)
"""Prefixes of modules whose frames are hidden."""

F = TypeVar("F", bound=Callable[..., Any])


def hide_internal_frames(fn: F) -> F:
    """Return the function so that IPython hides the frames inside it, except the last.

    It hides those of errors with a message for the user, and of interrupts. Those of other errors,
    which may be faults of the package, stay visible. Python's own tracebacks are always complete.
    """

    @wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        bound = _hide_values(partial(fn, *args, **kwargs))
        del args, kwargs  # tracebacks with locals must not show secrets in them
        try:
            return bound()()
        except (BatchesError, ValueError, TypeError, KeyboardInterrupt) as error:
            _hide_frames(error)
            raise

    wrapper.__module__ = __package__  # pickle looks for a function where users find it
    return wrapper  # type: ignore[return-value]


def _hide_values(call: partial[Any]) -> Callable[[], partial[Any]]:
    """Return a function that returns the call, so that no `repr` shows its arguments."""
    return lambda: call


def _hide_frames(error: BaseException) -> None:
    """Set the local variable that IPython looks for, also in the tracebacks of causes."""
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in chain:
        chain.append(one)
        one = one.__cause__ or one.__context__
    if isinstance(error, BatchesError | KeyboardInterrupt) or _is_raised_here(error):
        for one in chain:
            for frame, _ in walk_tb(one.__traceback__):
                if frame.f_globals.get("__name__", "").startswith(PACKAGES):
                    frame.f_locals["__tracebackhide__"] = True


def _is_raised_here(error: BaseException) -> bool:
    """Whether the package itself raised an error, and not a library that it calls."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith(f"{__package__}.")
