"""Where the evidence is shown, of which tests, and who has a say in it: as a suite has it."""

import re
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pytest_echoserver._evidence import text

from ..conftest import Downstream

EXAMPLES = Path(__file__).parents[2] / "examples"
TITLE = "*what this test's peers saw (pytest-echoserver)*"
SUITE = """
    import socket
    import pytest

    def say(peer, data):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(data, peer.address)
            peer.next_datagram().result()

    def test_passes(udp_peer):
        say(udp_peer, b"of the passed")

    def test_fails(udp_peer):
        say(udp_peer, b"of the failed")
        assert False
"""


def test_it_is_shown_of_failed_tests_alone(downstream: Downstream) -> None:
    result = downstream.run(SUITE)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*test_fails*", TITLE, "udp-1 (udp 127.0.0.1:*)", "*b'of the failed'*"])
    result.stdout.no_fnmatch_line("*b'of the passed'*")


@pytest.mark.parametrize("options", [("-n1",), ()])
def test_it_is_shown_of_all_on_request(downstream: Downstream, options: tuple[str, ...]) -> None:
    plugins = ("xdist",) if options else ()
    result = downstream.run_apart(SUITE, "--echoserver-traffic=all", *options, plugins=plugins)
    result.assert_outcomes(passed=1, failed=1)
    passed = ["*= TRAFFIC OF PASSED TESTS =*", "*_ test_passes _*", TITLE, "*b'of the passed'*"]
    result.stdout.fnmatch_lines([*passed, "*= FAILURES =*", "*_ test_fails _*", TITLE, "*b'of the failed'*"])


def test_of_passed_tests_it_is_shown_once(downstream: Downstream) -> None:
    result = downstream.run(SUITE, "--echoserver-traffic=all", "-rP")
    assert str(result.stdout).count("b'of the passed'") == 1
    result.stdout.fnmatch_lines(["*= PASSES =*", "*b'of the passed'*"])


INTERRUPTS = """
    import asyncio
    import os
    import signal
    import socket
    import pytest

    @pytest.fixture
    def address(tcp_peer):
        @tcp_peer.serve
        async def interrupt(connection):
            await connection.read_until(b"hello")
            os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C does
            await connection.read(1)

        return tcp_peer.address

    def hang(address):
        with socket.create_connection(address) as client:
            client.sendall(b"hello")
            client.recv(1)
"""
ENDS_OF_A_RUN = {
    "the test hangs": """
    def test_it(address):
        hang(address)
""",
    "it hangs in asyncio": """
    @pytest.mark.asyncio
    async def test_it(address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"hello")
        try:
            await reader.read(1)
        finally:
            writer.close()
""",
    "its set-up hangs": """
    @pytest.fixture
    def ready(address):
        hang(address)

    def test_it(ready):
        pass
""",
    "its tear-down hangs": """
    @pytest.fixture
    def ready(address):
        yield
        hang(address)

    def test_it(ready):
        pass
""",
    "a peer of the session hangs": """
    @pytest.fixture(scope="session")
    def shared(session_peers):
        with session_peers.tcp() as peer:
            yield peer

    def test_it(shared):
        with socket.create_connection(shared.address) as client:
            client.sendall(b"hello")
            shared.connection.read_exactly(5).result()
            os.kill(os.getpid(), signal.SIGINT)
            client.recv(1)
""",
    "it exits": """
    def test_it(tcp_peer):
        with socket.create_connection(tcp_peer.address) as client:
            client.sendall(b"hello")
            tcp_peer.connection.read_exactly(5).result()
            pytest.exit("enough")
""",
}


def run_to_an_end(downstream: Downstream, how: str, *options: str) -> pytest.RunResult:
    plugins = ("pytest_asyncio.plugin",) if "asyncio" in how else ()
    if plugins:
        options += ("-oasyncio_default_fixture_loop_scope=function",)
    result = downstream.run_apart(INTERRUPTS + ENDS_OF_A_RUN[how], *options, plugins=plugins)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    return result


