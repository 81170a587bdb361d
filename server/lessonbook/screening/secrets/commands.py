"""Passwords on the command line: behind a flag of a program that takes one, or in what is piped to it."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.secrets.value_shape import is_mixed, is_spoken, is_stand_in, is_template

Span = tuple[int, int, str]

_LINE_MAX: Final = 400
_SHORTEST: Final = 4
_SHORT_NAME: Final = 4
_BLANKS = r"[ \t]{1,4}"
_WORD = r"""(?:"(?P<double>[^"\n]{1,100})"|'(?P<single>[^'\n]{1,100})'|(?P<bare>[^\s"'|;&<>]{1,100}))"""
_OTHER = rf"{_BLANKS}\S{{1,100}}"
_NEXT = rf"{_BLANKS}(?![-/*]){_WORD}"
_NO_FLAGS: Final = (
    "vault ",
    "net user ",
    "rasdial ",
    "isql ",
    "keyctl ",
    "nmcli ",
    "sqlplus ",
    "exp ",
    "imp ",
    "rman ",
    "rabbitmqctl ",
    "bw ",
    "wpa_passphrase ",
    "pdftk ",
    "config:set",
    "secrets set",
)
_SIGNS: Final = (" -", "\t-", " /", " \\\\", *_NO_FLAGS)


class _Program(NamedTuple):
    """Programs that take a password, by their names in small letters, and where in the rest of the line it stands."""

    names: re.Pattern[str]
    hints: tuple[str, ...]
    password: re.Pattern[str]


def _program(names: str, password: str) -> _Program:
    hints = tuple(name if len(name) > _SHORT_NAME else name + " " for name in names.split("|"))
    return _Program(lazy_pattern(rf"\b(?:{names})(?:\.exe)?(?=\s)"), hints, lazy_pattern(password))


_PROGRAMS: Final = (
    # … behind a flag that nothing but a password follows,
    _program("psexec|psexec64|paexec|winexe", rf"\s[-/]p{_NEXT}"),
    _program("mysql|mysqldump|mysqladmin|mysqlimport|mariadb|mariadb-dump", rf"\s-p{_WORD}"),
    _program("sshpass", rf"\s-p[ \t]?{_WORD}"),
    _program("7z|7za|7zz|rar|unrar", rf"\s-h?p{_WORD}"),
    _program("zip|unzip", rf"\s-P{_NEXT}"),
    _program("sqlcmd|bcp|isql|osql", rf"\s-P[ \t]?{_WORD}"),
    _program("redis-cli|rabbitmqadmin", rf"\s-[ap]{_NEXT}"),
    _program("ldapsearch|ldapmodify|ldapadd|ldapdelete|ldapwhoami|ldappasswd", rf"\s-w[ \t]{{0,4}}{_WORD}"),
    _program("snmpwalk|snmpget|snmpset|snmpbulkwalk", rf"\s-[cAX]{_NEXT}"),
    _program("openssl", rf"\s-pass(?:in|out)?{_BLANKS}[\"']?pass:{_WORD}"),
    _program("openssl enc|openssl aes-256-cbc|openssl aes-128-cbc|openssl des3", rf"\s-k{_NEXT}"),
    _program("ssh-keygen", rf"\s-[NP]{_NEXT}"),
    _program("mongo|mongosh|mongodump|mongorestore|mongoexport|mongoimport|influx", rf"\s-p{_NEXT}"),
    _program(
        "docker login|podman login|nerdctl login|buildah login|skopeo login|registry login|oras login", rf"\s-p{_NEXT}"
    ),
    _program("oc login|cf login|az login|argocd login|ibmcloud login|crane auth login|npm login", rf"\s-p{_NEXT}"),
    _program("twine|evil-winrm|crackmapexec|netexec|nxc", rf"\s-p{_NEXT}"),
    _program("xfreerdp|wfreerdp|cmdkey|wmic|runas", rf"\s/p(?:ass|assword)?:{_WORD}"),
    _program("schtasks", rf"\s/r?p{_NEXT}"),
    _program(
        "keytool|jarsigner|apksigner", rf"\s--?(?:store|key|ks-|dest|src)?pass(?:word)?{_BLANKS}(?:pass:)?{_WORD}"
    ),
    # … or in a place of its own.
    _program("vault operator unseal|vault login|vault unseal", rf"\A{_NEXT}"),
    _program("smbclient|smbget|rpcclient|net", rf"\s-U[ \t]{{0,4}}[\"']?[^\s%\"']{{1,60}}%{_WORD}"),
    _program("htpasswd", rf"\s-[a-zA-Z]{{0,4}}b[a-zA-Z]{{0,4}}{_OTHER}{_OTHER}{_NEXT}"),
    _program("mysqladmin|nmcli|iwctl|wpa_cli", rf"\spassword{_NEXT}"),
    _program("rasdial|isql", rf"\A{_OTHER}{_OTHER}{_NEXT}"),
    _program("net use", rf"\A{_BLANKS}(?:[A-Za-z*]:?{_BLANKS})?[\"']?\\\\\S{{1,200}}{_NEXT}"),
    _program("net use", rf"/user:\S{{1,100}}{_NEXT}"),
    _program("net user", rf"\A{_BLANKS}[\w.\\-]{{1,60}}{_NEXT}"),
    _program("sqlplus|exp|imp|expdp|impdp|rman|sqlldr", r"\s[A-Za-z][\w$#]{0,60}/(?P<bare>[^\s/@\"']{2,100})@[\w.:/-]"),
    _program("rabbitmqctl add_user|rabbitmqctl change_password", rf"\A{_OTHER}{_NEXT}"),
    _program("lftp|ncftp", rf"\s-u{_BLANKS}[\w.@-]{{1,60}},{_WORD}"),
    _program("wpa_passphrase", rf"\A{_OTHER}{_NEXT}"),
    _program("pdftk", rf"\s(?:input|user|owner)_pw{_NEXT}"),
    _program("aws ssm put-parameter", rf"\A[^\n]{{0,200}}SecureString[^\n]{{0,100}}\s--value[ =]{{1,4}}{_WORD}"),
    _program("az keyvault secret set", rf"\s--value[ =]{{1,4}}{_WORD}"),
    _program("gh secret set|glab variable set", rf"\s(?:-b|--body|--value|-v)[ =]{{1,4}}{_WORD}"),
    _program(
        "heroku config:set|fly secrets set|flyctl secrets set|supabase secrets set|wrangler secret put",
        rf"\s\w{{0,40}}(?:SECRET|TOKEN|KEY|PASS|PASSWORD)={_WORD}",
    ),
    _program("bw unlock", rf"\A{_NEXT}"),
    _program("bw login", rf"\A{_OTHER}{_NEXT}"),
    _program("restic|borg", rf"--pass(?:word|phrase)?-?command[ =][\"']?echo{_NEXT}"),
    _program("keyctl add", rf"\A{_OTHER}{_OTHER}{_NEXT}"),
)
_ECHO = rf"\b(?:echo|printf|Write-Output){_BLANKS}(?:-n{_BLANKS}|[\"']?%s(?:\\n)?[\"']?{_BLANKS})?"
_PIPED = lazy_pattern(rf"{_ECHO}{_WORD}[ \t]{{0,4}}\|[ \t]{{0,4}}(?P<rest>[^\n]{{1,200}})")
_TAKER = lazy_pattern(
    r"\A(?:sudo[ \t]{1,4})?(?:chpasswd|passwd|cryptsetup|kinit|smbpasswd|gpg|su\b|-S\b)|\Asudo[^\n|]{0,60} -S\b"
    r"|-stdin\b|--passphrase-fd"
)
_HERE_STRING = lazy_pattern(rf"\b(?:cryptsetup|kinit|passwd|chpasswd|sudo -S)\b[^\n<]{{0,80}}<<<[ \t]{{0,4}}{_WORD}")
_USER_FLAG = r"(?<=\s)(?:-u|-U|--user(?:name)?|/u(?:ser)?:?)[ =]?[\"']?[\w.@\\-]{1,60}[\"']?[ \t]"
_LOGIN = lazy_pattern(rf"{_USER_FLAG}(?:[^\s|;&]{{1,60}}[ \t]){{0,3}}?(?:-p|-P|-w|--pass)[ =]{_WORD}")


