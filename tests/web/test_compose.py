"""What an artist relies on in the room where a picture is ordered, in a real Chromium."""

# ruff: noqa: RUF001 - the signs of the page

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, Route, expect

from shared.parameters import Parameters
from tests.web.conftest import Open, Visitor

ENDLESS = 10_000  # steps that no test waits for


@pytest.fixture
def ordered(stack, page: Page) -> Callable[[], dict[str, Any]]:
    """Presses the button and says what job the service has made of it."""

    def order() -> dict[str, Any]:
        page.get_by_role("button", name="Paint", exact=True).click()
        page.wait_for_url("**/#job/*")
        url = f"{stack.url}/v1/jobs/{page.url.rsplit('/', 1)[-1]}"
        job: dict[str, Any] = httpx.get(url).raise_for_status().json()
        httpx.post(f"{url}/cancel").raise_for_status()
        return job

    return order


def choose(page: Page, well: str, *files: FilePayload) -> None:
    page.locator(f"#{well} input[type=file]").set_input_files(list(files))


def hung(page: Page) -> list[str]:
    """The names of the paintings, in their order."""
    return page.locator("#style .frame img").evaluate_all("all => all.map(image => image.alt)")


def picture(name: str, width: int, height: int, kind: str = "PNG", **options: Any) -> FilePayload:
    """Different pixels in every corner, so that a turn shows."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = rows * 200 // height, columns * 200 // width
    pixels = np.stack([red, green, 0 * rows], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return {"name": name, "mimeType": f"image/{kind.lower()}", "buffer": buffer.getvalue()}


def sideways(name: str) -> FilePayload:
    """A JPEG of 96 x 72 px that its EXIF says to turn by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(name, 96, 72, "JPEG", exif=exif)


# --- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (
            {"name": "letter.jpg", "mimeType": "image/jpeg", "buffer": b"Dear Theo, " * 40},
            "‘letter.jpg’ is not a picture of a kind that is read here",
        ),
        ({"name": "no.png", "mimeType": "image/png", "buffer": b""}, "‘no.png’ is empty."),
        (
            {**picture("half.png", 90, 90), "buffer": picture("half.png", 90, 90)["buffer"][:99]},
            "‘half.png’ cannot be read: it is truncated or corrupt.",
        ),
        (picture("dot.png", 9, 30), "‘dot.png’ is 9 × 30 px: each side needs 16 px or more."),
        (picture("ribbon.png", 900, 20), "its sides may differ by a factor of 32."),
    ],
    ids=["kind", "empty", "corrupt", "small", "narrow"],
)
def test_a_file_that_cannot_be_used_is_told_in_a_sentence_and_not_posted(
    page: Page, file: FilePayload, sentence: str
) -> None:
    choose(page, "content", file)
    expect(page.locator("#content .field-problem")).to_contain_text(sentence)
    expect(page.locator("#content .frame")).to_have_count(0)
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.locator("#compose-problem")).to_have_text("Choose a photograph first.")


def test_a_file_that_is_larger_than_the_service_takes_is_told(page: Page, tmp_path: Path) -> None:
    limits = page.request.get("/v1/presets").json()["limits"]
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.write(picture("huge.png", 32, 32)["buffer"])
        file.truncate(limits["max_image_bytes"] + 1)
    page.locator("#content input[type=file]").set_input_files(huge)
    expect(page.locator("#content .field-problem")).to_contain_text("at most 25 MB are taken")


def test_more_paintings_than_the_service_takes_are_told(page: Page) -> None:
    most = page.request.get("/v1/presets").json()["limits"]["max_styles"]
    choose(page, "style", *(picture(f"{number}.png", 20, 20) for number in range(most + 1)))
    expect(page.locator("#style .field-problem")).to_have_text(
        f"At most {most} paintings are taken."
    )
    expect(page.locator("#style .frame")).to_have_count(most)


def test_a_photograph_that_lies_on_its_side_is_shown_upright(page: Page) -> None:
    choose(page, "content", sideways("phone.jpg"))
    expect(page.locator("#content .hung-size")).to_contain_text("72 × 96 px")
    expect(page.get_by_role("img", name="phone.jpg")).to_have_js_property("naturalWidth", 72)


