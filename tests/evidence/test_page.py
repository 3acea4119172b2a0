"""The HTML page, as a browser shows it: Debian's Chromium, without a head."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from pytest_echoserver import Event, Expected, PeerTraffic, Traffic, Verdict
from pytest_echoserver._evidence import html
from pytest_echoserver._evidence.timeline import Reading

from ..conftest import Downstream

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
CLIENT = ("127.0.0.1", 40_000)
HOSTILE = [
    b"</script><script>window.hacked = 1</script>",
    b"<img src=x onerror='window.hacked = 1'>",
    b"<svg onload='window.hacked = 1'>",
    b"\x1b]8;;http://example.org\x07click\x1b]8;;\x07 \x1b]52;c;aGFja2Vk\x07",
    "\u202egnp.exe\u2066 \u200f\u0000".encode(),
    b"<!--<script>",
    b"'\"`${window.hacked = 1}",
    bytes(range(256)),
    b"\xff\xfe\x00",
    b"x" * (10 * 1024 * 1024),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and its driver aren't installed")
    options = Options()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield browser
    browser.quit()
    browser.service.stop()


@pytest.fixture
def show(browser: webdriver.Chrome, tmp_path: Path) -> Iterator[Any]:
    """Shows a page of these tests; nothing may go wrong in it."""

    def show(*tests: html.Told) -> webdriver.Chrome:
        file = tmp_path / "page.html"
        file.write_text("".join(html.page(tests)), encoding="utf-8")
        browser.get(file.as_uri())
        if tests:
            drawn(browser, 0)
        return browser

    yield show
    assert [entry for entry in console(browser) if entry["level"] == "SEVERE"] == []


def told(
    *peers: PeerTraffic, node: str = "test_it.py::test_it", outcome: str = "failed", message: str = ""
) -> html.Told:
    traffic = Traffic(10.0, peers)
    return html.told_test(traffic, Reading(), node=node, outcome=outcome, message=message)


def udp(*payloads: bytes, name: str = "udp-1") -> PeerTraffic:
    events = [Event(10.0 + at / 1000, "datagram_received", (data, CLIENT)) for at, data in enumerate(payloads)]
    return PeerTraffic(name, "udp", ("127.0.0.1", 53), events)


def drawn(browser: webdriver.Chrome, place: int) -> None:
    """Open a test, and wait until its diagram is there: a browser tells the page of it a little later."""
    wait = WebDriverWait(browser, 20, 0.02)
    (details, *_) = wait.until(lambda _: find(browser, "details")[place:])
    browser.execute_script("arguments[0].open = true", details)
    wait.until(lambda _: details.find_elements(By.CLASS_NAME, "lifeline"))


def console(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """What the browser has logged since it was last asked."""
    entries: list[dict[str, Any]] = browser.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's
    return entries


def find(browser: webdriver.Chrome, selector: str) -> list[Any]:
    return browser.find_elements(By.CSS_SELECTOR, selector)


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    # As in the document: what an SVG's text is said to be may be a rendering of it.
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)", selector
    )
    return found


def test_it_draws_what_passed(show: Any) -> None:
    def event(at: float, name: str, *args: Any) -> Event:
        return Event(10.0 + at, name, args)

    datagrams = PeerTraffic(
        *("resolver", "udp", ("127.0.0.1", 53)),
        [
            event(0.001, "fault", "in", b"lost", CLIENT, Verdict(drop=True)),
            event(0.002, "datagram_received", b"query", CLIENT),
            event(0.003, "datagram_sent", b"answer", CLIENT),
            event(0.003, "fault", "out", b"answer", CLIENT, Verdict(copies=2)),
        ],
        [
            Expected("expect(b'query')", "test_it.py:3", [(10.0025, None)], 0),
            Expected("expect(b'x')", "t:4", [], 1),
        ],
    )
    stream = PeerTraffic(
        *("server", "tcp", ("::1", 80)),
        [
            event(0.005, "connection_made", 1, ("::1", 9)),
            event(0.006, "data_received", 1, b"GET /\r\n"),
            event(0.007, "reset_sent", 1),
        ],
        numbered=True,
    )
    browser = show(told(datagrams, stream, message="assert 1 == 2"))
    assert texts(browser, ".head") == ["code under test", "resolver", "server"]
    assert texts(browser, ".where") == ["", "udp 127.0.0.1:53", "tcp [::1]:80"]
    assert texts(browser, ".step .label") == [
        *("lost lost", "query", "met: expect(b'query')  test_it.py:3", "answer 2 copies"),
        *("#1 connected", "#1 GET /\\r\\n", "#1 reset", "not met: expect(b'x')  t:4"),
    ]
    assert texts(browser, ".step .time")[0] == "+0.0010"
    assert [each.get_attribute("class") for each in find(browser, ".step")] == [
        *("step in fault", "step in", "step  good", "step out fault"),
        *("step in", "step in", "step out bad", "step  bad"),
    ]
    assert texts(browser, ".why") == ["assert 1 == 2"]
    red = find(browser, ".step.bad .arrow")[0].value_of_css_property("stroke")
    assert red != find(browser, ".step.out.fault .arrow")[0].value_of_css_property("stroke")


def test_a_click_shows_the_bytes(show: Any) -> None:
    browser = show(told(udp(b"line one\nline two\x00", bytes(range(32)), b"y" * 20_000)))
    steps = find(browser, ".step")
    steps[0].click()
    assert texts(browser, ".bytes h3") == ["after 0.0000 s, to udp-1, 18 bytes, with 127.0.0.1:40000"]
    assert texts(browser, ".bytes pre") == [
        "line one\nline two\\x00",
        "0000  6c 69 6e 65 20 6f 6e 65  0a 6c 69 6e 65 20 74 77  line one.line tw\n0010  6f 00" + " " * 45 + "o.",
    ]
    steps[1].click()
    assert texts(browser, ".bytes pre")[0] == "(not text)"
    steps[2].click()
    text, shown = texts(browser, ".bytes pre")
    assert "… 11,808 more bytes …" in text
    assert shown.splitlines()[-1].startswith("4e10  79 79")


@pytest.mark.parametrize("before", [b"", b".", b".."])
def test_text_is_text_wherever_it_was_cut(show: Any, before: bytes) -> None:
    browser = show(told(udp(before + "\u4e2d".encode() * 10_000, b"\xef\xbb\xbfmarked as UTF-8")))
    assert texts(browser, ".label")[0].startswith(before.decode() + "\u4e2d")
    find(browser, ".step .label")[0].click()
    (text,) = texts(browser, "pre:not(.hex)")
    assert re.fullmatch(r"\.*\u4e2d+\n… 21,8\d\d more bytes …\n\u4e2d+", text)
    find(browser, ".step .label")[1].click()
    assert texts(browser, "pre:not(.hex)") == ["\\u{feff}marked as UTF-8"]


def test_nothing_from_the_wire_is_more_than_text(show: Any) -> None:
    words = [data.decode("latin-1") for data in HOSTILE]
    peers = [PeerTraffic(word[:200], "udp", word[:200], udp(*HOSTILE).events, detail=word[:200]) for word in words]
    tests = [told(*peers, node=word[:200], message=word) for word in words]
    browser = show(*tests)
    for place, _ in enumerate(tests):
        drawn(browser, place)
    click = "document.querySelectorAll('.step')[arguments[0]].dispatchEvent(new Event('click', {bubbles: true}))"
    for step in range(len(HOSTILE)):
        browser.execute_script(click, step)
    assert browser.execute_script("return typeof window.hacked") == "undefined"
    assert len(find(browser, "script")) == len(tests) + 2
    assert not find(browser, "img, a, iframe, object, embed, link")
    shown = browser.execute_script("return document.body.innerText")
    assert not any(char in shown for char in "\x1b\x07\u202e\u2066\u200f\x00")


def test_it_fetches_nothing_and_runs_nothing_but_its_own(show: Any) -> None:
    browser = show(told(udp(b"x")))
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    browser.execute_script(
        "const added = document.createElement('script');"
        "added.textContent = 'window.hacked = 1'; document.body.append(added)"
    )
    assert browser.execute_script("return typeof window.hacked") == "undefined"
    refused = [entry["message"] for entry in console(browser)]
    assert any("Content Security Policy" in message for message in refused)


def test_filters(show: Any) -> None:
    browser = show(
        told(udp(b"a"), node="test_a.py::test_dns", message="KeyError: 'x'"),
        told(udp(b"b", name="broker"), node="test_b.py::test_mqtt", outcome="error"),
        told(udp(b"c"), node="test_b.py::test_quiet", outcome="passed"),
    )

    def shown() -> list[str]:
        return [
            each.find_element(By.CLASS_NAME, "node").text
            for each in find(browser, "details")
            if each.is_displayed()
        ]

    by_test, by_peer = find(browser, "#by-test")[0], find(browser, "#by-peer")[0]
    assert find(browser, "#summary")[0].text == "1 failed, 1 error, 1 passed"
    by_test.send_keys("TEST_B")
    assert shown() == ["test_b.py::test_mqtt", "test_b.py::test_quiet"]
    assert find(browser, "#summary")[0].text == "1 failed, 1 error, 1 passed; 2 shown"
    by_peer.send_keys("broker")
    assert shown() == ["test_b.py::test_mqtt"]
    by_test.clear()
    by_test.send_keys("keyerror")
    assert shown() == []
    by_test.clear()
    by_peer.clear()
    by_peer.send_keys("127.0.0.1:53")
    find(browser, "#by-outcome option[value=passed]")[0].click()
    assert shown() == ["test_b.py::test_quiet"]


def test_keys_do_all_that_the_mouse_does(show: Any) -> None:
    browser = show(told(udp(b"one", b"two", b"three")), told(udp(b"four"), node="other"))

    def press(*keys: str) -> Any:
        browser.switch_to.active_element.send_keys(*keys)
        return browser.switch_to.active_element

    find(browser, "body")[0].send_keys("/")
    assert browser.switch_to.active_element.get_attribute("id") == "by-test"
    focused = press(Keys.TAB, Keys.TAB)
    focused = press(Keys.TAB)
    assert focused.tag_name == "summary"
    for _ in range(4):  # past the diagram's box, which scrolls
        focused = press(Keys.TAB)
        if focused.get_attribute("role") == "option":
            break
    assert focused.get_attribute("aria-label") == "after 0.0000 s, to udp-1, 3 bytes, with 127.0.0.1:40000"
    press(Keys.ENTER)
    assert texts(browser, ".bytes pre")[0] == "one"
    press(Keys.ARROW_DOWN)
    assert texts(browser, ".bytes pre")[0] == "two"
    assert press(Keys.END).get_attribute("aria-selected") == "true"
    assert texts(browser, ".bytes pre")[0] == "three"
    press(Keys.ARROW_DOWN)
    assert texts(browser, ".bytes pre")[0] == "three"
    press(Keys.HOME)
    assert texts(browser, ".bytes pre")[0] == "one"
    assert len(find(browser, ".step[tabindex='0']")) == 1
    other = find(browser, "summary")[1]
    other.send_keys(Keys.ENTER)
    assert find(browser, "details")[1].get_attribute("open")
    drawn(browser, 1)
    assert "four" in texts(browser, ".step .label")


def test_a_proxy_a_harness_and_what_is_left_out(show: Any) -> None:
    proxy = PeerTraffic(
        *("udp_proxy-1", "udp", ("127.0.0.1", 1)),
        [Event(10.0, "datagram_received", (b"x", CLIENT)), Event(10.1, "target_datagram_sent", (b"x", CLIENT))],
    )
    browser = show(told(proxy))
    assert texts(browser, ".head") == ["code under test", "udp_proxy-1", "target of udp_proxy-1"]
    assert texts(browser, ".label") == ["x", "to the target x"]
    protocol = PeerTraffic("stream-1's protocol", "protocol", None, [Event(10.0, "data_received", (b"hi",))])
    far = PeerTraffic("stream-1", "stream", None, [Event(9.9, "data_sent", (b"hi",))])
    browser = show(told(protocol, far))
    assert texts(browser, ".head") == ["stream-1's protocol", "stream-1"]
    assert texts(browser, ".label") == ["hi", "data_received hi"]
    browser = show(told(udp(*([b"x"] * 10_000))))
    assert "… 8,000 more …" in texts(browser, ".more")


def test_it_opens_with_many_messages_of_many_tests(show: Any) -> None:
    peer = udp(*(b"message %d" % number for number in range(1_000)))
    tests = [told(peer, node=f"test_{number}") for number in range(200)]
    began = time.monotonic()
    browser = show(*tests)
    drawn(browser, 199)
    steps = find(browser, "details:last-of-type .step")
    assert len(steps) == 1_000
    assert time.monotonic() - began < 20
    longest = browser.execute_script(
        "const began = performance.now();"
        "document.getElementById('by-test').value = 'test_19';"
        "document.getElementById('by-test').dispatchEvent(new Event('input', {bubbles: true}));"
        "return performance.now() - began"
    )
    assert len([each for each in find(browser, "details") if each.is_displayed()]) == 11
    assert longest < 2_000


@pytest.mark.parametrize("options", [(), ("-n2",)])
def test_a_run_writes_one_page_of_its_failed_tests(
    show: Any, downstream: Downstream, options: tuple[str, ...]
) -> None:
    result = downstream.run_apart(
        """
        import pytest

        def say(peer, data):
            peer.send(data, peer.address).result()
            peer.next_datagram().result()

        @pytest.fixture
        def broken(udp_peer):
            say(udp_peer, b"in set-up")
            raise LookupError("no set-up")

        def test_passes(udp_peer):
            say(udp_peer, b"of the passed")

        @pytest.mark.parametrize("number", range(4))
        def test_fails(udp_peer, number):
            say(udp_peer, b"of failed %d" % number)
            assert number < 0

        def test_is_broken(broken): pass
        """,
        "--echoserver-html=out/page.html",
        *options,
        plugins=("xdist",) if options else (),
    )
    page = downstream.pytester.path / "out" / "page.html"
    result.stdout.fnmatch_lines([f"*the page of the tests' traffic: {page.as_uri()}*"])
    browser = show()
    browser.get(page.as_uri())
    assert find(browser, "#summary")[0].text == "4 failed, 1 error"
    names = [name.rpartition("::")[2] for name in texts(browser, ".node")]
    assert sorted(names) == [*(f"test_fails[{number}]" for number in range(4)), "test_is_broken"]
    for place in range(5):
        drawn(browser, place)
    assert {"of failed 3", "in set-up"} <= set(texts(browser, ".label"))
    assert "of the passed" not in page.read_text(encoding="utf-8")


def test_pytest_html_has_the_diagram_beside_the_test(show: Any, downstream: Downstream) -> None:
    downstream.run_apart(
        """
        def test_it(udp_peer):
            udp_peer.send(b"<b>hello</b>", udp_peer.address).result()
            udp_peer.next_datagram().result()
            assert False
        """,
        *("--html=report.html", "--self-contained-html"),
        plugins=("pytest_html.plugin", "pytest_metadata.plugin"),
    )
    browser = show()
    browser.get((downstream.pytester.path / "report.html").as_uri())
    wait = WebDriverWait(browser, 20, 0.02)
    (frame,) = wait.until(lambda _: find(browser, "iframe"))  # the page's script makes it
    browser.execute_script("arguments[0].scrollIntoView()", frame)
    browser.switch_to.frame(frame)
    drawn(browser, 0)
    assert "<b>hello</b>" in texts(browser, ".label")
    browser.switch_to.default_content()


def test_the_page_has_how_a_test_ended_and_not_how_it_began(downstream: Downstream) -> None:
    suite = """
        import pytest

        @pytest.fixture
        def broken(udp_peer):
            yield
            raise LookupError("no tear-down")

        def test_it(broken): pass
        """
    downstream.run(suite, "--echoserver-traffic=all", "--echoserver-html=page.html")
    assert '"outcome":"error"' in (downstream.pytester.path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("option", ["--collect-only", "--fixtures", "--setup-plan", "--setup-only"])
def test_a_run_without_tests_leaves_the_page_of_the_one_before(downstream: Downstream, option: str) -> None:
    page = downstream.pytester.path / "page.html"
    page.write_text("of before", encoding="utf-8")
    result = downstream.run("def test_it(): pass", "--echoserver-html=page.html", option)
    assert page.read_text(encoding="utf-8") == "of before"
    result.stdout.no_fnmatch_line("*the page of*")
