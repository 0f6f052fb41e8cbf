"""Each format of files: what a row becomes, what is skipped, what is refused with its place."""

import gzip
import json
import zlib

import pytest

from collectors import files
from collectors.formats import FORMATS, MAPPED, Chosen, detect, grouped, load
from collectors.mapping import parse_map
from monitor.domain.errors import InputError
from monitor.domain.usage import DAY, MINUTE
from tests import needs

AT = 1_793_491_200  # 2026-11-01T00:00:00Z


def read(path, form, mapping="", cursor=None):
    reader = load(form)("team", *([parse_map(mapping)] if mapping else []))
    parts = list(reader.parts(str(path), cursor))
    events = [event for part in parts for event in part.events]
    problems = [problem for part in parts for problem in part.problems]
    bills = [bill for part in parts for bill in part.bills]
    return events, problems, bills


def lines(path, *documents):
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


# --- LiteLLM ---


def test_the_recorded_request_log_of_a_proxy_gives_what_was_really_used(tmp_path):
    path = needs.shared("data/payloads/litellm/table_spendlogs.jsonl")
    truth = json.loads(needs.shared("data/payloads/litellm/truth.json").read_text())["by_model"]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    group = {files.short_id(row["request_id"]): row["model_group"] for row in rows}
    assert detect(str(path), mapped=False) == "litellm-jsonl"
    events, problems, _ = read(path, "litellm-jsonl")
    assert not problems
    # The proxy counts the tokens of a mocked model by itself.
    for name in truth.keys() - {"mock-hello"}:
        mine = [event.quantities for event in events if group[event.id] == name]
        used = truth[name]
        assert len(mine) == used["requests"] - used["failed"]
        assert sum(q.uncached_input for q in mine) == used["uncached"]
        assert sum(q.cache_read or 0 for q in mine) == used["read"]
        written = sum((q.cache_write or 0) + (q.cache_write_long or 0) for q in mine)
        assert written == used["write"]
        assert sum(q.output for q in mine) == used["out"]
    assert "claude-sonnet-4-5" in {event.dims.model for event in events}
    assert len({event.id for event in events}) == len(events)


def test_a_logged_payload_of_a_bucket_is_read_like_a_row(tmp_path):
    call = {
        "id": "chatcmpl-1", "status": "success", "custom_llm_provider": "openai",
        "model": "openai/gpt-5-mini", "startTime": AT + 0.12, "prompt_tokens": 900,
        "completion_tokens": 80, "cache_hit": False,
        "metadata": {"user_api_key_hash": "9f", "user_api_key_team_id": "t-1",
                     "usage_object": {"prompt_tokens_details": {"cached_tokens": 512}}},
    }  # fmt: skip
    path = lines(
        tmp_path / "b.jsonl", call, call | {"id": "2", "status": "failure"},
        call | {"id": "3", "cache_hit": True}, call | {"id": "4", "prompt_tokens": 5},
    )  # fmt: skip
    (event,), (problem,), _ = read(path, "litellm-jsonl")
    assert (event.id, event.at, event.dims[:5]) == (
        "chatcmpl-1", AT, ("team", "openai", "gpt-5-mini", "t-1", "9f"),
    )  # fmt: skip
    assert (event.quantities.uncached_input, event.quantities.cache_read) == (388, 512)
    assert problem.place == f"{path}, line 4"


def test_a_payload_tells_its_tier_and_an_answer_that_broke_off_counts(tmp_path):
    call = {
        "id": "a", "status": "failure", "custom_llm_provider": "openai", "model": "openai/gpt-5-mini",
        "startTime": AT, "prompt_tokens": 900, "completion_tokens": 3,
        "metadata": {"usage_object": {"prompt_tokens": 900, "completion_tokens": 3}},
        "cost_breakdown": {"service_tier": "flex"},
    }  # fmt: skip
    (event,), _, _ = read(lines(tmp_path / "b.jsonl", call), "litellm-jsonl")
    assert (event.dims.tier, event.quantities.tokens) == ("flex", 903)


# --- Bedrock ---


