"""What no lesson may advise: commands to run, secrets given away, checks put out of action."""

import re
from typing import Final

from lessonbook.refinery.mood import is_advised


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.I | re.S)


_BEFORE_COMMAND: Final = r"(?:^|[\s`;|&(\"'$])"
_ARGUMENT: Final = r"\s+(?=[^\s`.,;:)\"'])"
_GUARD: Final = (
    r"(?:check\w*|verif\w*|validat\w*|authenti\w*|authoriz\w*|authoris\w*|certificate\w*|tls|ssl|https|firewall\w*"
    r"|selinux|apparmor|sandbox\w*|csrf|cors|csp|linter?s?|linting|tests?|scan(?:s|ner|ners|ning)?|security|sanitiz\w*"
    r"|sanitis\w*|encrypt\w*|signature\w*|reviews?|rate.?limit\w*|guardrail\w*|safeguard\w*|protections?|mfa|2fa"
    r"|access controls?|type.?check\w*|assertions?)"
)
_WIDER: Final = rf"(?:{_GUARD}|escap\w*|audit\w*|logging|permissions?|warnings|alerts|backups?|monitoring|hooks?)"
_OFF: Final = (
    r"(?:disable|turn(?:ing)? off|switch(?:ing)? off|shut off|skip|bypass|suppress|deactivate|comment out|silence"
    r"|circumvent|get around|short-?circuit|weaken|loosen|opt out of|(?:recommend|consider|try|prefer|suggest|start|keep"
    r"|worth|better|by all means|advise) (?:disabling|skipping|bypassing|suppressing|deactivating|silencing))"
)
_SECRETS: Final = (
    r"(?:secrets?|credentials?|prompt|environment variables?|env vars?|api keys?|tokens?|private keys?|passwords?"
    r"|cookies)"
)
_SECRET_FILES: Final = (
    r"(?:~?/?\.ssh\b|\bid_(?:rsa|ed25519|ecdsa)\b|/etc/(?:passwd|shadow)\b|\.aws/|\.netrc\b|\.git-credentials\b"
    r"|\.kube/config\b|\.env\b|\.npmrc\b|\.pypirc\b|keychain\b|wallet\.dat\b)"
)
_FETCH: Final = r"(?:download|fetch|pull|grab|retrieve|curl|wget|visit|open|browse|go to|see|load|clone|install)"
_DOMAIN: Final = (
    r"\b[a-z0-9][a-z0-9-]{0,60}(?:\.[a-z0-9-]{1,60}){0,4}\.(?:com|net|org|io|dev|sh|app|xyz|ru|cn|co|me|info|ai|gg|to|ly"
    r"|site|top|example|online|tech|cloud|link|click)(?:/[\w./?=&%~+-]*|\b(?=\s+and\b|\s*[|`]))"
)

