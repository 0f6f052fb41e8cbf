"""What other programs write into files: marks, halves of characters, counts with a point."""

import gzip
import json

import pytest

from collectors.formats import detect, grouped, load
from tests.unit.test_file_formats import read

ASSISTANT = {
    "type": "assistant",
    "sessionId": "s",
    "timestamp": "2026-11-18T10:00:00Z",
    "requestId": "req",
    "message": {"id": "msg", "model": "claude-opus-4-8", "usage": {"output_tokens": 7}},
}
CALL = {
    "request_id": "a",
    "startTime": "2026-11-18T10:00:00Z",
    "custom_llm_provider": "openai",
    "prompt_tokens": 100,
    "completion_tokens": 7,
}
INVOCATION = {
    "schemaType": "ModelInvocationLog",
    "timestamp": "2026-11-18T10:00:00Z",
    "requestId": "a",
    "modelId": "m",
    "input": {"inputTokenCount": 100},
    "output": {"outputTokenCount": 7},
}
FIRST = {"claude-code": ASSISTANT, "litellm-jsonl": CALL, "bedrock-logs": INVOCATION}


def as_line(document, **further):
    return json.dumps(document | further)


def output(path, form):
    events, problems, _ = read(path, form)
    assert not problems
    return [event.quantities.output for event in events]


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("form", FIRST)
def test_a_mark_before_the_first_line_hides_it_from_nobody(tmp_path, form, end):
    path = tmp_path / "a.jsonl"
    path.write_text(as_line(FIRST[form]) + end, "utf-8-sig")
    assert detect(str(path), mapped=False) == form
    assert output(path, form) == [7]
    path.write_text(as_line(FIRST[form]) + "\n" + as_line(FIRST[form]) + "\n", "utf-8-sig")
    reader_cursor = path.stat().st_size
    assert read_to(path, form) == reader_cursor


def read_to(path, form):
    return list(load(form)("team").parts(str(path), None))[-1].cursor.position


@pytest.mark.parametrize("form", FIRST)
def test_half_a_character_loses_no_line(tmp_path, form):
    path = tmp_path / "a.jsonl"
    said = r'"said": "cut \ud83d, whole \ud83d\ude00, back \\ud83d", '
    path.write_text("{" + said + as_line(FIRST[form])[1:] + "\n")
    assert detect(str(path), mapped=False) == form
    assert output(path, form) == [7]


@pytest.mark.parametrize("form", FIRST)
def test_a_count_with_a_point_is_that_count_and_half_a_token_is_none(tmp_path, form):
    path = tmp_path / "a.jsonl"
    line = as_line(FIRST[form])
    path.write_text(line.replace(": 7", ": 7.0") + "\n")
    assert output(path, form) == [7]
    path.write_text(line.replace(": 7", ": 7.5") + "\n")
    events, problems, _ = read(path, form)
    assert not events
    assert len(problems) == 1


def snapshot(size):
    return as_line({"type": "file-history-snapshot", "snapshot": "x" * size})


BEFORE = {
    "a long line": [as_line({"type": "user", "message": "x" * 2_000_000})],
    "a short and a long line": [snapshot(10), as_line({"type": "user", "sessionId": "x" * 80_000})],
    "many lines": [snapshot(10)] * 60,
    "nothing": [],
}


@pytest.mark.parametrize("before", BEFORE)
def test_a_session_is_known_whatever_stands_before_its_first_response(tmp_path, before):
    path = tmp_path / "a.jsonl"
    response = {name: value for name, value in ASSISTANT.items() if name != "sessionId"}
    path.write_text("\n".join([*BEFORE[before], as_line(response)]) + "\n")
    assert detect(str(path), mapped=False) == "claude-code"
    assert output(path, "claude-code") == [7]


def test_the_blocks_of_a_response_without_an_id_are_one_request(tmp_path):
    path = tmp_path / "a.jsonl"
    message = {"model": None, "usage": {"output_tokens": 7}}
    lines = [
        as_line(ASSISTANT, message=message, timestamp=f"2026-11-18T10:00:0{n}Z") for n in range(3)
    ]
    path.write_text("\n".join(lines) + "\n")
    assert output(path, "claude-code") == [7]


