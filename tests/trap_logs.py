"""Claude Code logs with every trap of the field, and what they truly used by plain reasoning.

The oracle shares no code with the product: it knows what each response used, because it made it.
"""

import json
import random
from datetime import UTC, datetime
from typing import Any, NamedTuple

START = 1_793_491_200  # 2026-11-01T00:00:00Z
PARTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class Traps(NamedTuple):
    files: dict[str, list[bytes]]
    """Lines by relative path."""
    tokens: int
    responses: int
    long: int
    """Cache writes for an hour."""
    broken: int
    """Lines that cannot be read."""


def line(rng: random.Random, message: str, request: str | None, usage: dict[str, Any], **other):
    at = datetime.fromtimestamp(other.pop("at"), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"
    content = [
        {
            "type": "text",
            "text": 'He said "usage" and \\"assistant\\" {"usage":{}}' * rng.randrange(4),
        }
    ]
    body = {
        "type": "assistant", "timestamp": at, "sessionId": other.pop("session"),
        "isSidechain": other.pop("side", False), "cwd": "/home/someone/shop", "costUSD": 99.0,
        "message": {"id": message, "role": "assistant", "model": other.pop("model", "claude-sonnet-5"),
                    "content": content, "usage": usage},
    }  # fmt: skip
    if request is not None:
        body["requestId"] = request
    return body


def usage_of(rng: random.Random) -> dict[str, Any]:
    write = rng.randrange(0, 5000)
    long = rng.choice((0, 0, write // 3))
    return {
        "input_tokens": rng.randrange(1, 100),
        "output_tokens": rng.randrange(2, 4000),
        "cache_creation_input_tokens": write,
        "cache_read_input_tokens": rng.randrange(0, 90_000),
        "cache_creation": {
            "ephemeral_5m_input_tokens": write - long,
            "ephemeral_1h_input_tokens": long,
        },
    }


def generate(seed: int, *, spaced: bool, responses: int = 60, files: int = 6) -> Traps:
    """A directory of logs: all five traps, malformed lines, and models that are none."""
    rng = random.Random(seed)
    kept: dict[str, list[dict[str, Any] | bytes]] = {
        f"-home-someone-shop/{n:08x}.jsonl": [] for n in range(files - 2)
    }
    kept["-home-someone-shop/00000000/subagents/agent.jsonl"] = []
    kept["-other/resumed.jsonl"] = []
    names = list(kept)
    tokens = long = broken = 0
    for number in range(responses):
        usage = usage_of(rng)
        tokens += sum(usage[part] for part in PARTS)
        long += usage["cache_creation"]["ephemeral_1h_input_tokens"]
        at = START + rng.randrange(20 * 86_400)
        # Trap 4: gateways that give no request.
        request = None if rng.random() < 0.2 else f"req_{seed}_{number}"
        message = f"msg_{seed}_{number}"
        home = rng.choice(names)
        # Trap 1 and 3: a line for each block, the first with partial counts.
        lines = [
            line(rng, message, request, usage | {"output_tokens": rng.randrange(1, usage["output_tokens"])}, at=at, session=home)
            for _ in range(rng.randrange(3))
        ]  # fmt: skip
        lines.append(line(rng, message, request, usage, at=at, session=home))
        if rng.random() < 0.3:
            rng.shuffle(lines)
        kept[home] += lines
        # Trap 2: a resumed session copies lines under another session.
        for _ in range(rng.choice((0, 0, 1, 2))):
            copied = rng.choice(names)
            kept[copied] += [one | {"sessionId": f"copy {copied}"} for one in lines]
        # Trap 5: a replay on a side chain under another request, which may look larger.
        if request is not None and rng.random() < 0.3:
            replayed = usage | {"output_tokens": usage["output_tokens"] + rng.randrange(-1, 500)}
            kept[rng.choice(names)].append(
                line(rng, message, f"req_replay_{number}", replayed, at=at + rng.randrange(3 * 86_400), session="side", side=True)
            )  # fmt: skip
    for name in names:
        at, place = START, rng.randrange(len(kept[name]) + 1)
        noise = [
            line(rng, f"msg_s{name}", "r", usage_of(rng), at=at, session="s", model="<synthetic>"),
            {"type": "user", "sessionId": "s", "message": {"role": "user", "content": '"usage" assistant'}},
            {"type": "progress", "data": {"message": {"type": "assistant", "usage": usage_of(rng)}}},
            b'{"type":"assistant","message":{"id":"msg_cut","usage":{"input_tok',
            b'{"type":"assistant","timestamp":"never","message":{"id":"x","model":"m","usage":{"input_tokens":1}}}',
            b'{"type":"assistant","timestamp":"2026-11-02T00:00:00Z","message":{"id":"x","model":"m","usage":{"input_tokens":-1}}}',
        ]  # fmt: skip
        kept[name][place:place] = noise
        broken += 3
    separators = (", ", ": ") if spaced else (",", ":")
    written = {
        name: [
            one if isinstance(one, bytes) else json.dumps(one, separators=separators).encode()
            for one in lines
        ]
        for name, lines in kept.items()
    }
    return Traps(written, tokens, responses, long, broken)
