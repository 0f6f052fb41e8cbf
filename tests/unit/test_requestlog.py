import pytest

from collectors.formats import Chosen
from collectors.mapping import parse_map
from collectors.requestlog import RequestLog
from monitor.domain.errors import InputError
from monitor.domain.usage import Event, Problem

MAP = "at=TIMESTAMP,input=ContextTokens,output=GeneratedTokens,provider=:openai,model=:gpt-4o"


def read(tmp_path, text, mapping=MAP):
    path = tmp_path / "log.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    parts = RequestLog("log", parse_map(mapping)).parts(str(path), None)
    return [item for part in parts for item in (*part.problems, *part.events)]


HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def test_a_row_becomes_one_request_in_utc(tmp_path):
    (event,) = read(tmp_path, HEADER + "2023-11-16 18:17:03.9799600,4808,10\n")
    assert isinstance(event, Event)
    assert event.at == 1_700_158_623
    assert (event.quantities.uncached_input, event.quantities.output) == (4808, 10)
    assert (event.quantities.requests, event.quantities.cache_read) == (1, None)
    assert (event.dims.account, event.dims.model) == ("log", "gpt-4o")


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("2026-11-01T00:00:00Z", 1_793_491_200),
        ("2026-11-01T01:00:00.123456789+01:00", 1_793_491_200),
        ("2026-11-01 00:00:00", 1_793_491_200),
        ("1793491200", 1_793_491_200),
        ("1793491200.5", 1_793_491_200),
        ("20261101", 1_793_491_200),
        ("1793491200123", 1_793_491_200),
        ("1793491200123456", 1_793_491_200),
        ("1793491200123456789", 1_793_491_200),
        ("2026-10-31T19:00:00.123456-05:00", 1_793_491_200),
        ("2026-10-31T20:30:00.123-03:30", 1_793_491_200),
    ],
)
def test_times_are_read_in_the_forms_that_logs_use(tmp_path, written, at):
    (event,) = read(tmp_path, HEADER + f"{written},1,1\n")
    assert event.at == at


def test_equal_rows_are_two_requests_and_the_same_file_gives_the_same_ids(tmp_path):
    text = HEADER + "2023-11-16 18:17:03,5,5\n" * 2
    first, second = read(tmp_path, text)
    assert first.id != second.id
    assert [e.id for e in read(tmp_path, text)] == [first.id, second.id]


def test_an_own_id_is_used(tmp_path):
    (event,) = read(tmp_path, "t,i,o,rid\n1793491200,1,2,req_7\n", "at=t,input=i,output=o,id=rid")
    assert event.id == "req_7"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("yesterday,1,1", "is not a time"),
        (",1,1", "at is missing"),
        ("46327.5,1,1", "is not a time"),
        ("1793491200,1,234,567", "more cells than there are columns"),
        ("1793491200,-5,1", "input = -5"),
        ("1793491200,12e3,1", "not a whole number"),
        ("1793491200,1_000,1", "not a whole number"),
        ("1793491200,1.5,1", "not a whole number"),
        ("1793491200,99999999999999999999,1", "is not between 0 and"),
        ("1793491200,5", "the row is cut off"),
    ],
)
def test_a_bad_row_is_a_problem_with_its_line_and_stops_no_other(tmp_path, row, said):
    bad, good = read(tmp_path, HEADER + row + "\n1793491200,1,1\n")
    assert isinstance(bad, Problem)
    assert bad.place.endswith("log.csv, line 2")
    assert said in bad.reason
    assert isinstance(good, Event)


@pytest.mark.parametrize("text", ['"open\n1793491200,1,1,a\n', '"a\n1793491200,1,1,b"c\n'])
def test_a_quote_that_is_not_closed_swallows_no_row_unsaid(tmp_path, text):
    found = read(tmp_path, "t,i,o,x\n1793491200,1,1," + text, "at=t,input=i,output=o")
    assert [item.place.rpartition("/")[2] for item in found] == ["log.csv, line 3"]


def test_long_ids_and_ids_of_spaces_are_no_single_request(tmp_path):
    rows = "".join(
        f"1793491200,1,1,{rid}\n" for rid in ("x" * 250 + "1", "x" * 250 + "2", " ", " ")
    )
    found = read(tmp_path, "t,i,o,rid\n" + rows, "at=t,input=i,output=o,id=rid")
    assert len({event.id for event in found}) == 4


def test_an_empty_cell_is_unknown_and_not_zero(tmp_path):
    (event,) = read(tmp_path, HEADER + "1793491200,,7\n")
    assert event.quantities.uncached_input is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("TIMESTAMP,ContextTokens\n1,2\n", "has no column GeneratedTokens"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_an_unusable_file_is_refused_by_name(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "mapping", ["at=a,input=b", "at", "when=a,input=b,output=c", "at=,input=b"]
)
def test_an_unusable_map_is_refused(mapping):
    with pytest.raises(InputError, match="--map"):
        parse_map(mapping)


def test_a_name_with_line_ends_and_markup_is_stripped_of_controls(tmp_path):
    text = 't,i,o,m\n1793491200,1,2,"gpt\n<b>x</b>\u202e"\n'
    (event,) = read(tmp_path, text, "at=t,input=i,output=o,model=m")
    assert event.dims.model == "gpt <b>x</b>"


def test_a_count_with_a_point_and_a_long_cell_lose_no_row(tmp_path):
    (event,) = read(
        tmp_path, f't,i,o,said\n1793491200,120.0,1,"{"x" * 200_000}"\n', "at=t,input=i,output=o"
    )
    assert event.quantities.uncached_input == 120


def test_a_row_that_is_being_written_waits_until_its_file_rests(tmp_path):
    path = tmp_path / "log.csv"
    mapped = parse_map("at=t,input=i,output=o")
    chosen = Chosen([str(path)], "csv", "log", mapped, growing=True)
    cursor, found = None, []
    half = "t,i,o\n1793491200,100,1\n1793491200,100,12"
    for written in (half, half + "34\n1793491200,5", half + "34\n1793491200,5,7", None, None):
        if written:
            path.write_text(written)
        parts = list(chosen.reader(str(path), cursor).parts(str(path), cursor))
        cursor = parts[-1].cursor if parts else cursor
        found.append([event.quantities.output for part in parts for event in part.events])
    assert found == [[1], [1, 1234], [1, 1234], [1, 1234, 7], []]
