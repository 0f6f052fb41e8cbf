"""Providers whose truth is drawn by a dice and changes with time, each with what must be stored of it."""

import random
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from collectors.anthropic import Anthropic
from collectors.helicone import Helicone
from collectors.langfuse import Langfuse
from collectors.litellm import LiteLLM
from collectors.openai import OpenAI
from collectors.openrouter import OpenRouter
from monitor.domain.money import EXACT, PICO
from monitor.domain.usage import DAY, HOUR, Dimensions, Quantities, add
from tests import (
    fake_anthropic,
    fake_helicone,
    fake_langfuse,
    fake_litellm,
    fake_openai,
    fake_openrouter,
)
from tests.fake_api import FakeApi
from tests.mischief import MARK, Mischief, out_of_order, rfc

Usage = dict[tuple[Dimensions, int], Quantities]
"""By series and UTC day."""
Bill = dict[tuple[Dimensions, int, str, str], int]
"""Pico by series, day, line item and currency."""

MODELS = ("m-small", "m/large-2026-01-01", "m\u00fc \u202eevil\n", "x" * 300)
CLEAN = {MODELS[2]: "m\u00fc evil", MODELS[3]: "x" * 200}


class Provider(ABC):
    """A fake, its source, and the truth.

    Args:
        rng: the dice.
        now: the instant from which on nothing has happened yet.
    """

    measures: tuple[str, ...]
    fake: FakeApi

    def __init__(self, rng: random.Random, now: int):
        self.rng = rng
        self.now = now
        self.first = now - now % DAY - 10 * DAY
        self.mischief = Mischief(rng, self.change, self.measures)
        self.fake.faults = self.mischief  # type: ignore[assignment]
        self.most: dict[tuple[Dimensions, int], int] = defaultdict(int)
        self._names = iter(range(10**9))
        for _ in range(60):
            self.add(self.some_time())
        self.remember()

    # --- The truth ---

    @property
    def full(self) -> int:
        """The end of the last full hour."""
        return self.now - self.now % HOUR

    def some_time(self) -> int:
        return self.rng.randrange(self.first, self.full)

    def count(self, most: int = 10**6) -> int:
        return self.rng.choice([0, 1, self.rng.randrange(most), self.rng.randrange(10**12)])

    def amount(self) -> Decimal:
        """Up to thirty digits, an exponent, or a credit."""
        digits = Decimal(self.rng.randrange(10**30)).scaleb(-26, EXACT)
        small = Decimal(self.rng.randrange(1, 99)).scaleb(-self.rng.randrange(4, 12))
        return self.rng.choice([digits, small, -small, Decimal(self.rng.randrange(9)), Decimal(0)])

    def change(self) -> None:
        """Something comes late, is restated or vanishes."""
        what = self.rng.randrange(3)
        for of in self.lists():
            if what == 0 or not of:
                self.add(self.some_time())
            elif what == 1:
                del of[self.rng.randrange(len(of))]
            else:
                at = self.rng.randrange(len(of))
                of[at] = self.restated(of[at])
        self.remember()

    def pass_time(self, seconds: int) -> None:
        before, self.now = self.full, self.now + seconds
        for _ in range(self.rng.randrange(8)):
            if before < self.full:
                self.add(self.rng.randrange(before, self.full))
        self.remember()

    def remember(self) -> None:
        for key, quantities in self.usage().items():
            self.most[key] = max(self.most[key], quantities.tokens)

    def is_spoiled(self, payload: str, reason: str) -> bool:
        """Whether a row in quarantine was made unreadable."""
        return f'"{MARK}": true' in payload

    @abstractmethod
    def source(self, name: str, url: str, **limits: Any) -> Any: ...

    @abstractmethod
    def lists(self) -> list[list[Any]]: ...

    @abstractmethod
    def add(self, at: int) -> None: ...

    @abstractmethod
    def restated(self, lump: Any) -> Any: ...

    @abstractmethod
    def usage(self) -> Usage: ...

    @abstractmethod
    def bill(self) -> Bill: ...

    @abstractmethod
    def prepare(self) -> None:
        """Set what may be different at each poll."""


def summed(found: Iterable[tuple[Dimensions, int, Quantities]]) -> Usage:
    sums: Usage = {}
    for dims, at, quantities in found:
        key = (dims, at - at % DAY)
        sums[key] = add(sums[key], quantities) if key in sums else quantities
    return sums


