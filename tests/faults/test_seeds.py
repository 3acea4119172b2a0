"""Where the seed comes from, and that it decides everything."""

import re

import pytest

from ..conftest import Downstream

SUITE = """
import os
import socket
import pytest
from pytest_echoserver import DatagramFaults, StreamFaults

def schedule_of(peer):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(peer.address)
        client.settimeout(5)
        for number in range(200):
            client.send(b"x")
        peer.wait_for(200).result()
    peer.verify()  # all were decided on
    return str(peer.schedule)

@pytest.mark.parametrize("number", range(6))
def test_it(peers, number, request):
    if os.environ.get("BESIDE"):
        with peers.tcp_echo(name="beside", faults=StreamFaults(jitter=0.001)) as beside:
            with socket.create_connection(beside.address) as client:
                client.sendall(b"unrelated")
                assert client.recv(1)
    peer = peers.udp_echo(faults=(None, DatagramFaults(loss=0.3, corrupt=0.1, jitter=0.001)))
    path = os.path.join(os.environ["INTO"], str(number))
    with open(path, "w") as file:
        file.write(schedule_of(peer))
"""


def schedules(
    downstream: Downstream,
    monkeypatch: pytest.MonkeyPatch,
    *args: str,
    plugins: tuple[str, ...] = (),
    beside: str = "",
) -> list[str]:
    """Run the suite; give what its faults were, by test."""
    pytester = downstream.pytester
    into = pytester.mkdir(f"run{len(list(pytester.path.iterdir()))}")
    monkeypatch.setenv("INTO", str(into))
    monkeypatch.setenv("BESIDE", beside)
    downstream.run_apart(SUITE, *args, plugins=plugins).assert_outcomes(passed=6)
    return [(into / str(number)).read_text() for number in range(6)]


def test_one_seed_decides_all_of_a_run(downstream: Downstream, monkeypatch: pytest.MonkeyPatch) -> None:
    given = schedules(downstream, monkeypatch, "--echoserver-seed=7")
    assert len(set(given)) == 6  # tests differ
    by_workers = schedules(downstream, monkeypatch, "--echoserver-seed=7", "-n2", plugins=("xdist.plugin",))
    assert by_workers == given
    in_any_order = schedules(
        downstream, monkeypatch, "--echoserver-seed=7", plugins=("pytest_randomly",), beside="yes"
    )
    assert in_any_order == given
    other = schedules(downstream, monkeypatch, "--echoserver-seed=8")
    assert not set(other) & set(given)


FAILING = """
import socket
import pytest
from pytest_echoserver import DatagramFaults

def use(peer):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", peer.address)
        client.settimeout(5)
        client.recv(100)  # then it was decided on
    print("schedule:", str(peer.schedule).replace("\\n", ";"))

def test_by_the_run(peers):
    use(peers.udp_echo(outbound=DatagramFaults(delay=0.01, jitter=0.01)))
    assert not "by the run"

def test_explicit(peers):
    use(peers.udp_echo(outbound=DatagramFaults(delay=0.01, jitter=0.01, seed=5)))
    assert not "explicit"

@pytest.mark.echoserver(seed=5)
def test_by_marker(peers):
    use(peers.udp_echo(outbound=DatagramFaults(delay=0.01, jitter=0.01)))
    assert not "by marker"

def test_nothing_by_chance(peers):
    use(peers.udp_echo(outbound=DatagramFaults(delay=0.01)))
    assert not "nothing by chance"
"""


def told(downstream: Downstream, *args: str) -> dict[str, tuple[str, bool]]:
    """Run tests that fail; of each give the schedule, and whether its report tells of the run's seed."""
    text = downstream.run_apart(FAILING, *args).stdout.str()
    reports = re.split(r"\n_+ (test_\w+) _+\n", text)
    return {
        name: (report.partition("schedule: ")[2].partition("\n")[0], "--echoserver-seed=" in report)
        for name, report in zip(reports[1::2], reports[2::2], strict=True)
    }


