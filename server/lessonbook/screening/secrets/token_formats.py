"""Tokens that their own form gives away, as the services that hand them out document it."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.secrets.value_shape import is_scattered, is_stand_in


class Format(NamedTuple):
    """How one kind of token looks.

    `hints` are texts of which one occurs in every such token, so that the expression is compiled and tried only where
    it can match. A `drawn` token has to look random as well, for its form alone is common.
    """

    kind: str
    hints: tuple[str, ...]
    expression: str
    drawn: bool = False


def _format(kind: str, hints: str, body: str, *, drawn: bool = False, edge: str = r"[A-Za-z0-9]") -> Format:
    return Format(kind, tuple(hints.split()), f"(?<!{edge})(?:{body})(?!{edge})", drawn)


_ID = r"[A-Za-z0-9_-]"
_AN = r"[A-Za-z0-9]"
_HEX = r"[0-9a-f]"

FORMATS: Final[tuple[Format, ...]] = (
    Format(
        "private-key",
        ("PRIVATE KEY",),
        r"-----BEGIN (?:[A-Z0-9]++ ){0,4}PRIVATE KEY(?: BLOCK)?-----"
        # … whole, whatever stands between,
        r"(?:(?![\s\S]{0,24}?-----END )(?=[^A-Za-z0-9]{0,20}+[A-Za-z0-9+/:\\ ,-]{8})(?:[^-]|-(?!----[BE]))*+"
        r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        # … or cut off: as many lines as look encoded.
        r"|(?:[\s\"'+,]|\\[nr])*+[A-Za-z0-9+/=]{16,}+(?:(?:[\s\"'+,]|\\[nr])++[A-Za-z0-9+/=]{16,}+)*+"
        r"(?:\s[A-Za-z0-9+/=]{1,63}$)?)",
    ),
    Format("private-key", ("PuTTY-User-Key-File",), r"(?<=Private-Lines: )\d{1,4}\s[A-Za-z0-9+/=\s]{40,}+"),
    _format(
        "private-key",
        "LS0tLS1CRUdJTi",
        r"LS0tLS1CRUdJTi(?!BDRVJU|BQVUJMSUM|BSU0EgUFVC|BQR1AgU0lH|BQR1AgUFVC)[A-Za-z0-9+/]{40,}+(?:(?:\s|\\[nr])++[A-Za-z0-9+/]{40,}+)*+(?:(?:\s|\\[nr])++[A-Za-z0-9+/]++(?==))?={0,2}",
    ),
    _format(
        "private-key",  # a body without its head: what RSA, PKCS 8, EC and OpenSSH keys begin with
        "IBAA IBADAN MHcCAQEE MIGkAgEBBD MIHcAgEBBEI MIGHAgEAMB MIG2AgEAMB MC4CAQAwBQYDK2Vw b3BlbnNzaC1rZXktdjE",
        r"(?:MI[IG][A-Za-z0-9+/]{3,4}(?:IBAA[JK]|IBADAN)|MHcCAQEE|MIGkAgEBBD|MIHcAgEBBEI|MIG[H2]AgEAMB"
        r"|MC4CAQAwBQYDK2Vw|b3BlbnNzaC1rZXktdjE)[A-Za-z0-9+/]{16,}+(?:(?:[\s\"'+,]|\\[nr]){1,60}+[A-Za-z0-9+/]{16,}+)*+={0,2}",
        edge=r"[A-Za-z0-9+/]",
    ),
    _format("private-key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{50,60}"),
    _format("jwt", "ZXlK", r"ZXlK[A-Za-z0-9+/_-]{60,}+={0,2}"),
    _format(
        "jwt",
        "eyJ",
        # One that begins within a run of letters is not read to the run's end, or many would read it many times.
        rf"(?:(?<![\w-])eyJ{_ID}{{8,}}+|eyJ{_ID}{{8,400}}+)={{0,2}}\.{_ID}{{8,}}+={{0,2}}(?:\.{_ID}*+)?+",
    ),
    # Clouds
    _format(
        "aws-key",
        "AKIA ASIA AGPA AROA AIDA ANPA ABIA ACCA A3T",
        r"(?:A(?:KIA|SIA|GPA|ROA|IDA|NPA|BIA|CCA)|A3T[A-Z0-9])[A-Z2-7]{16}",
    ),
    _format("aws-key", "AKIA ASIA", r"A(?:KIA|SIA)[A-Z0-9]{16}", drawn=True),
    _format("aws-key", "ABSK", r"ABSK[A-Za-z0-9+/]{100,300}+={0,2}"),
    _format("aws-key", "bedrock-api-key-", r"bedrock-api-key-[A-Za-z0-9+/]{60,}+={0,2}"),
    _format("aws-key", "amzn.mws. da2-", r"amzn\.mws\.[0-9a-f-]{36}|da2-[a-z0-9]{26}"),
    _format("google-key", "AIza", rf"AIza{_ID}{{35}}", drawn=True, edge=_ID),
    _format("google-token", "ya29. GOCSPX- 1//0", rf"ya29\.{_ID}{{20,}}+|GOCSPX-{_ID}{{28}}|1//0{_ID}{{30,}}+"),
    _format(
        "azure-key",
        "AccountKey= SharedAccessKey= sharedaccesskey=",
        r"(?i:(?<=accountkey=)|(?<=sharedaccesskey=))[A-Za-z0-9+/]{40,}+={0,2}",
    ),
    _format("azure-key", "8Q~ 7Q~", rf"{_ID}{{3}}[78]Q~[A-Za-z0-9_~.-]{{31,34}}"),
    _format(
        "azure-key",
        "+ASt AzCa AzSe AzFu",
        r"[A-Za-z0-9+/]{30,80}(?:\+ASt|AzCa|AzSe|AzFu)[A-Za-z0-9+/]{4,8}={0,2}",
        drawn=True,
    ),
    _format("digitalocean-token", "doo_v1_ dop_v1_ dor_v1_", r"do[opr]_v1_[0-9a-f]{64}"),
    _format("alibaba-key", "LTAI", r"LTAI[A-Za-z0-9]{12,30}", drawn=True),
    _format("heroku-key", "HRKU-", rf"HRKU-{_ID}{{30,}}+"),
    _format("cloudflare-key", "v1.0-", r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,}+"),
    _format(
        "yandex-key",
        "AQVN t1. YCAJE",
        rf"AQVN{_ID}{{35,38}}|t1\.[A-Z0-9a-z_-]+={{0,2}}\.{_ID}{{86}}={{0,2}}|YCAJE{_ID}{{35}}",
    ),
    _format("flyio-token", "fm1r_ fm2_ fo1_", r"(?:fm[12][ar]?_|fo1_)[A-Za-z0-9+/_-]{40,}+={0,3}"),
    # Code hosts and registries
    _format("lessonbook-token", "lbt_", r"lbt_[A-Za-z0-9_-]{43}", edge=_ID),
    _format(
        "github-token",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        r"gh[pousr]_[A-Za-z0-9]{30,}+|github_pat_\w{40,}+",
        edge=r"[A-Za-z0-9]",
    ),
    _format(
        "gitlab-token",
        "gl GR1348941",
        rf"gl(?:pat|dt|rt|ptt|soat|ft|oas|cbt|imt|agent|ffct)-{_ID}{{18,}}+(?:\.{_ID}{{4,}}+)*|GR1348941{_ID}{{20,}}+",
    ),
    _format(
        "bitbucket-token",
        "ATBB ATCTT3xFf ATATT3xFf",
        rf"ATBB{_AN}{{28,}}+|AT(?:CT|AT)T3xFf{_ID}{{60,}}+(?:={_AN}{{8}})?",
    ),
    _format(
        "registry-token",
        "npm_ pypi-AgE rubygems_ dckr_ CLOJARS_ cio oy2",
        r"npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{50,}+|rubygems_[0-9a-f]{48}|dckr_(?:pat|oat)_[\w-]{24,}+|CLOJARS_[a-z0-9]{60}|cio[A-Za-z0-9]{32}|oy2[a-z0-9]{43}",
        edge=r"[A-Za-z0-9_]",
    ),
    _format("artifactory-key", "AKC cmVmdGtuO", r"AKCp?[A-Za-z0-9]{40,100}+|cmVmdGtuO[A-Za-z0-9]{50,60}"),
    _format("sonar-token", "squ_ sqp_ sqa_", r"sq[upa]_[0-9a-z]{40}"),
    # Models
    _format("model-key", "sk-", rf"sk-(?:ant-|proj-|or-|svcacct-|admin-|lf-)?{_ID}{{20,}}+", edge=_ID, drawn=True),
    _format(
        "model-key",
        "hf_ api_org_ r8_ gsk_ pplx- xai- tvly- fw_ esecret_ nvapi- jina_ ollama",
        rf"(?:hf_|api_org_)[A-Za-z]{{34}}|r8_{_AN}{{37}}|gsk_{_AN}{{40,60}}|pplx-{_AN}{{40,60}}|xai-{_AN}{{60,90}}|tvly-(?:dev-)?{_ID}{{30,}}+|fw_{_AN}{{22,30}}|nvapi-{_ID}{{60,70}}|jina_{_ID}{{50,70}}",
    ),
    # Talk
    _format("slack-token", "xox xapp- xoxe.", r"(?:xox[abceoprs]-|xoxe\.xox[bp]-|xapp-\d-)[\w+/-]{10,}+"),
    _format(
        "slack-webhook",
        "hooks.slack.com/",
        r"https?://hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{20,}+",
        edge=r"(?!)",
    ),
    _format(
        "webhook",
        "/webhook discord hooks.",
        r"https?://[^\s/'\"<>]{3,100}/(?:[\w.-]{1,40}/){0,4}?(?:web)?hooks?(?:b2)?/[\w/@%.+-]{24,}+|https?://hooks?\.[^\s/'\"<>]{3,100}/[\w/-]{24,}+",
        edge=r"(?!)",
        drawn=True,
    ),
    _format("discord-token", ".", rf"[MNO]{_ID}{{23,27}}\.{_ID}{{6,7}}\.{_ID}{{27,40}}", edge=_ID),
    _format("telegram-token", ":A", rf"(?:(?<=bot)|(?<![\w-]))\d{{8,10}}:A{_ID}{{34}}(?![\w-])", edge=r"(?!)"),
    _format("facebook-token", "EAA IGQ IGAA", r"(?:EAA|IGQ[A-Z]|IGAA)[A-Za-z0-9_-]{60,}+", drawn=True),
    _format("facebook-token", "|", rf"\d{{13,17}}\|{_ID}{{24,30}}", drawn=True),
    _format("twilio-key", "AC SK", rf"(?:AC|SK){_HEX}{{32}}(?::{_HEX}{{32}})?"),
    # Money and shops
    _format(
        "stripe-key",
        "k_live_ k_test_ k_prod_ whsec_",
        rf"[rsp]k_(?:live|test|prod)_{_AN}{{16,}}+|whsec_[A-Za-z0-9+/]{{24,}}+={{0,2}}",
    ),
    _format("square-token", "sq0 EAAA", rf"sq0[a-z]{{3}}-{_ID}{{22,}}+|EAAA{_ID}{{60}}"),
    _format("shopify-token", "shp", r"shp(?:at|ca|pa|ss|rt)_[0-9a-fA-F]{32}"),
    _format(
        "payment-key",
        "rzp_ live_ test_ access_token$ FLWSECK flws",
        rf"rzp_(?:live|test)_{_AN}{{14,}}+|access_token\$(?:production|sandbox)\$[0-9a-z]{{16}}\$[0-9a-f]{{32}}|FLWSECK(?:_TEST)?-[0-9a-hA-H]{{12,}}+",
    ),
    _format(
        "payment-key",
        "duffel_ EZAK EZTK shippo_ gocardless live_ pat_",
        rf"duffel_(?:test|live)_[\w=-]{{43}}|EZ[AT]K{_AN}{{54}}|shippo_(?:live|test)_{_HEX}{{40}}|live_{_ID}{{40}}",
    ),
    # Mail
    _format("sendgrid-key", "SG.", rf"SG\.{_ID}{{20,}}+\.{_ID}{{30,}}+"),
    _format(
        "mail-key",
        "key- xkeysib- re_ -us",
        rf"key-{_HEX}{{32}}|xkeysib-{_HEX}{{64}}-{_AN}{{16}}|re_{_AN}{{8}}_{_AN}{{24}}|{_HEX}{{32}}-us\d{{1,2}}",
    ),
    # Operations
    _format(
        "vault-token",
        "s. b. r. hv",
        rf"hv[sbr]\.{_ID}{{24,}}+|[sbr]\.{_AN}{{24}}(?:\.{_AN}{{5}})?",
        drawn=True,
        edge=r"[\w.$/]",
    ),
    _format("terraform-token", ".atlasv1.", rf"{_AN}{{14}}\.atlasv1\.{_ID}{{60,70}}"),
    _format("doppler-token", "dp.", rf"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:{_ID}{{2,35}}\.)?{_AN}{{40,44}}"),
    _format(
        "newrelic-key",
        "NRA NRI NRJS NRBR NRAL NRSP",
        rf"NR(?:AK|AA|II|IQ|RA|SP)-{_ID}{{24,40}}|NRJS-{_HEX}{{19}}|[0-9a-zA-Z]{{36}}NRAL",
    ),
    _format(
        "grafana-token",
        "glc_ glsa_ eyJrIjoi",
        r"gl(?:c|sa)_[A-Za-z0-9+/_]{32,}+={0,2}|eyJrIjoi[A-Za-z0-9+/]{60,}+={0,2}",
    ),
    _format("sentry-token", "sntry", rf"sntrys_[A-Za-z0-9+/=_]{{60,}}+|sntryu_{_HEX}{{64}}"),
    _format("databricks-token", "dapi", r"dapi[0-9a-h]{32}(?:-\d)?"),
    _format("dynatrace-token", "dt0", rf"dt0[a-z]\d{{2}}\.{_AN}{{24}}\.{_AN}{{64}}"),
    _format("linear-key", "lin_", rf"lin_(?:api|oauth)_{_AN}{{32,64}}"),
    _format("notion-token", "ntn_ secret_", rf"ntn_\d{{11}}{_AN}{{32,35}}|secret_{_AN}{{43}}", drawn=True),
    _format("postman-key", "PMA", rf"PMA[KT]-{_HEX}{{24}}-{_HEX}{{34}}"),
    _format("figma-token", "fig", rf"fig[dour]{{1,2}}_{_ID}{{40}}"),
    _format("hubspot-key", "pat-", r"pat-(?:na|eu)\d-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    _format("prefect-key", "pnu_ pnb_", rf"pn[ub]_{_AN}{{36}}"),
    _format("pulumi-token", "pul-", rf"pul-{_HEX}{{40}}"),
    _format("buildkite-token", "bkua_ bkaj_", rf"bk(?:ua|aj)_{_HEX}{{40}}"),
    _format("circleci-token", "CCIPAT_ CCIPRJ_", rf"CCIP(?:AT|RJ)_{_AN}{{20,24}}_{_HEX}{{40}}"),
    _format("planetscale-token", "pscale_", r"pscale_(?:tkn|oauth|pw)_[\w=.-]{32,64}"),
    _format("supabase-key", "sbp_ sb_secret_", rf"sbp_(?:oauth_)?{_HEX}{{40}}|sb_secret_{_ID}{{30,}}+"),
    _format(
        "service-key",
        "rootly_ rdme_ sgp_ slk_ nfp_ ghost sdk- api- waka_",
        rf"(?:(?:sdk|api)-|waka_)[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}|rootly_{_HEX}{{64}}|rdme_[a-z0-9]{{70}}|sgp_(?:(?:[0-9a-fA-F]{{16}}|local)_)?[0-9a-fA-F]{{40}}|slk_{_HEX}{{64}}|nfp_{_AN}{{36}}",
    ),
    _format(
        "1password-token",
        "ops_eyJ A3-",
        r"ops_eyJ[A-Za-z0-9+/_-]{100,}+={0,3}|A3(?:-[A-Z0-9]{5,6}){6}|A3-[A-Z0-9]{6}-[A-Z0-9]{11}(?:-[A-Z0-9]{5}){3}",
    ),
    _format("octopus-key", "API-", r"API-[A-Z0-9]{25,32}", drawn=True, edge=r"[\w/-]"),
    _format("salesforce-token", "00D", r"00D[A-Za-z0-9]{9,15}![A-Za-z0-9_.]{60,}+"),
    _format("okta-token", "okta OKTA Okta SSWS", rf"00{_ID}{{40}}", edge=_ID),
    _format("openshift-token", "sha256~", r"sha256~[\w@=.+/-]{20,}+"),
    _format("maxmind-key", "_mmk", rf"{_AN}{{6}}_{_AN}{{29}}_mmk"),
    _format("endor-key", "endr+", rf"endr\+{_AN}{{16}}"),
    _format("clickhouse-key", "4b1d", rf"4b1d{_AN}{{38}}", drawn=True),
    _format("frameio-token", "fio-u-", rf"fio-u-{_ID}{{64}}"),
    _format("adobe-key", "p8e- s8e-", rf"[ps]8e-{_ID}{{32}}", drawn=True),
    _format("asana-token", "/", r"[0-2]/\d{10,20}(?:/\d{10,20})?:[0-9a-f]{32}"),
    _format("kubernetes-token", "token", r"[a-z0-9]{6}\.[a-z0-9]{16}"),
    _format("dropbox-token", "sl.", rf"sl\.(?:u\.)?{_ID}{{120,}}+"),
    _format("device-token", "/api/v1/", r"(?<=/api/v1/)[a-z0-9]{20}(?=/(?:telemetry|attributes|rpc))"),
    _format("ubidots-token", "BBFF- BBUS-", rf"BB(?:FF|US)-{_AN}{{30,34}}"),
    _format("service-key", "pat", rf"pat{_AN}{{14}}\.{_HEX}{{64}}"),
    _format("service-key", "SU SA SO SN SC", r"S[UAONC][A-Z2-7]{56}"),
    # Hashes of passwords
    _format(
        "password-hash",
        "{S {M {C {P {A",
        r"\{(?:S?SHA\d{0,3}|SMD5|MD5|CRYPT|PBKDF2[\w-]{0,12}|ARGON2\w{0,2})\}[A-Za-z0-9+/$.,=]{16,}+",
    ),
    _format("password-hash", "$krb5", r"\$krb5(?:tgs|asrep|pa)\$[^\s\"']{40,}+", edge=r"(?!)"),
    _format("password-hash", ":::", r"(?<=:)[0-9a-fA-F]{32}:[0-9a-fA-F]{32}(?=:::)", edge=r"(?!)"),
    _format("password-hash", "::", r"(?<=::)[\w.-]{1,40}:[0-9a-fA-F]{16}(?::[0-9a-fA-F]{32,}+){2}", edge=r"(?!)"),
    _format(
        "password-hash",
        "$",
        r"\$(?:1|5|6|y|7|apr1|2[abxy]?|argon2(?:id?|d)|scrypt|pbkdf2[\w-]{0,10})\$(?:[\w.,=/+-]{1,60}\$){0,4}[A-Za-z0-9./+]{22,}+(?!\$)",
        edge=r"(?!)",
    ),
)


_RUN = lazy_pattern(r"\S{18}")
"""Every token has as many characters without a blank; most prose does not."""


def formatted(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and kind of what has the form of a known token in `text`."""
    if _RUN.search(text) is None:
        return
    for kind, hints, expression, drawn in FORMATS:
        for hint in hints:
            if hint in text:
                break
        else:
            continue
        for match in _compiled(expression).finditer(text):
            if kind == "private-key" or _is_real(match.group(), drawn=drawn):
                yield match.start(), match.end(), kind


@cache
def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression)


def _is_real(value: str, *, drawn: bool) -> bool:
    return not is_stand_in(value) and (not drawn or is_scattered(value))
