"""The interactive page computes what minisnn computes, in a real browser (Chromium, driven by Selenium)."""

import itertools
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from minisnn.solvers import numpy_sequential as definition
from minisnn.surrogate import fast_sigmoid_derivative

webdriver = pytest.importorskip("selenium.webdriver", reason="drives a browser: needs selenium")
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")
PAGE = Path(__file__).parents[2] / "docs" / "interactive" / "neuron.html"
NUMBERS = ("weight", "bias", "decay", "threshold", "surrogate_scale")
SETTING = (*NUMBERS, "gradient", "input", "grad_spikes")
T = 16


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser):
    """The page as it opens at a width of 360 pixels."""
    for command, arguments in (
        ("setDeviceMetricsOverride", {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": False}),
        ("setScriptExecutionDisabled", {"value": False}),
        ("setEmulatedMedia", {"features": []}),
    ):
        browser.execute_cdp_cmd(f"Emulation.{command}", arguments)
    browser.get(PAGE.as_uri())
    return browser


def state(page):
    return page.execute_script("return window.minisnn.state()")


def typed(page, name, text):
    """Put text into a number field, as pasting does."""
    page.execute_script(
        "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
        "field.dispatchEvent(new Event('input'))", name, text,
    )  # fmt: skip


def message(page, name):
    return page.execute_script("return document.getElementById(arguments[0]).textContent", f"{name}-message")


def wanted(setting):
    """Every number of the page by the definition, from the numbers it was given."""
    x, grad_s = (np.array(setting[name], float).reshape(1, T, 1) for name in ("input", "grad_spikes"))
    weight, bias = np.full((1, 1), setting["weight"], float), np.full(1, setting["bias"], float)
    theta, scale, gradient = (setting[name] for name in ("threshold", "surrogate_scale", "gradient"))
    trace = definition.single_spike_forward(x, weight, bias, np.array(setting["decay"], float), theta)
    got = definition.single_spike_backward(trace, grad_s, None, scale, gradient)
    crossings = definition.crossings(trace.membrane, theta)
    z = definition.double_sum(crossings)
    grad_z = definition.first_only_backward(grad_s, z, gradient)
    grad_crossings = definition.double_sum_backward(grad_z)
    surrogate = fast_sigmoid_derivative(trace.membrane - theta, scale)
    series = {
        "current": definition.input_current(x, weight, bias), "membrane": trace.membrane, "crossings": crossings,
        "double_sum": z, "spikes": trace.spikes, "spike_time": trace.spike_times, "grad_double_sum": grad_z,
        "grad_crossings": grad_crossings, "surrogate": surrogate, "grad_potential": grad_crossings * surrogate,
        "grad_current": got.current, "grad_weight": got.weight, "grad_bias": got.bias, "grad_decay": got.decay,
    }  # fmt: skip
    return {name: np.asarray(values, float).ravel() for name, values in series.items()}


def agrees(page):
    shown = state(page)
    for name, values in wanted(shown).items():
        what = f"{name} of {shown}"
        np.testing.assert_allclose(np.ravel(shown[name]), values, rtol=1e-12, atol=1e-300, err_msg=what)
    return shown


def drawn_cases():
    """Settings of all kinds, and those where a wrong comparison or a wrong end of a sum would show."""
    rng = np.random.default_rng(1)
    for case, gradient in itertools.product(
        [
            {"weight": 0.5, "bias": 0, "decay": 0.5, "threshold": 0.75, "input": [1] * T},  # a tie in step 1
            {"weight": 2, "bias": 0, "threshold": 1, "input": [1] + [0] * (T - 1)},  # fires in the first step
            {"weight": 2, "bias": 0, "threshold": 1, "decay": 0, "input": [0] * (T - 1) + [1]},  # in the last
            {"weight": -1, "bias": 0},  # never
            {"decay": 1, "threshold": 0, "surrogate_scale": 0},
            {"bias": 0.5, "decay": 1, "input": [0] * T},
            {},
            {},
        ],
        ("gated", "straight-through"),
    ):
        ranges = ((-0.5, 2), (-0.1, 0.5), (0, 1), (0.5, 3), (0, 100))
        drawn = {name: rng.uniform(*ends) for name, ends in zip(NUMBERS, ranges)}
        drawn |= {name: rng.integers(0, 2, T).tolist() for name in ("input", "grad_spikes")}
        yield drawn | {"gradient": gradient} | case


def enter(page, setting):
    """Type the numbers, press the cells that differ, and choose the gradient."""
    page.execute_script(
        """
        for (const name of arguments[1]) {
          const field = document.getElementById(name);
          field.value = String(arguments[0][name]);
          field.dispatchEvent(new Event("input"));
        }
        for (const [k, name] of ["input", "grad_spikes"].entries()) {
          const cells = document.querySelectorAll(".row[role=group]")[k].children;
          arguments[0][name].forEach((on, t) => {
            if (on !== window.minisnn.state()[name][t]) cells[t].click();
          });
        }
        document.getElementById(arguments[0].gradient).click();
        """,
        setting,
        NUMBERS,
    )


def test_the_numbers_are_those_of_the_definition(page):
    agrees(page)
    for setting in drawn_cases():
        enter(page, setting)
        shown = agrees(page)
        assert {name: shown[name] for name in SETTING} == setting


def test_the_gated_case_without_a_gradient_is_among_the_cases(page):
    page.execute_script("document.querySelectorAll('details button')[3].click()")
    shown = agrees(page)
    assert shown["gradient"] == "gated"
    assert shown["grad_spikes"][shown["spike_time"]] == 1 == sum(shown["grad_spikes"])
    assert not any(shown["grad_current"])


def test_the_table_has_every_number(page):
    rows = page.execute_script(
        "return [...document.querySelectorAll('#all tr')].map((row) => [...row.children].map((c) => c.textContent))"
    )
    shown = state(page)
    named = {"V": "membrane", "z": "double_sum", "gS~": "grad_crossings", "gI": "grad_current"}
    for name, entry in named.items():
        (cells,) = [cells for head, *cells in rows if head == name]
        values = [float(cell.replace("\N{MINUS SIGN}", "-")) for cell in cells]
        np.testing.assert_allclose(values, shown[entry], rtol=1e-3)


# ---- by keyboard, by finger, without either ---------------------------------------------------------


def press(page, *keys):
    webdriver.ActionChains(page, duration=0).send_keys(*keys).perform()


def tab_to(page, name):
    """Walk on by the Tab key until the element of that id, or of that label, has the focus."""
    for _ in range(40):
        focused = page.switch_to.active_element
        if name in (focused.get_attribute("id"), focused.get_attribute("aria-label")):
            return focused
        press(page, Keys.TAB)
    raise AssertionError(f"no Tab leads to {name}")


def test_everything_can_be_set_by_keyboard_alone(page):
    tab_to(page, "weight").send_keys(Keys.CONTROL, "a")
    press(page, "0.75")
    tab_to(page, "bias-slider")
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    tab_to(page, "decay-slider")
    press(page, Keys.END)
    tab_to(page, "threshold-slider")
    press(page, Keys.HOME)
    tab_to(page, "surrogate_scale-slider")
    press(page, Keys.ARROW_LEFT)
    tab_to(page, "straight-through")
    press(page, Keys.ARROW_DOWN)
    tab_to(page, "step")
    press(page, Keys.HOME, Keys.ARROW_RIGHT)
    tab_to(page, "input spike: none")
    press(page, Keys.ENTER)
    tab_to(page, "input spike, step 0")
    press(page, Keys.SPACE, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ENTER, Keys.END, Keys.SPACE)
    tab_to(page, "loss looks at the spike: none")
    press(page, Keys.SPACE)
    tab_to(page, "loss looks at the spike, step 0")
    press(page, Keys.ARROW_RIGHT, Keys.SPACE)
    shown = agrees(page)
    assert [shown[name] for name in NUMBERS] == [0.75, 0.02, 1, 0, 9]
    assert (shown["gradient"], shown["step"]) == ("gated", 1)
    assert np.flatnonzero(shown["input"]).tolist() == [0, 2, T - 1]
    assert np.flatnonzero(shown["grad_spikes"]).tolist() == [1]


def test_time_runs_and_stops(page):
    tab_to(page, "play")
    press(page, Keys.SPACE)
    deadline = time.monotonic() + 10
    while (state(page)["time"] or 0) < 1:
        assert time.monotonic() < deadline
    shown, hidden = page.execute_script(
        "return [window.minisnn.state().time, document.querySelectorAll('.numbers .later').length]"
    )
    press(page, Keys.SPACE)
    stopped = state(page)["time"]
    assert hidden == max(T - 1 - shown, 0)
    assert not state(page)["playing"]
    time.sleep(0.6)
    assert state(page)["time"] == stopped


def test_less_motion_goes_step_by_step(page):
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    )
    page.refresh()
    button = page.find_element("id", "play")
    assert button.text == "next step"
    seen = page.execute_script(
        "const button = document.getElementById('play');"
        "return arguments[0].map(() => { button.click(); return window.minisnn.state(); })",
        [0] * (2 * T + 1),
    )
    assert [one["step"] for one in seen[:-1]] == [*range(T), *reversed(range(T))]
    assert [one["time"] for one in seen] == [*range(2 * T), None]
    assert not any(one["playing"] for one in seen)


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_reaches_beyond_the_window(page, width):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
    )
    for name in NUMBERS:
        typed(page, name, "9" * 500)
    page.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.execute_script("return document.documentElement.scrollWidth") <= width