_ADVICE: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "it tells the reader to run a command",
        _any(
            rf"{_BEFORE_COMMAND}(?:sudo\s+\w|doas\s+\w|(?:curl|wget)\s+(?:-|\$|[\"'<]|https?\b|[\w-]+(?:\.[\w-]+)+)"
            r"|(?:curl|wget)\b.{0,80}\||rm\s+-\w|chmod\s+(?:-\w\s+)?[0-7+][\w+]|chown\s+-R|(?:ba|z|da|k|c)?sh\s+-c|powershell(?:\.exe)?\s+-"
            r"|pwsh\s|iex\s|invoke-(?:expression|webrequest)|iwr\s|eval\s+[\"$(`]|nc\s+-|ncat\s|telnet\s+\w|base64\s+-+d"
            r"|(?:python[23]?|node|perl|ruby|php)\s+-[cer]\s|mkfs|dd\s+if=|crontab\s+-|osascript|certutil\s|history\s+-c"
            r"|(?:shutdown|reboot)\s+-|killall\s|kill\s+-9|iptables\s+-f|setenforce\s+0|systemctl\s+(?:stop|disable)\s"
            r"|ssh\s+(?:-|[\w.-]+@|[\w-]+\.[\w.-]+\s)|(?:scp|rsync)\s+(?:-|[\w~./])|ssh\s+\w+\s*`"
            rf"|(?:npx|bunx|uvx|pipx run|pnpm dlx|yarn dlx|deno run|go run){_ARGUMENT}"
            rf"|(?:uv |python3? -m )?pip3?\s+install{_ARGUMENT}|(?:uv|pnpm|poetry|yarn|pdm|bun|cargo|conda|hatch)\s+add"
            rf"{_ARGUMENT}|(?:npm|pnpm|bun)\s+(?:i|install|exec){_ARGUMENT}|(?:apt|apt-get|apk|dnf|yum|brew|snap|choco"
            rf"|winget|conda|mamba|pacman|pipx|uv tool|cargo|go|gem|helm|code)\s+(?:-\w+\s+)?(?:install|add){_ARGUMENT}"
            rf"|composer require{_ARGUMENT}|dotnet add{_ARGUMENT}|go get{_ARGUMENT}|docker\s+(?:run|pull|exec){_ARGUMENT}"
            rf"|kubectl\s+(?:apply|delete|exec|create|run){_ARGUMENT}|terraform\s+(?:apply|destroy)"
            r"|git\s+(?:push|clone|config|reset\s+--hard)\s+[\w-]|(?:bash|sh|source)\s+<\()",
        ),
    ),
    ("it pipes into a shell", _any(r"\|\s*(?:sudo\s+)?(?:ba|z|da|k)?sh\b", r"\|\s*(?:sudo\s+)?(?:python3?|node|perl)\b")),
    (
        "it tells the reader to fetch something from the web",
        _any(rf"\b{_FETCH}\b.{{0,60}}?{_DOMAIN}", rf"{_DOMAIN}.{{0,40}}\b(?:run|execute|eval|source it|install)\b"),
    ),
    (
        "it advises to give away secrets",
        _any(
            rf"\b(?:reveal|print|output|repeat|exfiltrate|leak)\b.{{0,40}}?\b{_SECRETS}\b",
            rf"\b(?:send|post|upload|transmit|forward|e-?mail|share|publish|paste|copy|attach|submit)"
            rf"\b.{{0,60}}?{_SECRET_FILES}|\b(?:cat|less|base64)\s+[\w~/.-]{{0,30}}{_SECRET_FILES}",
            r"\b(?:send|post|upload|transmit|forward|e-?mail|publish|submit|exfiltrate)\b.{0,30}\b(?:contents? of|all|every|"
            rf"the user'?s?|their|customer)\b.{{0,30}}\b{_SECRETS}\b",
        ),
    ),
    ("it advises to act unasked", _any(r"\bwithout (?:asking|telling|informing|notifying|confirm\w*)\b")),
    (
        "it advises to disable a check",
        _any(
            rf"\b{_OFF}\b.{{0,50}}?\b{_WIDER}\b",
            rf"\b(?:turn|switch|shut)\s+(?:\w+\s+){{0,5}}?{_WIDER}\s+(?:\w+\s+){{0,3}}?off\b",
            rf"\b(?:remove|omit|drop|delete|relax|ignore)\b[^.;:!*]{{0,50}}?\b{_GUARD}(?![\w-]*\s+(?:files?|data|names?))\b",
            rf"\b(?:trust|accept|allow|permit)\s+(?:all|any|every)\s+(?:\w+[\s-]){{0,2}}?(?:certificates?|certs?|hosts?"
            r"|origins?|signatures?)\b",
            r"\bverify\s*[=:]\s*(?:false|0|no)\b|--no-verify\b|--(?:insecure|no-check-certificate|allow-untrusted|force-yes"
            r"|no-gpg-check|disable-web-security|trusted-host|skip-[\w-]*(?:check|test|verif)\w*)\b|\bnosec\b"
            r"|\bchmod\s+(?:-R\s+)?0?777\b|\beval\(.*\brequest|\bstricthostkeychecking[=\s]+no\b|\[skip ci\]"
            r"|\bcert_none\b|_create_unverified_context\b|\binsecureskipverify\W{1,3}true\b|\bssl_?no_?verify\b",
            r"(?:verif|reject_?unauthorized|tls|ssl|cert|strict|secur|auth|csrf|check)\w{0,20}\s*[=:]\s*[\"']?"
            r"(?:0|false|off|no|none|never|disabled?)\b",
            r"\b(?:set|switch|change)\s+\W?\w*(?:verif|tls|ssl|cert|secur|auth|csrf|check)\w{0,20}\W?\s+to\s+\W?"
            r"(?:0|false|off|no|none|never|disabled?)\b",
        ),
    ),
)
_NO_CHECK: Final = re.compile(
    r"(?:\b(?:never|do not|no need to|no point in|need not|stop|unnecessary to|pointless to|quit|not necessary to"
    r"|waste of time to|don't bother(?: to| with)?|not bother(?: to| with)?|no reason to)|n't)\s+"
    r"(?:verify|validat|check|authenticat|authoriz|sanitiz|sanitis|escap|encrypt|review|scan|sign)\w*\s+(?:[\w'-]+\s+){0,2}?"
    r"(?:certificates?|signatures?|tls|ssl|host ?names?|inputs?|users?|permissions?|authori[sz]ation|checksums?|integrity"
    r"|uploads?|dependenc\w+|packages?|code|changes?|(?:pull|merge) requests?|secrets|passwords|data|queries)\b"
    r"(?=\s*(?:$|[.,;!]|(?:when|if|because|since|to|as|at all|any ?more|for|so|unless|while|here|ever)\b))",
    re.I,
)
"""Advice against a check itself: "never verify certificates", but not "never check passwords with `==`"."""


def advices(text: str) -> list[str]:
    """Return what `text` advises that no lesson may advise, as parts of a sentence. Advising against it is fine."""
    found = [reason for reason, pattern in _ADVICE if is_advised(pattern, text)]
    if _NO_CHECK.search(text) and "it advises to disable a check" not in found:
        found.append("it advises against a check")
    return found
