"""Memory goes back to the system: measured in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path
from monitor import memory

def rss():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

told = memory.hand_back() if sys.argv[1] == "told" else None
largest = bytearray(8 * 2**20)
largest = None  # by itself, glibc keeps what is smaller from now on
before = rss()
blocks = [bytearray(2**21) for _ in range(32)]
last = bytearray(100_000)  # lives on above them
blocks = None
print(told, rss() - before)
"""


def grown(mode, **env):
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **env},
    )
    told, megabytes = out.stdout.split()
    return told, int(megabytes)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's")
def test_large_blocks_go_back_once_they_are_free():
    told, kept = grown("told")
    assert told == "True"
    assert kept < 4
    assert grown("left")[1] > 30, "glibc returns them by itself: monitor/memory.py can go"


def test_the_environments_own_setting_stays():
    assert grown("told", MALLOC_MMAP_THRESHOLD_="1048576")[0] == "False"
