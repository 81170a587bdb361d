"""Passwords behind the word for one in other languages than English: `contraseña=…`, `пароль: …`, `密码：…`."""

import re
from collections.abc import Iterator
from typing import Final

from lessonbook.domain.vocabulary import words
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.secrets.unquoted import is_code, is_given, place
from lessonbook.screening.secrets.value_shape import has_mixture, is_spoken, is_stand_in

Span = tuple[int, int, str]

_NAMES: Final = words(
    "contrasena senha motdepasse mot_de_passe mdp clave parola heslo haslo losenord salasana jelszo wachtwoord passord"
    " adgangskode"
) | {"mot de passe"}
_NAMES_BEYOND_ASCII: Final = words(
    "contraseña hasło lösenord jelszó şifre пароль 密码 密碼 口令 パスワード 暗証番号"
    " 비밀번호 패스워드 비번 암호 κωδικός סיסמה"
) | {"mật khẩu", "كلمة المرور"}
_ALL_NAMES: Final = _NAMES | _NAMES_BEYOND_ASCII
_LEAST: Final = 6
_VALUE = lazy_pattern(
    r"""["'”」]?\s{0,4}(?:[:=：＝]|=>|は|是|为|為|lautet:?|is|es|est|é|jest)\s{0,4}"""
    r"""(?:["'「“«](?P<quoted>[^"'」”»\n]{4,80})["'」”»]|(?P<bare>[^\s"'`<>,;()\[\]{}$，。；「」]{4,80}))"""
)


def foreign(text: str, small: str) -> Iterator[Span]:
    """Yield start, end and kind of the passwords in `text` (`small` in small letters) that such a word announces."""
    for word in _NAMES if text.isascii() else _ALL_NAMES:
        at = small.find(word)
        while at >= 0:
            end = at + len(word)
            is_inside = word.isascii() and small[at - 1 : at].isalpha()
            if (
                not is_inside
                and (match := _VALUE.match(text, end)) is not None
                and _is_password(text, (at, end), match)
            ):
                yield *match.span("quoted" if match["quoted"] else "bare"), "password"
            at = small.find(word, end)


def _is_password(text: str, name: tuple[int, int], match: re.Match[str]) -> bool:
    group = "quoted" if match["quoted"] else "bare"
    value = match[group]
    if " " in value or is_stand_in(value) or is_spoken(value) or value.casefold() in _ALL_NAMES:
        return False
    if has_mixture(value) and len(value) >= _LEAST:
        return True
    if not value.isascii() or is_code(value):
        return False
    return group == "quoted" or is_given(value, place(text, name, match.span(group), users=False))
