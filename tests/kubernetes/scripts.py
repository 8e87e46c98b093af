"""What pods run: our functions as they are, each result on the last line."""

DOWNLOAD = """
import sys
from pathlib import Path
from modelcar.steps.download import download
print(download(sys.argv[1], Path(sys.argv[2])).directory)
"""
"""Takes the model and the claim; tells the directory."""

BUILD = """
import sys
from pathlib import Path
from modelcar.steps.build import build
from modelcar.records.termination_message import exit_with_one_line
with exit_with_one_line():
    print(build(Path(sys.argv[1]), sys.argv[2], builder=sys.argv[3]).image)
"""
"""Takes the directory, the target and the builder; tells the image with its digest."""
