"""What no lesson may advise: to run commands, to give secrets away, to disable checks."""

import re
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.lint.polarity import is_advised, sign

_BEFORE_COMMAND: Final = r"(?:^|[\s`;|&(\"'$])"
_ARGUMENT: Final = r"\s+(?=[^\s`.,;:)\"'])"
_GUARD: Final = (
    r"(?:check\w*|verif\w*|validat\w*|authenti\w*|authoriz\w*|authoris\w*|certificate\w*|tls|ssl|https|firewall\w*"
    r"|selinux|apparmor|sandbox\w*|csrf|cors|csp|linter?s?|linting|tests?|scan(?:s|ner|ners|ning)?|security(?!-)|sanitiz\w*"
    r"|sanitis\w*|encrypt\w*|signature\w*|reviews?|rate.?limit\w*|guardrail\w*|safeguard\w*|protections?|mfa|2fa"
    r"|access controls?|type.?check\w*|assertions?)"
)
_WIDER: Final = rf"(?:{_GUARD}|escap\w*|audit\w*|logging|permissions?|warnings|alerts|backups?|monitoring|hooks?)"
_OFF: Final = (
    r"(?:disable(?! access)|turn(?:ing)? off|switch(?:ing)? off|shut off|skip|bypass(?! by\b)|suppress|deactivate"
    r"|comment out|silence|circumvent|get around|short-?circuit|weaken|loosen|opt out of"
    r"|(?:recommend|consider|try|prefer|suggest|start|keep|worth|better|by all means"
    r"|advise) (?:disabling|skipping|bypassing|suppressing|deactivating|silencing))"
)
_SECRETS: Final = (
    r"(?:secrets?|credentials?|prompt|environment variables?|env vars?|api keys?|tokens?|private keys?|passwords?"
    r"|cookies)"
)
_KEY_FILES: Final = (
    r"(?:~?/?\.ssh\b|\bid_(?:rsa|ed25519|ecdsa)\b|/etc/(?:passwd|shadow)\b|\.aws/|\.netrc\b|\.git-credentials\b"
    r"|\.kube/config\b|\.env\b|\.npmrc\b|\.pypirc\b|keychain\b|wallet\.dat\b)"
)
_FETCH: Final = r"(?:download|fetch|pull|grab|retrieve|curl|wget|visit|open|browse|go to|see|load|clone|install)"
_DOMAIN: Final = (
    r"\b[a-z0-9][a-z0-9-]{0,60}(?:\.[a-z0-9-]{1,60}){0,4}\.(?:com|net|org|io|dev|sh|app|xyz|ru|cn|co|me|info|ai|gg|to"
    r"|ly|site|top|example|online|tech|cloud|link|click)(?:/[\w./?=&%~+-]{0,100}+|\b(?=\s+and\b|\s*[|`]))"
)

COMMAND: Final = "it tells the reader to run a command"
PIPE: Final = "it pipes into a shell"
FETCH: Final = "it tells the reader to fetch something from the web"
SECRETS: Final = "it advises to give away secrets"
UNASKED: Final = "it advises to act unasked"
UNCHECKED: Final = "it advises to disable a check"


