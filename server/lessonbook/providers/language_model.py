"""A language model behind a provider: one request per batch, within bounds, with failures as plain sentences.

Only this module uses pydantic-ai, and imports it only where a model is configured.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from lessonbook.config.settings import RefinerSettings
from lessonbook.domain.errors import ConfigError
from lessonbook.domain.token_estimate import most_tokens
from lessonbook.providers.question import Abstraction, Question

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai import Agent
    from pydantic_ai.models import Model
    from pydantic_ai.providers import Provider
    from pydantic_ai.usage import RunUsage

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
"""Reading a longer answer is given up."""
INSTALL: Final = 'pip install "lessonbook[llm]"'
_NO_EXTRA: Final = f"refiner.model is set, but its extra is not installed: run {INSTALL}"
_CHATTY: Final = ("openai", "anthropic", "google_genai", "httpx", "httpx2", "httpcore", "httpcore2")
"""Loggers of libraries that log every request at DEBUG or INFO, perhaps with its content."""
_NO_KEY: Final = "no-key"
_CREDENTIALS: Final = (
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "api-key",
    "cookie",
    "openai-organization",
    "openai-project",
)
"""Headers with credentials or the account to bill."""
_COMPATIBLE: Final = ("openai:", "openai-chat:")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Spent:
    """Usage of a request: tokens as the provider counted them, and US dollars where the price is known."""

    tokens: int = 0
    cost_usd: float = 0.0


class ModelFailed(Exception):  # not the caller's error: the issues stay pending
    """The model gave no usable answer. `reason` is a sentence that repeats nothing of the question or the answer."""

    def __init__(self, reason: str, spent: Spent) -> None:
        super().__init__(reason)
        self.reason = reason
        self.spent = spent


class AnswerTooLong(Exception):  # noqa: D101  # a signal between the transport and `_reason`
    pass


class LanguageModel:
    """The configured model. Close it when done."""

    def __init__(self, settings: RefinerSettings, model: Model, client: httpx2.AsyncClient) -> None:
        from pydantic_ai import Agent  # noqa: PLC0415  # only where a model is configured

        self._settings = settings
        self._client = client
        self._model = model
        self._again = min(1, settings.retries)
        self._agent: Agent[object, Abstraction] = Agent(
            model, output_type=Abstraction, name="lessonbook", retries={"output": self._again}
        )

    @property
    def name(self) -> str:
        """The model as it is configured."""
        return self._settings.model

    @property
    def longest_s(self) -> float:
        """Maximum duration of `abstract` in seconds, with all retries and pauses."""
        return _deadline_s(self._settings) * (1 + self._again)

    def most(self, question: Question) -> Spent:
        """Return the maximum usage of `abstract`, so that it can be reserved before."""
        requests, answer = 1 + self._again, self._settings.max_output_tokens
        inwards = most_tokens(question.size_bytes) * requests + answer * self._again  # a retry holds the answer before
        return Spent(inwards + answer * requests, self._cost(inwards, answer * requests) or 0.0)

    @property
    def has_price(self) -> bool:
        """Whether the price is known, so that a limit in US dollars can be enforced."""
        return self._cost(1_000_000, 1_000_000) is not None

    async def abstract(self, question: Question) -> tuple[Abstraction, Spent]:
        """Return the model's answer and its usage; the maximum where the provider does not report it.

        Raises:
            ModelFailed: there was no answer, or not one in the agreed form.
        """
        from pydantic_ai.settings import ModelSettings  # noqa: PLC0415  # as above
        from pydantic_ai.usage import RunUsage, UsageLimits  # noqa: PLC0415

        usage = RunUsage()
        settings = ModelSettings(
            timeout=self._settings.timeout_s,
            request_timeout=_deadline_s(self._settings),
            max_retries=self._settings.retries,
            max_tokens=self._settings.max_output_tokens,
        )
        try:
            result = await self._agent.run(
                question.data,
                instructions=question.instructions,
                model_settings=settings,
                usage=usage,
                usage_limits=UsageLimits(request_limit=1 + self._again),
                infer_name=False,
            )
        except Exception as error:  # noqa: BLE001  # a provider may raise anything
            spent = self.most(question) if _was_read(error) and not usage.total_tokens else self._spent(usage)
            raise ModelFailed(_reason(error, self._settings), spent) from None
        return result.output, self._spent(usage) if usage.total_tokens else self.most(question)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    def _spent(self, usage: RunUsage) -> Spent:
        cost = self._configured_cost(usage.input_tokens, usage.output_tokens)
        return Spent(usage.total_tokens, float(usage.cost or 0) if cost is None else cost)

    def _configured_cost(self, inwards: int, outwards: int) -> float | None:
        prices = self._settings.input_usd_per_million, self._settings.output_usd_per_million
        return (inwards * prices[0] + outwards * prices[1]) / 1_000_000 if any(prices) else None

    def _cost(self, inwards: int, outwards: int) -> float | None:
        """Return the configured price, else the published one, else None."""
        from genai_prices import Usage, calc_price  # noqa: PLC0415  # as above

        configured = self._configured_cost(inwards, outwards)
        if configured is not None:
            return configured
        try:
            usage = Usage(input_tokens=inwards, output_tokens=outwards)
            price = calc_price(usage, self._model.model_name, provider_id=self._model.system)
        except (LookupError, ValueError):
            return None
        return float(price.total_price)


def check_extra(settings: RefinerSettings) -> None:
    """Check that the extra is installed where a model is configured, without importing it.

    Raises:
        ConfigError: it is not; the message has the command that installs it.
    """
    if settings.model and find_spec("pydantic_ai") is None:
        raise ConfigError(_NO_EXTRA)


def open_model(settings: RefinerSettings, environment: Mapping[str, str] = os.environ) -> LanguageModel:
    """Return the configured model; nothing is sent yet.

    Call it on a worker thread: its imports take long.

    Raises:
        ConfigError: the extra is not installed, or the model or its key cannot be found.
    """
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        from pydantic_ai.exceptions import UserError  # noqa: PLC0415  # only where a model is configured
        from pydantic_ai.models import create_async_httpx2_client  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(_NO_EXTRA) from error
    key = settings.read_key("refiner", environment) or None
    client = create_async_httpx2_client()
    if settings.base_url:
        client.event_hooks["request"].append(_without_foreign_keys(key))
    client.headers["Accept-Encoding"] = "identity"  # so that the bytes on the wire are the bytes of the answer
    client.event_hooks["response"].append(_bound)
    try:
        return LanguageModel(settings, _model(settings, key, client), client)
    except ImportError as error:
        raise ConfigError(
            f"refiner.model = {settings.model!r} needs a package that is not installed: run {INSTALL}, or the extra of "
            "pydantic-ai-slim for that provider"
        ) from error
    except (UserError, ValueError, TypeError) as error:
        raise ConfigError(
            f"refiner.model = {settings.model!r} cannot be used: write it as provider:name, and put its key into the "
            "environment (refiner.api_key_env)"
        ) from error


def _model(settings: RefinerSettings, key: str | None, client: httpx2.AsyncClient) -> Model:
    from pydantic_ai.models import infer_model  # noqa: PLC0415  # only where a model is configured
    from pydantic_ai.providers import infer_provider_class  # noqa: PLC0415

    def provider(name: str) -> Provider[Any]:
        kind = infer_provider_class(name)
        own = key or (_NO_KEY if settings.base_url else None)  # without one the provider reads its usual variable
        wanted: dict[str, object] = {"api_key": own, "http_client": client, "base_url": settings.base_url or None}
        known = inspect.signature(kind).parameters
        return kind(**{name: value for name, value in wanted.items() if value is not None and name in known})

    if not settings.base_url or settings.model.startswith(("anthropic:", "openai-responses:")):
        return infer_model(settings.model, provider)
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider  # noqa: PLC0415

    name = settings.model
    for prefix in _COMPATIBLE:
        name = name.removeprefix(prefix)
    server = OpenAICompatibleProvider("openai-compatible", base_url=settings.base_url, api_key=key, http_client=client)
    return OpenAIChatModel(name, provider=server)


def _without_foreign_keys(key: str | None) -> Callable[[httpx2.Request], Awaitable[None]]:
    """Return a hook that removes every credential but `key`: clients add those of the environment."""

    async def clean(request: httpx2.Request) -> None:
        for name in _CREDENTIALS:
            if request.headers.get(name, "").removeprefix("Bearer ") != key:
                request.headers.pop(name, None)

    return clean


def _deadline_s(settings: RefinerSettings) -> float:
    return settings.timeout_s * (1 + settings.retries) + 30.0 * settings.retries


async def _bound(response: httpx2.Response) -> None:
    """Limit the bytes that can be read of a response, as a hook."""
    import httpx2  # noqa: PLC0415  # only where a model is configured

    stream = response.stream
    if not isinstance(stream, httpx2.AsyncByteStream):
        return

    class Bounded(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = ANSWER_BYTES_MAX
            async for chunk in stream:
                left -= len(chunk)
                if left < 0:
                    raise AnswerTooLong
                yield chunk

        async def aclose(self) -> None:
            await stream.aclose()

    response.stream = Bounded()


def _reason(error: Exception, settings: RefinerSettings) -> str:
    """Return the failure in our own words: a provider's may repeat the key or the issues."""
    from pydantic_ai import exceptions as errors  # noqa: PLC0415  # as above

    sentences: list[tuple[tuple[type[Exception], ...], str]] = [
        (
            (errors.ModelRequestTimeout, errors.ModelTimeoutError),
            f"The model did not answer in {settings.timeout_s:g} s",
        ),
        ((errors.ModelRateLimitError,), "The provider's rate limit is reached"),
        ((errors.ModelQuotaExceededError,), "The provider says that its quota or credit is used up"),
        ((errors.ModelAuthenticationError,), "The provider refused the key"),
        ((errors.ModelNotFoundError,), "The provider does not know the model or the address"),
        ((errors.ModelRequestRejectedError,), "The provider refused the request"),
        ((errors.ModelConnectionError,), "The provider could not be reached, or cut the connection"),
        ((errors.ModelAPIError,), "The provider failed"),
        ((errors.ContentFilterError,), "The provider's filter withheld the answer"),
        (
            (errors.UnexpectedModelBehavior, errors.UsageLimitExceeded),
            "The model's answer was not in the agreed form",
        ),
    ]
    if _is_too_long(error):
        return f"The provider's answer was longer than {ANSWER_BYTES_MAX // 1024**2} MiB."
    status = f" (HTTP {error.status_code})" if isinstance(error, errors.ModelHTTPError) else ""
    for kinds, sentence in sentences:
        if isinstance(error, kinds):
            return f"{sentence}{status}."
    log.warning("the language model failed with %s", type(error).__qualname__)
    return f"The language model failed ({type(error).__name__})."


def _was_read(error: Exception) -> bool:
    """Return whether a failed request may have been processed and billed nevertheless."""
    from pydantic_ai.exceptions import ModelConnectionError, ModelRequestTimeout  # noqa: PLC0415  # as above

    return isinstance(error, ModelRequestTimeout) or (
        isinstance(error, ModelConnectionError) and error.phase not in {"pool", "connect"}
    )


def _is_too_long(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, AnswerTooLong):
            return True
        error = error.__cause__ or error.__context__
    return False
