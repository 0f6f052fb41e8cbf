import json
import logging

from monitor.logs import JsonLines


def test_a_log_line_is_one_json_object_with_what_the_call_added():
    record = logging.makeLogRecord(
        {
            "name": "crossover.collect",
            "levelname": "INFO",
            "msg": "read %d\nrows",
            "args": (3,),
            "source": "openai",
        }
    )
    line = JsonLines().format(record)
    assert "\n" not in line
    entry = json.loads(line)
    assert entry["message"] == "read 3\nrows"
    assert entry["source"] == "openai"
    assert entry["at"].endswith("+00:00")


def test_an_exception_stays_in_the_line():
    try:
        int("canary")
    except ValueError as error:
        record = logging.makeLogRecord(
            {"msg": "x", "exc_info": (type(error), error, error.__traceback__)}
        )
    assert "ValueError: invalid literal" in json.loads(JsonLines().format(record))["exception"]