@pytest.mark.parametrize("how", ENDS_OF_A_RUN)
def test_a_test_that_the_run_ends_in_shows_it_too(downstream: Downstream, how: str) -> None:
    result = run_to_an_end(downstream, how)
    told = "*Exit: enough" if how == "it exits" else "KeyboardInterrupt"
    result.stdout.fnmatch_lines(["*_ interrupted: *::test_it _*", TITLE, "tcp-1 *", "*b'hello'", f"!*! {told} !*"])


def test_it_is_in_a_file_too(downstream: Downstream) -> None:
    run_to_an_end(downstream, "it exits", "--echoserver-pcap=captures", "--echoserver-traffic=off")
    (file,) = (downstream.pytester.path / "captures").iterdir()
    assert b"hello" in file.read_bytes()


def test_where_it_is_not_wanted_an_end_of_the_run_does_not_show_it(downstream: Downstream) -> None:
    result = run_to_an_end(downstream, "it exits", "--echoserver-traffic=off")
    result.stdout.no_fnmatch_line("*pytest-echoserver*")


def test_an_error_of_the_evidence_itself_is_told_there(downstream: Downstream) -> None:
    downstream.pytester.makeconftest("""
        from pytest_echoserver._evidence import text

        def broken(*args, **options):
            raise LookupError("a bug of ours")

        text.sections = broken
    """)
    result = run_to_an_end(downstream, "it exits")
    result.stdout.fnmatch_lines(
        ["*_ interrupted: *::test_it _*", "*no evidence, for an error of its own*", "LookupError: a*"]
    )
    result.stdout.fnmatch_lines(["!*Exit: enough !*"])


def test_a_test_that_an_interrupt_has_not_ended_the_run_in_is_told_once(downstream: Downstream) -> None:
    downstream.pytester.makeconftest("""
        import pytest

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_call():
            try:
                return (yield)
            except KeyboardInterrupt as error:  # as --pdb does
                raise RuntimeError("it goes on") from error
    """)
    result = downstream.run_apart(INTERRUPTS + ENDS_OF_A_RUN["the test hangs"] + "\n    def test_next(): pass")
    result.assert_outcomes(passed=1, failed=1)
    assert str(result.stdout).count("(pytest-echoserver)") == 1


