"""The process in which a query runs, so that it can be limited and ended from outside.

It is started by `monitor.storage.query`, reads one `Task` from stdin, and answers in lines of
JSON: `{"backend": pid}` (PostgreSQL), `{"columns": [...]}`, one list for each row, and at last
either `{"end": {"truncated": bool}}` or `{"failed": {"cause": ..., "text": ...}}`.
"""
