"""What a failing test looks like: in which phase, with which error, and with what beside it."""

import pytest

from ..conftest import Downstream

PROTOCOL = """
    import asyncio, pytest

    class Fails(asyncio.Protocol):
        def data_received(self, data):
            raise LookupError("of the peer")
"""


def test_an_error_of_a_peer_fails_the_call(downstream: Downstream) -> None:
    result = downstream.run(
        PROTOCOL
        + """
    def test_it(stream_harness):
        stream_harness.connect(Fails).send(b"x")
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            '*raise LookupError("of the peer")',
            "E*LookupError: of the peer",
            "*what this test's peers saw (pytest-echoserver)*",
            "stream-1's protocol",
            "stream-1",
            "*<-  stream-1             b'x'",
            "*->  stream-1's protocol  b'x'  data_received",
        ]
    )
    result.stdout.no_fnmatch_line("*_plugin.py*")
    result.stdout.no_fnmatch_line("*selector_events.py*")


def test_what_no_line_of_the_users_has_raised_is_located_at_its_test(downstream: Downstream) -> None:
    result = downstream.run(
        """
        def test_first(): pass

        def test_it(udp_peer, udp_echo_server):
            udp_peer.expect(b"x")

        def test_several(udp_peer, tcp_peer):
            udp_peer.expect(b"x")
            tcp_peer.expect(b"x")
        """,
        "--tb=line",
    )
    result.stdout.fnmatch_lines(["*at_its_test.py:3: *Mismatch*", "*at_its_test.py:6: *ExceptionGroup*"])


def test_asking_a_future_for_an_attribute_of_its_value_says_how_to_get_that(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import unittest
        import pytest

        def test_it(udp_peer):
            udp_peer.next_datagram().data

        def test_a_handler(peers, udp_peer):
            @udp_peer.serve
            def handler(datagram):
                return peers.udp().next_datagram().data

            peers.udp().send(b"x", udp_peer.address)

        def test_what_a_handler_raised_comes_from_a_wait(peers, udp_peer):
            @udp_peer.serve
            def handler(datagram):
                return peers.udp().next_datagram().data

            waiting = udp_peer.wait_for(2)
            peers.udp().send(b"x", udp_peer.address)
            waiting.result()

        @pytest.fixture
        def first(udp_peer):
            return udp_peer.next_datagram().data

        def test_the_set_up(first): pass

        @pytest.fixture
        def last(udp_peer):
            yield
            udp_peer.next_datagram().data

        def test_the_tear_down(last): pass

        def test_one_of_several(udp_peer):
            errors = []
            for _ in range(2):
                try:
                    udp_peer.next_datagram().data
                except AttributeError as error:
                    errors.append(error)
            raise ExceptionGroup("several", errors)

        def test_the_cause_of_another(udp_peer):
            try:
                udp_peer.next_datagram().data
            except AttributeError as error:
                raise LookupError("no data") from error

        def test_another_attribute(udp_peer):
            udp_peer.dat

        class TestUnittest(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def a_peer(self, udp_peer):
                self.peer = udp_peer

            def test_of_a_unittest(self):
                self.peer.next_datagram().data

        def test_an_object_that_does_not_say_what_it_is(udp_peer):
            class StandsIn:
                @property
                def __class__(self): raise RuntimeError("outside of a context")

            raise AttributeError("none", name="data", obj=StandsIn())
        """
    )
    result.assert_outcomes(failed=8, passed=1, errors=2)
    result.stdout.fnmatch_lines(
        [
            "E*AttributeError: 'CaptureFuture' object has no attribute 'data'",
            "E*if the value that it is the promise of is meant: `await` it, or take .result()",
        ]
    )
    result.stdout.fnmatch_lines(["E*AttributeError: 'DatagramPeer' object has no attribute 'dat'*"])
    assert result.stdout.str().count("if the value") == 9


