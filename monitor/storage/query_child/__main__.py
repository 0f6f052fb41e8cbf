"""Reads a task, confines itself, runs the task on its engine."""

import json
import sys
from importlib import import_module

from monitor.storage.query_child.task import Answer, Failed, Task, confine


def main() -> None:
    """Answer one task; every failure that can still be told is told."""
    task = Task(**json.load(sys.stdin))
    confine(task)
    answer = Answer(sys.stdout.buffer, task.answer_bytes)
    try:
        import_module(f"monitor.storage.query_child.{task.engine}").run(task, answer)
    except Failed as failed:
        answer.failed(failed)
    except MemoryError:
        answer.failed(Failed("memory"))


if __name__ == "__main__":
    main()
