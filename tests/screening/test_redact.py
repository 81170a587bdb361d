"""Secrets out: every kind is found, and nothing else is touched. The secrets here are made up when the tests run."""

import random
import string
import sys
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.screening.redact import redact
from lessonbook.screening.secrets.token_formats import FORMATS

_DRAWN = random.Random(20)
BASE62 = string.ascii_letters + string.digits
BASE36 = string.ascii_lowercase + string.digits


def drawn(size: int, of: str = BASE62) -> str:
    """Return `size` characters that always end in a mix, so that no format's own test of randomness turns on luck."""
    mix = "".join(char for char in "7kQ2xW9dR4" if char in of)
    return "".join(_DRAWN.choice(of) for _ in range(size - len(mix))) + mix[: min(size, len(mix))]


def hexes(size: int) -> str:
    return drawn(size, "0123456789abcdef")


def uuid() -> str:
    return "-".join(hexes(size) for size in (8, 4, 4, 4, 12))


A = drawn(28)
UPPER = string.ascii_uppercase + "234567"
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{A}"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{drawn(64)}\n{drawn(40)}=\n-----END RSA PRIVATE KEY-----"

SECRETS = [
    ("private-key", PEM),
    ("private-key", PEM.replace("\n", "\\n")),
    ("private-key", b64encode(PEM.encode()).decode()),
    ("private-key", "AGE-SECRET-KEY-1" + drawn(58, "ACDEFGHJKLMNPQRSTUVWXYZ0234567")),
    ("lessonbook-token", "lbt_" + drawn(43)),
    ("jwt", JWT),
    ("jwt", b64encode(JWT.encode()).decode()),
    ("aws-key", "AKIA" + "QWERTYUIOP234567"),
    ("aws-key", "ABSK" + drawn(120) + "="),
    ("aws-key", "bedrock-api-key-" + drawn(80)),
    ("aws-key", "da2-" + drawn(26, BASE36)),
    ("google-key", "AIza" + drawn(35)),
    ("google-token", "ya29." + drawn(60)),
    ("google-token", "GOCSPX-" + drawn(28)),
    ("azure-key", drawn(3) + "8Q~" + drawn(33)),
    ("azure-key", drawn(60) + "AzCa" + drawn(6)),
    ("digitalocean-token", "dop_v1_" + hexes(64)),
    ("alibaba-key", "LTAI" + drawn(20)),
    ("heroku-key", "HRKU-" + drawn(60)),
    ("cloudflare-key", f"v1.0-{hexes(24)}-{hexes(146)}"),
    ("yandex-key", "AQVN" + drawn(36)),
    ("flyio-token", "fm2_" + drawn(80)),
    ("github-token", "ghp_" + drawn(36)),
    ("github-token", "github_pat_" + drawn(22) + "_" + drawn(59)),
    ("gitlab-token", "glpat-" + drawn(20)),
    ("bitbucket-token", "ATBB" + drawn(32)),
    ("bitbucket-token", "ATATT3xFf" + drawn(120) + "=" + hexes(8).upper()),
    ("registry-token", "npm_" + drawn(36)),
    ("registry-token", "pypi-AgEIcHlwaS5vcmc" + drawn(90)),
    ("registry-token", "dckr_pat_" + drawn(27)),
    ("registry-token", "oy2" + drawn(43, BASE36)),
    ("artifactory-key", "AKCp" + drawn(69)),
    ("sonar-token", "sqp_" + drawn(40, BASE36)),
    ("model-key", "sk-ant-" + A),
    ("model-key", "sk-proj-" + A),
    ("model-key", "hf_" + drawn(34, string.ascii_letters)),
    ("model-key", "gsk_" + drawn(52)),
    ("slack-token", "xoxb-" + A),
    ("slack-webhook", "https://hooks.slack.com/services/T000/B000/" + A),
    ("webhook", f"https://example.org/api/webhooks/918273645546372819/{drawn(68)}"),
    ("discord-token", f"M{drawn(25)}.{drawn(6)}.{drawn(38)}"),
    ("telegram-token", "123456789:A" + drawn(34)),
    ("facebook-token", "EAA" + drawn(120)),
    ("twilio-key", "SK" + hexes(32)),
    ("stripe-key", "sk_live_" + drawn(24)),
    ("stripe-key", "whsec_" + drawn(32)),
    ("square-token", "sq0atp-" + drawn(22)),
    ("shopify-token", "shpat_" + hexes(32)),
    ("payment-key", "rzp_live_" + drawn(14)),
    ("payment-key", "shippo_test_" + hexes(40)),
    ("sendgrid-key", f"SG.{drawn(22)}.{drawn(43)}"),
    ("mail-key", f"xkeysib-{hexes(64)}-{drawn(16)}"),
    ("mail-key", hexes(32) + "-us12"),
    ("vault-token", "hvs." + drawn(90)),
    ("vault-token", "s." + drawn(24)),
    ("terraform-token", f"{drawn(14)}.atlasv1.{drawn(64)}"),
    ("doppler-token", "dp.st.dev." + drawn(43)),
    ("newrelic-key", "NRAK-" + drawn(27, UPPER)),
    ("newrelic-key", hexes(36) + "NRAL"),
    ("grafana-token", f"glsa_{drawn(32)}_{hexes(8)}"),
    ("sentry-token", "sntryu_" + hexes(64)),
    ("databricks-token", "dapi" + hexes(32)),
    ("dynatrace-token", f"dt0c01.{drawn(24, UPPER)}.{drawn(64, UPPER)}"),
    ("linear-key", "lin_api_" + drawn(40)),
    ("notion-token", "ntn_12345678902" + drawn(35)),
    ("postman-key", f"PMAK-{hexes(24)}-{hexes(34)}"),
    ("figma-token", "figd_" + drawn(40)),
    ("hubspot-key", "pat-na1-" + uuid()),
    ("prefect-key", "pnu_" + drawn(36)),
    ("pulumi-token", "pul-" + hexes(40)),
    ("buildkite-token", "bkua_" + hexes(40)),
    ("circleci-token", f"CCIPAT_{drawn(22)}_{hexes(40)}"),
    ("planetscale-token", "pscale_tkn_" + drawn(43)),
    ("supabase-key", "sbp_" + hexes(40)),
    ("service-key", "sgp_" + hexes(40)),
    ("service-key", "rdme_" + drawn(70, BASE36)),
    ("1password-token", "ops_eyJ" + drawn(300)),
    ("octopus-key", "API-" + drawn(26, UPPER)),
    ("salesforce-token", "00D" + drawn(12) + "!" + drawn(96)),
    ("okta-token", "okta 00" + drawn(40)),
    ("openshift-token", "sha256~" + drawn(43)),
    ("maxmind-key", f"{drawn(6)}_{drawn(29)}_mmk"),
    ("endor-key", "endr+" + drawn(16)),
    ("clickhouse-key", "4b1d" + drawn(38)),
    ("frameio-token", "fio-u-" + drawn(64)),
    ("adobe-key", "p8e-" + drawn(32)),
    ("asana-token", f"0/9182736455463728:{hexes(32)}"),
    ("kubernetes-token", f"token {drawn(6, BASE36)}.{drawn(16, BASE36)}"),
    ("dropbox-token", "sl." + drawn(136)),
    ("device-token", f"/api/v1/{drawn(20, BASE36)}/telemetry"),
    ("ubidots-token", "BBFF-" + drawn(30)),
    ("password-hash", f"$2b$12${drawn(53)}"),
    ("password-hash", f"$6${drawn(8)}${drawn(86)}"),
]
PASSWORDS = [
    ("password = 'hunter2hunter2'", "password = '[redacted:password]'"),
    ("password=hunter2", "password=[redacted:password]"),
    ("password: hunter2", "password: [redacted:password]"),
    ("if password == 'Tr0ub4dor': pass", "if password == '[redacted:password]': pass"),
    ("password: str = 'Tr0ub4dor'", "password: str = '[redacted:password]'"),
    ("my_password := `super$ecret`", "my_password := `[redacted:password]`"),
    ("password   =>   'super$ecret'", "password   =>   '[redacted:password]'"),
    ('{"AdminPassword" : "thisismypassword"}', '{"AdminPassword" : "[redacted:password]"}'),
    (r"{\"password\": \"super$ecret\"}", r"{\"password\": \"[redacted:password]\"}"),
    ("<password>correcthorse</password>", "<password>[redacted:password]</password>"),
    ('<add key="ClearTextPassword" value="horse9"/>', '<add key="ClearTextPassword" value="[redacted:password]"/>'),
    ("define('DB_PASSWORD', 'horsebattery');", "define('DB_PASSWORD', '[redacted:password]');"),
    ("login -User bob -Password VMware1!", "login -User bob -Password [redacted:password]"),
    ("username 'user'\npassword 'password'", "username 'user'\npassword '[redacted:password]'"),
    (
        "Server=h;User Id=app;Password=secret;Database=d;",
        "Server=h;User Id=app;Password=[redacted:password];Database=d;",
    ),
    ("The default Password is 'blooberry'", "The default Password is '[redacted:password]'"),
    ("machine example.org login bob password pass123", "machine example.org login bob password [redacted:password]"),
    ("curl -u elastic:P@ssw0rd$1 https://localhost", "curl -u elastic:[redacted:password] https://localhost"),
    ("curl --user 'j.smith:dB2y@L9#4J' x", "curl --user 'j.smith:[redacted:password]' x"),
    ('curl -u "d2LkV78zLx!t:" x', 'curl -u "[redacted:password]:" x'),
    ("curl --user kevin:'pRf7vG2h' x", "curl --user kevin:'[redacted:password]' x"),
    ("sshpass -p hunter22 ssh root@host", "sshpass -p [redacted:password] ssh root@host"),
    ("mysql -u root -phunter22 app", "mysql -u root -p[redacted:password] app"),
    ("net use \\\\fs\\x /user:bob horse9!", "net use \\\\fs\\x /user:bob [redacted:password]"),
    ("CREATE USER bob IDENTIFIED BY 'horse9'", "CREATE USER bob IDENTIFIED BY '[redacted:password]'"),
    ("ConvertTo-SecureString 'horse9' -AsPlainText", "ConvertTo-SecureString '[redacted:password]' -AsPlainText"),
    ("BUNDLE_GEMS__EXAMPLE__COM=cafebabe:deadbeef", "BUNDLE_GEMS__EXAMPLE__COM=[redacted:password]"),
    ("DB_PASSWORD=abcdef123456 run", "DB_PASSWORD=[redacted:password] run"),
]
ADDRESSES = [
    ("postgresql://bob:s3cret@db.example/app", "postgresql://bob:[redacted:url-password]@db.example/app"),
    ("mongodb+srv://app:bria@pass135!@db.net/t", "mongodb+srv://app:[redacted:url-password]@db.net/t"),
    ("redis://:horse9@cache:6379/0", "redis://:[redacted:url-password]@cache:6379/0"),
    (f"https://{A}@git.example/x.git", "https://[redacted:url-password]@git.example/x.git"),
    ("jdbc:oracle:thin:scott/tiger9@db:1521", "jdbc:oracle:thin:scott/[redacted:url-password]@db:1521"),
]
TOKENS = [
    (f'"api_key": "{A}"', '"api_key": "[redacted:token]"'),
    (f"client_secret => '{A}'", "client_secret => '[redacted:token]'"),
    (f"aws_secret_access_key = {A}/+{A}", "aws_secret_access_key = [redacted:token]"),
    (f"export CI_TOKEN={uuid()}", "export CI_TOKEN=[redacted:token]"),
    (f"SNYK_KEY ?= '{uuid()}'", "SNYK_KEY ?= '[redacted:token]'"),
    (f"tool --api-key {A} push", "tool --api-key [redacted:token] push"),
    (f"client = Client(token='{A}')", "client = Client(token='[redacted:token]')"),
    (f"env('CI_TOKEN', '{A}')", "env('CI_TOKEN', '[redacted:token]')"),
    (f"key = process.env.API_KEY || '{A}'", "key = process.env.API_KEY || '[redacted:token]'"),
    (
        f"new NetworkCredential('bob@example.com', '{A}')",
        "new NetworkCredential('bob@example.com', '[redacted:token]')",
    ),
    (f"auth=('bob', '{A}')", "auth=('bob', '[redacted:token]')"),
    (f"https://example.org/?token={A}&page=2", "https://example.org/?token=[redacted:token]&page=2"),
    (f"https://x.example/c?sv=2020&sig={A}%3D", "https://x.example/c?sv=2020&sig=[redacted:token]"),
    (f"Authorization: Bearer {A}==", "Authorization: Bearer [redacted:token]"),
    (f"authorization: token {A}", "authorization: token [redacted:token]"),
    (f"X-Api-Key: {hexes(32)}", "X-Api-Key: [redacted:token]"),
    (f"Set-Cookie: sid={A}; Path=/", "Set-Cookie: sid=[redacted:token]; Path=/"),
    (f"Here is my API key: {A}", "Here is my API key: [redacted:token]"),
    (f"the access token is {A}, keep it", "the access token is [redacted:token], keep it"),
    (
        f'"method": "login_with_api_key", "params": ["{A}"]',
        '"method": "login_with_api_key", "params": ["[redacted:token]"]',
    ),
    (f'variable "api_token" {{\n  default = "{A}"\n}}', 'variable "api_token" {\n  default = "[redacted:token]"\n}'),
    (f"kind: Secret\ndata:\n  any: {b64encode(b'something').decode()}", None),
    ("SECRET_KEY = 'k3!z%(q&8)-m@w#7^x=p2$v+d9_h*n5[r{t}y6~b1'", "SECRET_KEY = '[redacted:token]'"),
    (f"unknown_{drawn(32)} leaked", "[redacted:token] leaked"),
    ("Authorization: Basic YnJvd3Nlcjo=", "Authorization: Basic [redacted:basic-auth]"),
]
ORDINARY = [
    "SQL is built with an f-string in orders.py:33",
    "The token is compared with == instead of hmac.compare_digest",
    "the password is stored in plain text",
    "secret key rotation is required every 90 days",
    "password is None when the form is empty",
    "password = os.environ['DB_PASSWORD']",
    'password = os.getenv("DB_PASSWORD", "")',
    "password = getpass.getpass()",
    "connect(user=user, password=password)",
    "login(self, user=None, password=None, domain='')",
    "token: str = Field(min_length=8)",
    "token = request.headers['Authorization']",
    "const token = await getToken();",
    "if token == expected_token and key != other_key:",
    "Set PASSWORD=... in the environment",
    "PASSWORD=changeme API_KEY=<your-key> TOKEN=xxxxxxxxxxxxxxxx",
    "Authorization: Bearer $TOKEN and Authorization: Basic ...",
    "api_key: ${API_KEY} password: {{ vault_password }} pwd=#{pwd} token=%TOKEN%",
    'curl -u "${USER}:${PASS}" https://x && curl -u user:password https://y',
    "see https://example.org, then docker run -u 1000:2000 x",
    "https://<user>:<password>@host and mysql://user:****@host and http://user:pass@host",
    "http://localhost:8080/?email=a@b.example and ssh://git@example.org:7999/x.git",
    "ghp_" + "x" * 36 + " AKIAIOSFODNN7EXAMPLE",
    "commit 1f0c2d3e4b5a69788796a5b4c3d2e1f00f1e2d3c broke it",
    f"sha256:{hexes(64)} sha256={A} md5 = {hexes(32)}",
    f'"integrity": "sha512-{drawn(86)}=="',
    "uuid 3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    f"request_id={uuid()} trace_id: {hexes(32)} vpc-{hexes(17)}",
    f"[redacted:token] came with commit {hexes(40)} and [redacted:password] = 'x9y8z7w6'",
    f"the token file has the checksum {A}",
    f"see notes_{drawn(24)}.js",
    f"cache_key = '{hexes(40)}' and public_key = '{A}'",
    'primaryKey = "customer42" sort_key="created_at" key="Escape"',
    "The bearer of this message has a sk- prefix and an npm_ one",
    "https://example.org/path?user=bob",
    "secret = secrets.token_urlsafe(32)",
    "secretName: my-tls-secret",
    "private_key = '/etc/ssl/private/server.pem'",
    "max_tokens = 4096, tokenizer = AutoTokenizer",
    '"minipass": "^7.1.2"',
    "test_token_is_rotated[case-12345-abcdef]",
    "_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE",
    "at scala.RDD$$anonfun$mapPartitions$1$$anonfun$apply$23.apply(RDD.scala:8)",
    "eyJ is how a JWT begins, -----BEGIN PRIVATE KEY----- how a key does",
    "Größe und 密码 stehen im Text, İstanbul auch",
    "bob@example.org wrote to Ann",
    "",
]
HOSTILE = [
    *("password ", "password=", 'password="', "token=", "token: '", "key:", "secret(", "auth ", "İpassword="),
    *("eyJ" + "a" * 50 + ".", "://" + "a" * 50, "://a:", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----a", "x" * 60 + "@"),
    *(
        "a_",
        "a.",
        "a-",
        '"',
        "\\",
        " ",
        "\n",
        ".",
        "$1$a",
        "curl -u ",
        "mysql -p",
        "sk-",
        "+ASt",
        "Aa0",
        "?a=b&token=c&",
    ),
    *("[redacted:token]", "[redacted:", "user=", "cookie: a=", "<password>", f"token {A} ", f'password="{A}" '),
]


def shown(text: str, kind: str) -> str:
    return text if "redacted" in text else f"[redacted:{kind}]"


@pytest.mark.parametrize(("kind", "secret"), SECRETS, ids=[f"{kind}-{at}" for at, (kind, _) in enumerate(SECRETS)])
def test_a_token_is_known_by_its_form(kind: str, secret: str) -> None:
    text, kinds = redact(f"It reads {secret} here")
    assert kinds == (kind,)
    assert text.startswith("It reads ")
    assert text.endswith(" here")
    assert not any(part in text for part in secret.replace("\n", " ").split() if len(part) > 24 and "/" not in part)


def test_every_format_has_an_example() -> None:
    assert {one.kind for one in FORMATS} <= {kind for kind, _ in SECRETS}


@pytest.mark.parametrize(("text", "redacted"), PASSWORDS)
def test_the_value_of_a_password_goes_and_its_name_stays(text: str, redacted: str) -> None:
    assert redact(text) == (redacted, ("password",))


@pytest.mark.parametrize(("text", "redacted"), ADDRESSES)
def test_a_password_goes_out_of_an_address(text: str, redacted: str) -> None:
    assert redact(text) == (redacted, ("url-password",))


@pytest.mark.parametrize(("text", "redacted"), TOKENS)
def test_a_token_is_known_by_its_name_or_place(text: str, redacted: str | None) -> None:
    assert redact(text)[0] == (redacted or "kind: Secret\ndata:\n  any: [redacted:token]")


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_untouched(text: str) -> None:
    assert redact(text) == (text, ())


def test_a_private_key_that_was_cut_off_is_redacted_as_far_as_it_goes() -> None:
    text, _ = redact(f"Found -----BEGIN PRIVATE KEY-----\n{drawn(64)}\n{drawn(64)}\nabc")
    assert text == "Found [redacted:private-key]"
    text, _ = redact(f"Found -----BEGIN PRIVATE KEY-----\n{drawn(64)}\n{drawn(64)}\nin the log of the build")
    assert text == "Found [redacted:private-key]\nin the log of the build"


def test_several_secrets_are_all_replaced_and_each_kind_named_once() -> None:
    token, key = "ghp_" + drawn(36), "AKIAQWERTYUIOP234567"
    text, kinds = redact(f"{token} {key} {token}")
    assert text == "[redacted:github-token] [redacted:aws-key] [redacted:github-token]"
    assert sorted(kinds) == ["aws-key", "github-token"]


def test_a_secret_that_shows_only_once_another_is_gone_is_redacted_as_well() -> None:
    text, _ = redact(f"Authorization: Bearer {A}==unknown_{drawn(32)} leaked")
    assert text == "Authorization: Bearer [redacted:token][redacted:token] leaked"


def test_a_secret_in_a_path_is_redacted() -> None:
    assert redact("logs/ghp_" + drawn(36) + ".txt")[0] == "logs/[redacted:github-token].txt"


def test_what_is_in_a_url_beside_a_token_stays() -> None:
    text, _ = redact(f"https://example.org/?page=2&access_token={A}#top")
    assert text == "https://example.org/?page=2&access_token=[redacted:token]"


def test_threads_do_not_disturb_each_other() -> None:
    texts = [f"token = '{drawn(30)}' number {number}" for number in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(redact, texts)) == [redact(text) for text in texts]


PIECES = [
    *(secret for _, secret in SECRETS),
    *ORDINARY,
    *HOSTILE,
    *(text for text, _ in (*PASSWORDS, *ADDRESSES, *TOKENS)),
]


@given(st.lists(st.sampled_from(PIECES), max_size=6), st.sampled_from([" ", "\n", "", "=", ": ", '"', "/", ", "]))
def test_redacting_again_changes_nothing(parts: list[str], between: str) -> None:
    once, _ = redact(between.join(parts))
    assert redact(once) == (once, ())


NAMES = st.sampled_from(
    ["password", "DB_PASSWORD", "api_key", "apiToken", "client-secret", "X-Auth-Token", "secretKey"]
)
FORMS = st.sampled_from(["{} = '{}'", '"{}": "{}"', "{}={}\n", "{}: {}\n", "--{} {}\n", "{} => '{}'", "<a {}='{}'/>"])
LETTERS = st.text(BASE62, min_size=20, max_size=40)
TELLING = LETTERS.filter(lambda text: len(set(text)) > 12 and sum(char.isdigit() for char in text) > 2)
WORDS = "the token of a user is kept in memory until we log out and no key leaks"
PROSE = st.lists(st.sampled_from(WORDS.split()))


@given(PROSE, NAMES, FORMS, TELLING, PROSE)
def test_a_secret_that_is_given_to_a_name_disappears(
    before: list[str], name: str, form: str, value: str, after: list[str]
) -> None:
    text, kinds = redact(" ".join((*before, form.format(name, value), *after)))
    assert value not in text
    assert kinds


@given(PROSE, st.text(max_size=400))
def test_text_without_a_secret_is_unchanged(prose: list[str], noise: str) -> None:
    sentence = " ".join(prose)
    assert redact(sentence) == (sentence, ())
    redacted, kinds = redact(noise)
    assert kinds or redacted == noise


def calls_of(text: str) -> int:
    """Return how many calls redacting `text` takes, of Python's functions and C's."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        redact(text)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("piece", HOSTILE)
def test_twice_the_text_takes_no_more_than_twice_the_steps(piece: str) -> None:
    short, long = piece * (5_000 // len(piece)), piece * (10_000 // len(piece))
    redact(short)  # what is compiled or remembered on first use is not counted
    assert calls_of(long) <= 2.3 * calls_of(short) + 100