def test_an_invocation_log_is_read_without_its_bodies(tmp_path):
    entry = {
        "schemaType": "ModelInvocationLog", "timestamp": "2026-11-01T00:00:00Z", "region": "us-east-1",
        "requestId": "3f0e", "modelId": "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-5",
        "identity": {"arn": "arn:aws:sts::1:assumed-role/app/jane@example.org"},
        "input": {"inputTokenCount": 1268, "cacheReadInputTokenCount": 9000, "cacheWriteInputTokenCount": 300,
                  "inputBodyJson": {"prompt": "SECRET", "custom_llm_provider": "x", "startTime": 1}},
        "output": {"outputTokenCount": 312, "outputBodyJson": {"content": "SECRET", "usage":
                   {"cache_creation": {"ephemeral_1h_input_tokens": 200}}}},
    }  # fmt: skip
    path = tmp_path / "log.json.gz"
    bad = entry | {"requestId": "4", "input": {"inputTokenCount": "SECRET"}}
    refused = {k: v for k, v in entry.items() if k not in ("input", "output")}
    streamed = entry | {
        "requestId": "5",
        "output": {"outputTokenCount": 1, "outputBodyJson": [{"a": 1}]},
    }
    path.write_bytes(
        gzip.compress("\n".join(map(json.dumps, (entry, bad, refused, streamed))).encode())
    )
    assert detect(str(path), mapped=False) == "bedrock-logs"
    (event, other), (problem,), _ = read(path, "bedrock-logs")
    assert event.dims[:3] == ("team", "aws", "us.anthropic.claude-sonnet-5")
    assert (event.dims.actor, event.dims.region) == ("assumed-role/app", "us-east-1")
    assert event.quantities[:5] == (1268, 9000, 100, 200, 312)
    assert other.quantities[:5] == (1268, 9000, 300, 0, 1)
    assert "SECRET" not in repr((event, problem))


# --- OpenAI ---

USAGE = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_email,model,"
    "batch,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens,new_column\n"
)


def test_an_exported_usage_becomes_events_that_the_next_export_meets_again(tmp_path):
    path = tmp_path / "completions_usage.csv"
    row = f"{AT},{AT + 60},x,y,proj_1,3.0,a@b.c,gpt-5,False,1000,50,400,600,9\n"
    path.write_text(
        USAGE + row + f"{AT + 60},{AT + 120},x,y,,,,,,,,,,\n" + row.replace("600", "601")
    )
    assert detect(str(path), mapped=False) == "openai-csv"
    (event,), (problem,), bills = read(path, "openai-csv")
    assert not bills
    assert event.dims[:4] == ("team", "openai", "gpt-5", "proj_1")
    assert (event.dims.batch, event.dims.actor) == ("false", "")
    assert event.quantities[:2] == (600, 400)
    assert (event.quantities.output, event.quantities.requests) == (50, 3)
    assert "a@b.c" not in repr((event, problem))
    assert problem.place.endswith("line 4")
    path.write_text(USAGE + row.replace(str(AT + 60), str(AT + 31 * DAY)))
    assert "no stretch of a day at most" in read(path, "openai-csv")[1][0].reason
    # A later export in which the minute went on filling, with its columns in another order.
    later = tmp_path / "later.csv"
    later.write_text(
        "model,start_time_iso,end_time_iso,start_time,end_time,project_id,input_tokens,output_tokens,num_model_requests,batch\n"
        f"gpt-5,x,y,{AT},{AT + MINUTE},proj_1,2000,90,5,false\n"
    )
    (grown,), _, _ = read(later, "openai-csv")
    assert grown.id == event.id


def test_exported_costs_are_bills_of_whole_days_to_the_last_digit(tmp_path):
    path = tmp_path / "cost.csv"
    path.write_text(
        "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,user_email\n"
        f'{AT},{AT + 86400},x,y,1.123456789012345678901234567890,usd,"gpt-5, input",a@b.c\n'
        f"{AT + 86400},{AT + 172800},x,y,,,,\n"
        f"{AT + 172800},{AT + 259200},x,y,twelve,usd,z,\n"
    )  # fmt: skip
    events, (problem,), (bill,) = read(path, "openai-csv")
    assert not events
    assert (bill.day, bill.line_item, bill.amount_pico) == (AT, "gpt-5, input", 1_123_456_789_012)
    assert bill.dims.model == "gpt-5"
    assert problem.place.endswith("line 4")


