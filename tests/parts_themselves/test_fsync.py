"""That nothing waits for the disk."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the kernel lets only root leave fsync out")

# To a pipe it is an error, unless nobody asks the kernel.
SYNC = "import os; os.fsync(os.pipe()[1])"


def test_tests_do_not_wait_for_the_disk() -> None:
    os.fsync(os.pipe()[1])


def test_what_tests_start_does_not_either() -> None:
    subprocess.run([sys.executable, "-c", SYNC], check=True)
