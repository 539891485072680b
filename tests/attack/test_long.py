# SPDX-License-Identifier: Apache-2.0
"""The attacks at their full size: `make attack` runs them, the ordinary test run does not."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from test_upper_layer import (
    SLOW,
    SOCKET_BUFFERS,
    abort_transfers,
    converse,
    endless,
    held,
    pipelined,
    seconds_until_closed,
)

from harness.receiver_program import ReceiverProgram
from harness.watched import MIB, Bystander, Growth
from harness.wire import ASSOCIATE_AC, COMMAND, CT_CONTEXT, LAST, Peer, associate_rq, p_data, store_command

pytestmark = [pytest.mark.attack_long, pytest.mark.timeout(600)]
StartReceiver = Callable[..., ReceiverProgram]
GIB = 1 << 30


def test_g28_five_hundred_connections_of_one_address_and_of_twenty(receiver: ReceiverProgram) -> None:
    for addresses in (["127.0.0.1"], [f"127.0.1.{number}" for number in range(1, 21)]):
        for opening in SLOW.values():
            with Bystander(receiver.port) as bystander, ExitStack() as stack:
                peers = [
                    peer
                    for address in addresses
                    for peer in stack.enter_context(
                        held(receiver.port, opening, count=500 // len(addresses), address=address)
                    )
                ]
                assert seconds_until_closed(peers, patience=15) <= 10
            bystander.check()


def test_g29_two_hundred_mebibytes_without_reading_a_reply(start_receiver: StartReceiver) -> None:
    receiver = start_receiver()
    with Bystander(receiver.port) as bystander, Growth(receiver.cost) as growth:
        assert pipelined(receiver.port, count=200, size=MIB) == [0] * 200
    assert growth.bytes <= 32 * MIB
    bystander.check()


def test_g30_a_thousand_broken_transfers_leave_no_file(receiver: ReceiverProgram) -> None:
    abort_transfers(receiver.port, 1_000)
    time.sleep(1)
    assert receiver.partial() == []


def test_a04_an_object_of_four_gibibytes_is_cut_off_at_the_cap(start_receiver: StartReceiver) -> None:
    receiver = start_receiver()
    cap = 4 * GIB
    with Bystander(receiver.port) as bystander, Growth(receiver.cost) as growth:
        assert endless(receiver.port, control=0, total_bytes=cap + 256 * MIB) <= cap + SOCKET_BUFFERS
    bystander.check()
    assert growth.bytes <= 64 * MIB
    assert receiver.partial() == []


def test_a22_eighteen_hundred_damaged_conversations(receiver: ReceiverProgram) -> None:
    with Bystander(receiver.port) as bystander:
        converse(receiver.port, 1_800)
    bystander.check()
    assert "Traceback" not in receiver.log


def test_g19_an_idle_peer_without_power_is_let_go_within_45_s(receiver: ReceiverProgram) -> None:
    """It keeps its connection and says nothing: no association is held for longer than the idle time."""
    with Peer(receiver.port) as peer:
        assert peer.associate().kind == ASSOCIATE_AC
        assert seconds_until_closed([peer], patience=120) <= 61


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A network namespace behind a cable that can be cut; needs root."""
    name = "dokuei-attack"
    setup = (
        f"ip netns add {name} && ip link add {name} type veth peer name eth0 netns {name} && "
        f"ip addr add 10.231.7.1/24 dev {name} && ip link set {name} up && "
        f"ip netns exec {name} ip addr add 10.231.7.2/24 dev eth0 && ip netns exec {name} ip link set eth0 up"
    )
    if subprocess.run(["sh", "-c", setup], check=False, capture_output=True).returncode:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        pytest.skip("ROOT MISSING: a network namespace cannot be made; the cable cannot be cut")
    yield name, "10.231.7.1"
    subprocess.run(["ip", "link", "del", name], check=False)
    subprocess.run(["ip", "netns", "del", name], check=False)


SENDER = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
connection.sendall(bytes.fromhex(sys.argv[3]))
connection.recv(4096)
connection.sendall(bytes.fromhex(sys.argv[4]))
print("sent", flush=True)
time.sleep(300)
"""


OPENING = associate_rq().hex()


@pytest.mark.parametrize(("within", "seconds"), [(True, 10), (False, 61)], ids=["within a PDU", "idle"])
def test_a23_a_cut_cable_is_noticed(
    cable: tuple[str, str], start_receiver: StartReceiver, within: bool, seconds: float
) -> None:
    name, address = cable
    receiver = start_receiver(node={"host": "0.0.0.0"}, networks=["10.231.7.0/24", "127.0.0.0/28"])  # noqa: S104
    before = receiver.cost.files
    store = p_data(CT_CONTEXT.number, store_command("1.2.3"), control=COMMAND | LAST)
    said = store + p_data(CT_CONTEXT.number, bytes(9_000), control=0)[:5_000] if within else b""
    sender = subprocess.Popen(
        ["ip", "netns", "exec", name, "python3", "-c", SENDER, address, str(receiver.port), OPENING, said.hex()],
        stdout=subprocess.PIPE,
    )
    try:
        assert sender.stdout is not None
        sender.stdout.readline()
        subprocess.run(["ip", "link", "set", name, "down"], check=True)
        started = time.monotonic()
        while receiver.cost.files > before and time.monotonic() - started < seconds + 20:
            time.sleep(0.2)
        assert time.monotonic() - started <= seconds
    finally:
        sender.kill()
        sender.communicate()
