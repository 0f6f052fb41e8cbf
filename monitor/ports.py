"""What the outside implements. Collectors and channels are handed to jobs through these."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple, Protocol

from monitor.domain.errors import SourceError
from monitor.domain.notices import Group
from monitor.domain.usage import BillRow, Device, Event, Minute, Problem, UsageRow

Feeds = Literal["usage", "bill"]


class Page(NamedTuple):
    """One answer of a provider as it came, and what was asked; neither holds a secret of ours."""

    request: str
    """JSON: address, method, path, parameters."""
    body: bytes


Recorder = Callable[[Callable[[Page], None]], AbstractContextManager[None]]
"""Inside its block, what it is given gets each page that this thread fetches."""


class StreamSpec(NamedTuple):
    """One endpoint that a source is read through."""

    name: str
    feeds: Feeds
    chunk_days: int
    """The most UTC days that one read may ask for."""
    every: int = 0
    """Seconds that must lie between two polls, where each of them costs money or patience."""
    overlap_days: int = 0
    """Days that each poll must read again, where the provider fills them late."""
    settle: int = 0
    """Seconds after its end until a day may be taken as complete."""


class Read(NamedTuple):
    """A complete answer for whole UTC days. A reader that cannot complete raises SourceError."""

    start: int
    end: int
    """The days covered, half open, epoch seconds of midnight."""
    rows: Sequence[UsageRow | BillRow]
    problems: Sequence[Problem]
    pages: int
    request: Mapping[str, object]
    """What was asked, without secrets."""
    notes: Sequence[str] = ()
    """Limits the provider imposed, such as a clamped back-fill."""
    results: int = 0
    """What the answer had of rows before they were summed; 0: as many as `rows`."""
    lacking: SourceError | None = None
    """The provider says that it has no such thing; raised where rows of it are stored."""


class Pull(Protocol):
    """A provider's pages, read by window."""

    name: str
    account: str

    def streams(self) -> Sequence[StreamSpec]:
        """The streams that this source is configured to read."""

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """All rows of the UTC days [start, end); raises SourceError, never a part."""

    def probe(self, now: int) -> str:
        """One cheap call that proves the credentials; returns what it saw; raises SourceError."""

    def close(self) -> None:
        """Release connections."""


class Cursor(NamedTuple):
    """How far one file was read, and what tells that it is still that file."""

    form: str
    device: str
    inode: str
    changed_ns: str
    """The instant of the last change; text, since it needs more than 63 bits some day."""
    size: int
    position: int
    """Bytes that were read completely."""
    line: int
    """Lines in them."""
    digest: str
    """Of the first bytes and of those before `position`."""


class Part(NamedTuple):
    """What some whole lines of a file gave."""

    rows: int
    """That were looked at as usage, readable or not, before repeats are taken out."""
    events: Sequence[Event]
    problems: Sequence[Problem]
    cursor: Cursor
    """Up to the end of this part."""
    bills: Sequence[BillRow] = ()
    """Charges by day: a file has all of a day that it has, of those that `whose` names."""
    days: Sequence[int] = ()
    """Further days of charges that the file names without any: nothing was spent on them."""
    cut: Sequence[Event] = ()
    """What the file's last row was taken for, as long as it had no end: that does not count."""
    whose: Collection[tuple[str, str]] = ()
    """Accounts and projects that charges are of; '': a file that names none is of all."""
    waits: bool = False
    """The file's last line has no end yet, and is read when it has."""


class FileReader(Protocol):
    """Files of one format."""

    form: str
    """The format's name."""
    copies: bool
    """True: the file may repeat a response, and ids are those of `monitor.domain.responses`."""

    def parts(self, path: str, cursor: Cursor | None) -> Iterator[Part]:
        """What is new since `cursor`, in the file's order; nothing where nothing is.

        Raises:
            InputError: the file cannot be read, or is not of this format.
        """


class Files(Protocol):
    """Files to import, and what reads each."""

    def paths(self) -> Iterable[str]:
        """All that are named or lie in named folders; raises InputError where one is missing."""

    def reader(self, path: str, cursor: Cursor | None) -> FileReader | None:
        """None: a file in a folder that is of no format which can be imported.

        Raises:
            InputError: it was named itself, or cannot be read.
        """


class Sampler(Protocol):
    """Readings of this host, taken every few seconds and handed over by minute."""

    name: str

    def devices(self) -> Sequence[Device]:
        """The devices seen at the last poll."""

    def poll(self, now: float) -> Sequence[Minute]:
        """Take one reading at wall-clock `now`; return the minutes that it completed."""

    def close(self) -> None:
        """Release the library."""


Outcome = Literal["sent", "transient", "permanent", "ambiguous", "misconfigured"]


class Delivery(NamedTuple):
    """What became of one attempt to send one message to one recipient."""

    outcome: Outcome
    phase: str
    """connect, tls, login, mail, rcpt, data, body, done."""
    code: int | None
    text: str


class Posted(NamedTuple):
    """What a server answered to a POST or a GET."""

    status: int
    body: str
    """At most 2,000 characters, printable."""
    retry_after: float | None = None
    """Seconds that the server asked to wait."""


class Post(Protocol):
    """HTTP as channels need it: one attempt, no redirects, bounded, never raising for an answer."""

    def __call__(
        self, url: str, body: bytes | None, headers: Mapping[str, str], timeout: float
    ) -> Posted:
        """POST `body`, or GET where it is None; raises OSError where nothing was answered."""


class Composer(NamedTuple):
    """How a kind of channel writes alerts: the bytes that are stored and sent."""

    kind: str
    grouped: bool
    """False: the far side groups, and each notice is a message of its own."""
    compose: Callable[[Group], bytes]


class Channel(Protocol):
    """A way out for stored messages."""

    name: str

    def send(self, recipient: str, message: bytes) -> Delivery:
        """Hand over the exact bytes; never raises for what the far side answers."""

    def probe(self) -> str:
        """Connect and log in without sending; raises ChannelError."""