def billed(found: Iterable[tuple[Dimensions, int, str, str, Decimal]]) -> Bill:
    """Each amount as the provider adds it up, rounded once to a pico."""
    sums: dict[Any, Decimal] = {}
    for *key, amount in found:
        sums[tuple(key)] = EXACT.add(sums.get(tuple(key), Decimal(0)), amount)
    bill: Bill = defaultdict(int)
    for (dims, day, item, currency), amount in sums.items():
        # Names that are equal once they are cleaned are one line, each part of it rounded.
        bill[dims, day, clean(item), currency] += pico(amount)
    return bill


def pico(amount: Decimal) -> int:
    return int(EXACT.to_integral_value(EXACT.multiply(amount, PICO)))


def clean(text: str) -> str:
    return " ".join(text.replace("\u202e", " ").split())[:200]


FEW = ("embeddings", "moderations")
"""Endpoints that count input and requests alone."""


class OfOpenAI(Provider):
    measures = ("input_tokens", "output_tokens", "num_model_requests", "amount")
    account, provider = "acme", "openai"

    def __init__(self, rng: random.Random, now: int):
        self.fake: Any = fake_openai.FakeOpenAI()
        self.style = rng.choice(["brackets", "repeated"])
        super().__init__(rng, now)

    def source(self, name: str, url: str, **limits: Any) -> Any:
        return OpenAI(
            name, "acme", fake_openai.ADMIN_KEY, base_url=url, array_style=self.style, **limits
        )

    def prepare(self) -> None:
        self.fake.page_buckets = self.rng.choice([1, 20, 61, 10_000])

    def lists(self) -> list[list[Any]]:
        return [self.fake.truth, self.fake.costs]

    def add(self, at: int) -> None:
        of = {
            "model": self.rng.choice(MODELS),
            "project_id": self.rng.choice(["proj_a", None]),
            "api_key_id": self.rng.choice(["key_1", "key_2"]),
        }
        if self.rng.random() < 0.2:
            counts = {"input_tokens": self.count(), "num_model_requests": self.count(99)}
            endpoint = self.rng.choice(["embeddings", "moderations"])
            use = fake_openai.Use(at, counts, endpoint=endpoint, **of)
        else:
            rest = {
                "batch": self.rng.random() < 0.2,
                "service_tier": self.rng.choice(["flex", None]),
            }
            rest["endpoint"] = self.rng.choice(["completions", "completions", "decisions"])
            use = fake_openai.Use(at, self.counts(), **of, **rest)
        self.fake.truth.append(use)
        item = f"gpt-5, {self.rng.choice(['input', 'output'])}"
        cost = fake_openai.Cost(at - at % DAY, self.amount(), item, of["project_id"])
        self.fake.costs.append(cost)

    def counts(self) -> dict[str, int]:
        parts = ("text", "audio", "image", "cached_text", "cached_audio", "cached_image")
        parts += ("written_30m", "written_12h", "out_text", "out_audio", "out_image", "requests")
        return fake_openai.counts(**{part: self.count() for part in parts})

    def restated(self, lump: Any) -> Any:
        if isinstance(lump, fake_openai.Cost):
            return lump._replace(value=self.amount())
        if lump.endpoint in FEW:
            return lump._replace(counts=lump.counts | {"input_tokens": self.count()})
        return lump._replace(counts=self.counts())

    def usage(self) -> Usage:
        return summed((self.dims(use), use.at, quantities_of(use)) for use in self.fake.truth)

    def dims(self, use: fake_openai.Use) -> Dimensions:
        finer = use.endpoint not in FEW
        return Dimensions(
            "acme",
            "openai",
            CLEAN.get(use.model, use.model),
            use.project_id or "",
            use.api_key_id,
            tier=(use.service_tier or "") if finer else "",
            batch=str(use.batch).lower() if finer else "",
        )

    def bill(self) -> Bill:
        return billed(
            (
                Dimensions("acme", "openai", "gpt-5", c.project_id or "", c.api_key_id),
                c.day,
                c.line_item,
                "USD",
                c.value,
            )
            for c in self.fake.costs
        )


def quantities_of(use: fake_openai.Use) -> Quantities:
    c = use.counts
    if use.endpoint in FEW:
        return Quantities(uncached_input=c["input_tokens"], requests=c["num_model_requests"])
    return Quantities(
        c["input_text_tokens"],
        c["input_cached_text_tokens"],
        c["input_cache_write_30m_tokens"],
        c["input_cache_write_12h_tokens"],
        c["output_text_tokens"],
        c["input_audio_tokens"],
        c["input_cached_audio_tokens"],
        c["output_audio_tokens"],
        c["input_image_tokens"],
        c["input_cached_image_tokens"],
        c["output_image_tokens"],
        None,
        c["num_model_requests"],
    )