# ---- bad input --------------------------------------------------------------------------------------

BAD = [
    "", "  ", "abc", "2.01", "-2.01", "1e400", "-1e9", "NaN", "Infinity", "0x1", "0,5", "1 000", "1/2", "--1", "1e",
    ".", "\N{ARABIC-INDIC DIGIT ONE}", "\N{FULLWIDTH DIGIT ONE}", "\N{MINUS SIGN}1", "0.5\n0.7", "<b>1</b>",
    "1" * 100000,
]  # fmt: skip


def test_bad_text_is_answered_in_a_line_and_changes_nothing(page):
    before = state(page)
    for text in BAD:
        typed(page, "weight", text)
        line = message(page, "weight")
        assert line.startswith("expected a number from \N{MINUS SIGN}2 to 2, such as 0.5; got "), text
        assert line.endswith("0.5 stays in use."), text
        assert ("nothing" if text.strip() == "" else text.split("\n")[0][:10]) in line
        assert len(line) < 120
        assert state(page) == before
    for name in NUMBERS[1:]:
        typed(page, name, "1e3")
        assert "got “1e3”" in message(page, name)
        assert page.find_element("id", name).get_attribute("aria-invalid") == "true"
    assert state(page) == before
    for text, value in ((" +.5 ", 0.5), ("-0", 0), ("1e-3", 0.001), ("2.", 2), ("-2", -2)):
        typed(page, "weight", text)
        assert message(page, "weight") == ""
        assert state(page)["weight"] == value
        agrees(page)


