"""The examples of secrets and of what looks like one, drawn and encoded when the tests run."""

import random
import re
import string
import tomllib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).parent
_DIGITS: Final = "0123456789abcdef"
_CLASSES: Final = {
    "an": string.ascii_letters + string.digits,
    "low": string.ascii_lowercase + string.digits,
    "up": string.ascii_uppercase + "234567",
    "let": string.ascii_letters,
    "num": string.digits,
    "hex": _DIGITS,
    "HEX": _DIGITS.upper(),
    "b64": string.ascii_letters + string.digits + "+/",
    "id": string.ascii_letters + string.digits + "_-",
    "bech": "ACDEFGHJKLMNPQRSTUVWXYZ023456789",
}
_WORDS: Final = tuple(
    "abandon lemon orbit velvet canyon ribbon sugar tunnel hazard picnic quantum mosquito".split()  # noqa: SIM905
)
_DRAWN: Final = re.compile(r"⟨(\w+):(\d+)⟩")
_ENCODED: Final = re.compile(r"⟨base64:([^⟩]*)⟩")
_MARK: Final = re.compile(r"«([^»]*)»")


class Example(NamedTuple):
    """A text, its kind, and the secrets in it; none where it only looks like one."""

    kind: str
    text: str
    secrets: tuple[str, ...]


def examples(name: str) -> Iterator[Example]:
    """Yield the examples of the file `name`, the same ones at each call."""
    with (HERE / f"{name}.toml").open("rb") as file:
        kinds = tomllib.load(file)
    for kind, table in kinds.items():
        for number, text in enumerate(table["texts"]):
            whole = _filled(text, random.Random(f"{kind} {number}"))
            yield Example(kind, _MARK.sub(r"\1", whole), tuple(_MARK.findall(whole)))


def _filled(text: str, source: random.Random) -> str:
    def draw(size: int, of: str) -> str:
        return "".join(source.choice(of) for _ in range(size))

    def drawn(match: re.Match[str]) -> str:
        kind, size = match[1], int(match[2])
        return " ".join(_WORDS[:size]) if kind == "words" else draw(size, _CLASSES[kind])

    text = text.replace("⟨uuid⟩", "-".join(f"⟨hex:{size}⟩" for size in (8, 4, 4, 4, 12)))
    return _ENCODED.sub(lambda match: b64encode(match[1].encode()).decode(), _DRAWN.sub(drawn, text))