class OfAnthropic(Provider):
    measures = ("uncached_input_tokens", "output_tokens", "cache_creation", "amount")
    api = "analytics"

    def __init__(self, rng: random.Random, now: int):
        self.fake: Any = fake_anthropic.FakeAnthropic()
        super().__init__(rng, now)

    def source(self, name: str, url: str, **limits: Any) -> Any:
        key = fake_anthropic.ADMIN_KEY
        return Anthropic(name, "acme", key, base_url=url, api=self.api, **limits)

    def prepare(self) -> None:
        self.fake.page_size = self.rng.choice([3, 20, 1000])
        late = self.now - self.rng.randrange(90_000)
        wild = self.mischief.wildness > 0
        self.fake.refreshed_at = rfc(late) if wild and self.rng.random() < 0.3 else None

    def lists(self) -> list[list[Any]]:
        return [self.fake.truth, self.fake.costs]

    def add(self, at: int) -> None:
        of = {
            "model": self.rng.choice(MODELS),
            "workspace_id": self.rng.choice(["wrkspc_1", None]),
            "api_key_id": self.rng.choice(["apikey_1", None]),
        }
        window = self.rng.choice(["0-200k", "200k-1M"])
        self.fake.truth.append(fake_anthropic.Use(at, *self.counts(), context_window=window, **of))
        token_type = self.rng.choice(["output_tokens", "cache_creation.ephemeral_1h_input_tokens"])
        cost = fake_anthropic.Cost(at - at % DAY, self.amount(), token_type=token_type, **of)
        self.fake.costs.append(cost)

    def counts(self) -> list[int]:
        return [self.count() for _ in range(6)]

    def restated(self, lump: Any) -> Any:
        if isinstance(lump, fake_anthropic.Cost):
            return lump._replace(cents=self.amount())
        return fake_anthropic.Use(lump.at, *self.counts(), *lump[7:])

    def usage(self) -> Usage:
        return summed(
            (
                Dimensions(
                    "acme",
                    "anthropic",
                    CLEAN.get(use.model, use.model),
                    use.workspace_id or "",
                    use.api_key_id or "",
                    tier="standard"
                    if use.context_window == "0-200k"
                    else "standard;context_window=200k-1M",
                ),
                use.at,
                Quantities(*use[1:6], requests=use.requests if self.api == "analytics" else None),
            )
            for use in self.fake.truth
        )

    def bill(self) -> Bill:
        return billed(self.line(cost) for cost in self.fake.costs)

    def line(self, cost: fake_anthropic.Cost) -> tuple[Dimensions, int, str, str, Decimal]:
        model, dollars = CLEAN.get(cost.model, cost.model), cost.cents.scaleb(-2, EXACT)
        dims = Dimensions(
            "acme", "anthropic", model, cost.workspace_id or "", cost.api_key_id or ""
        )
        return dims, cost.day, str(cost.token_type), "USD", dollars


class OfReports(OfAnthropic):
    """The older reports, which group costs by their description and know no key."""

    api = "reports"

    def line(self, cost: fake_anthropic.Cost) -> tuple[Dimensions, int, str, str, Decimal]:
        dims, day, _, currency, dollars = super().line(cost)
        dims = dims._replace(api_key="", region="global")
        return dims, day, cost.description, currency, dollars


