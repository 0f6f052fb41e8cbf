"""The kinds of source that can be configured, imported on first use."""

from __future__ import annotations

import inspect
from importlib import import_module

from monitor.domain.errors import InputError

REGISTRY = {
    "anthropic": "collectors.anthropic:Anthropic",
    "anthropic_claude_code": "collectors.claude_code_report:ClaudeCodeReport",
    "aws_costs": "collectors.aws_costs:AWSCosts",
    "azure": "collectors.azure:Azure",
    "azure_costs": "collectors.azure_costs:AzureCosts",
    "bedrock": "collectors.bedrock:Bedrock",
    "focus": "collectors.focus:Focus",
    "google_billing": "collectors.google_billing:GoogleBilling",
    "helicone": "collectors.helicone:Helicone",
    "langfuse": "collectors.langfuse:Langfuse",
    "litellm": "collectors.litellm:LiteLLM",
    "litellm_database": "collectors.litellm_database:LiteLLMDatabase",
    "openai": "collectors.openai:OpenAI",
    "openrouter": "collectors.openrouter:OpenRouter",
    "vertex": "collectors.vertex:Vertex",
}


def load(kind: str) -> type:
    """The class behind a configured kind of source.

    Raises:
        InputError: no such kind.
    """
    if kind not in REGISTRY:
        raise InputError(
            f"{kind!r} is no kind of source", f"Use one of: {', '.join(sorted(REGISTRY))}"
        )
    module, _, name = REGISTRY[kind].partition(":")
    found: type = getattr(import_module(module), name)
    return found


_EVERYWHERE = {"base_url", "bucket", "limits"}
"""Keywords of every source that are no options of its own."""


def needs_key(kind: type) -> bool:
    """Whether a kind of source cannot be read without a key of its own in the configuration."""
    return inspect.signature(kind).parameters["key"].default is inspect.Parameter.empty


def has_buckets(kind: type) -> bool:
    """Whether a kind of source has usage of hours to choose, and not of days alone."""
    return "bucket" in inspect.signature(kind).parameters


def options(kind: type) -> set[str]:
    """What a kind of source can be told beside its address and its buckets."""
    found = inspect.signature(kind).parameters.values()
    return {p.name for p in found if p.kind is p.KEYWORD_ONLY} - _EVERYWHERE