def test_asking_a_thing_for_what_another_has_says_which_one(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio

        def test_send(tcp_peer): tcp_peer.send(b"x")

        def test_received(tcp_peer): assert tcp_peer.received == b""

        def test_communicate(subprocess_runner): subprocess_runner("true").communicate()

        def test_text(subprocess_runner): subprocess_runner("true").text

        def test_await(stream_harness):
            harness = stream_harness.connect_here(asyncio.Protocol)
            try:
                harness.read_until(b"x")
            finally:
                harness.close()

        def test_lines(stream_harness):
            _, connection = stream_harness.pair()
            connection.lines().result()

        def test_what_nobody_has(tcp_peer, udp_peer, subprocess_runner):
            raise ExceptionGroup("several", [
                AttributeError("none", name=name, obj=obj)
                for name in ("nobody", "_end", None)
                for obj in (tcp_peer, udp_peer, subprocess_runner("true"), None)
            ])
        """
    )
    result.assert_outcomes(failed=7)
    result.stdout.fnmatch_lines(
        [
            "E*'StreamPeer' object has no attribute 'send'*",
            "E*a stream peer has connections, and each has this: its only one's is .connection.send; in an async*",
            "E*a stream peer has connections, and each has this: its only one's is .connection.received; *",
            "E*it is no subprocess.Popen: wait().result() gives returncode, stdout and stderr, as bytes; *",
            "E*it is no subprocess.Popen*",
            "E*`await` it: connect_here() gives its value only then",
            "E*lines() is for `async for`",
        ]
    )
    told = result.stdout.str()
    assert (told.count("a stream peer has"), told.count("it is no subprocess")) == (2, 2)


def test_hooks_of_a_conftest_see_that_the_peers_have_failed_the_test(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_call(item):
            try:
                return (yield)
            except BaseException as raised:
                print("the call:", type(raised).__name__)
                raise

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(call):
            report = yield
            if call.when == "call":
                print("the report:", report.longrepr.reprcrash.path)
            return report
        """
    )
    result = downstream.run("def test_it(udp_peer): udp_peer.expect(b'never')", "-s")
    result.stdout.fnmatch_lines(["*the call: ScriptMismatch", "*the report: *the_peers_have_failed_the_test.py"])


@pytest.mark.parametrize("fixture", ["udp_peer", "session_peers"])
def test_the_first_peer_of_a_run_may_be_asked_for_in_a_call(downstream: Downstream, fixture: str) -> None:
    result = downstream.run_apart(
        f"""
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_unmet(request, number):
            peer = request.getfixturevalue("{fixture}")
            with getattr(peer, "udp", lambda: peer)() as peer:
                peer.expect(b"never")

        def test_fails(request):
            request.getfixturevalue("udp_peer").expect(b"never")
            assert False, "of the test"
        """
    )
    result.assert_outcomes(failed=3)
    assert result.stdout.str().count("ScriptMismatch: ") >= 3
    result.stdout.fnmatch_lines(["*AssertionError: of the test*", "*errors of this test's peers*"])


def test_tear_downs_show_no_line_of_ours(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def fails():
            yield
            raise OSError("of the fixture")
        """
    )
    result = downstream.run(
        """
        IGNORES_TERM = "trap '' TERM; echo ready; while :; do sleep 60; done"

        def test_fixture(fails): pass

        def test_program(subprocess_runner):
            subprocess_runner("sh", "-c", IGNORES_TERM, ready=b"ready")
        """
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*OSError: of the fixture", "E*RuntimeError: process-1 *had to be killed*"])
    result.stdout.no_fnmatch_line("*/pytest_echoserver/*")


def test_several_errors_of_a_tear_down_are_shown_as_without_us(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import pytest

        @pytest.fixture
        def one():
            yield
            raise OSError("of the one")

        @pytest.fixture
        def other():
            yield
            raise OSError("of the other")

        def test_it(one, other): pass
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines_random(["*OSError: of the one", "*OSError: of the other"])


def test_what_the_call_was_failed_by_is_not_told_again_of_its_tear_down(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import pytest

        @pytest.fixture
        def fails():
            yield
            raise OSError("of the fixture")

        def test_it(udp_peer, fails):
            udp_peer.expect(b"x")
        """
    )
    result.assert_outcomes(failed=1, errors=1)
    assert result.stdout.str().count("ScriptMismatch: ") == 1
    result.stdout.fnmatch_lines(["*OSError: of the fixture"])