def test_a_failure_tells_how_to_have_it_again(downstream: Downstream) -> None:
    path = downstream.pytester.makepyfile(FAILING)
    result = downstream.run_file_apart(path.name, "-k", "by_the_run")
    text = result.stdout.str()
    found = re.search(r"they were decided from the seed (\d+): pytest (\S+) --echoserver-seed=\1\n", text)
    assert found is not None
    assert found[2] == f"{path.name}::test_by_the_run"
    again = downstream.run_file_apart(found[2], f"--echoserver-seed={found[1]}").stdout.str()
    schedule = re.compile("schedule: .*")
    assert schedule.findall(again) == schedule.findall(text)
    other = downstream.run_file_apart(found[2]).stdout.str()  # each run draws one of its own
    assert schedule.findall(other) != schedule.findall(text)


def test_it_tells_so_from_where_pytest_was_started(downstream: Downstream, monkeypatch: pytest.MonkeyPatch) -> None:
    downstream.pytester.makeini("[pytest]")
    path = downstream.pytester.makepyfile(**{"sub/test_it": FAILING})
    monkeypatch.chdir(path.parent)
    result = downstream.run_file_apart(".", "-k", "by_the_run")
    result.stdout.fnmatch_lines(["rootdir: */test_it_tells_so_*", "*: pytest test_it.py::test_by_the_run --echo*"])
    monkeypatch.chdir(path.parents[1])
    result = downstream.run_file_apart(".", "-k", "by_the_run")
    result.stdout.fnmatch_lines(["*: pytest sub/test_it.py::test_by_the_run --echo*"])
    path.parents[1].joinpath("conf").mkdir()
    path.parents[1].joinpath("tox.ini").rename(path.parents[1] / "conf" / "pytest.ini")
    result = downstream.run_file_apart("sub", "-c", "conf/pytest.ini", "-k", "by_the_run")
    result.stdout.fnmatch_lines(["rootdir: */conf", "*: pytest sub/test_it.py::test_by_the_run --echo*"])


def test_an_explicit_seed_comes_first_and_is_taken_as_it_is(downstream: Downstream) -> None:
    first, second = told(downstream, "--echoserver-seed=1"), told(downstream, "--echoserver-seed=2")
    assert [first[name] == second[name] for name in first] == [False, True, True, True]
    assert first["test_explicit"] == first["test_by_marker"]
    assert {name: seed for name, (_, seed) in first.items()} == {
        "test_by_the_run": True,
        "test_explicit": False,
        "test_by_marker": False,
        "test_nothing_by_chance": False,
    }


def test_workers_have_the_seed_of_the_run(downstream: Downstream) -> None:
    suite = FAILING + "\ntest_more = test_by_the_run\n"
    text = downstream.run_apart(suite, "-n2", plugins=("xdist.plugin",)).stdout.str()
    assert len(re.findall(r"--echoserver-seed=(\d+)", text)) == 2
    assert len(set(re.findall(r"--echoserver-seed=(\d+)", text))) == 1


def test_a_markers_faults_act_on_their_own_kind(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket
        import pytest
        from pytest_echoserver import DatagramFaults, StreamFaults

        @pytest.mark.echoserver(faults=DatagramFaults(loss=1.0))
        def test_one(udp_echo_server, tcp_echo_server, peers):
            assert udp_echo_server.faults == DatagramFaults(loss=1.0)
            assert tcp_echo_server.faults is None
            assert peers.udp(faults=DatagramFaults()).faults == DatagramFaults()

        @pytest.mark.echoserver(faults=[DatagramFaults(loss=1.0), StreamFaults(delay=0.1)])
        def test_both(udp_echo_server, tcp_echo_server):
            assert udp_echo_server.faults == [DatagramFaults(loss=1.0)]
            assert tcp_echo_server.faults == [StreamFaults(delay=0.1)]

        @pytest.mark.echoserver(faults="many")
        def test_wrong(udp_echo_server): ...

        @pytest.mark.echoserver(seed="luck")
        def test_wrong_seed(udp_echo_server): ...
        """
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(
        ["*TypeError: faults must be DatagramFaults, *not 'many'", "*TypeError: seed must be an int, not 'luck'"]
    )


def test_a_wrong_seed_is_told_at_once(downstream: Downstream) -> None:
    result = downstream.run("", "--echoserver-seed=luck")
    result.stderr.fnmatch_lines(["*echoserver_seed must be a whole number, not 'luck'"])
