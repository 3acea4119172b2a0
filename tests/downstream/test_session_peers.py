"""``session_peers``: peers that live longer than a test, and who is failed for what goes wrong with them."""

import pytest

from ..conftest import Downstream

PEER = """
    import socket
    import pytest

    @pytest.fixture(scope="module")
    def server(session_peers):
        with session_peers.udp(name="server") as peer:
            yield peer

    @pytest.fixture
    def send(server):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect(server.address)
            yield client.send
"""


def test_they_live_on_from_test_to_test(downstream: Downstream) -> None:
    result = downstream.run(
        PEER
        + """
    def test_one(server, send):
        server.on(b"ping").reply(b"pong")
        send(b"ping")

    def test_two(server):
        assert server.wait_for(1).result()[0].data == b"ping"
        assert [sent.data for sent in server.sent] == [b"pong"]
    """,
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("fails", ["on(b'ok')", "serve(handler)"])
def test_what_goes_wrong_fails_the_test_that_runs_and_only_that(downstream: Downstream, fails: str) -> None:
    result = downstream.run(
        PEER
        + f"""
    def handler(datagram):
        assert datagram.data == b"ok"

    def test_before(server, send):
        server.{fails}
        send(b"ok")

    def test_fails(send): send(b"wrong 1")

    def test_between(server, send):
        send(b"ok")
        server.verify()

    def test_fails_again(server, send):
        waiting = server.wait_for(99)
        send(b"wrong 2")
        assert "wrong 2" in str(waiting.exception())
    """,
        "-v",
    )
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["*::test_fails FAILED*", "*::test_fails_again FAILED*"])
    result.stdout.fnmatch_lines(["*wrong 1*", "*_ test_fails_again _*", "*wrong 2*"])


def test_what_goes_wrong_in_a_tear_down_is_no_fault_of_the_next_test(downstream: Downstream) -> None:
    result = downstream.run(
        PEER
        + """
    @pytest.fixture
    def goodbye(server, send):
        server.on(b"ok").reply(b"ok")
        yield
        send(b"goodbye")

    def test_one(goodbye): pass

    def test_two(server, send):
        send(b"ok")
    """,
        "-v",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*::test_one ERROR*", "*ERROR at teardown of test_one*", "E*ScriptMismatch: *", "*got: b'goodbye'*"]
    )


@pytest.mark.parametrize("end", ["raise KeyboardInterrupt", "pytest.exit('enough', 3)", "assert False, 'the last'"])
@pytest.mark.parametrize("closing", ["with session_peers.udp() as peer: ", "peer = session_peers.udp(); "])
def test_an_interrupted_run_still_shows_its_failures(downstream: Downstream, closing: str, end: str) -> None:
    result = downstream.run_apart(
        f"""
    import pytest

    @pytest.fixture(scope="session")
    def server(session_peers):
        {closing}peer.expect(b"never"); yield

    @pytest.mark.xfail
    def test_one(): assert False, "of the first"

    def test_two(server): {end}

    def test_three(server): pass
    """,
        "-x",
    )
    assert result.ret in (1, 2, 3)
    result.stdout.fnmatch_lines(["*ScriptMismatch: *", "*expect(b'never')  not met*", "*1 xfailed*"])
    result.stderr.no_fnmatch_line("*Traceback*")


def test_what_goes_wrong_on_a_stream_does_not_hide_what_does_later(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket
        import pytest

        @pytest.fixture(scope="module")
        def server(session_peers):
            with session_peers.tcp(name="server") as peer:
                peer.on(b"ok").reply(b"1")
                yield peer

        @pytest.mark.parametrize("data", [b"wrong", b"ok", b"wrong"])
        def test_it(server, data):
            with socket.create_connection(server.address, 5) as client:
                client.sendall(data)
                if data == b"ok":
                    assert client.recv(1) == b"1"
        """
    )
    result.assert_outcomes(passed=1, failed=2)


def test_who_imports_the_fixture_has_the_same_ones(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def server(session_peers):
            with session_peers.tcp() as server:
                server.on(b"a\\n").reply(b"b\\n")
                yield server
        """
    )
    result = downstream.run(
        """
        import socket
        from pytest_echoserver import *

        def test_both(server, session_peers):
            with session_peers.tcp_echo() as other:
                assert str(other).startswith("tcp_echo-1 ")

        def test_wrong(server):
            with socket.create_connection(server.address) as client:
                client.sendall(b"wrong\\n")
                client.settimeout(5)
                try:
                    client.recv(1)
                except ConnectionResetError:
                    pass

        def test_last(server): ...
        """,
        "-p",
        "no:randomly",
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*_ test_wrong _*", "E*ScriptMismatch: tcp-1 *: unexpected input on connection 1"])


def test_an_unmet_script_fails_the_closing(downstream: Downstream) -> None:
    result = downstream.run(
        PEER
        + """
    def test_one(server): server.expect(b"ping")

    def test_two(server): pass
    """
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_two*", "E*ScriptMismatch: server (*): the script's only step was not met"]
    )


def test_what_may_still_be_met_is_no_error_of_another_test(downstream: Downstream) -> None:
    result = downstream.run(
        PEER
        + """
    def test_one(server):
        server.expect(b"ping")
        assert False, "of its own"

    def test_two(server): pass
    """
    )
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_two*",
            "  at the end  !!  not met: expect(b'ping') *",
            "*_ test_one _*",
            "  at the end      not met yet: expect(b'ping') *",
        ]
    )