def test_the_tests_own_failure_stays_though_it_can_not_be_told(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import pytest

        class Untold(Exception):
            def __str__(self): raise KeyError("in __str__")

        @pytest.mark.xfail(raises=Untold)
        def test_it(udp_peer): raise Untold
        """
    )
    result.assert_outcomes(xfailed=1)


def test_names_that_no_terminal_can_show_end_no_run_of_workers(downstream: Downstream) -> None:
    result = downstream.run_apart(
        r"""
        def test_argument(subprocess_runner):
            subprocess_runner("cat", "odd\udce4").read_until(b"x").result()

        def test_name(peers):
            peers.udp(name="odd\ud800").expect(b"x")

        def test_path(peers, tmp_path, monkeypatch):
            monkeypatch.chdir(tmp_path)
            peers.unix(path="odd\udce4").expect(b"x")
        """,
        "-p",
        "xdist",
        "-n1",
    )
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines_random(
        [r"E*process-1 (cat 'odd\udce4')*", r"E*odd\ud800 (udp*", r"E*unix odd\udce4)*"]
    )


def test_errors_of_several_peers_are_one_group(downstream: Downstream) -> None:
    result = downstream.run(
        PROTOCOL
        + """
    def test_it(stream_harness):
        stream_harness.connect(Fails).send(b"x")
        stream_harness.connect(Fails).send(b"y")
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ExceptionGroup: 2 errors of this test's peers (2 sub-exceptions)"])
    result.stdout.no_fnmatch_line("*errors of this test's peers (pytest-echoserver)*")


def test_an_error_of_a_peer_is_beside_that_of_a_fixture_which_it_made_fail(downstream: Downstream) -> None:
    result = downstream.run(
        """
    import pytest, socket

    @pytest.fixture
    def logged_in(udp_peer):
        udp_peer.serve(lambda datagram: {b"LOGIN": b"OK"}[datagram.data])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)
            client.sendto(b"LOGON", udp_peer.address)
            client.recv(10)

    def test_it(logged_in):
        pass
    """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["E*TimeoutError: timed out", "*errors of this test's peers (pytest-echoserver)*", "*KeyError: b'LOGON'"]
    )


def test_an_error_of_any_class_of_the_users_fails_the_test_it_belongs_to(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import dataclasses
        import socket
        import pytest

        class Compares(Exception):
            def __eq__(self, other):
                return self.code == other.code

        @dataclasses.dataclass(frozen=True)
        class Frozen(Exception):
            code: int = 7

        KINDS = pytest.mark.parametrize("kind", [Compares, Frozen, StopIteration])

        @KINDS
        def test_of_a_handler(udp_peer, kind):
            @udp_peer.serve
            def handler(datagram):
                raise kind()

            with socket.socket(type=socket.SOCK_DGRAM) as client:
                client.sendto(b"x", udp_peer.address)

        @KINDS
        def test_beside_another(udp_peer, kind):
            test_of_a_handler(udp_peer, kind)
            raise ValueError

        @KINDS
        def test_of_the_test(tcp_peer, kind):
            tcp_peer.expect(b"never")
            raise kind()

        @KINDS
        def test_before_a_skip(udp_peer, kind):
            test_of_a_handler(udp_peer, kind)
            pytest.skip("no server")
        """
    )
    result.assert_outcomes(failed=9, skipped=3)
    for kind, told in (
        ("Compares", ".Compares"),
        ("Frozen", ".Frozen"),
        ("StopIteration", "raised in a callback*"),
    ):
        lines = [f"_* test_of_a_handler[[]{kind}[]] _*", "*raise kind()", f"E *{told}"]
        result.stdout.fnmatch_lines(lines)


def test_the_tests_own_failure_stays_and_the_peers_are_beside_it(downstream: Downstream) -> None:
    result = downstream.run(
        PROTOCOL
        + """
    def test_it(stream_harness):
        stream = stream_harness.connect(Fails)
        stream.send(b"x")
        assert 1 == 2, "of the test"
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*AssertionError: of the test",
            "*errors of this test's peers (pytest-echoserver)*",
            "LookupError: of the peer",
        ]
    )
    result.stdout.no_fnmatch_line("*recording.py*")


def test_a_test_that_fails_by_itself_has_its_peers_judged_all_the_same(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio

        class Works(asyncio.Protocol):
            def connection_made(self, transport):
                self.task = asyncio.ensure_future(self.work())

            async def work(self):
                raise LookupError("of a task")

        def test_it(stream_harness):
            stream_harness.connect(Works)
            assert 1 == 2
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*errors of this test's peers (pytest-echoserver)*", "LookupError: of a task"])


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        ('pytest.skip("why")', {"skipped": 1}),
        ('pytest.xfail("why")', {"xfailed": 1}),
        ('pytest.fail("why")', {"failed": 1}),
    ],
)
def test_an_outcome_that_the_test_declares_stays(
    downstream: Downstream, ending: str, outcome: dict[str, int]
) -> None:
    result = downstream.run(
        PROTOCOL
        + f"""
    def test_it(stream_harness):
        stream = stream_harness.connect(Fails)
        stream.send(b"x")
        stream.lost.result()
        {ending}
    """
    )
    result.assert_outcomes(**outcome)


