"""What the name of a value says of it: nothing, or that it is a key of some sort, a token or a password."""

from functools import lru_cache
from typing import Final, Literal

from lessonbook.domain.vocabulary import words
from lessonbook.machine.patterns import lazy_pattern

Promise = Literal["none", "key", "token", "password"]
"""How surely the value of a name is secret: `none` not at all, `password` whatever it looks like."""

_PARTS = lazy_pattern(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PASSWORD: Final = words(
    "password passwd passwort pwd pass passphrase passcode pw passw userpass psk rootpw storepass keypass requirepass"
    " masterauth kennwort pswd psswd pssword pasword passwrd pswrd psword paswd passphase"
)
_TOKEN: Final = words(
    "token secret apikey credential cred auth authorization jwt pat crumb login bearer jsessionid phpsessid"
)
_PASSWORD_ENDINGS: Final = ("password", "passwd", "passphrase", "pwd", "pass", "passwort")
_TOKEN_ENDINGS: Final = (
    *("secret", "token", "apikey", "secretkey", "accesskey", "privatekey", "licensekey", "authkey", "credential"),
    "sessid",
)
_PASSES: Final = words("by first second single render compiler optimizer fast slow low high band all multi")
_NO_PASSWORDS: Final = words("bypass compass encompass surpass trespass overpass")
_AFTERWORDS: Final = words(
    "dev prod production stage staging test live sandbox default value val str string raw plain text base b bytes"
    " encoded env old new current main primary secondary header local my hex data is"
)
"""What may follow the noun of a name without changing what it names: `API_KEY_PROD`, `secretValue`, `token_base64`."""
_KEY_OF_TOKEN: Final = words(
    "api secret access private auth encryption signing account license licence client shared preshared master service"
    " app application subscription storage admin deploy integration ingest rest session encrypt decrypt crypto"
    " aes hmac signature jwt write read project server webhook user developer"
)
_KEY_OF_NOTHING: Final = words(
    "public pub primary foreign partition sort row object cache dict hot idempotency dedup group index unique map"
    " json lookup registry translation i18n message hash range tag label field column config setting state storagekey"
    " pressed arrow enter return shift rule fingerprint route router react item order context host known locale"
    " checksum block store lock race query search metric event log attr attribute property prop path file recv site"
    " restore caches publishable anon"
)
_TOKEN_OF_NOTHING: Final = words(
    "public page next previous continuation cancel cancellation pagination sync start end stop eos bos pad sep cls"
    " mask unk special image video audio syntax lexer design"
)
_SERVICES: Final = words(
    # Services that give out keys, by the name that settings give them: `MAILCHIMP_API`, `snyk: …`.
    "adafruit airtable algolia alibaba amplitude artifactory asana atlassian auth0 beamer bitbucket bittrex bugsnag"
    " buildkite clojars cloudflare codeclimate codecov cohere coinbase confluent contentful datadog deepgram deepl"
    " digicert discord doppler droneci dropbox dynatrace easypost elevenlabs etsy facebook fastly figma finicity"
    " finnhub flickr flutterwave frameio freshbooks gitter gocardless grafana groq heroku hubspot huggingface intercom"
    " ipstack jfrog jumpcloud kraken kucoin launchdarkly linkedin looker mailchimp mailgun mapbox mattermost meraki"
    " messagebird mixpanel netlify newrelic nytimes okta onesignal openai openweather opsgenie pagerduty paypal pinata"
    " pinecone plaid planetscale postmark prefect pubnub pulumi pusher rapidapi recaptcha reddit replicate rollbar"
    " sauce sendbird sendgrid sendinblue sentry shippo shodan shopify sidekiq snyk sonar sonarqube sourcegraph splunk"
    " spotify squarespace stripe sumologic telegram travis travisci trello twilio twitch twitter typeform ubidots"
    " vercel virustotal wandb weatherapi yandex zendesk"
)
_LONG_SERVICES: Final = tuple(sorted(service for service in _SERVICES if len(service) > 6))  # noqa: PLR2004
_NO_KEYS: Final = words("url uri host hostname domain user username name version commit sha email region org customer")

NAMING: Final = (
    *words("pass pwd secret token key auth cred licen psk login bearer jwt crumb _pat sessid jsessionid pw kennwort"),
    *words("psw pssw pasw"),
    *sorted(_SERVICES),
)
"""Texts in small letters; every name with a promise holds one of them."""


@lru_cache(maxsize=4096)
def promise(name: str) -> Promise:
    """Return what `name` (an identifier, header, flag or path of them) promises of its value."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    while len(parts) > 1 and (parts[-1] in _AFTERWORDS or parts[-1].isdigit()):
        parts.pop()
    if not parts:
        return "none"
    head, before = parts[-1], parts[:-1]
    if head.endswith("s") and not head.endswith("ss"):
        head = head[:-1]
    if head in _PASSWORD:
        return "none" if head == "pass" and before and before[-1] in _PASSES else "password"
    if head in _TOKEN:
        return "none" if before and (before[-1] in _TOKEN_OF_NOTHING or before[-2:] == ["public", "key"]) else "token"
    if head == "key":
        return _of_key(before)
    if head.endswith((*_PASSWORD_ENDINGS, *_TOKEN_ENDINGS)):
        if head in _NO_PASSWORDS or "public" in name.lower():
            return "none"
        return "password" if head.endswith(_PASSWORD_ENDINGS) else "token"
    return _of_service(parts, head)


def _of_key(before: list[str]) -> Promise:
    if not before or before[-1] in _KEY_OF_NOTHING:
        return "none"
    return "token" if before[-1] in _KEY_OF_TOKEN or before[-1].endswith(("secret", "access", "api")) else "key"


def _of_service(parts: list[str], head: str) -> Promise:
    if head in {"license", "licence"} or parts[-2:] == ["secret", "id"]:
        return "key"
    if head in _NO_KEYS:
        return "none"
    squashed = "".join(parts)
    named = not _SERVICES.isdisjoint(parts) or any(service in squashed for service in _LONG_SERVICES)
    return "key" if named else "none"
