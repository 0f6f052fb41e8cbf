"""Names that sources use for one thing: providers, contexts of a request.

Only these names are known. A provider that is not here keeps its own name, and a price list is
asked for exactly that name: "custom_openai" is somebody's own server and has no list price.
"""

from __future__ import annotations

# Canonical name: what LiteLLM, OpenTelemetry and the vendors' own tools call it.
_PROVIDERS = {
    "anthropic": "anthropic_text",
    "aws": "amazon amazon-bedrock amazon_bedrock aws-bedrock aws.bedrock aws_bedrock bedrock"
    " bedrock_converse",
    "azure": "az.ai.inference az.ai.openai azure-ai azure-openai azure.ai.inference"
    " azure.ai.openai azure_ai azure_openai azure_text",
    "cloudflare": "cloudflare-workers-ai workers-ai",
    "cohere": "cohere_chat",
    "fireworks": "fireworks-ai fireworks_ai fireworks.ai",
    "github-copilot": "github_copilot",
    "google": "gcp.gemini gcp.gen_ai gcp.vertex_ai gemini google-ai-studio google-gla"
    " google-vertex google_ai_studio google_genai google_vertexai vertex vertex-ai vertex_ai"
    " vertex_ai_beta vertexai",
    "litellm": "litellm-proxy litellm_proxy",
    "mistral": "mistral-ai mistral_ai mistralai",
    "moonshotai": "moonshot moonshot-ai",
    "openai": "text-completion-openai",
    "perplexity": "perplexity-ai perplexity_ai",
    "together": "together-ai together_ai togetherai together.ai",
    "voyageai": "voyage voyage-ai",
    "x-ai": "x.ai x_ai xai",
    "zai": "z-ai z.ai z_ai",
}
PROVIDER_ALIASES = {
    alias: name for name, aliases in _PROVIDERS.items() for alias in aliases.split()
}

CANONICAL = frozenset(_PROVIDERS)
"""Providers whose names are known."""

_STANDARD = {
    ("service_tier", "auto"),
    ("service_tier", "default"),
    ("service_tier", "standard"),
    ("processing", "standard"),
    ("speed", "standard"),
}
_BATCH = ("processing", "batch")
_CONTEXT_ALIASES = {("service_tier", "batch"): _BATCH, ("batch", "true"): _BATCH}


def provider_id(name: str) -> str:
    """The canonical name of a provider."""
    name = name.strip().lower()
    return PROVIDER_ALIASES.get(name, name)


def canonical_context(text: str) -> str:
    """A request's context as lower-case `key=value` sorted and joined by `;`.

    Standard choices are left out.

    Raises:
        ValueError: a part is no `key=value`, or a key stands twice.
    """
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.lower().split(";"))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise ValueError(f"{part!r} is not key=value")
        key, value = _CONTEXT_ALIASES.get((key, value), (key, value))
        if pairs.setdefault(key, value) != value:
            raise ValueError(f"{key} stands twice")
    return ";".join(f"{k}={v}" for k, v in sorted(pairs.items()) if (k, v) not in _STANDARD)