SAYS_HELO = """
    import socket
    import unittest

    import pytest

    def ask(peer):
        peer.expect(b"EHLO\\n").reply(b"ok\\n")
        with socket.create_connection(peer.address) as client:
            client.sendall(b"HELO\\n")
            client.recv(10)

    def ask_or_skip(peer):
        try:
            ask(peer)
        except OSError:
            pytest.skip("no server")
"""


@pytest.mark.parametrize(
    "skips",
    [
        """
    def test_it(tcp_peer):
        ask_or_skip(tcp_peer)
    """,
        """
    @pytest.fixture
    def greeted(tcp_peer):
        ask_or_skip(tcp_peer)

    def test_it(greeted):
        pass
    """,
        """
    class TestIt(unittest.TestCase):
        @pytest.fixture(autouse=True)
        def take(self, tcp_peer):
            self.peer = tcp_peer

        def test_it(self):
            try:
                ask(self.peer)
            except OSError:
                self.skipTest("no server")
    """,
    ],
    ids=["test", "fixture", "unittest"],
)
def test_what_went_wrong_before_a_skip_is_shown(downstream: Downstream, skips: str) -> None:
    result = downstream.run(SAYS_HELO + skips)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*SKIPPED, THOUGH SOMETHING HAD GONE WRONG AT PEERS*",
            "*errors of this test's peers (pytest-echoserver)*",
            "*the first difference is at offset 0*",
            "*what this test's peers saw (pytest-echoserver)*",
            "*b'HELO\\n'  unexpected",
        ]
    )


def test_so_is_what_had_come_and_nothing_matched(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket

        import pytest

        def test_it(udp_peer):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"HELO", udp_peer.address)
                udp_peer.on(b"EHLO")
                pytest.skip("no server")
        """
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED, THOUGH*", "*something came that nothing has matched*"])


@pytest.mark.parametrize("option", ["--tb=no", "--no-summary"])
def test_it_is_not_where_no_failure_would_be(downstream: Downstream, option: str) -> None:
    result = downstream.run(
        SAYS_HELO
        + """
    def test_it(tcp_peer):
        ask_or_skip(tcp_peer)
    """,
        option,
    )
    result.assert_outcomes(skipped=1)
    result.stdout.no_fnmatch_line("*SKIPPED, THOUGH*")


def test_the_page_has_it_and_a_tear_down_that_fails_after_it(downstream: Downstream) -> None:
    result = downstream.run(
        SAYS_HELO
        + """
    @pytest.fixture
    def broken():
        yield
        raise ValueError("of the tear-down")

    def test_one(tcp_peer):
        ask_or_skip(tcp_peer)

    def test_two(tcp_peer, broken):
        ask_or_skip(tcp_peer)
    """,
        "--echoserver-html=page.html",
    )
    result.assert_outcomes(skipped=2, errors=1)
    page = (downstream.pytester.path / "page.html").read_text(encoding="utf-8")
    assert '"outcome":"skipped","message":"Skipped: no server"' in page
    assert '"outcome":"error"' in page
    assert "of the tear-down" in page


def test_a_skip_says_nothing_of_what_is_unmet(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import pytest

        @pytest.fixture
        def unmet(tcp_peer):
            tcp_peer.expect(b"EHLO")

        @pytest.fixture
        def skips(unmet):
            pytest.skip("no server")

        def test_skips(unmet):
            pytest.skip("no server")

        def test_is_skipped(skips): pass
        """
    )
    result.assert_outcomes(skipped=2)
    result.stdout.no_fnmatch_line("*pytest-echoserver)*")


def test_an_expected_failure_may_be_a_peers(downstream: Downstream) -> None:
    result = downstream.run(
        PROTOCOL
        + """
    @pytest.mark.xfail(raises=LookupError)
    def test_it(stream_harness):
        stream_harness.connect(Fails).send(b"x")
    """
    )
    result.assert_outcomes(xfailed=1)


