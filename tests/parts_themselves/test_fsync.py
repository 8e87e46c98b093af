"""That nothing waits for the disk."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CAP_SYS_ADMIN = 1 << 21
CAPABILITIES = int(re.findall(r"^CapEff:\s(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)[0], 16)

pytestmark = pytest.mark.skipif(not CAPABILITIES & CAP_SYS_ADMIN, reason="the kernel asks for CAP_SYS_ADMIN")


def test_tests_do_not_wait_for_the_disk() -> None:
    # To a pipe it is an error, unless nobody asks the kernel.
    os.fsync(os.pipe()[1])


def test_what_tests_start_does_not_either() -> None:
    subprocess.run([sys.executable, "-c", "import os; os.fsync(os.pipe()[1])"], check=True)