def commanded(text: str, small: str) -> Iterator[Span]:
    """Yield start, end and kind of the passwords in the commands of `text`, which is `small` in small letters."""
    if any(sign in text for sign in _SIGNS):
        for names, hints, password in _PROGRAMS:
            for hint in hints:
                if hint in small:
                    yield from _of_program(text, small, names, password)
                    break
    if "|" in text and ("echo" in text or "printf" in text or "Write-Output" in text):
        yield from _piped(text)
    if "<<<" in text:
        for match in _HERE_STRING.finditer(text):
            yield from _password(match)
    if " -u" in text or " -U" in text or " --user" in text or " /u" in text:
        for match in _LOGIN.finditer(text):
            yield from _password(match, is_certain=False)


def _of_program(text: str, small: str, names: re.Pattern[str], password: re.Pattern[str]) -> Iterator[Span]:
    done = 0
    for name in names.finditer(small):
        if name.end() < done:
            continue
        until = text.find("\n", name.end(), name.end() + _LINE_MAX)
        done = until if until >= 0 else min(len(text), name.end() + _LINE_MAX)
        for match in password.finditer(text[name.end() : done]):
            for start, end, kind in _password(match):
                yield name.end() + start, name.end() + end, kind


def _piped(text: str) -> Iterator[Span]:
    for match in _PIPED.finditer(text):
        if _TAKER.search(match["rest"]) is not None:
            yield from _password(match, after_user="chpasswd" in match["rest"])


def _password(match: re.Match[str], *, after_user: bool = False, is_certain: bool = True) -> Iterator[Span]:
    """Yield the word that `match` found, or of `user:password` its end, if it can be a password.

    Unless the place `is_certain`, the word has to mix its characters as well.
    """
    group = next(name for name in ("double", "single", "bare") if match.re.groupindex.get(name) and match[name])
    word, start = match[group], match.start(group)
    if after_user:
        user, colon, word = word.partition(":")
        start += len(user) + len(colon)
    if len(word) >= _SHORTEST and not _is_other(word) and (is_certain or is_mixed(word)):
        yield start, match.end(group), "password"


def _is_other(word: str) -> bool:
    """Return whether `word` is a variable, a path, another flag or a stand-in."""
    if word.startswith(("$", "-", "<", "[", "{", "/", "%", "@", "`", "env:", "file:", "~", "*")) or "`" in word:
        return True
    return is_stand_in(word) or is_template(word) or is_spoken(word) or (word.isupper() and word.isalpha())