def test_an_unmet_script_of_one_that_nobody_closes_fails_the_end_of_the_session(downstream: Downstream) -> None:
    result = downstream.run(
        """
        def test_one(session_peers):
            session_peers.tcp(name="server").expect(b"ping")

        def test_two(): pass
        """
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_two*", "E*ScriptMismatch: server (*): the script's only step was not met"]
    )


def test_several_that_nobody_closes_are_told_together(downstream: Downstream) -> None:
    result = downstream.run(
        """
        def test_it(session_peers):
            session_peers.tcp(name="one").expect(b"ping")
            session_peers.tcp(name="other").expect(b"ping")
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines_random(
        [f"*ScriptMismatch: {name} (*): the script's only step was not met" for name in ("one", "other")]
    )


def test_they_end_before_what_was_there_before_them_whichever_test_is_first(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import os
        import tempfile

        import pytest

        @pytest.fixture(scope="session")
        def directory():
            path = tempfile.mkdtemp()
            yield path
            os.rmdir(path)

        @pytest.fixture(scope="session")
        def server(directory, session_peers):
            return session_peers.unix_echo(path=f"{directory}/socket")

        def test_one(udp_echo_server): pass

        def test_two(server): pass
        """
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("ending", ["pytest.fail('by it')", "pytest.skip('by it')", "raise OSError('by it')"])
def test_a_hook_that_fails_at_their_end_leaves_nothing_behind(downstream: Downstream, ending: str) -> None:
    downstream.pytester.makeconftest(
        f"""
        import sys
        import threading

        import pytest

        def pytest_echoserver_peer_closed(peer):
            {ending}

        @pytest.hookimpl(trylast=True)
        def pytest_sessionfinish():
            print("left:", *(thread.name for thread in threading.enumerate()), sys.getswitchinterval())
        """
    )
    result = downstream.run_apart(
        "def test_it(session_peers): session_peers.unix()", "-s", "--echoserver-switch-interval=0.001"
    )
    result.stdout.fnmatch_lines(["*left: MainThread 0.005"])


def test_closing_it_with_a_client_still_there_fails_nobody_else(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket

        def test_one(session_peers):
            with socket.socket() as client, session_peers.tcp() as peer:
                client.connect(peer.address)
                peer.on(b"abc")
                client.sendall(b"abcab")
                peer.connection.read_exactly(5).result()
                try:
                    peer.close()
                except AssertionError as error:
                    assert "left over on connection 1" in str(error)
                else:
                    assert False

        def test_two(): pass
        """
    )
    result.assert_outcomes(passed=2)


def test_the_report_shows_the_traffic_of_the_test_that_failed(downstream: Downstream) -> None:
    result = downstream.run(
        PEER
        + """
    def test_one(server, send):
        send(b"of the first")
        server.wait_for(1).result()

    def test_two(server, send):
        send(b"of the second")
        server.wait_for(2).result()
        assert False
    """
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["server (udp *", "*->*b'of the second'*"])
    result.stdout.no_fnmatch_line("*b'of the first'*")


NOTING = """
    def pytest_echoserver_traffic(item, traffic):
        seen = [event.args[0].decode() for peer in traffic.peers for event in peer.events if event.args[1:]]
        print("seen in", item.name + ":", *seen)
"""


def test_the_last_test_of_all_has_its_evidence_too(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(NOTING)
    result = downstream.run(
        PEER
        + """
    def test_it(server, send):
        send(b"of the last")
        server.wait_for(1).result()
        assert False
    """,
        "-s",
        "--echoserver-html=page.html",
    )
    result.stdout.fnmatch_lines(["*seen in test_it: of the last*"])
    assert "::test_it" in (downstream.pytester.path / "page.html").read_text(encoding="utf-8")


def test_a_test_that_is_not_run_has_no_traffic_of_the_one_before(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(NOTING)
    result = downstream.run(
        PEER
        + """
    def test_one(server, send):
        send(b"of the first")
        server.wait_for(1).result()

    @pytest.mark.skip
    def test_skipped(): pass

    @pytest.fixture
    def broken(): raise LookupError("no set-up")

    def test_broken(broken): pass
    """,
        "-s",
    )
    result.assert_outcomes(passed=1, skipped=1, errors=1)
    assert str(result.stdout).count("of the first") == 1
    result.stdout.fnmatch_lines(["*seen in test_one: of the first*", "server (udp *): nothing came"])


def test_one_that_the_test_itself_has_closed_is_shown(downstream: Downstream) -> None:
    result = downstream.run(
        PEER
        + """
    def test_it(session_peers, send):
        with session_peers.udp_echo(name="brief") as peer:
            peer.send(b"by it", peer.address).result()
            peer.wait_for(1).result()
        assert False

    def test_next(session_peers):
        assert False
    """
    )
    result.stdout.fnmatch_lines(["*_ test_it _*", "*what this test's peers saw*", "brief (udp *", "*b'by it'*"])
    assert str(result.stdout).count("brief (udp ") == 1


def test_a_lack_of_descriptors_is_told_once_to_each_test_that_has_it(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
    import os, resource, socket
    import pytest

    @pytest.fixture(scope="module")
    def server(session_peers):
        with session_peers.tcp(name="server") as peer:
            yield peer

    @pytest.fixture(scope="module")
    def clients():
        clients = [socket.socket() for _ in range(3)]
        yield clients
        for client in clients:
            client.close()

    LIMITS = resource.getrlimit(resource.RLIMIT_NOFILE)

    @pytest.fixture
    def last():
        yield
        resource.setrlimit(resource.RLIMIT_NOFILE, LIMITS)

    def send(server, client, data):
        client.connect(server.address)
        client.sendall(data)

    def test_begins(server, clients):
        os.close(lowest := os.dup(0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, LIMITS[1]))
        send(server, clients[0], b"1")

    def test_goes_on(server, clients):
        send(server, clients[1], b"2")

    def test_lasts(server, clients, last):
        send(server, clients[2], b"3")

    def test_after(server):
        got = [server.next_connection().result().read_exactly(1).result() for _ in range(3)]
        assert got == [b"1", b"2", b"3"]
    """
    )
    result.assert_outcomes(passed=1, failed=3)
    error = "E *OSError: [[]Errno 24] server (tcp 127.0.0.1:*) can't accept a connection: Too many open files"
    result.stdout.fnmatch_lines([error] * 3)


@pytest.mark.parametrize("kind", ["refusing", "blackhole"])
def test_a_dead_peer_that_was_closed_is_shown_no_more(downstream: Downstream, kind: str) -> None:
    result = downstream.run_apart(
        f"""
        def test_one(session_peers):
            session_peers.{kind}("udp", name="gone").close()
            assert False

        def test_two(session_peers):
            session_peers.udp(name="here")
            assert False
        """
    )
    result.assert_outcomes(failed=2)
    one, two = "\n".join(result.outlines).split("_ test_two _")
    assert "gone (" in one
    assert "here (" in two
    assert "gone (" not in two


def test_an_error_is_let_go_of_with_its_test(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import gc
        import socket
        import weakref
        import pytest

        class Odd(Exception):
            pass

        kept = []

        @pytest.fixture(scope="session")
        def server(session_peers):
            def handler(datagram):
                error = Odd(datagram.data)
                kept.append(weakref.ref(error))
                raise error

            with session_peers.udp(handler) as server:
                yield server

        @pytest.mark.parametrize("number", range(3))  # the last one pytest has in sys.last_value
        def test_it(server, number):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", server.address)
            server.next_datagram().result()

        def test_they_are_gone():
            gc.collect()
            assert [ref() is None for ref in kept][:2] == [True, True]
        """
    )
    result.assert_outcomes(passed=1, failed=3)


def test_an_imported_one_lives_on_though_the_other_is_set_up_anew(downstream: Downstream) -> None:
    of_all, of_folder = downstream.pytester.path, downstream.pytester.mkdir("folder")
    of_all.joinpath("conftest.py").write_text(
        "import pytest\n"
        "@pytest.fixture(scope='session', params=['127.0.0.1', '127.0.0.2'])\n"
        "def echoserver_listen_host(request): return request.param\n"
    )
    of_folder.joinpath("conftest.py").write_text(
        "from pytest_echoserver import echoserver_listen_host, session_peers"
    )
    talks = (
        "import socket\n"
        "def test_it(session_peers):\n"
        "    with session_peers.udp_echo() as peer, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:\n"
        "        client.settimeout(5)\n"
        "        client.sendto(b'x', peer.address)\n"
        "        assert client.recv(1) == b'x'\n"
    )
    of_all.joinpath("test_one.py").write_text(talks)
    for name in ("test_two.py", "test_three.py"):
        of_folder.joinpath(name).write_text(talks)
    one, two, three = "test_one.py::test_it", "folder/test_two.py", "folder/test_three.py"
    result = downstream.run_file(three, "-v", "-p", "no:randomly", f"{one}[127.0.0.1]", two, f"{one}[127.0.0.2]")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines([f"*{one}*", f"*{two}*", f"*{one}*", f"*{three}*"])
