"""The front end of Kubeflow Pipelines in a browser: a run's page, our pages in its frames, the form; and pictures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcar.pipelines.compilation import documents_in
from tests.kubernetes.kfp.backend import Backend
from tests.kubernetes.kfp.front_end import pipelines_front_end
from tests.kubernetes.kfp.front_end_build import missing
from tests.kubernetes.kfp.given_backend import GivenBackend
from tests.kubernetes.kfp.whole_run import MODEL, WholeRun
from tests.parts.browser import Page, browser_page
from tests.pictures import MAX_BYTES, OF_A_RUN

LACKING = missing()
pytestmark = pytest.mark.skipif(LACKING != "", reason=LACKING)

WIDTH, HEIGHT = 1000, 760
PAGE_WIDTH, PAGE_HEIGHT, MARGIN = 960, 4000, 12
"""CSS pixels: the docs show a picture about as wide, and all of the page is in view."""

GROUPS = ("Preflight to register", "Something to do")
"""Groups that hold the steps of a run that has something to do, from the outermost inwards."""

STEPS = {(): {"Report"}, GROUPS[:1]: {"Preflight"}, GROUPS: {"Download", "Mirror", "Register"}}
LABELS = "[...document.querySelectorAll('.react-flow__node')].map(node => node.innerText.trim())"
DONE = ".react-flow__node .text-mui-green-600"
"""The mark of a step that has ended well."""

KINDS = {"NUMBER_INTEGER": "integer", "STRING": "string", "BOOLEAN": "boolean", "LIST": "list", "STRUCT": "dict"}


@pytest.fixture(scope="module")
def front_end(kfp_backend: Backend | GivenBackend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of the front end."""
    if not isinstance(kfp_backend, Backend):
        pytest.skip("shows the backend that the tests start; that of MODELCAR_TEST_KFP has a front end of its own")
    with pipelines_front_end(kfp_backend, tmp_path_factory.mktemp("front-end")) as url:
        yield url


@pytest.fixture(scope="module")
def page(front_end: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    host = front_end.removeprefix("http://").partition(":")[0]
    with browser_page(tmp_path_factory.mktemp("browser"), [host, "127.0.0.1"]) as page:
        page.open(front_end)
        # There is more room for what is looked at without the names of its other pages.
        page.evaluate("localStorage.setItem('navbarCollapsed', true)")
        yield page


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder for the pictures: the one of the docs for `make pictures`."""
    return Path(request.config.getoption("--pictures") or tmp_path_factory.mktemp("pictures"))


def opened(page: Page, front_end: str, place: str) -> None:
    # An address that differs in what comes after # alone would load nothing.
    page.open("about:blank")
    page.open(f"{front_end}/#{place}", WIDTH, HEIGHT)


def opened_run(page: Page, front_end: str, whole_run: WholeRun, *groups: str) -> None:
    """Opens a run's page, and there, one after the other, groups of its steps."""
    opened(page, front_end, f"/runs/details/{whole_run.run.id}")
    for group in groups:
        fit(page)
        page.click_until(f"!{LABELS}.includes('{group}')", f"button[title='{group}'] > div > div:last-child")
    # States come from ML Metadata; before they are there, nothing of an artifact can be opened.
    page.wait_for(f"document.querySelectorAll('{DONE}').length")
    fit(page)


def fit(page: Page) -> None:
    """Brings all steps into view."""
    page.wait_for(f"{LABELS}.length")
    page.click_on(".react-flow__controls-fitview")


def opened_artifact(page: Page, name: str) -> None:
    """Opens what the front end makes of an artifact."""
    page.click_on(f".react-flow__node [title='{name}']")
    page.click_until("document.querySelector('iframe') !== null", "button", "Visualization")


@pytest.mark.parametrize("groups", STEPS)
def test_the_steps_of_a_run_are_shown_by_name(
    groups: tuple[str, ...], page: Page, front_end: str, whole_run: WholeRun
) -> None:
    opened_run(page, front_end, whole_run, *groups)

    assert set(page.evaluate(LABELS)) >= STEPS[groups]


@pytest.mark.parametrize(
    ("groups", "artifact", "image"),
    [(GROUPS[:1], "plan_page", "target"), ((), "report_page", "mirror_target")],
    ids=["plan", "report"],
)
def test_a_page_of_ours_is_shown_in_the_frame(
    groups: tuple[str, ...], artifact: str, image: str, page: Page, front_end: str, whole_run: WholeRun
) -> None:
    opened_run(page, front_end, whole_run, *groups)
    page.messages.clear()
    opened_artifact(page, artifact)
    shown = page.wait_for_frame(MODEL)

    assert page.evaluate("document.querySelector('iframe').sandbox.value") == "allow-scripts"
    assert str(whole_run.parameters[image]).rpartition(":")[0] in shown
    # The front end itself asks for what only Google's cloud has; a page of ours may not even ask.
    assert [message for message in page.messages if not message.startswith("Failed to load resource")] == []


def test_the_form_of_a_run_asks_for_our_parameters(
    page: Page, front_end: str, whole_run: WholeRun, compiled_for_backend: Path
) -> None:
    pipeline = whole_run.pipeline
    opened(page, front_end, f"/runs/new?pipelineId={pipeline.id}&pipelineVersionId={pipeline.version}")
    definition = documents_in(compiled_for_backend / "model-to-registry.yaml")[0]
    parameters = definition["root"]["inputDefinitions"]["parameters"]
    labels = "[...document.querySelectorAll('label')].map(label => label.innerText)"
    page.wait_for(f"{labels}.length >= {len(parameters)}")

    # Their descriptions are shown by OpenShift AI's form, and not by this one.
    asked = {f"{name} - {KINDS[each['parameterType']]}" for name, each in parameters.items()}
    assert asked <= set(page.evaluate(labels))


def test_pictures_of_the_run_are_made(
    page: Page, front_end: str, whole_run: WholeRun, pictures: Path, tmp_path: Path
) -> None:
    opened_run(page, front_end, whole_run, *GROUPS)
    steps = page.screenshot()
    opened_run(page, front_end, whole_run)
    opened_artifact(page, "report_page")
    page.wait_for_frame(MODEL)
    report = tmp_path / "report.html"
    report.write_text(page.evaluate("document.querySelector('iframe').srcdoc"))
    page.open(report.as_uri(), PAGE_WIDTH, PAGE_HEIGHT)
    made = dict(zip(OF_A_RUN, (steps, page.screenshot("figure:has(svg)", MARGIN)), strict=True))
    for name, picture in made.items():
        (pictures / f"{name}.png").write_bytes(picture)

    assert max(len(picture) for picture in made.values()) < MAX_BYTES