def test_in_a_unittest_case(downstream: Downstream) -> None:
    result = downstream.run(
        PROTOCOL
        + """
    import unittest

    class Test(unittest.TestCase):
        @pytest.fixture(autouse=True)
        def harness(self, stream_harness):
            self.stream = stream_harness.connect(Fails)

        def test_passes_by_itself(self):
            self.stream.send(b"x")

        def test_fails_by_itself(self):
            self.stream.send(b"x")
            self.stream.lost.result()
            self.assertEqual(1, 2)

        def test_skips(self):
            self.stream.send(b"x")
            self.skipTest("why")
    """
    )
    result.assert_outcomes(failed=2, skipped=1)
    result.stdout.fnmatch_lines_random(
        [
            "E*LookupError: of the peer",
            "E*AssertionError: 1 != 2",
            "*errors of this test's peers (pytest-echoserver)*",
            "LookupError: of the peer",
        ]
    )


def test_an_error_beside_that_of_a_unittest_has_no_traceback_of_pytests(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import unittest
        import pytest

        class Test(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def peer(self, tcp_peer):
                self.peer = tcp_peer

            def test_it(self):
                self.peer.expect(b"a")
                self.fail("its own")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*errors of this test's peers (pytest-echoserver)*", "pytest_echoserver.ScriptMismatch: tcp-1 *"],
        consecutive=True,
    )


def test_of_such_an_error_the_cause_is_told(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket
        import unittest
        import pytest

        class Test(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def peer(self, tcp_peer):
                @tcp_peer.serve
                async def handler(connection):
                    await connection.read(1)
                    raise SystemExit(3)

                self.peer = tcp_peer

            def test_it(self):
                with socket.create_connection(self.peer.address) as client:
                    client.sendall(b"x")
                    self.assertRaises(ConnectionError, client.recv, 1)
                self.fail("its own")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*errors of this test's peers (pytest-echoserver)*",
            "*in handler",
            "SystemExit: 3",
            "RuntimeError: SystemExit was raised in a callback: SystemExit(3)",
        ]
    )


def test_what_has_already_arrived_is_read_before_the_judgement(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio, pytest

        class FailsAtTheLast(asyncio.Protocol):
            def data_received(self, data):
                assert not data.endswith(b"last")

        @pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 8, 13, 21, 34, 50])
        def test_it(stream_harness, number):
            sock, connection = stream_harness.pair()
            stream = stream_harness.connect(FailsAtTheLast)
            for _ in range(number):
                stream.send(b"x" * 100_000)
            stream.send(b"last")
        """
    )
    result.assert_outcomes(failed=10)


def test_what_tear_down_causes_is_nobodys_fault(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio

        class DislikesToBeClosed(asyncio.Protocol):
            def connection_lost(self, exc):
                raise LookupError("closed")

        def test_it(stream_harness):
            stream_harness.connect(DislikesToBeClosed)
        """
    )
    result.assert_outcomes(passed=1)


def test_a_test_that_passes_shows_no_traffic(downstream: Downstream) -> None:
    result = downstream.run("def test_it(udp_echo_server): pass", "-rA")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*what this test's peers saw*")


def test_a_failing_test_without_peers_has_no_section(downstream: Downstream) -> None:
    result = downstream.run("def test_it(peers): assert False")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*pytest-echoserver)*")