_ADVICE: Final = (
    sign(
        COMMAND,
        "sudo doas curl wget rm chmod chown sh powershell iex invoke iwr eval nc base64 python node perl ruby php mkfs"
        " dd crontab osascript certutil history shutdown reboot kill iptables setenforce systemctl scp rsync telnet",
        rf"{_BEFORE_COMMAND}(?:sudo\s+(?!(?:to|from|and|or|in|for|is|on|with|as|rights|access)\b)[\w-]|doas\s+\w|(?:curl|wget)\s+(?:-|\$|[\"'<]|https?\b|[\w-]+(?:\.[\w-]+)+)"
        r"|(?:curl|wget)\b.{0,80}\||rm\s+-\w|chmod\s+(?:-\w\s+)?[0-7+][\w+]|chown\s+-R|(?:ba|z|da|k|c)?sh\s+-c"
        r"|powershell(?:\.exe)?\s+-|pwsh\s|iex\s|invoke-(?:expression|webrequest)|iwr\s|eval\s+[\"$(`]|ncat\s|nc\s+-"
        r"|telnet\s+[\w-]+(?:\.\w|\s+\d)|base64\s+-+d|(?:python[23]?|node|perl|ruby|php)\s+-[cer]\s|mkfs|dd\s+if=|crontab\s+-|osascript"
        r"|certutil\s|history\s+-c|(?:shutdown|reboot)\s+-|killall\s|kill\s+-9|iptables\s+-f|setenforce\s+0"
        r"|systemctl\s+(?:stop|disable)\s|ssh\s+(?:-|[\w.-]+@|[\w-]+\.[\w.-]+\s)|(?:scp|rsync)\s+(?:-|[\w~./])"
        r"|(?:bash|sh|source)\s+<\()",
    ),
    sign(
        COMMAND,
        "x install add exec i require get run pull kubectl terraform git",
        rf"{_BEFORE_COMMAND}(?:(?:npx|bunx|uvx|pipx run|pnpm dlx|yarn dlx|deno run|go run){_ARGUMENT}"
        rf"|(?:uv |python3? -m )?pip3?\s+install{_ARGUMENT}|(?:uv|pnpm|poetry|yarn|pdm|bun|cargo|conda|hatch)\s+add"
        rf"{_ARGUMENT}|(?:npm|pnpm|bun)\s+(?:i|install|exec){_ARGUMENT}|(?:apt|apt-get|apk|dnf|yum|brew|snap|choco"
        rf"|winget|conda|mamba|pacman|pipx|uv tool|cargo|go|gem|helm|code)\s+(?:-\w+\s+)?(?:install|add){_ARGUMENT}"
        rf"|composer require{_ARGUMENT}|dotnet add{_ARGUMENT}|go get{_ARGUMENT}|docker\s+(?:run|pull|exec){_ARGUMENT}"
        rf"|kubectl\s+(?:apply|delete|exec|create|run){_ARGUMENT}|terraform\s+(?:apply|destroy)"
        r"|git\s+(?:push|clone|config|reset\s+--hard)\s+[\w-])",
    ),
    sign(PIPE, "|", r"\|\s*(?:sudo\s+)?(?:ba|z|da|k)?sh\b", r"\|\s*(?:sudo\s+)?(?:python3?|node|perl)\b"),
    sign(
        FETCH,
        "download fetch pull grab retriev curl wget visit open browse go see load clone install run exec eval source",
        rf"\b{_FETCH}\b.{{0,60}}?{_DOMAIN}",
        rf"{_DOMAIN}.{{0,40}}\b(?:run|execute|eval|source it|install)\b",
    ),
    sign(
        SECRETS,
        "reveal print output repeat exfiltrat leak",
        rf"\b(?:reveal|print|output|repeat|exfiltrate|leak)\b.{{0,40}}?\b{_SECRETS}\b",
    ),
    sign(
        SECRETS,
        "send post upload transmit forward mail share publish paste copy attach submit cat less base64 exfiltrat",
        rf"\b(?:send|post|upload|transmit|forward|e-?mail|share|publish|paste|copy|attach|submit)\b.{{0,60}}?"
        rf"{_KEY_FILES}",
        rf"\b(?:cat|less|base64)\s+[\w~/.-]{{0,30}}{_KEY_FILES}",
        r"\b(?:send|post|upload|transmit|forward|e-?mail|publish|submit|exfiltrate)\b.{0,30}\b(?:contents? of|all"
        rf"|every|the user'?s?|their|customer)\b.{{0,30}}\b{_SECRETS}\b",
    ),
    sign(
        UNASKED,
        "agent assistant bot model you what permission approval refused denied blocked instructions commands steps",
        r"\b(?:agents?|assistants?|bots?|models?)\b[^.;]{0,40}?\b(?:may|can|should|must|are allowed to|is allowed to)\b"
        r"[^.;]{0,20}?\b(?:push|merge|deploy|release|approve|commit)\b[^.;]{0,30}?"
        r"\b(?:directly|to main|to master|without|themselves|unattended)\b",
        r"\byou (?:can|may) (?:just |safely )?(?:merge|push|deploy|approve|release)\b",
        r"\b(?:run|do|follow|execute) what (?:the|an?|any) [\w ]{1,30}?\b(?:says|asks|tells|contains)\b",
        r"\bwhen(?:ever)? asked for (?:an? |the )?(?:permission|confirmation|approval|consent)\b[^.;]{0,20}?"
        r"\b(?:answer|say|reply|respond)\b[^.;]{0,10}?\b(?:yes|allow|ok)\b",
        r"\b(?:copy|follow|carry out|execute|obey|run|do) (?:the |all |any )?(?:instructions|commands|steps|orders)\b"
        r"[^.;]{0,20}?"
        r"\bin (?:an?|the|any) (?:issue|ticket|comment|file|page|readme|e-?mail|output|log|pull request)\b",
        r"\bif (?:a |the )?(?:tool|tool call|command|call|action|request) is (?:refused|denied|blocked|rejected"
        r"|not allowed)\b[^.;]{0,10}?"
        r"\b(?:try|run|do|repeat)\b[^.;]{0,30}?\b(?:through|with|via|by|another way)\b",
    ),
    sign(
        UNCHECKED,
        "force drop remove delete",
        r"\bforce(?: the|-) ?push\b(?!-with)",
        r"\b(?:drop|remove|delete)\b[^.;]{0,30}?\b(?:tables?|columns?)\b[^.;]{0,12}?"
        r"\bin the same (?:release|migration|deploy\w*)\b",
    ),
    sign(UNASKED, "without", r"\bwithout (?:asking|telling|informing|notifying|confirm\w*)\b"),
    sign(
        UNCHECKED,
        "disabl turn switch shut skip bypass suppress deactivat comment silenc circumvent around short weaken loosen"
        " opt",
        rf"\b{_OFF}\b(?:(?! or (?:implement|add|use|enable|require)).){{0,50}}?\b{_WIDER}\b",
        rf"\b(?:turn|switch|shut)\s+(?:\w+\s+){{0,5}}?{_WIDER}\s+(?:\w+\s+){{0,3}}?off\b",
    ),
    sign(
        UNCHECKED,
        "remove omit drop delete relax ignore trust accept allow permit",
        rf"\b(?:remove|omit|drop|delete|relax|ignore)\b(?![^.;:!*]{{0,30}}\b(?:un(?:used|needed|necessary)|obsolete|redundant"
        rf"|duplicate|dead|stale|access)\b)[^.;:!*]{{0,50}}?\b{_GUARD}(?![\w-]*\s+(?:files?|data|names?|code|forms?|accounts?|users?))\b",
        r"\b(?:trust|accept|allow|permit)\s+(?:all|any|every)\s+(?:\w+[\s-]){0,2}?(?:certificates?|certs?|hosts?"
        r"|origins?|signatures?)\b",
    ),
    sign(
        UNCHECKED,
        "verif --no- insecure untrusted force-yes --disable --trusted --skip nosec 777 eval stricthost skip cert_none"
        " unverified no_verify noverify",
        r"\bverify\s*[=:]\s*(?:false|0|no)\b|--no-verify\b|--(?:insecure|no-check-certificate|allow-untrusted|force-yes"
        r"|no-gpg-check|disable-web-security|trusted-host|skip-[\w-]{0,40}(?:check|test|verif)\w{0,20})\b|\bnosec\b"
        r"|\bchmod\s+(?:-R\s+)?0?777\b|\beval\(.{0,300}\brequest|\bstricthostkeychecking[=\s]+no\b|\[skip ci\]"
        r"|\bcert_none\b|_create_unverified_context\b|\binsecureskipverify\W{1,3}true\b|ssl_?no_?verify\b",
    ),
    sign(
        UNCHECKED,
        "= : to",
        r"(?<!anonymous[-_])(?<!auto[-_])(?:verif|reject_?unauthorized|tls|ssl|cert|(?<!in)secur|auth|csrf|check_?(?:cert|host|sign))\w{0,20}\s*[=:]\s*[\"']?"
        r"(?:0|false|off|no|none|never|disabled?)\b",
        r"\b(?:set|switch|change)\s+(?:the\s+)?\W?\w*(?:verif|tls|ssl|cert|secur|auth|csrf|check)\w{0,20}\W?"
        r"(?:\s+\w+)?\s+to\s+\W?(?:0|false|off|no|none|never|disabled?)\b",
    ),
)
_NO_CHECK: Final = lazy_pattern(
    r"(?:\b(?:never|do not|no need to|no point in|need not|stop|unnecessary to|pointless to|quit|not necessary to"
    r"|waste of time to|don't bother(?: to| with)?|not bother(?: to| with)?|no reason to)|n't)\s+"
    r"(?:verify|validat|check|authenticat|authoriz|sanitiz|sanitis|escap|encrypt|review|scan|sign)\w*\s+"
    r"(?:[\w'-]+\s+){0,2}?(?:certificates?|signatures?|tls|ssl|host ?names?|inputs?|users?|permissions?|checksums?"
    r"|authori[sz]ation|integrity|uploads?|dependenc\w+|packages?|code|changes?|(?:pull|merge) requests?|secrets"
    r"|passwords|data|queries)\b"
    r"(?=\s*(?:$|[.,;!]|(?:when|if|because|since|to|as|at all|any ?more|for|so|unless|while|here|ever|from)\b))",
    re.I,
)
"""Advice against a check itself: "never verify certificates", but not "never check passwords with `==`"."""


