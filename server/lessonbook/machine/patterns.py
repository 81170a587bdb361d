"""Regular expressions that are compiled when first used: a process needs few of them."""

import re
from functools import cached_property
from typing import Any, Final, cast


class LazyPattern:
    """What `re.compile` would return, compiled when its first attribute is asked for. See `lazy_pattern`."""

    def __init__(self, expression: str, flags: int) -> None:
        self._source: Final = expression, flags

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The pattern itself."""
        return re.compile(*self._source)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the pattern, and keep it: the next time it is found without this."""
        value = getattr(self.compiled, name)
        setattr(self, name, value)
        return value


def lazy_pattern(expression: str, flags: int = 0) -> re.Pattern[str]:
    """Return `re.compile(expression, flags)`, put off until it is used.

    Functions of `re` do not take it: call its methods. That `expression` is valid shows at the first use; tests
    compile them all.
    """
    return cast("re.Pattern[str]", LazyPattern(expression, flags))
