"""Where usage comes from: sources, files, this host's GPUs."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from collectors import formats, registry
from collectors.mapping import Mapped, parse_map
from collectors.nvml import Nvml
from monitor.config import Settings, secret
from monitor.config.usage import SourceSettings, WatchSettings
from monitor.domain.errors import ConfigError, InputError
from monitor.domain.names import clean_name
from monitor.domain.usage import HOUR
from monitor.jobs.archive import Archive
from monitor.jobs.collect import Pace
from monitor.jobs.imports import EVENTS, KIND, Watched
from monitor.ports import Files, Pull, Sampler
from monitor.storage.setup import SourceSetup

if TYPE_CHECKING:
    from collectors import http


def sources(settings: Settings) -> dict[str, Pull]:
    """Every configured source by name, with its credentials."""
    return {item.name: source(settings, n) for n, item in enumerate(settings.source)}


def source(settings: Settings, number: int) -> Pull:
    """The source of that place in the file."""
    item = settings.source[number]
    where = f"source.{number}.admin_key ({item.name})"
    if not item.admin_key and registry.needs_key(registry.load(item.kind)):
        raise ConfigError([f"{where}: this key is required"], 'Write admin_key = "env:NAME".')
    return _with_key(item, secret(item.admin_key, where) if item.admin_key else "")


def _with_key(item: SourceSettings, key: str) -> Pull:
    kind = registry.load(item.kind)
    known = registry.options(kind)
    if unknown := sorted(set(item.options) - known):
        raise ConfigError(
            [f"source {item.name}: {item.kind} has no option {', '.join(unknown)}"],
            f"It has {', '.join(sorted(known)) or 'none'}; docs/sources.md explains them.",
        )
    further = item.options | ({"base_url": item.base_url} if item.base_url else {})
    if registry.has_buckets(kind):
        further["bucket"] = item.bucket
    if item.requests_per_minute is not None:
        further["limits"] = _paced(item, kind)
    found: Pull = kind(item.name, item.account, key, **further)
    return found


def _paced(item: SourceSettings, kind: type) -> http.Limits:
    """The limits of its own that a kind has, with the least time between two requests."""
    parameters = inspect.signature(kind).parameters
    own = parameters.get("limits")
    if own is None or "base_url" not in parameters:
        raise ConfigError(
            [f"source {item.name}: {item.kind} sends no requests that could be paced"],
            "Leave out requests_per_minute.",
        )
    assert item.requests_per_minute is not None
    limits: http.Limits = own.default._replace(every_s=60 / item.requests_per_minute)
    return limits


def source_setup(item: SourceSettings) -> SourceSetup:
    """Which streams a source has, for which no key is needed."""
    source = _with_key(item, "none")
    try:
        return SourceSetup(item.name, item.kind, item.account, source.streams())
    finally:
        source.close()


def gpus(host: str) -> Nvml:
    """This host's GPUs, under the name given or else the hostname."""
    return Nvml(host or socket.gethostname())


def files(
    settings: Settings,
    named: Sequence[str],
    form: str,
    mapping: str = "",
    source: str = "",
    account: str = "",
) -> list[tuple[str, Files]]:
    """Files and folders to import, by the source that they belong to.

    A source that is not named is the format's, so that copies of one response are found whatever
    file they stand in; where a map says what is what, it is the name of the file or folder that was
    named.

    Raises:
        InputError: there is no such format or map, or it is not known what a file is.
    """
    mapped = _map(settings, mapping)
    by_form = {form: list(named)}
    if form == formats.AUTO and not source:
        by_form = formats.grouped(named, mapped=mapped is not None)
    found: list[tuple[str, Files]] = []
    for each, paths in by_form.items():
        parts = _by_name(named, paths) if each in formats.MAPPED and not source else {each: paths}
        for mine, its in parts.items():
            name = clean_name(source or mine)
            found.append((name, formats.Chosen(its, each, account or name, mapped)))
    return found


def _by_name(named: Sequence[str], paths: Sequence[str]) -> dict[str, list[str]]:
    """Files by the name of the file or folder that was named, which no later file changes."""
    found: dict[str, list[str]] = {}
    for path in paths:
        of = next(name for name in named if name == path or Path(name) in Path(path).parents)
        found.setdefault(Path(of).resolve().name, []).append(path)
    return found


def _map(settings: Settings, mapping: str) -> Mapped | None:
    """A one-line map, or the one that is saved under that name."""
    saved = settings.import_.mapping
    if not mapping:
        return None
    if mapping not in saved and "=" not in mapping:
        raise InputError(
            f"there is no map {mapping!r} in [import.mapping]",
            f"Use one of {', '.join(sorted(saved)) or 'none yet'}, or write FIELD=COLUMN,...",
        )
    return parse_map(saved.get(mapping, mapping))


def watched(settings: Settings) -> list[Watched]:
    """What the daemon imports by itself."""
    return [
        Watched(
            item.name,
            formats.Chosen(
                [str(Path(item.path).expanduser())],
                item.format,
                item.account,
                _map(settings, item.mapping),
                growing=True,
            ),
            max(1, int(item.every_minutes * 60)),
        )
        for item in settings.watch
    ]


def watch_setup(item: WatchSettings) -> SourceSetup:
    """A watched folder is a source of one stream."""
    return SourceSetup(item.name, KIND, item.account, [EVENTS])


def sampler(settings: Settings) -> Sampler | None:
    """This host's GPUs; None where they are switched off."""
    if settings.nvml.mode == "off":
        return None
    return gpus(settings.nvml.host)


def pace(settings: Settings) -> Pace:
    """How sources are read."""
    chosen = settings.collect
    return Pace(
        every=max(1, int(chosen.every_minutes * 60)),
        overlap_days=chosen.overlap_days,
        deep_days=chosen.deep_days,
        settle=int(chosen.settle_hours * HOUR),
        backfill_days={item.name: item.backfill_days for item in settings.source},
        claim=claim_seconds(settings),
        archive=archive(settings),
    )


def archive(settings: Settings) -> Archive | None:
    """Where the pages of sources are kept; None: they are not."""
    chosen = settings.collect
    if not chosen.archive:
        return None
    # It brings httpx, which who imports files need not carry.
    from collectors.http import recorded  # noqa: PLC0415

    return Archive(Path(chosen.archive), chosen.archive_days, recorded)


def claim_seconds(settings: Settings) -> int:
    """How long a piece of work belongs to the one who took it."""
    return max(1, int(settings.daemon.claim_minutes * 60))
