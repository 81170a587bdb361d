"""Whether a value looks like a secret that somebody was given, like a word that somebody wrote, or like a stand-in."""

import binascii
import re
from base64 import b64decode
from collections import Counter
from itertools import pairwise
from math import log2
from typing import Final

from lessonbook.domain.vocabulary import words
from lessonbook.machine.patterns import lazy_pattern

TOKEN_MIN: Final = 8
"""Fewest characters of a token that a name announces."""
RANDOM_MIN: Final = 16
"""Fewest characters of a token that nothing but its look announces."""

_HEX = lazy_pattern(r"[0-9a-fA-F]+")
UUID: Final = lazy_pattern(r"[0-9A-Za-z]{8}(?:-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}")
_MASK = lazy_pattern(
    r"[xX]{4}|\*{3}|\.{3}|…|#{4}|0{10}|\?{5}|_{4}|12345678901|EXAMPLE(?:KEY)?$"
    r"|(?i:redacted|your[_\W]|your(?:api|access|auth|secret|token|key|pass|user)|placeholder|change.?(?:me|this)|replace.?(?:me|with|this)"
    r"|insert.?(?:your|here)|goes.?here|dummy|abcdefghijklmnopqrst|<[a-z]|&lt;)"
    r"|ENC[\[(]|AES256_GCM|^Ag[A-D][A-Za-z0-9+/]{150}"
    r"|^[v^~<>=]{0,2}\d+(?:\.\d+){1,3}(?:[-+.]\w{1,12})?$"
)
_REPEATED = lazy_pattern(r"[A-Za-z]{2,10}[_-]([A-Za-z0-9])\1{15,}+")
_TEMPLATE = lazy_pattern(
    r"\$[{(]|\{\{|#\{|<%|%\(|%s|^%\w{2,40}%$|^\$(?:env:)?[A-Za-z_]\w*$|^\{[\w.:!]*\}$|^\[[^\]]*\]$|^<[^>]*>$|^@\w+@$"
    r"|^(?:vault|ssm|env|file|gopass|pass|op|sm|keyvault|ref\+\w{1,20}):"
)
_STAND_INS: Final = words(
    "password passwd pass pwd secret token key apikey api_key value string none null nil undefined true false empty"
    " test testing example sample foo bar baz user username admin root default unset hidden masked text str bytes any"
    " optional required login auth credentials credential bearer basic xxx yyy"
)
_SPOKEN: Final = words(
    # What is said of a password, or labels its field, in place of one.
    "a about above absent across active actual after again all allowed already also always an and and/or another any"
    " apply are argument as asked at attribute auto automatic available bad be because been before below between blank"
    " boolean both broken but by bytes can cannot case change changed characters chars char check class clear code"
    " column command config configuration confirm confirmation constant correct could create created current data"
    " database declared decrypted default defined deleted demo denied dev dict did disabled do does done during"
    " dynamic each edit either else enabled encoded encrypted enter entered entry env environment error every except"
    " exists expected expired export extends failed failure field file filtered final first flag float for forgot"
    " forgotten format found from function generated generator get given global had hard-coded hardcoded has hash"
    " hashed have header here hidden hint how if ignored implements import in incorrect input instance instead int"
    " integer internal into invalid is it item its just keep label last latest leaked least length let like list local"
    " locked long lost made manager manual map mandatory mask masked match may maybe me member method min minimum"
    " mismatch missing mixed must mutable my name needed needs never new next no not nothing now number object of off"
    " ok okay old on once one only open option optional or other our out override own param parameter parameters part"
    " path per plain plaintext policy present private process prod production prompt property protected provide"
    " provided public read readonly recovery redacted ref reference removed repeat replace replaced required reset"
    " resource retry return returns revoked rotated rotation safe salt same save saved see self send sent server"
    " service session set setting settings shall short should shown since so some static status still stored str"
    " strength strict strong sub such super supplied switch system than that the their then there these they this"
    " through to together too true type typed types unchanged under undefined unique unknown unless unset until unused"
    " up update updated usage use used user using valid validate validation variable verified verify via view void was"
    " way weak were what when where whether which while will with within without word would write wrong wronganswer"
    " yes yet you your abstract async await const var val mut def fn func null nullable secretstr varchar nvarchar"
    " guest foobar fixme todo tbd xxx omitted changeit letme fill fillme insert key-file stdin prompted"
    " forgot-password reset-password kennwort contraseña contrasena senha passord mot motdepasse parola salasana heslo"
    " hasło wachtwoord lösenord adgangskode jelszó obligatoire obligatorio obligatoria obrigatória obrigatorio valor"
    " mindestens erforderlich vergessen falsch ungültig incorrecta incorrecto incorrecte inválida oublié requis"
)
_PROSE = lazy_pattern(
    r"(?i)\b(?:user|e-?mail|please|enter|must|should|requir|charact|invalid|incorrect|wrong|field|your|least|confirm|reset"
    r"|forg[eo]t|login|account|valid|match|empty|cannot|not|value|example|type|choose|provide|update|change|is|are|was|were"
    r"|for|to be|this|that|when|with|used?|debe|m[uü]ss|m[uü]ssen|doit|deve|mindest\w*|min\w*|zeichen|caract\w*)\b"
    r"|passw|passphr|secret|token|[.:;?!]\s|[.?]$"
)
_PHRASE = lazy_pattern(r"[A-Za-z0-9][\w'-]{0,30}(?: [\w'-]{1,30}){1,14}[!?]?")
_WORDED = lazy_pattern(
    r"(?:[A-Za-z]?[a-z]{4,30}|[a-z]{2,3}(?=-[a-z]{2,20}-[a-z0-9]))(?:-[a-z]{1,20}){0,6}(?:-[0-9]{1,6})?"
)
_OWN_NAME = lazy_pattern(r"(?i)(?:pass(?:word|wd|phrase|code|wort)?|pwd|secret|token|key)s?$")
_CHOSEN = lazy_pattern(r"[A-Za-z0-9!@#$%^&*+?~_-]{6,80}")
_ALGORITHM = lazy_pattern(
    r"(?i)\A(?:pb-?kdf|b?crypt|sha-?\d|md\d|base-?\d|argon|utf-?\d|iso-?\d|aes-?\d|oauth|[hrep]s(?:256|384|512)|rfc|tls|ssl"
    r"|x509|pkcs|win(?:dows)?\d|python|ipv|http|log4|i18n|l10n|ntlm|kerberos|cwe|cve|ghsa|snyk|avd|ckv|b\d{3}$|s\d{3,4}$"
    r"|v\d|\d+[-_]?(?:char|digit|bit|byte|day|hour|min|sec|time|ms|s$|x$|st$|nd$|rd$|th$)|[a-z]{1,30}[-_]\d{1,2}$)"
)
_PRINTED: Final = frozenset(map(chr, [9, 10, 13, *range(32, 127)]))
_HEADER = lazy_pattern(r"(?:[A-Z][a-z]*\d?)(?:-[A-Z][a-z]*\d?){1,8}")
_CONSTANT = lazy_pattern(r"\A[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_LETTERS = lazy_pattern(r"[A-Za-z]{4,}")
_COMMON_PAIRS: Final = words(
    # The letter pairs that make up nine tenths of English in reports of defects, counted over such reports.
    "ab ac ad af ag ai al am an ap ar as at au av ba be bi bl bu ca ce ch ci ck cl co cr ct cu da dd de di do ds du ea"
    " ec ed ee ef el em en ep er es et ev ex ey fa fe ff fi fo fr ge gi ha he hi ho ht ia ib ic id ie if ig il im in io"
    " ir is it iv ke la ld le li ll lo ls lt lu ly ma me mi mm mo mp na nc nd ne nf ng ni nk no ns nt ob oc od ol om on"
    " oo op or os ot ou ov ow pa pe pl po pp pr ps pt pu qu ra rc re rg ri rk rm rn ro rr rs rt ru ry sa sc se sh si so"
    " sp ss st su ta te th ti to tp tr ts tt tu ty ub uc ue ug ui ul um un up ur us ut va ve vi wa we wh wi wo ws xp"
    " yp"
)


def is_stand_in(value: str) -> bool:
    """Return whether `value` stands for a secret: masked, a template or a variable, or a word such as `changeme`."""
    return (
        len(set(value)) < 3  # noqa: PLR2004 - `--------`, `0000`, `xyxyxy`
        or _MASK.search(value) is not None
        or is_template(value)
        or _REPEATED.fullmatch(value) is not None
    )


def is_template(value: str) -> bool:
    """Return whether `value` is filled in by a shell, a template or a formatter."""
    return _TEMPLATE.search(value) is not None


def is_word(value: str) -> bool:
    """Return whether `value` is one of the words that people write where a secret would be."""
    return value.casefold().strip("_-:") in _STAND_INS


def is_spoken(value: str) -> bool:
    """Return whether `value` is a word that says something of a password, or labels its field."""
    return is_word(value) or value.casefold().strip("_-:.!?") in _SPOKEN


def is_phrase(value: str, fewest: int) -> bool:
    """Return whether `value` is at least `fewest` words that are a phrase to remember and say nothing of passwords."""
    if value.count(" ") + 1 < fewest or _PHRASE.fullmatch(value) is None or _PROSE.search(value) is not None:
        return False
    return not value[0].isupper() or any(char.isdigit() for char in value)


def decoded(encoded: str) -> str:
    """Return the text that `encoded` is in base64, or an empty one where it is not a text in ASCII."""
    whole = encoded.rstrip("=")
    try:
        text = b64decode(whole + "=" * (-len(whole) % 4), validate=True)
    except binascii.Error:
        return ""
    found = text.decode("ascii", "replace")
    return found if _PRINTED.issuperset(found) else ""


def holds_user(encoded: str) -> bool:
    """Return whether `encoded` is a user and a password in base64, as basic authentication sends them."""
    user, colon, password = decoded(encoded).partition(":")
    return bool(colon and user and " " not in user and user.isprintable() and password.isprintable())


def entropy(value: str) -> float:
    """Return Shannon's entropy of the characters of `value`, in bits a character."""
    size = len(value)
    return -sum(count / size * log2(count / size) for count in Counter(value).values()) if size else 0.0


def is_hex(value: str, shortest: int) -> bool:
    """Return whether `value` is at least `shortest` mixed hexadecimal digits."""
    return (
        len(value) >= shortest
        and _HEX.fullmatch(value) is not None
        and not value.isdigit()
        and not value.isalpha()
        and entropy(value) > 2.2  # noqa: PLR2004 - drawn digits have 3 bits or more; `a1a1a1a1` has 1
    )


def unlike_words(value: str) -> float:
    """Return which share of the letter pairs of `value` is rare in words, from 0 to 1; 0 if it has no pairs."""
    pairs = [
        (first + second).lower() in _COMMON_PAIRS
        for run in _LETTERS.findall(value)
        for first, second in pairwise(run)
        if not (first.islower() and second.isupper())  # where camel-case words meet
    ]
    return 1 - sum(pairs) / len(pairs) if pairs else 0.0


def changes(value: str) -> int:
    """Return how often `value` changes between small letters, capitals and digits; a capitalised word counts once."""
    return len(re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|[A-Z]", value)) - 1


def is_scattered(value: str, shortest: int = RANDOM_MIN) -> bool:
    """Return whether `value` is at least `shortest` letters and digits in no order that a person would choose."""
    core = re.sub(r"[^A-Za-z0-9]", "", value)
    if len(core) < shortest or core.isdigit():
        return False
    if core.isalpha():
        if len(core) < RANDOM_MIN:
            return False
        mixed = not core.islower() and not core.isupper()
        return (mixed and changes(core) >= len(core) * 0.4) or unlike_words(core) > 0.45  # noqa: PLR2004
    varied = entropy(core) >= min(3.0, log2(len(core)) * 0.8)
    rate = 0.2 if sum(char.isdigit() for char in core) > 1 else 0.3  # a name may well have one digit
    return varied and (changes(core) >= max(2, len(core) * rate) or unlike_words(core) > 0.45)  # noqa: PLR2004


def is_wordless(value: str, shortest: int) -> bool:
    """Return whether `value`, which nothing announces, can hardly be anything but drawn.

    Names of classes and files mix letters and digits as well, so more is asked than of `is_scattered`.
    """
    core = re.sub(r"[^A-Za-z0-9]", "", value)
    if not is_scattered(core, shortest) or _CONSTANT.fullmatch(value) is not None:
        return False
    if sum(char.isdigit() for char in core) < 2:  # noqa: PLR2004
        return False
    rate = changes(core) / len(core)
    if rate >= 0.45:  # noqa: PLR2004 - half of the characters differ in kind from the one before
        return True
    return unlike_words(core) > 0.4 if rate < 0.3 or _has_words(core) else True  # noqa: PLR2004


def _has_words(value: str) -> bool:
    return sum(map(len, _LETTERS.findall(value))) > 8  # noqa: PLR2004 - fewer letters in a row say little


def is_token(value: str) -> bool:
    """Return whether `value`, which a name announces as a token, looks drawn rather than written."""
    if len(value) < TOKEN_MIN or is_stand_in(value) or _HEADER.fullmatch(value) is not None:
        return False
    return is_hex(value, TOKEN_MIN) or UUID.search(value) is not None or is_scattered(value, TOKEN_MIN)


def is_noise(value: str) -> bool:
    """Return whether `value` is a long string of letters, digits and signs of all sorts, as salts of sessions are."""
    if any(sign in value for sign in ("${", "$(", "{{", "#{", "<%")) or "abcdefghij" in value.lower():
        return False
    signs = {char for char in value if not char.isalnum() and not char.isspace()}
    return len(value) >= 32 and len(signs) >= 6 and entropy(value) >= 4.5  # noqa: PLR2004 - prose has about 4.2


def has_mixture(value: str) -> bool:
    """Return whether `value` mixes letters with digits or signs, as passwords do and words do not."""
    letters = any(char.isalpha() for char in value)
    return letters and any(char.isdigit() or char in "!@#$%^&*+=?~" for char in value)


def is_worded(value: str) -> bool:
    """Return whether `value` is letters in words, perhaps with hyphens between, as people choose."""
    return _WORDED.fullmatch(value) is not None and not is_spoken(value) and _OWN_NAME.search(value) is None


def is_mixed(value: str) -> bool:
    """Return whether `value`, which nothing but its place announces, mixes letters with digits as passwords do.

    Names of algorithms, versions and files mix them as well.
    """
    signs = sum(char in "!@#$%^&*?~" for char in value[:-1])
    letters = sum(char.isalpha() for char in value)
    digits = sum(char.isdigit() for char in value)
    return (
        letters > 1
        and (digits or signs) > 0
        and _CHOSEN.fullmatch(value) is not None
        and _ALGORITHM.match(value) is None
        and not is_stand_in(value)
        and not is_spoken(value.rstrip("0123456789!"))
    )


def is_jumble(value: str) -> bool:
    """Return whether `value` is small letters and capitals in an order that neither words nor names have."""
    return value.isalpha() and changes(value) >= 3 and unlike_words(value) > 0.45  # noqa: PLR2004
