"""`modelcar submit`: what ends the showing of a run ends no run."""

import pytest

from modelcar.cli.commands.submit import detaching
from modelcar.records.termination_message import EndedError


@pytest.mark.parametrize(
    ("signalled", "code"), [(EndedError(130), 130), (EndedError(143), 143), (KeyboardInterrupt, 130)]
)
def test_signal_ends_the_showing_and_says_that_the_run_goes_on(
    signalled: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end, detaching("5f2c81d0"):
        raise signalled

    said = capsys.readouterr().err
    assert end.value.code == code
    assert not isinstance(end.value, EndedError)
    assert "The run goes on. To see it: modelcar status 5f2c81d0 --follow" in said
    assert "To end it: modelcar cancel 5f2c81d0" in said