class OfOpenRouter(Provider):
    measures = ("prompt_tokens", "completion_tokens", "usage")

    def __init__(self, rng: random.Random, now: int):
        self.fake: Any = fake_openrouter.FakeOpenRouter()
        super().__init__(rng, now)

    def prepare(self) -> None:
        self.fake.today = rfc(self.now)[:10]

    def source(self, name: str, url: str, **limits: Any) -> Any:
        return OpenRouter(name, "acme", fake_openrouter.KEY, base_url=url, **limits)

    def lists(self) -> list[list[Any]]:
        return [self.fake.items]

    def add(self, at: int) -> None:
        prompt = self.count()
        self.fake.items.append(
            fake_openrouter.item(
                1,
                date=rfc(at)[:10],
                model=self.rng.choice(MODELS),
                endpoint_id=f"endpoint-{next(self._names)}",
                workspace_id=self.rng.choice(["ws_1", None]),
                requests=self.count(99),
                prompt_tokens=prompt,
                cached_tokens=self.rng.choice([0, prompt // 2, prompt + 7]),
                completion_tokens=self.count(),
                reasoning_tokens=self.rng.choice([None, 5]),
                usage=self.amount(),
            )
        )

    def restated(self, lump: Any) -> Any:
        return lump | {"completion_tokens": self.count(), "usage": self.amount()}

    def read(self) -> list[tuple[Dimensions, int, dict[str, Any]]]:
        """What completed days have."""
        today = rfc(self.now)[:10]
        return [
            (
                Dimensions(
                    "acme",
                    "openrouter",
                    CLEAN.get(i["model"], i["model"]),
                    i["workspace_id"] or "",
                ),
                day_of(i["date"]),
                i,
            )
            for i in self.fake.items
            if i["date"] < today
        ]

    def usage(self) -> Usage:
        return summed(
            (
                dims,
                day,
                Quantities(
                    uncached_input=max(0, i["prompt_tokens"] - i["cached_tokens"]),
                    cache_read=i["cached_tokens"],
                    output=i["completion_tokens"],
                    reasoning=i["reasoning_tokens"],
                    requests=i["requests"],
                ),
            )
            for dims, day, i in self.read()
        )

    def bill(self) -> Bill:
        """Rows of one model are rounded one by one."""
        found: Bill = defaultdict(int)
        for dims, day, i in self.read():
            found[dims, day, "credits", "USD"] += pico(i["usage"])
        return found


def day_of(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


class OfLiteLLM(Provider):
    measures = ("prompt_tokens", "completion_tokens", "startTime")

    def __init__(self, rng: random.Random, now: int):
        self.fake: Any = fake_litellm.FakeProxy()
        super().__init__(rng, now)

    def source(self, name: str, url: str, **limits: Any) -> Any:
        return LiteLLM(name, "acme", fake_litellm.KEY, base_url=url, **limits)

    def prepare(self) -> None:
        self.fake.cap = self.rng.choice([4, 10_000])
        self.fake.page_size = self.rng.choice([2, 1000])

    def lists(self) -> list[list[Any]]:
        return [self.fake.calls]

    def add(self, at: int) -> None:
        at_milli = at + self.rng.choice([0, 0.001, 0.999])
        self.fake.calls.append(
            fake_litellm.call(at_milli, f"req-{next(self._names)}", **self.counts())
            | {
                "model": f"openai/{self.rng.choice(MODELS)}",
                "custom_llm_provider": "openai",
                "team_id": self.rng.choice(["team-1", None]),
                "status": self.rng.choice(["success", "success", "success", "failure"]),
                "cache_hit": self.rng.choice(["None", "False", None, "True"]),
                "spend": 0.1,
            }
        )

    def counts(self) -> dict[str, Any]:
        uncached, read, written = self.count(), self.count(), self.count()
        return {
            "prompt_tokens": uncached + read + written,
            "completion_tokens": self.count(),
            "metadata": {
                "usage_object": {
                    "cache_read_input_tokens": read,
                    "cache_creation_input_tokens": written,
                    "prompt_tokens_details": {
                        "cached_tokens": self.rng.choice([read, None]),
                        "cache_creation_token_details": {"ephemeral_1h_input_tokens": written // 2},
                    },
                }
            },
        }

    def restated(self, lump: Any) -> Any:
        return lump | self.counts()

    def usage(self) -> Usage:
        return summed(
            (
                Dimensions(
                    "acme",
                    "openai",
                    CLEAN.get(
                        c["model"].removeprefix("openai/"), c["model"].removeprefix("openai/")
                    ),
                    c["team_id"] or "",
                    c["api_key"],
                ),
                int(fake_litellm.started(c)),
                self.quantities(c),
            )
            for c in self.fake.calls
            if c["status"] == "success" and c["cache_hit"] != "True"
        )

    @staticmethod
    def quantities(call: dict[str, Any]) -> Quantities:
        used = call["metadata"]["usage_object"]
        read, written = used["cache_read_input_tokens"], used["cache_creation_input_tokens"]
        return Quantities(
            uncached_input=call["prompt_tokens"] - read - written,
            cache_read=read,
            cache_write=written - written // 2,
            cache_write_long=written // 2,
            output=call["completion_tokens"],
            requests=1,
        )

    def bill(self) -> Bill:
        return {}


class OfLangfuse(Provider):
    measures = ("sum_inputTokens", "sum_outputTokens", "count_count")

    def __init__(self, rng: random.Random, now: int):
        self.fake: Any = fake_langfuse.FakeLangfuse()
        super().__init__(rng, now)

    def prepare(self) -> None:
        """Nothing is different."""

    def source(self, name: str, url: str, **limits: Any) -> Any:
        providers = {"m*": "openai"}
        return Langfuse(
            name, "acme", fake_langfuse.KEY, base_url=url, providers=providers, **limits
        )

    def lists(self) -> list[list[Any]]:
        return [self.fake.calls]

    def add(self, at: int) -> None:
        where = (self.rng.choice(MODELS), self.rng.choice(["production", "staging", ""]))
        self.fake.calls.append((at + self.rng.choice([0, 0.001, 0.999]), *where, *self.counts()))

    def counts(self) -> tuple[int, int, int]:
        given, got = self.count(), self.count()
        return given, got, given + got + self.rng.choice([0, 7])

    def restated(self, lump: Any) -> Any:
        return (*lump[:3], *self.counts())

    def usage(self) -> Usage:
        return summed(
            (
                Dimensions(
                    "acme",
                    "openai" if model.startswith("m") else "",
                    CLEAN.get(model, model),
                    environment,
                ),
                int(at),
                Quantities(uncached_input=given, output=got, requests=1),
            )
            for at, model, environment, given, got, _ in self.fake.calls
        )

    def bill(self) -> Bill:
        return {}


class OfHelicone(Provider):
    measures = ("prompt_tokens", "completion_tokens")

    def __init__(self, rng: random.Random, now: int):
        self.fake: Any = fake_helicone.FakeHelicone()
        super().__init__(rng, now)

    def is_spoiled(self, payload: str, reason: str) -> bool:
        """Of a row little is kept, so that its mark is lost."""
        return "is no count" in reason

    def prepare(self) -> None:
        self.fake.cap = self.rng.choice([4, 1000])
        # Rows come in the order that was asked for, or not at all.
        self.mischief.style = [odd for odd in self.mischief.style if odd is not out_of_order]

    def source(self, name: str, url: str, **limits: Any) -> Any:
        return Helicone(name, "acme", fake_helicone.KEY, base_url=url, project="Team", **limits)

    def lists(self) -> list[list[Any]]:
        return [self.fake.calls]

    def add(self, at: int) -> None:
        stored_twice = self.rng.choice([1, 1, 1, 2])
        made = fake_helicone.call(
            f"req-{next(self._names)}",
            at + self.rng.choice([0, 0.001, 0.999]),
            model=self.rng.choice(MODELS),
            provider=self.rng.choice(["OPENAI", "ANTHROPIC"]),
            properties=self.rng.choice([{"Team": "shop"}, {}, None]),
            response_status=self.rng.choice([200, 200, 200, 429]),
            cache_reference_id=self.rng.choice([fake_helicone.NO_CACHE, None, "", "c-1"]),
            **self.counts(),
        )
        self.fake.calls += [made] * stored_twice

    def counts(self) -> dict[str, Any]:
        read, written = self.count(), self.count()
        return {
            "prompt_tokens": self.count() + read + written,
            "completion_tokens": self.count(),
            "prompt_cache_read_tokens": read,
            "prompt_cache_write_tokens": written,
        }

    def restated(self, lump: Any) -> Any:
        """Its other row, if there is one, is the older one, which tells less."""
        more = lump["prompt_tokens"] + self.count() + 1
        return lump | {"prompt_tokens": more}

    def usage(self) -> Usage:
        told: dict[str, Any] = {}
        for call in self.fake.calls:
            known = told.setdefault(call["request_id"], call)
            if call["prompt_tokens"] > known["prompt_tokens"]:
                told[call["request_id"]] = call
        return summed(
            (
                Dimensions(
                    "acme",
                    call["provider"].lower(),
                    CLEAN.get(call["model"], call["model"]),
                    (call["properties"] or {}).get("Team", ""),
                ),
                fake_helicone.at_of(call),
                self.quantities(call),
            )
            for call in told.values()
            if call["response_status"] == 200 and call["cache_reference_id"] != "c-1"
        )

    @staticmethod
    def quantities(call: dict[str, Any]) -> Quantities:
        read, written = call["prompt_cache_read_tokens"], call["prompt_cache_write_tokens"]
        inside = 0 if call["provider"] == "ANTHROPIC" else read + written
        return Quantities(
            uncached_input=call["prompt_tokens"] - inside,
            cache_read=read,
            cache_write=written,
            output=call["completion_tokens"],
            requests=1,
        )

    def bill(self) -> Bill:
        return {}


PROVIDERS = {
    "openai": OfOpenAI,
    "anthropic": OfAnthropic,
    "reports": OfReports,
    "openrouter": OfOpenRouter,
    "litellm": OfLiteLLM,
    "langfuse": OfLangfuse,
    "helicone": OfHelicone,
}