def test_it_is_not_shown_where_it_is_not_wanted(downstream: Downstream) -> None:
    downstream.pytester.makeini("[pytest]\nechoserver_traffic = off")
    result = downstream.run(
        SUITE + "\n    def test_unmet(udp_peer):\n        udp_peer.expect(b'x')\n        assert False"
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.no_fnmatch_line(TITLE)
    result.stdout.fnmatch_lines(["*errors of this test's peers (pytest-echoserver)*", "*expect(b'x')*not met*"])


def test_it_is_shown_whatever_is_to_be_shown_of_captured_output(downstream: Downstream) -> None:
    result = downstream.run(SUITE, "--show-capture=no")
    result.stdout.fnmatch_lines([TITLE, "*b'of the failed'*"])


def test_a_failure_in_set_up_or_tear_down_shows_it_too(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket
        import pytest

        def say(peer, data):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(data, peer.address)
                peer.next_datagram().result()

        @pytest.fixture
        def fails_before(udp_peer):
            say(udp_peer, b"in the set-up")
            raise LookupError("before")

        @pytest.fixture
        def fails_after(udp_peer):
            yield
            say(udp_peer, b"in the tear-down")
            raise LookupError("after")

        def test_before(fails_before): pass
        def test_after(fails_after): pass
        """
    )
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*LookupError: before", TITLE, "*b'in the set-up'*"])
    result.stdout.fnmatch_lines(["*LookupError: after", TITLE, "*b'in the tear-down'*"])


@pytest.mark.parametrize("options", [("-n1",), ()])
def test_the_junit_xml_has_it(downstream: Downstream, options: tuple[str, ...]) -> None:
    plugins = ("xdist",) if options else ()
    downstream.run_apart(SUITE, "--junitxml=junit.xml", *options, plugins=plugins)
    failure = ElementTree.parse(downstream.pytester.path / "junit.xml").find(".//failure")
    assert failure is not None
    assert "->  b'of the failed'" in (failure.text or "")


def test_the_widths_of_terminals(downstream: Downstream, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = SUITE.replace('b"of the failed"', "bytes(range(64))")
    for columns, options, per_row in ((120, (), 16), (60, (), 8), (60, ("-n1",), 8), (120, ("-n1",), 16)):
        monkeypatch.setenv("COLUMNS", str(columns))
        result = downstream.run_apart(suite, *options, plugins=("xdist",) if options else ())
        rows = re.findall(r"^      [0-9a-f]{4}  ", str(result.stdout), re.MULTILINE)
        assert len(rows) == 64 // per_row


def test_colours_where_the_terminal_has_them(downstream: Downstream) -> None:
    result = downstream.run(SUITE, "--color=yes", "--junitxml=junit.xml")
    assert "\x1b[36m->\x1b[0m" in str(result.stdout)
    assert "\x1b" not in str(downstream.run(SUITE, "--color=no").stdout)
    assert "#x1B" not in (downstream.pytester.path / "junit.xml").read_text(encoding="utf-8")


def test_a_log_of_github_folds_it(downstream: Downstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = downstream.run(SUITE)
    result.stdout.fnmatch_lines(["::group::what this test's peers saw*", "*b'of the failed'*", "::endgroup::"])


def test_how_much_of_a_payload_is_shown(downstream: Downstream) -> None:
    result = downstream.run(SUITE, "--echoserver-payload-limit=4")
    result.stdout.fnmatch_lines(["*->  13 bytes*", "      b'of'", "      ... 9 more bytes ...", "      b'ed'"])


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("traffic=some", "echoserver_traffic must be failed, all or off, not 'some'"),
        ("payload-limit=0", "echoserver_payload_limit must be a number of bytes, at least 1, not 0"),
        ("payload-limit=few", "echoserver_payload_limit must be a whole number, not 'few'"),
    ],
)
def test_what_is_not_allowed_is_refused(downstream: Downstream, option: str, told: str) -> None:
    result = downstream.run(SUITE, f"--echoserver-{option}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{told}"])


def test_the_hook_gets_the_traffic_of_each_test_once(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        def pytest_echoserver_traffic(item, traffic):
            (peer,) = traffic.peers
            data = [event.args[0] for event in peer.events if event.name == "datagram_received"]
            print("told:", item.name, peer.name, peer.kind, peer.peer.received[0].data, data)
        """
    )
    result = downstream.run(SUITE + "\n    def test_has_none(): pass", "-s")
    told = [line[line.index("told:") :] for line in result.outlines if "told:" in line]
    assert told == [
        f"told: test_{how} udp-1 udp b'of the {word}' [b'of the {word}']"
        for how, word in (("passes", "passed"), ("fails", "failed"))
    ]


def test_hooks_decode_and_redact(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        def pytest_echoserver_decode(peer, data):
            return f"{type(peer).__name__} says {data.decode()}"

        def pytest_echoserver_redact(data):
            return data.replace(b"of", b"[word]")
        """
    )
    downstream.pytester.makepyfile(
        more="def pytest_echoserver_redact(peer, data): return bytearray(data.replace(b'failed', b'[failed]'))"
    )
    downstream.pytester.syspathinsert()
    result = downstream.run(SUITE, plugins=("more",))
    told = r"\[word\] the \[failed\]"
    result.stdout.re_match_lines([rf".*->  19 bytes  .*  = DatagramPeer says {told}$", rf"      b'{told}'$"])
    result.stdout.no_re_match_line(".*->.*of the failed.*")


def test_a_hook_that_fails_loses_no_evidence_and_shows_nothing_secret(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        def pytest_echoserver_redact(data):
            return {}[data]
        """
    )
    result = downstream.run(SUITE)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*(left out: pytest_echoserver_redact raised KeyError)*"])
    result.stdout.no_fnmatch_line("*->*of the failed*")
    downstream.pytester.makeconftest(
        """
        def pytest_echoserver_decode(data):
            raise LookupError("odd")
        """
    )
    result = downstream.run_apart(SUITE)
    result.stdout.fnmatch_lines(["*b'of the failed'*(pytest_echoserver_decode raised LookupError('odd'))"])


@pytest.mark.parametrize("ending", ["pytest.fail('by it')", "pytest.skip('by it')", "raise SystemExit('by it')"])
@pytest.mark.parametrize(
    ("hook", "told"),
    [
        ("traffic(item, traffic)", "*by it*"),
        ("decode(peer, data)", "*b'of the failed'*(pytest_echoserver_decode raised *by it*)"),
        ("redact(peer, data)", "*(left out: pytest_echoserver_redact raised *)*"),
    ],
)
def test_a_hook_that_ends_as_a_test_may_does_not_end_the_run(
    downstream: Downstream, hook: str, told: str, ending: str
) -> None:
    downstream.pytester.makeconftest(f"import pytest\ndef pytest_echoserver_{hook}: {ending}")
    result = downstream.run(SUITE)
    result.assert_outcomes(passed=1, failed=1, errors=2 if "traffic" in hook else 0)
    if "traffic" in hook:
        result.stdout.fnmatch_lines(["*ERROR at teardown of test_passes*", TITLE, "*b'of the passed'*"])
    result.stdout.fnmatch_lines([">       assert False"])
    result.stdout.fnmatch_lines([told])


@pytest.mark.parametrize("options", [("-n1",), ()])
def test_an_error_beside_the_tests_own_hides_nothing_and_moves_nothing(
    downstream: Downstream, options: tuple[str, ...]
) -> None:
    result = downstream.run_apart(
        """
        import socket
        import threading

        def test_it(udp_peer):
            came = threading.Event()

            @udp_peer.serve
            def answer(datagram):
                came.set()
                raise ValueError("got " + datagram.data.decode(errors="surrogateescape"))

            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"\\xff" + "\\u202e".encode(), udp_peer.address)
            assert came.wait(5)
            assert False, "its own"
        """,
        *options,
        plugins=("xdist",) if options else (),
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: its own", "ValueError: got \\udcff\\u202e"])


def test_a_passing_test_formats_nothing(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import sys

        def test_it(udp_echo_server, tcp_peer):
            udp_echo_server.send(b"x", udp_echo_server.address).result()
            tcp_peer.on(b"x").reply(b"y")

        def test_after():
            assert not [name for name in sys.modules if name.startswith("pytest_echoserver._evidence")]
        """
    )
    result.assert_outcomes(passed=2)


def test_the_example_tells_dns_in_words(downstream: Downstream) -> None:
    here = downstream.pytester.path
    for name in ("conftest.py", "dns_in_words.py"):
        shutil.copy(EXAMPLES / name, here / name)
    result = downstream.run_apart(
        """
        import dns.message
        import dns.query
        import dns.resolver

        def test_it(udp_peer):
            @udp_peer.serve
            def nobody_there(datagram):
                answer = dns.message.make_response(dns.message.from_wire(datagram.data))
                answer.set_rcode(dns.rcode.NXDOMAIN)
                return answer.to_wire()

            query = dns.message.make_query("example.org", "A")
            assert dns.query.udp(query, udp_peer.host, port=udp_peer.port, timeout=5).answer
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*->  29 bytes  from *  = query for example.org. A",
            "      0000  *.exa",
            "*<-  29 bytes  to *  = answer to example.org. A: NXDOMAIN",
        ]
    )


def test_what_is_awaited_is_redacted_only_once_the_wait_has_failed(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        asked = []

        def pytest_echoserver_redact(data):
            asked.append(data)
            return data.upper()
        """
    )
    result = downstream.run(
        """
        import socket
        import sys

        import pytest
        from conftest import asked
        from pytest_echoserver import CaptureTimeout

        def test_it(tcp_peer, subprocess_runner):
            process = subprocess_runner(sys.executable, "-c", "print('came', flush=True); input()", stdin=-1)
            with socket.create_connection(tcp_peer.address) as client:
                client.sendall(b"came")
                for reader in (tcp_peer.connection, process):
                    reader.read_until(b"came").result()
                    never = reader.read_until(b"never")
                    assert asked == []
                    with pytest.raises(CaptureTimeout, match="b'NEVER'"):
                        never.result(0.01)
                    asked.clear()
            process.write(b"\\n").result()
        """
    )
    result.assert_outcomes(passed=1)


def test_what_a_script_says_is_redacted_as_what_passed(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        "def pytest_echoserver_redact(data): return data.replace(b'hunter2', b'*******')"
    )
    result = downstream.run_apart(
        """
        import re
        import socket

        SECRET = b"hunt" b"er2"

        def test_it(udp_peer):
            udp_peer.expect(SECRET).reply(b"not " + SECRET, SECRET)
            udp_peer.expect(b"my " + SECRET + b" one").reply(SECRET)
            udp_peer.on(re.compile(SECRET + b"!"))
            udp_peer.on(bytearray(SECRET + b"?"))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(SECRET, udp_peer.address)
                client.sendto(b"my " + SECRET + b" two", udp_peer.address)
                udp_peer.wait_for(2).result()
        """,
        "--echoserver-html=page.html",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*  the first difference is at offset 11 (0xb): 0x6f b'o' expected, 0x74 b't' got",
            "*met: expect(b'[*][*][*][*][*][*][*]').reply(b'not [*][*][*][*][*][*][*]', b'[*]*",
        ]
    )
    result.stdout.no_fnmatch_line("*hunter2*")
    assert "hunter2" not in (downstream.pytester.path / "page.html").read_text(encoding="utf-8")


def test_a_difference_within_what_is_redacted_is_told_where_it_is_but_not_what(downstream: Downstream) -> None:
    downstream.pytester.makeconftest("def pytest_echoserver_redact(data): return data.replace(b'hunter2', b'***')")
    result = downstream.run(
        """
        import socket

        def send(peer, data):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(data, peer.address)
                peer.wait_for(1).result()

        def test_within(udp_peer):
            udp_peer.expect(b"PASS hunter3")
            send(udp_peer, b"PASS hunt" b"er2")

        def test_before(udp_peer):
            udp_peer.expect(b"PASSWORD " + b" " * 20 + b"hunter3")
            send(udp_peer, b"PASSWD   " + b" " * 20 + b"hunt" b"er2")

        def test_nothing_but_the_secret(udp_peer):
            udp_peer.expect(b"hunt" b"er2")
            send(udp_peer, b"hunt" b"er2" * 2)

        def test_zz_behind(udp_peer):
            udp_peer.expect(b"PASS hunt" b"er2 x")
            send(udp_peer, b"PASS hunt" b"er2 y")
        """,
        "-p",
        "no:randomly",
    )
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(
        [
            "*got: b'PASS [*][*][*]'*",
            "*the first difference is in what is secret, and was left out",
            "*the first difference is at offset 5 (0x5): 0x4f b'O' expected, 0x44 b'D' got",
            "* b'PASSWORD        '",
            "*the first difference is in what is secret, and was left out",
        ]
    )
    result.stdout.fnmatch_lines(
        ["*the first difference is at offset 9 (0x9): 0x78 b'x' expected, 0x79 b'y' got", "* b'PASS [*][*][*] x'"]
    )
    assert "b'3' expected" not in result.stdout.str()


def test_our_errors_show_nothing_secret_either(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        names = []

        def pytest_echoserver_redact(peer, data):
            names.append(type(peer).__name__)
            return data.replace(b"hunter2", b"*******")

        def pytest_unconfigure():
            print("asked of:", *sorted(set(names)))
        """
    )
    result = downstream.run_apart(
        """
        import re
        import socket
        import sys

        PROGRAM = "import sys; print('hunt' 'er2', flush=True); print('hunt' 'er2', file=sys.stderr); input()"

        def send_in(peer, data):
            with socket.create_connection(peer.address, 5) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                client.recv(10)

        def send_to(peer, data):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(data, peer.address)

        def test_unexpected(tcp_peer):
            tcp_peer.expect(b"PASS secret\\n")
            with socket.create_connection(tcp_peer.address, 5) as client:
                client.sendall(b"PASS hunter2\\n")
                tcp_peer.connection.read_exactly(13).result()

        def test_unexpected_datagram(udp_peer):
            udp_peer.expect(b"x")
            send_to(udp_peer, b"my hunter2")
            udp_peer.next_datagram().result()

        def test_left_over(tcp_peer):
            tcp_peer.expect(re.compile(b"hunt.*!"))
            client = socket.create_connection(tcp_peer.address, 5)
            with client:
                client.sendall(b"hunter2")
                tcp_peer.connection.read_exactly(7).result()
                tcp_peer.verify()

        def test_not_enough(tcp_peer):
            with socket.create_connection(tcp_peer.address, 5) as client:
                client.sendall(b"hunter2")
                tcp_peer.connection.read_until(b"another hunt" b"er2").result(timeout=0.1)

        def test_too_few(udp_peer):
            send_to(udp_peer, b"hunter2")
            udp_peer.wait_for(2).result(timeout=0.1)

        def test_no_silence(udp_peer):
            send_to(udp_peer, b"hunter2")
            udp_peer.expect_silence(5).result()

        def test_program(subprocess_runner):
            program = subprocess_runner(sys.executable, "-c", PROGRAM, stdin=-1)
            program.read_until(b"another hunt" b"er2", "both").result(timeout=1)

        def test_pair(stream_harness):
            sock, connection = stream_harness.pair()
            sock.sendall(b"hunter2")
            connection.read_exactly(99).result(timeout=0.1)
        """,
        "--tb=line",
        "-rN",
    )
    result.assert_outcomes(failed=8)
    shown = [line for line in result.outlines if "hunter2" in line]
    assert shown == []
    result.stdout.fnmatch_lines(["asked of: DatagramPeer PairedConnection Process StreamPeer"])
    assert "*******" in str(result.stdout)


def test_what_the_traffic_hook_raises_is_an_error_of_its_test(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        def pytest_echoserver_traffic(item, traffic):
            assert item.name != "test_passes", "a client that says goodbye"
        """
    )
    result = downstream.run(SUITE)
    result.assert_outcomes(passed=1, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_passes*", "*AssertionError: a client that says*"])


def test_an_error_of_the_evidence_itself_loses_no_report(
    downstream: Downstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LookupError("a bug of ours")

    monkeypatch.setattr(text, "sections", broken)
    result = downstream.run(SUITE)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*>*assert False*", "*no evidence, for an error of its own*", "LookupError: a*"])


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
@pytest.mark.parametrize("options", [(), ("--echoserver-html=page.html",)])
def test_where_no_file_can_be_opened_any_more_a_failure_is_still_shown(
    downstream: Downstream, options: tuple[str, ...]
) -> None:
    result = downstream.run_apart(
        """
        import resource

        def test_it(udp_echo_server):
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # what is open stays open
            assert not "the failure that is to be seen"
        """,
        *options,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "what peers saw is not shown as it should be*",
            "E*the failure that is to be seen*",
            "*no evidence, for an error of its own*",
        ]
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_nor_is_a_traffic_hook_left_out_without_a_word(downstream: Downstream) -> None:
    downstream.pytester.makeconftest("def pytest_echoserver_traffic(item, traffic): pass")
    result = downstream.run_apart(
        """
        import resource

        def test_it(peers):
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # what is open stays open
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["E*what passed can't be put together for pytest_echoserver_traffic: *Too many*"])