def test_an_empty_export_is_a_file_without_usage(tmp_path):
    path = tmp_path / "u.csv"
    path.write_text("start_time,end_time,start_time_iso,end_time_iso\n")
    assert detect(str(path), mapped=False) == "openai-csv"
    assert read(path, "openai-csv") == ([], [], [])


# --- OpenRouter ---


def test_exported_requests_and_days_of_openrouter(tmp_path):
    requests = tmp_path / "requests.csv"
    requests.write_text(
        "generation_id,created_at,cost_total,tokens_prompt,tokens_completion,tokens_reasoning,tokens_cached,model_permaslug,api_key_name\n"
        "gen-1,2026-11-01 00:00:05.123,0.01,100,20,5,60,openai/gpt-5,svc\n"
        "gen-2,2026-11-01 00:00:05.123,0.01,-1,20,5,60,openai/gpt-5,svc\n"
    )
    days = tmp_path / "days.csv"
    days.write_text(
        "date,model,provider_name,requests,prompt_tokens,cached_tokens,completion_tokens,reasoning_tokens,usage\n"
        "2026-11-01 00:00:00,openai/gpt-5,OpenAI,5,50000,60000,1200,300,0.015\n"
    )
    assert {detect(str(path), mapped=False) for path in (requests, days)} == {"openrouter-csv"}
    (event,), (problem,), _ = read(requests, "openrouter-csv")
    assert (event.id, event.at, event.dims.api_key) == ("gen-1", AT + 5, "svc")
    assert event.quantities[:2] == (40, 60)
    assert "tokens_prompt" in problem.reason
    (day,), _, _ = read(days, "openrouter-csv")
    assert (day.at, day.quantities[:2], day.quantities.requests) == (AT, (0, 60000), 5)


# --- files of any columns ---

MAP = "at=t,input=usage.prompt,output=out,model=:m"


def test_json_lines_are_read_by_a_map_into_objects(tmp_path):
    path = lines(
        tmp_path / "r.jsonl", {"t": "2026-11-01T00:00:00Z", "usage": {"prompt": 5}, "out": 2.0},
        {"t": AT, "out": 3, "usage": None}, {"t": AT, "usage": {"prompt": -5}, "out": 1}, [1],
    )  # fmt: skip
    events, problems, _ = read(path, "jsonl", MAP)
    assert [event.quantities[0] for event in events] == [5, None]
    assert [problem.place for problem in problems] == [f"{path}, line 3", f"{path}, line 4"]
    assert {event.at for event in events} == {AT}


def test_a_parquet_file_is_read_by_a_map(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from datetime import UTC, datetime

    from pyarrow import parquet

    path = tmp_path / "r.parquet"
    times = [datetime.fromtimestamp(AT, UTC), datetime.fromtimestamp(AT, UTC), None]
    parquet.write_table(
        pyarrow.table({"t": times, "in": [7, 7, 1], "o": [1.0, 1.0, 2.0], "other": ["x"] * 3}), path
    )
    assert detect(str(path), mapped=True) == "parquet"
    events, (problem,), _ = read(path, "parquet", "at=t,input=in,output=o")
    assert [(event.at, event.quantities[0]) for event in events] == [(AT, 7)] * 2
    assert len({event.id for event in events}) == 2
    assert problem.place == f"{path}, row 3"
    twice = pyarrow.table([[AT], [1], [9], [2]], names=["t", "in", "in", "o"])
    parquet.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(InputError, match="has the column in more than once"):
        read(tmp_path / "twice.parquet", "parquet", "at=t,input=in,output=o")
    with pytest.raises(InputError, match="has no column absent"):
        read(path, "parquet", "at=absent,input=in,output=o")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="no Parquet file"):
        read(path, "parquet", "at=t,input=in,output=o")


# --- files ---


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "parquet"])
def test_every_format_names_a_file_that_is_not_there_and_one_that_is_damaged(tmp_path, form):
    mapping = "at=t,input=i,output=o" if form in MAPPED else ""
    with pytest.raises(InputError, match=r"cannot read .*no: No such file"):
        read(tmp_path / "no", form, mapping)
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"t,i,o\n" + b'{"a": 1}\n' * 5000)[:-9])
    with pytest.raises(InputError, match="is cut off or damaged"):
        read(path, form, mapping)