def test_cache_writes_are_the_sum_of_their_parts_where_no_total_is_given(tmp_path):
    path = tmp_path / "a.jsonl"
    parts = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 9}
    message = {"id": "m", "model": "claude", "usage": {"cache_creation": parts}}
    path.write_text(as_line(ASSISTANT, message=message) + "\n")
    [event] = read(path, "claude-code")[0]
    assert (event.quantities.cache_write, event.quantities.cache_write_long) == (30, 9)


def test_an_invocation_without_an_id_is_not_taken_for_another(tmp_path):
    path = tmp_path / "a.json"
    path.write_text((as_line(INVOCATION, requestId="") + "\n") * 2)
    events, problems, _ = read(path, "bedrock-logs")
    assert (events, len(problems)) == ([], 2)


def test_a_streamed_answer_says_which_writes_are_kept_for_an_hour(tmp_path):
    path = tmp_path / "a.jsonl"
    usage = {"cache_creation": {"ephemeral_1h_input_tokens": 9}}
    body = [{"type": "message_start", "message": {"usage": usage}}, {"type": "message_stop"}]
    line = as_line(
        INVOCATION,
        input={"inputTokenCount": 100, "cacheWriteInputTokenCount": 12},
        output={"outputTokenCount": 7, "outputBodyJson": body},
    )
    path.write_text(line + "\n")
    [event] = read(path, "bedrock-logs")[0]
    assert (event.quantities.cache_write, event.quantities.cache_write_long) == (3, 9)


def test_a_damaged_file_goes_with_the_others_and_stops_none(tmp_path):
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl.gz"
    good.write_text(as_line(ASSISTANT) + "\n")
    bad.write_bytes(gzip.compress(b"x" * 100)[:-12])
    assert grouped([str(bad), str(good)], mapped=False) == {"claude-code": [str(good), str(bad)]}


def test_nanoseconds_of_a_table_are_read(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "r.parquet"
    at = pyarrow.array([1_793_491_200_123_456_789], pyarrow.timestamp("ns", "UTC"))
    parquet.write_table(pyarrow.table({"t": at, "i": [7.0], "o": [1]}), path)
    [event] = read(path, "parquet", "at=t,input=i,output=o")[0]
    assert (event.at, event.quantities.uncached_input) == (1_793_491_200, 7)


AT = 1_793_491_200


def test_rows_that_only_an_unknown_column_tells_apart_are_two(tmp_path):
    path = tmp_path / "u.csv"
    row = f"{AT},{AT + 60},x,y,gpt-5,"
    path.write_text(
        "start_time,end_time,start_time_iso,end_time_iso,model,input_tokens,output_tokens,"
        "num_model_requests,api_source,user_email,weight\n"
        f"{row}100,10,1,api,a@b.c,7\n{row}900,90,1,playground,a@b.c,7\n{row}950,90,1,playground,d@e.f,9\n"
    )
    api, playground, grown = read(path, "openai-csv")[0]
    assert api.id != playground.id == grown.id
    path.write_text(
        "date,model,model_permaslug,requests,prompt_tokens,completion_tokens,usage\n"
        "2026-11-01,m,m-1,1,100,10,0.5\n2026-11-01,m,m-2,1,900,90,0.5\n2026-11-01,m,m-2,2,950,90,0.7\n"
    )
    first, second, grown = read(path, "openrouter-csv")[0]
    assert first.id != second.id == grown.id


def test_the_providers_own_counts_are_taken_where_both_are_there(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(
        "generation_id,created_at,tokens_prompt,tokens_completion,tokens_cached,"
        "native_tokens_prompt,native_tokens_completion,native_tokens_cached\n"
        "a,2026-11-01,100,10,5,140,12,20\nb,2026-11-01,100,10,5,140,,\n"
    )
    own, other = (event.quantities for event in read(path, "openrouter-csv")[0])
    assert (own.uncached_input, own.cache_read, own.output) == (120, 20, 12)
    assert (other.uncached_input, other.cache_read, other.output) == (95, 5, 10)