# ---- without JavaScript, without a network, without some colours --------------------------------------


def test_without_javascript_the_same_picture_stands_still(page):
    live = page.execute_script("return window.minisnn.picture()")
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    page.refresh()
    still = [page.find_element("id", name).get_attribute("innerHTML") for name in ("forward", "backward")]
    assert still == live, "paste window.minisnn.picture() into the file: its first picture has changed"
    assert "JavaScript is off or missing" in page.find_element("tag name", "noscript").text
    assert page.find_elements("tag name", "button") == []
    assert page.find_element("id", "setting").text.startswith("Setting: weight 0.5, bias 0, decay 0.8,")


def test_the_file_asks_nothing_of_the_network():
    assert not re.search(r"https?:|src=|href=|url\(|@import|fetch|XMLHttp", PAGE.read_text())


# Machado, Oliveira and Fernandes (2009): how linear RGB looks to an eye without one of the three kinds of cones.
EYES = {
    "all cones": np.eye(3),
    "no long": [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
    "no middle": [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
    "no short": [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
TOGETHER = [("v", "spike"), ("v", "crossing"), ("crossing", "spike"), ("gated", "through")]


def seen(colour, eye):
    """Lab coordinates of a colour like #0072b2 as an eye sees it."""
    rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.reshape(EYES[eye], (3, 3)) @ linear, 0, 1) / TO_XYZ.sum(axis=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", EYES)
def test_colours_stay_apart_for_every_eye(eye):
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6});", part)) for part in themes())
    for colours in (light, light | dark):
        for one, other in TOGETHER:
            distance = np.linalg.norm(seen(colours[one], eye) - seen(colours[other], eye))
            assert distance > 20, f"{one} and {other}: {distance:.0f}"


def themes():
    """The colours of the light theme and those that the dark one changes."""
    return re.findall(r":root \{(.*?)\}", PAGE.read_text(), re.DOTALL)