def test_a_gzip_bomb_is_refused_before_it_fills_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_SMALL", 1 << 20)
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress(b"x" * (8 << 20)))
    with pytest.raises(InputError, match="expands to more than 200 times its size"):
        read(path, "claude-code")


def test_a_line_without_end_is_quarantined_and_the_next_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LONGEST_LINE", 2 << 20)
    monkeypatch.setattr(files, "BLOCK", 1 << 18)
    path = tmp_path / "log.jsonl"
    good = json.dumps({"t": AT, "usage": {"prompt": 5}, "out": 2}).encode()
    path.write_bytes(good + b"\n" + b"x" * (5 << 20) + b"\n" + good + b"\n")
    events, (problem,), _ = read(path, "jsonl", MAP)
    assert len(events) == 2
    assert problem.place == f"{path}, line 2"
    assert "longer than" in problem.reason


def test_the_last_line_counts_where_it_is_whole_and_waits_where_it_is_not(tmp_path):
    path, reader = tmp_path / "log.jsonl", load("jsonl")("team", parse_map(MAP + ",id=id"))
    good = json.dumps({"t": AT, "usage": {"prompt": 5}, "out": 2, "id": "a"})
    path.write_text(good + "\n" + good.replace('"a"', '"b"')[:-9])
    first = list(reader.parts(str(path), None))
    assert [event.id for part in first for event in part.events] == ["a"]
    cursor = first[-1].cursor
    assert (cursor.position, cursor.line) == (len(good) + 1, 1)
    path.write_text(good + "\n" + good.replace('"a"', '"b"'))
    second = list(reader.parts(str(path), cursor))
    assert [event.id for part in second for event in part.events] == ["b"]
    cursor = second[-1].cursor
    assert (cursor.position, cursor.line) == (2 * len(good) + 1, 1)
    assert list(reader.parts(str(path), cursor)) == []


def test_what_is_packed_in_another_way_is_told_of(tmp_path):
    path = tmp_path / "log.jsonl.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd packed")
    with pytest.raises(InputError, match="is packed with zstd"):
        read(path, "jsonl", MAP)
    with pytest.raises(InputError, match="is packed with zstd"):
        grouped([str(tmp_path)], mapped=True)


def test_a_table_with_old_line_ends_stops_no_other(tmp_path):
    (tmp_path / "old.csv").write_bytes(b"t,i,o\r1,2,3\r")
    (tmp_path / "whole.csv").write_text("t,i,o\n1,2,3\n")
    assert grouped([str(tmp_path)], mapped=True) == {"csv": [str(tmp_path / "whole.csv")]}


def test_folders_are_searched_and_what_is_of_no_format_is_left_out(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    names = ("log.jsonl", "log.jsonl-20261101", "log.jsonl.1", "log.jsonl.2026-11-01_09.gz")
    logs = [lines(inner / name, {"type": "summary", "leafUuid": "x"}) for name in names]
    (inner / "notes.json").write_text('{"a": 1}')
    (inner / "picture.png").write_text('{"sessionId": 1}')
    (tmp_path / "loop").symlink_to(tmp_path)
    assert grouped([str(tmp_path)], mapped=False) == {"claude-code": [*map(str, logs)]}
    chosen = Chosen([str(tmp_path)], "auto", "team")
    assert chosen.reader(str(inner / "notes.json"), None) is None
    with pytest.raises(InputError, match="is of no format that is known"):
        grouped([str(inner / "notes.json")], mapped=False)
    with pytest.raises(InputError, match="there is no"):
        grouped([str(tmp_path / "absent")], mapped=False)


def test_a_format_that_needs_a_map_says_so():
    with pytest.raises(InputError, match="needs a map"):
        Chosen(["x"], "jsonl", "team")
    with pytest.raises(InputError, match="is no format of files"):
        Chosen(["x"], "xml", "team")


def test_damaged_compression_is_told_as_such(tmp_path):
    path = tmp_path / "x.jsonl.gz"
    packed = bytearray(gzip.compress(b'{"a": 1}\n' * 500, compresslevel=9))
    packed[20] ^= 0xFF
    path.write_bytes(packed)
    with pytest.raises((InputError, zlib.error), match="damaged"):
        read(path, "claude-code")
