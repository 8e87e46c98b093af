"""What pods run: our functions as they are, each result on the last line."""

DOWNLOAD = """
import sys
from pathlib import Path
from modelcar.hub.selection import Selection
from modelcar.steps.download import download
print(download(Selection(sys.argv[1]), Path(sys.argv[2])).directory)
"""
"""Takes the model and the claim; tells the directory."""

BUILD = """
import sys
from pathlib import Path
from modelcar.image.request import ImageRequest
from modelcar.records.termination_message import exit_with_one_line
from modelcar.steps.build import BuildRequest, build
with exit_with_one_line():
    request = BuildRequest(directory=Path(sys.argv[1]), image=ImageRequest(sys.argv[2]), builder=sys.argv[3])
    print(build(request).image)
"""
"""Takes the directory, the target and the builder; tells the image with its digest."""
