"""Every error that Crossover raises on purpose.

CrossoverError
├── InputError            a file or argument that cannot be used          exit 2
│   ├── ConfigError       crossover.toml: all problems at once
│   ├── ScenarioError     a break-even scenario
│   ├── LinkError         a link of a mail
│   └── IntakeError       a request of the HTTP intake
├── StorageError          the database                                    exit 3
│   ├── DatabaseUnavailable
│   ├── SchemaAhead
│   ├── SchemaBehind
│   └── DatabaseBusy      another daemon or migration holds it
├── SourceError           a source of usage, spend or readings            exit 4
├── ChannelError          a way out for messages                          exit 4
└── QueryError            a query that was refused or stopped             exit 5

Bad input *data* (one row of many) is no exception: it is a `usage.Problem`, collected and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from monitor.domain.links import Link


class CrossoverError(Exception):
    """A failure with a name, a cause and a remedy.

    Args:
        message: the thing and the cause, in one sentence without a full stop.
        remedy: what the reader can do about it, as an imperative sentence.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


class InputError(CrossoverError):
    """A file or an argument cannot be used."""

    exit_code = 2


class ConfigError(InputError):
    """The configuration cannot be used; `problems` names each place and its cause."""

    def __init__(self, problems: list[str], remedy: str = "") -> None:
        super().__init__("; ".join(problems), remedy)
        self.problems = problems


class ScenarioError(InputError):
    """A break-even scenario cannot be used."""


class LinkError(InputError):
    """A link of a mail cannot be used; `link` is what it was, where that is certain."""

    def __init__(
        self, cause: Literal["unreadable", "forged", "expired"], link: Link | None = None
    ) -> None:
        super().__init__(_LINK_CAUSES[cause], "Answer from the command line instead.")
        self.cause = cause
        self.link = link


_LINK_CAUSES = {
    "unreadable": "this link is not complete: it was cut off or changed on its way",
    "forged": "this link is not signed by this Crossover",
    "expired": "this link has expired",
}


class IntakeError(InputError):
    """A request of the HTTP intake cannot be used as a whole.

    Args:
        status: of the answer, 400 to 499.
        message: what the sender is told; nothing of what it sent stands in it.
        retry_after: seconds after which it may be tried again; None: the same would fail again.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class StorageError(CrossoverError):
    """The database cannot do what was asked."""

    exit_code = 3


class DatabaseUnavailable(StorageError):
    """The database cannot be opened."""


class SchemaAhead(StorageError):
    """The database was migrated by a newer Crossover."""


class SchemaBehind(StorageError):
    """The database has not been migrated to this Crossover's schema."""


class DatabaseBusy(StorageError):
    """Another process holds the lock that this one needs."""


class SourceError(CrossoverError):
    """A source could not be read.

    Args:
        source: the source's configured name.
        message: the cause.
        remedy: what to do about it.
        permanent: retrying cannot help until somebody changes something.
        retry_after: seconds after which the source asks to be tried again; None: unknown.
    """

    exit_code = 4

    def __init__(
        self,
        source: str,
        message: str,
        remedy: str = "",
        *,
        permanent: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"source {source}: {message}", remedy)
        self.source = source
        self.permanent = permanent
        self.retry_after = retry_after


class ChannelError(CrossoverError):
    """A channel cannot be used at all (its settings, not one message)."""

    exit_code = 4


class QueryError(CrossoverError):
    """A query was refused or stopped."""

    exit_code = 5