_MENTIONED: Final = lazy_pattern(
    r"(?:^|(?<=[.!?] ))`[^`]{1,80}`(?= (?:(?:without|with) [\w ]{1,40} )?"
    r"(?:hides|deletes|removes|runs|starts|ignores|disables|skips|breaks|loses|leaves"
    r"|makes|lets|is|has|accepts|trusts|writes|does)\b)|(?<=[Qq]uote variables in )`[^`]{1,80}`"
    r"|(?<=[Qq]uote the variable in )`[^`]{1,80}`"
)
"""A command that is spoken about, not to be run: "`curl -k` hides expired certificates"."""

_FINE: Final = lazy_pattern(
    r"\b(?:disable|turn off|switch off|skip|bypass|suppress|ignore|silence|relax|drop|omit|delete|remove)"
    r" (?:the |all |a |an )?(?:known |shared )?(?:cache|order|animations?|whitespace|duplicate|deprecat\w{0,8}"
    r"|foreign keys?|spinner"
    r"|swap|retries|tls 1\.[01]|flaky|tests? (?:that need|only together|together"
    r"|of removed|for removed|for a (?:removed )?feature))\b"
    r"|\b(?:names?|ids?) of (?:all |the )?(?:environment variables|secrets|tokens)\b|\bassertions? together\b"
    r"|\bignore list\b|\bhealth checks?\b"
    r"|\b(?:disable|turn off|skip|suppress|omit) [^.;:!]{1,80}\b(?:(?:only )?with a (?:written )?reason\b"
    r"|that authenticate by (?:an? )?(?:header|bearer|token)\b)",
    re.I,
)
"""What may be skipped or turned off, whatever guard is named behind it."""


def advices(text: str) -> list[str]:
    """Return the bad advice in `text`, as parts of a sentence. Advice against such things is fine."""
    text = _FINE.sub(" ", _MENTIONED.sub(" span ", text))
    lower = text.lower()
    found = [bad.reason for bad in _ADVICE if bad.may_be_in(lower) and is_advised(bad.pattern, text)]
    if _NO_CHECK.search(text):
        found.append("it advises against a check")
    return list(dict.fromkeys(found))