def test_a_test_that_is_run_again_starts_afresh(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            runtestprotocol(item, nextitem=nextitem, log=False)
            item._initrequest()
            runtestprotocol(item, nextitem=nextitem)
            return True
        """
    )
    result = downstream.run(
        """
        import asyncio

        class Fails(asyncio.Protocol):
            def data_received(self, data):
                raise LookupError("of the peer")

        runs = []

        def test_it(stream_harness):
            runs.append(1)
            if len(runs) == 1:
                stream_harness.connect(Fails).send(b"x")
            assert stream_harness.connect(Fails).read_until(b"x").exception(timeout=0)
        """
    )
    result.assert_outcomes(passed=1)


def test_nothing_of_a_test_is_kept_after_it(downstream: Downstream) -> None:
    # Apart: in this process pytester records the calls of hooks, and keeps what they got.
    result = downstream.run_apart(
        """
        import asyncio, gc, weakref

        scopes = []

        def test_it(udp_echo_server, stream_harness):
            stream_harness.connect(asyncio.Protocol)
            scopes.append(weakref.ref(udp_echo_server._scope))

        def test_the_next():
            gc.collect()
            assert scopes[0]() is None
        """
    )
    result.assert_outcomes(passed=2)


def test_the_traffic_of_a_udp_peer_is_shown(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket

        def test_it(udp_echo_server, peers):
            peers.udp_echo(name="unused")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(5)
                client.sendto(b"\\x1b[31m" + b"x" * 5000, udp_echo_server.address)
                client.recv(6000)
            assert False
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "udp_echo-1 (udp 127.0.0.1:*)",
            "unused (udp 127.0.0.1:*): nothing came",
            "   +0.* s  ->  udp_echo-1  5,005 bytes  from 127.0.0.1:*",
            r"      b'\x1b[[]31mxxxx*xxxx'",
            "      ... 4,749 more bytes ...",
            "   +0.* s  <-  udp_echo-1  5,005 bytes  to 127.0.0.1:*",
        ]
    )


def test_the_conversation_with_a_program_is_shown_whole(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import subprocess, sys

        PROGRAM = (
            "import sys; print('got', sys.stdin.read().strip()); "
            "sys.stderr.write('a' * 50 + 'the cause'); sys.exit(3)"
        )

        def test_it(subprocess_runner):
            program = subprocess_runner(sys.executable, "-c", PROGRAM, stdin=subprocess.PIPE)
            program.write(b"this\\n")
            program.write_eof()
            program.wait().result()
            program.read_until(b"that").result()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            '>*program.read_until(b"that").result()',
            "E*EndOfStream: the end came before b'that' on stdout on process-1 (*): what came, *b'got this\\n'",
            "process-1 (*; it exited with 3)",
            "*->  b'this\\n'  stdin",
            "*->  stdin: end of file",
            "*<-  b'got this\\n'  stdout",
            "*process exited",
        ]
    )
    result.stdout.fnmatch_lines(["*<-  59 bytes  stderr", "      b'aaa*the cause'"])


def test_a_callback_in_another_file_is_shown_without_the_frames_before_it(downstream: Downstream) -> None:
    downstream.pytester.makepyfile(
        protocol="""
        import asyncio

        class Deep(asyncio.Protocol):
            def data_received(self, data):
                self.parse(data)

            def parse(self, data):
                raise LookupError("deep")
        """
    )
    result = downstream.run(
        """
        import protocol

        def test_it(stream_harness):
            stream_harness.connect(protocol.Deep).send(b"x")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["protocol.py:5: *", '>*raise LookupError("deep")', "E*LookupError: deep"])
    result.stdout.no_fnmatch_line("*selector_events*")


def test_a_wrong_call_is_shown_where_it_was_made(downstream: Downstream) -> None:
    result = downstream.run("def test_it(udp_echo_server): udp_echo_server.wait_for(0)")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">*udp_echo_server.wait_for(0)", "E*ValueError: count must be 1 or more, not 0"])
    result.stdout.no_fnmatch_line("*_checks.py*")


def test_a_long_record_is_cut_in_its_middle(downstream: Downstream) -> None:
    result = downstream.run(
        """
        def test_it(udp_echo_server):
            for number in range(160):
                udp_echo_server.send(b"%d" % number, ("127.0.0.1", 9)).result()
            assert False
        """
    )
    result.stdout.fnmatch_lines(["*<-  b'0'*", "*<-  b'59'*", "      ... 40 more ...", "*b'100'*", "*b'159'*"])


def test_peers_outlive_the_fixtures_that_use_them_and_no_others(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket
        import pytest

        @pytest.fixture(autouse=True)
        def before_all_peers():
            made = []
            yield made
            assert made[0]._closed

        @pytest.fixture
        def client(tcp_echo_server):
            with socket.create_connection(tcp_echo_server.address) as sock:
                yield sock
                sock.sendall(b"bye")
                assert sock.recv(10) == b"bye"

        def test_it(before_all_peers, client, udp_echo_server, tcp_echo_server, request):
            made = request.getfixturevalue("tcp_peer")
            request.addfinalizer(lambda: socket.create_connection(made.address).close())
            before_all_peers.append(tcp_echo_server)
        """
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("outcome", "told"), [("True", {"passed": 1, "errors": 1}), ("False", {"failed": 1, "errors": 1})]
)
def test_a_hook_that_raises_what_no_encoding_takes_ends_no_worker(
    downstream: Downstream, outcome: str, told: dict[str, int]
) -> None:
    pytest.importorskip("xdist")
    downstream.pytester.makeconftest(
        """
        def pytest_echoserver_traffic(item, traffic):
            raise ValueError("odd \\udc80 text")
        """
    )
    result = downstream.run_apart(f"def test_one(udp_echo_server): assert {outcome}\n", "-n1", plugins=("xdist",))
    result.assert_outcomes(**told)
    result.stdout.fnmatch_lines([r"*ValueError: odd \udc80 text*"])
    result.stdout.no_fnmatch_line("*crashed*")