@pytest.mark.parametrize("turned", [False, True])
def test_a_tiff_is_taken_with_its_size_although_no_browser_shows_it(
    page: Page, turned: bool
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    choose(page, "content", picture("scan.tif", 60, 40, "TIFF", exif=exif))
    size = "40 × 60 px" if turned else "60 × 40 px"
    expect(page.locator("#content .hung-size")).to_contain_text(size)
    expect(page.locator("#content .frame.unseen")).to_be_visible()


def test_a_folder_can_be_dropped_and_what_is_no_picture_in_it_is_passed_over(
    page: Page, tmp_path: Path
) -> None:
    (tmp_path / "more").mkdir()
    for name in ("10.png", "9.png", "more/deep.png"):
        (tmp_path / name).write_bytes(picture(name, 20, 20)["buffer"])
    (tmp_path / "notes.txt").write_text("not a picture")
    drop_folder(page, page.locator("#style .invite"), tmp_path)
    expect(page.locator("#style .frame")).to_have_count(3)
    assert hung(page) == ["9.png", "10.png", "deep.png"]
    expect(page.locator("#style .field-problem")).to_be_empty()


@pytest.mark.parametrize(("place", "well"), [("#style .invite", "style"), ("h1", "content")])
def test_a_folder_without_pictures_is_said_to_be_one(
    page: Page, tmp_path: Path, place: str, well: str
) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    drop_folder(page, page.locator(f"#compose {place}"), tmp_path)
    problem = page.locator(f"#{well} .field-problem")
    expect(problem).to_have_text("There is no picture in it.")


def drop_folder(page: Page, target: Locator, folder: Path) -> None:
    box = target.bounding_box()
    assert box is not None
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        place = {"x": box["x"] + 50, "y": box["y"] + 20}
        devtools.send("Input.dispatchDragEvent", {"type": kind, "data": data, **place})


def test_what_is_wrong_with_a_file_is_said_until_another_is_taken(
    page: Page, photograph: FilePayload
) -> None:
    problem = page.locator("#content .field-problem")
    choose(page, "content", {**photograph, "buffer": b""})
    expect(problem).to_have_text("‘quiet_field.png’ is empty.")
    page.get_by_label("Strength", exact=True).fill("0.5")
    expect(page.locator("#changes")).to_have_text("1 changed")
    expect(problem).to_have_text("‘quiet_field.png’ is empty.")
    choose(page, "content", photograph)
    expect(problem).to_be_empty()


def test_the_form_says_what_is_missing(page: Page, photograph: FilePayload) -> None:
    paint = page.get_by_role("button", name="Paint", exact=True)
    paint.click()
    problem = page.locator("#compose-problem")
    expect(problem).to_have_text("Choose a photograph first.")
    choose(page, "content", photograph)
    expect(problem).to_be_empty()
    paint.click()
    expect(problem).to_have_text("Choose a painting for the style.")
    expect(page.locator("#style input[type=file]")).to_be_focused()


# --- paintings -----------------------------------------------------------------------------------


@pytest.fixture
def three(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload, second_painting
) -> None:
    """Three paintings on the wall."""
    visitor.choose(photograph, painting, second_painting, picture("third.png", 40, 40))
    expect(page.locator("#style .frame")).to_have_count(3)


@pytest.mark.usefixtures("three")
def test_paintings_can_be_removed_and_put_in_order_with_the_keyboard(page: Page) -> None:
    later = page.get_by_role("button", name="Move diagonal-strokes.png later")
    later.press("Enter")
    assert hung(page) == ["rings.png", "diagonal-strokes.png", "third.png"]
    expect(later).to_be_focused()
    later.press("Enter")
    assert hung(page) == ["rings.png", "third.png", "diagonal-strokes.png"]
    earlier = page.get_by_role("button", name="Move diagonal-strokes.png earlier")
    expect(earlier).to_be_focused()  # further it cannot go
    page.get_by_role("button", name="Remove third.png").press("Enter")
    assert hung(page) == ["rings.png", "diagonal-strokes.png"]
    expect(page.locator("#style input[type=file]")).to_be_focused()


@pytest.mark.usefixtures("three")
def test_shares_always_make_a_whole_and_are_painted_so(page: Page, ordered) -> None:
    share = page.get_by_role("slider", name="Share of diagonal-strokes.png")
    expect(share).to_have_value("33")
    share.fill("60")
    outputs = page.locator("#style .share output")
    expect(outputs).to_have_text(["60 %", "20 %", "20 %"])
    page.get_by_role("slider", name="Share of rings.png").fill("0")
    expect(outputs).to_have_text(["75 %", "0 %", "25 %"])
    weights = ordered()["params"]["style_weights"]
    assert np.divide(weights, sum(weights)) == pytest.approx([0.75, 0, 0.25], abs=0.01)


@pytest.mark.usefixtures("three")
def test_a_slider_that_went_to_its_end_leaves_the_others_their_proportions(page: Page) -> None:
    page.get_by_role("slider", name="Share of rings.png").fill("0")
    page.get_by_role("slider", name="Share of diagonal-strokes.png").fill("20")
    third = page.get_by_role("slider", name="Share of third.png")
    third.fill("60")
    outputs = page.locator("#style .share output")
    expect(outputs).to_have_text(["40 %", "0 %", "60 %"])
    for share in range(99, 101):
        third.fill(str(share))
    third.fill("50")
    expect(outputs).to_have_text(["50 %", "0 %", "50 %"])
    third.fill("100")
    page.get_by_role("button", name="Remove third.png").click()
    expect(outputs).to_have_text(["50 %", "50 %"])  # nothing would count


@pytest.mark.usefixtures("three")
def test_paintings_of_equal_shares_leave_the_weights_to_the_service(ordered) -> None:
    assert ordered()["params"]["style_weights"] is None


# --- how to paint --------------------------------------------------------------------------------


def test_every_preset_shows_what_it_does_to_the_same_photograph(page: Page) -> None:
    presets = page.request.get("/v1/presets").json()["presets"]
    cards = page.locator("#presets label")
    expect(cards).to_have_count(len(presets))
    for card in cards.all():
        card.scroll_into_view_if_needed()
        expect(card.locator("img")).to_have_js_property("complete", True)
        assert card.locator("img").evaluate("image => image.naturalWidth") >= 200
    first = page.get_by_role("radio", name="Default", exact=True)
    first.press("ArrowRight")
    expect(page.get_by_role("radio", name="Neural style", exact=True)).to_be_checked()
    expect(page.locator("#preset-summary")).to_have_text(presets[1]["summary"])


def test_only_what_differs_from_the_preset_is_asked_for(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload, ordered
) -> None:
    visitor.choose(photograph, painting)
    page.get_by_role("radio", name="Neural style", exact=True).check()
    page.get_by_role("radio", name="Draft").check()
    page.get_by_role("radio", name="The photograph’s").check()
    page.get_by_label("Strokes", exact=True).fill("0.3")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("File", exact=True).select_option("jpeg")
    page.get_by_label("Its quality").fill("80")
    page.get_by_role("button", name="Another", exact=True).click()
    seed = int(page.get_by_label("Seed", exact=True).input_value())
    asked = {
        "preset": "neural-style",
        "quality": "draft",
        "seed": seed,
        "color": "luminance",
        "style_scale": 2.0,
        "output": {"format": "jpeg", "quality": 80},
    }
    assert asked_params(page) == asked
    assert ordered()["params"] == resolved(asked)


def asked_params(page: Page) -> dict[str, Any]:
    """What the page posts as parameters: a browser does not show a body that has files in it."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the request as curl").click()
    expect(page.locator("#copy [role=status]")).to_have_text("Copied.")
    command = page.evaluate("navigator.clipboard.readText()")
    return json.loads(re.search("'params=(.*)'", command)[1])


def resolved(params: dict[str, Any]) -> dict[str, Any]:
    """All parameters, as the service works them out."""
    return Parameters.model_validate(params).model_dump(mode="json")


def test_a_strength_stays_when_another_preset_is_chosen(page: Page) -> None:
    page.get_by_label("Strength", exact=True).fill("0.5")
    page.get_by_role("radio", name="D2l", exact=True).check()
    expect(page.locator("#strength-value")).to_have_text("3.16×")
    page.get_by_role("radio", name="Reconstruction", exact=True).check()
    expect(page.get_by_label("Strength", exact=True)).to_be_disabled()
    page.get_by_role("radio", name="Default", exact=True).check()
    expect(page.locator("#strength-value")).to_have_text("3.16×")


def retype(field: Locator, text: str) -> None:
    """As somebody does who empties a field and types."""
    field.focus()
    field.press("End")
    for _ in field.input_value():
        field.press("Backspace")
    field.press_sequentially(text)


@pytest.mark.parametrize("place", ["#size", "#parameter-size"])
def test_a_number_can_be_emptied_and_typed_anew(page: Page, place: str) -> None:
    if place == "#parameter-size":
        page.get_by_role("button", name="Every parameter").click()
    field = page.locator(place)
    retype(field, "768")
    expect(field).to_have_value("768")
    expect(page.locator("#changes")).to_have_text("1 changed")
    retype(field, "")
    expect(field).to_have_value("")
    field.press("Tab")
    expect(field).to_have_value("512")  # a number that nobody finished gives way
    expect(page.locator("#changes")).to_be_empty()


def test_size_and_steps_have_sliders_beside_their_numbers(page: Page) -> None:
    size, slider = page.locator("#size"), page.get_by_label("Size", exact=True)
    slider.press("ArrowRight")
    expect(size).to_have_value("558")
    size.fill("1024")
    expect(slider).to_have_value("10")
    expect(slider).to_have_attribute("aria-valuetext", "1024 px")
    slider.press("End")
    most = page.request.get("/v1/presets").json()["limits"]["max_size_px"]
    expect(size).to_have_value(str(most))

    page.get_by_text("More", exact=True).click()
    steps, slider = page.locator("#steps"), page.get_by_label("Number of steps")
    expect(slider).to_have_attribute("aria-valuetext", "150 steps")
    page.get_by_role("radio", name="Draft").check()
    expect(slider).to_have_attribute("aria-valuetext", "decided for you")
    expect(steps).to_have_value("")
    slider.press("ArrowRight")
    expect(steps).to_have_value("180")
    assert asked_params(page) == {
        "preset": "default",
        "size": most,
        "quality": "draft",
        "steps": 180,
    }


def test_a_style_of_no_weight_is_at_the_end_of_its_slider(page: Page) -> None:
    page.get_by_role("button", name="Every parameter").click()
    page.get_by_label("style_weight", exact=True).fill("0")
    expect(page.locator("#strength")).to_have_value("-1")
    expect(page.locator("#strength-value")).to_have_text("0×")


def test_a_place_in_line_can_be_taken_back_like_everything(page: Page) -> None:
    afresh = page.get_by_role("button", name="Start afresh")
    expect(afresh).to_be_hidden()
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Place in line").select_option("high")
    afresh.press("Enter")
    expect(page.get_by_label("Place in line")).to_have_value("normal")
    expect(afresh).to_be_hidden()
    expect(page.get_by_role("button", name="Every parameter")).to_be_focused()


def test_fields_that_were_put_away_stay_so_until_the_form_is_handed_in(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    visitor.choose(photograph, painting)
    more, steps = page.locator("#compose .more"), page.locator("#steps")
    more.locator("summary").click()
    steps.fill("0")
    more.locator("summary").click()
    page.get_by_label("Strength", exact=True).fill("0.5")
    expect(page.locator("#changes")).to_have_text("1 changed")
    expect(steps).to_be_hidden()
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.locator("#compose-problem")).to_contain_text("Steps: ")
    expect(steps).to_be_focused()


# --- every parameter -----------------------------------------------------------------------------


def test_the_drawer_has_every_parameter_of_the_schema(page: Page) -> None:
    schema = page.request.get("/v1/presets").json()["parameters_schema"]
    page.get_by_role("button", name="Every parameter").click()
    rows = page.locator("#drawer .parameter").evaluate_all("all => all.map(r => r.dataset.name)")
    elsewhere = {"preset", "style_weights"}  # the cards, the sliders under the paintings
    assert {row for row in rows if "." not in row} == schema["properties"].keys() - elsewhere
    assert {"output.bit_depth", "pyramid.min_size", "lr_decay.every"} <= set(rows)
    page.get_by_role("searchbox", name="Find a parameter").fill("average iterates")
    expect(page.locator("#drawer .parameter:visible label")).to_have_text(["average"])


def test_what_the_drawer_changes_is_asked_for_and_can_be_taken_back(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload, ordered
) -> None:
    visitor.choose(photograph, painting)
    page.get_by_role("button", name="Every parameter").press("Enter")
    page.get_by_label("optimizer", exact=True).select_option("adam")
    page.get_by_label("betas", exact=True).fill("[0.8, 0.9]")
    page.get_by_label("lr_decay", exact=True).check()
    page.get_by_label("lr_decay.every", exact=True).fill("7")
    page.get_by_label("pooling_rescale", exact=True).check()
    page.get_by_label("max_step", exact=True).fill("")
    page.get_by_label("size", exact=True).fill("64")
    page.get_by_label("clamp", exact=True).uncheck()
    page.get_by_role("button", name="clamp: as the manner has it").click()
    expect(page.get_by_label("clamp", exact=True)).to_be_checked()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Every parameter")).to_be_focused()
    expect(page.get_by_label("Long side of the picture")).to_have_value("64")
    asked = {
        "preset": "default",
        "optimizer": "adam",
        "betas": [0.8, 0.9],
        "lr_decay": {"factor": 0.8, "every": 7},
        "pooling_rescale": True,
        "max_step": None,
        "size": 64,
    }
    assert asked_params(page) == asked
    assert ordered()["params"] == resolved(asked)


def test_what_is_typed_wrongly_in_the_drawer_is_said_and_not_dropped(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    visitor.choose(photograph, painting)
    drawer = page.get_by_role("button", name="Every parameter")
    drawer.click()
    field = page.get_by_label("betas", exact=True)
    field.fill("[0.8, ")
    page.get_by_label("clamp", exact=True).uncheck()
    problem = page.locator("#drawer .field-problem")
    expect(problem).to_have_text("Expected JSON like [1, 2].")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value("[0.8, ")
    page.get_by_role("button", name="Done").click()

    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.locator("#compose-problem")).to_contain_text("betas: Expected JSON")
    expect(field).to_be_focused()
    page.get_by_role("button", name="betas: as the manner has it").click()
    expect(problem).to_have_count(0)
    expect(field).to_have_value("[0.9, 0.99]")
    page.get_by_role("button", name="Done").click()
    assert asked_params(page) == {"preset": "default", "clamp": False}


# --- the estimate --------------------------------------------------------------------------------


def test_what_it_takes_is_said_before_it_is_ordered(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    estimate = page.locator("#estimate")
    expect(estimate).to_be_empty()
    assert estimate.evaluate("line => line.checkVisibility()")  # or nobody hears its first words
    visitor.choose(photograph, painting)
    page.get_by_label("Long side of the picture").fill("64")
    expect(estimate).to_contain_text("64 × 48 px, 150 steps.")
    page.get_by_role("radio", name="Draft").check()
    expect(estimate).to_contain_text("60 steps.")


def estimated(page: Page, **changes: Any) -> None:
    """Changes the service's answers to how long it takes."""

    def answer(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, json={**response.json(), **changes})

    page.route("**/v1/estimate", answer)


def test_a_picture_that_no_worker_has_the_memory_for_is_warned_of(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    estimated(page, workers=2, able=0, memory_bytes=9 * 2**30)
    visitor.choose(photograph, painting)
    expect(page.locator("#estimate.warns")).to_contain_text(
        "take 9 GB of memory, and no worker that is up has that much: choose a smaller size."
    )
    expect(page.get_by_role("button", name="Paint", exact=True)).to_be_enabled()


def test_who_paints_and_who_waits_is_said_in_words(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    estimated(page, workers=2, able=2, seconds={"low": 38.2, "high": 131}, waiting_jobs=3)
    visitor.choose(photograph, painting)
    expect(page.locator("#estimate")).to_contain_text(
        "About 38 s to 2 min on 2 workers. 3 jobs wait before it."
    )


@pytest.mark.parametrize(("able", "words"), [(1, "1 of 3 workers has"), (2, "2 of 3 workers have")])
def test_for_another_place_in_line_nobody_says_how_many_wait(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload, able: int, words: str
) -> None:
    estimated(page, workers=3, able=able, seconds={"low": 38.2, "high": 38.2}, waiting_jobs=3)
    visitor.choose(photograph, painting)
    estimate = page.locator("#estimate")
    expect(estimate).to_contain_text(f"About 38 s; {words} the memory. 3 jobs wait before it.")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Place in line").select_option("high")
    expect(estimate).not_to_contain_text("before it")
    expect(estimate).to_contain_text(words)


def test_the_estimate_keeps_up_with_the_service(
    page: Page, watch, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    watch.forgive("404")
    page.clock.install()
    estimated(page, workers=0, able=0, seconds=None)
    visitor.choose(photograph, painting)
    expect(page.locator("#estimate")).to_contain_text("Nobody is up to paint it")
    estimated(page, workers=2, able=2, seconds={"low": 5, "high": 5}, waiting_jobs=1)
    page.clock.fast_forward("00:31")
    expect(page.locator("#estimate")).to_contain_text("1 job waits before it.")
    page.goto("/#job/00000000-0000-7000-8000-000000000000")  # nobody looks at the form
    estimated(page, workers=2, able=2, seconds={"low": 5, "high": 5}, waiting_jobs=2)
    page.get_by_role("link", name="New picture").click()
    expect(page.locator("#estimate")).to_contain_text("2 jobs wait before it.")


def test_an_estimate_that_depends_on_nobody_is_not_asked_for_again(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    page.clock.install()
    page.evaluate(
        """() => {
          const { fetch } = window;
          window.asked = 0;
          window.fetch = (url, options) => {
            if (url === '/v1/estimate') window.asked += 1;
            return fetch(url, options);
          };
        }"""
    )
    estimated(page, workers=2, able=2, seconds={"low": 5, "high": 5}, waiting_jobs=0)
    visitor.choose(photograph, painting)
    expect(page.locator("#estimate")).to_contain_text("About 5 s on 2 workers.")
    page.clock.fast_forward("02:00")
    assert page.evaluate("asked") == 1


def test_without_an_estimate_nothing_is_said_and_everything_works(
    page: Page, watch, visitor, photograph: FilePayload, painting: FilePayload, ordered
) -> None:
    page.route("**/v1/estimate", lambda route: route.fulfill(status=503, json={}))
    with page.expect_response("**/v1/estimate"):
        visitor.choose(photograph, painting)
    expect(page.locator("#estimate")).to_be_empty()
    assert ordered()["id"]
    watch.forgive("503")


# --- handing in ----------------------------------------------------------------------------------


def test_an_answer_that_gets_lost_makes_no_second_job(
    stack, page: Page, watch, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    lost = iter([True])

    def lose(route: Route) -> None:
        if route.request.method == "POST" and next(lost, False):
            route.fetch()  # the service has it, the page does not know
            return route.abort()
        return route.fallback()

    page.route("**/v1/jobs", lose)
    before = {job["id"] for job in httpx.get(f"{stack.url}/v1/jobs").json()["jobs"]}
    visitor.choose(photograph, painting)
    job_id = visitor.order(size=64, steps=ENDLESS)
    after = {job["id"] for job in httpx.get(f"{stack.url}/v1/jobs").json()["jobs"]}
    assert after - before == {job_id}
    httpx.post(f"{stack.url}/v1/jobs/{job_id}/cancel")
    watch.forgive("ERR_FAILED")


def test_impatient_clicks_make_one_job(
    page: Page, visitor, photograph: FilePayload, painting: FilePayload, ordered
) -> None:
    posts = []
    page.on("request", lambda request: request.method == "POST" and posts.append(request.url))
    visitor.choose(photograph, painting)
    expect(page.locator("#style .frame")).to_have_count(1)
    page.evaluate("() => [1, 2, 3].map(() => document.getElementById('compose').requestSubmit())")
    page.wait_for_url("**/#job/*")
    assert len([url for url in posts if url.endswith("/v1/jobs")]) == 1
    httpx.post(f"{page.url.split('#')[0]}v1/jobs/{page.url.rsplit('/', 1)[-1]}/cancel")


def test_what_is_wrong_is_said_at_the_field(
    page: Page, watch, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    visitor.choose(photograph, painting)
    page.get_by_text("More", exact=True).click()
    page.get_by_label("File", exact=True).select_option("jpeg")
    page.get_by_role("button", name="Every parameter").click()
    page.get_by_label("output.bit_depth", exact=True).select_option("16")
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Paint", exact=True).click()
    field = page.get_by_label("File", exact=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    said = field.get_attribute("aria-errormessage")
    expect(page.locator(f"#{said}")).to_contain_text("take png or tiff for 16")
    field.select_option("png")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    watch.forgive("422")


def test_what_is_wrong_with_a_number_is_said_at_it_and_not_at_a_slider(
    page: Page, watch, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    pointers = {
        "params/size": "#size",
        "params/steps": "#steps",
        "style/0": "#style input[type=file]",
        "params/style_scale": "#strokes",
    }
    errors = [{"pointer": pointer, "detail": "it is odd"} for pointer in pointers]
    refusal = {"detail": "all is odd", "errors": errors}
    page.route("**/v1/jobs", lambda route: route.fulfill(status=422, json=refusal))
    visitor.choose(photograph, painting)
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.locator("#size")).to_be_focused()
    for field in pointers.values():
        expect(page.locator(field)).to_have_attribute("aria-invalid", "true")
    watch.forgive("422")


def test_what_is_wrong_with_a_parameter_of_the_drawer_is_said_there(
    page: Page, watch, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    visitor.choose(photograph, painting)
    page.get_by_role("button", name="Every parameter").click()
    page.get_by_label("content_layers", exact=True).fill('{"relu9_9": 1}')
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Paint", exact=True).click()
    field = page.get_by_label("content_layers", exact=True)
    expect(field).to_be_focused()
    expect(page.locator("#drawer [role=alert]")).to_contain_text("unknown layer 'relu9_9'")
    watch.forgive("422")


def test_everything_that_is_wrong_in_the_drawer_is_said_once(
    page: Page, watch, visitor, photograph: FilePayload, painting: FilePayload
) -> None:
    errors = [
        {"pointer": "params/betas", "detail": "too many"},
        {"pointer": "params/noise", "detail": "it is odd"},
    ]
    refusal = {"detail": "two are wrong", "errors": errors}
    page.route("**/v1/jobs", lambda route: route.fulfill(status=422, json=refusal))
    visitor.choose(photograph, painting)
    for _ in range(2):
        page.get_by_role("button", name="Paint", exact=True).click()
        expect(page.get_by_label("betas", exact=True)).to_be_focused()
        expect(page.locator("#drawer [role=alert]")).to_have_text(["It is odd.", "Too many."])
        page.get_by_role("button", name="Done").click()
    watch.forgive("422")


def test_what_is_handed_in_can_be_called_off_and_handed_in_again(
    page: Page, watch, visitor, photograph: FilePayload, painting: FilePayload, hold, ordered
) -> None:
    visitor.choose(photograph, painting)
    held = hold("**/v1/jobs", "POST")
    page.get_by_role("button", name="Paint", exact=True).press("Enter")
    paint = page.get_by_role("button", name="Handing it in …")
    expect(paint).to_be_focused()
    expect(paint).to_have_attribute("aria-disabled", "true")
    page.get_by_role("button", name="Call it off").press("Enter")
    expect(page.locator("#notice")).to_contain_text("Called off")
    expect(page.get_by_role("button", name="Paint", exact=True)).to_be_focused()
    expect(page.get_by_role("button", name="Call it off")).to_be_hidden()
    page.unroute("**/v1/jobs")
    with page.expect_request(lambda request: request.method == "POST") as again:
        ordered()
    # If it had arrived, it would be the same job.
    key = "idempotency-key"
    assert again.value.headers[key] == held[0].request.headers[key]
    watch.forgive("ERR_FAILED", "ERR_ABORTED")


def test_from_another_machine_without_https_a_picture_is_ordered_and_its_request_copied(
    stack, open_page: Open, watch, photograph: FilePayload, painting: FilePayload
) -> None:
    with open_page(stack.url.replace("127.0.0.1", "studio.test")) as page:
        assert not page.evaluate("isSecureContext")
        elsewhere = Visitor(page)
        elsewhere.choose(photograph, painting)
        copy = page.get_by_role("button", name="Copy the request as curl")
        copy.click()
        expect(page.locator("#copy [role=status]")).to_have_text("Copied.")
        expect(copy).to_be_focused()
        page.get_by_role("button", name="Every parameter").click()
        search = page.get_by_role("searchbox", name="Find a parameter")
        search.press("Control+V")
        expect(search).to_have_value(re.compile("^curl .*/v1/jobs.*quiet_field.png"))
        page.get_by_role("button", name="Done").click()
        job_id = elsewhere.order(size=64, steps=ENDLESS)
        elsewhere.cancel()
        page.get_by_role("button", name="Try again", exact=True).click()
        page.wait_for_url(lambda url: job_id not in url)
        elsewhere.cancel()
    watch.forgive("Cross-Origin-Opener-Policy")  # only HTTPS has it
