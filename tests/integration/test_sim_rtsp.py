"""Simulated cameras over real RTSP: every picture in its order and at its time, to every client, in bounded memory."""

import hashlib
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbtasks.errors import CameraError, ConfigError
from fbtasks.producer.capture import Stream
from fbtasks.producer.capture import prepare as prepare_capture
from fbtasks.sim import rtp
from fbtasks.sim.access import Password
from fbtasks.sim.clip import write_clip
from fbtasks.sim.faults import Protect
from fbtasks.sim.film import ScenarioFilm
from fbtasks.sim.rtp import CLOCK_HZ, H264, H265, Codec
from fbtasks.sim.scenario import read_scenario
from fbtasks.sim.serving import ServerThread, serving
from tests.films import Numbered, noise, number_in, numbered_picture
from tests.ports import free_port
from tests.processes import Process, Processes
from tests.rtsp_client import REPORTS, Packet, RtspClient
from tests.waiting import wait_until

SIZE = (256, 128)
FPS = 20.0
FILM = Numbered()
NTP_EPOCH = 2_208_988_800
SLOW_MACHINE_S = 30
QUIET = """
name = "quiet"
length_s = 4
loops = true

[place]
kind = "box"

[camera]
width = 320
height = 180
fps = 10

[[horses]]
id = "Luna"

[[disturbances]]
what = "frozen"
from = 0.5
to = 1.5

[[disturbances]]
what = "silent"
from = 2
to = 3.5
"""


@pytest.fixture
def open_stream(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stream]:
    """`open_stream(url, transport="udp")`, as the producer opens one."""
    for name in ("OPENCV_FFMPEG_CAPTURE_OPTIONS", "OPENCV_FFMPEG_IS_THREAD_SAFE", "OPENCV_FFMPEG_LOGLEVEL"):
        monkeypatch.setenv(name, "")  # so that they are taken back

    def opened(url: str, transport: str = "tcp", read_timeout_s: float = 5.0) -> Stream:
        prepare_capture(transport)
        return Stream.open(url, 10.0, read_timeout_s)

    return opened


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 30 numbered pictures in either codec, and with two seconds of noise of about 20 Mbit/s."""
    folder = tmp_path_factory.mktemp("clips")
    for codec in (H264, H265):
        write_clip(folder / f"{codec.name}.mp4", (numbered_picture(n, SIZE) for n in range(30)), SIZE, FPS, codec)
    write_clip(folder / "noise.mp4", (noise(n, (640, 360)) for n in range(20)), (640, 360), 10)
    return folder


@pytest.fixture(scope="module")
def live() -> Iterator[ServerThread]:
    """A live camera, `numbered`, with a round of 30 pictures in 1.5 s."""
    with serving({"numbered": FILM}) as server:
        yield server


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_live_camera_shows_every_picture_in_order_round_after_round(
    live: ServerThread, open_stream: Callable[..., Stream], transport: str
) -> None:
    with open_stream(live.url("numbered"), transport) as stream:
        numbers = [next_number(stream) for _ in range(75)]

    # OpenCV may leave out pictures while it gets to know the stream, never later.
    assert numbers == [(numbers[0] + index) % 30 for index in range(75)]


@pytest.mark.parametrize("codec", [H264, H265], ids=lambda codec: codec.name)
def test_a_file_is_repeated_without_a_break(clips: Path, open_stream: Callable[..., Stream], codec: Codec) -> None:
    with serving({"box": clips / f"{codec.name}.mp4"}) as server, open_stream(server.url("box")) as stream:
        numbers = [next_number(stream) for _ in range(75)]

    assert numbers == [(numbers[0] + index) % 30 for index in range(75)]


def test_a_file_with_b_frames_plays(shared_data: Path, open_stream: Callable[..., Stream]) -> None:
    with (
        serving({"horse": shared_data / "clips" / "horse_paddock_360p30.mp4"}) as server,
        open_stream(server.url("horse")) as stream,
    ):
        assert all(stream.grab() for _ in range(30))


def test_all_clients_see_the_same_moment(live: ServerThread) -> None:
    def arrivals(client: RtspClient) -> dict[int, Packet]:
        return {picture[0].timestamp: picture[0] for picture in client.pictures(40)}

    with RtspClient(live.url("numbered")).watch() as first:
        first.pictures(1)
        with RtspClient(live.url("numbered")).watch(udp=True) as second, ThreadPoolExecutor(2) as threads:
            seen, also_seen = threads.map(arrivals, (first, second))

    shared = seen.keys() & also_seen.keys()
    assert len(shared) > 15
    assert all(seen[stamp].data == also_seen[stamp].data for stamp in shared)
    assert max(abs(seen[stamp].at - also_seen[stamp].at) for stamp in shared) < 0.2


def test_a_client_begins_with_a_key_frame(live: ServerThread) -> None:
    with RtspClient(live.url("numbered")).watch() as client:
        [first] = client.pictures(1)
    assert first[0].payload[0] & 31 == 7, "parameter sets, then the key frame"


def test_time_stamps_follow_the_clock_and_reports_map_them_to_it(live: ServerThread) -> None:
    with RtspClient(live.url("numbered")).watch() as client:
        report = client.packet(REPORTS)
        [picture] = client.pictures(1)
        pictures = client.pictures(40)

    assert report.data[1] == 200
    seconds, fraction, stamp = struct.unpack("!III", report.data[8:20])
    at = seconds - NTP_EPOCH + fraction / 2**32 + (picture[0].timestamp - stamp) / CLOCK_HZ
    assert abs(at - time.time()) < 4, "the picture was sent within the last seconds"
    stamps = [one[0].timestamp for one in pictures]
    assert {after - before for before, after in pairwise(stamps)} == {CLOCK_HZ / FPS}
    passed = pictures[-1][0].at - pictures[0][0].at
    assert passed == pytest.approx((stamps[-1] - stamps[0]) / CLOCK_HZ, abs=0.3)


def test_what_has_been_drawn_is_not_drawn_again(tmp_path: Path) -> None:
    film = Numbered(noted_in=tmp_path / "drawn")
    with serving({"numbered": film}) as server, RtspClient(server.url("numbered")).watch() as client:
        pictures = [hashlib.sha256(b"".join(packet.payload for packet in one)).digest() for one in client.pictures(90)]

    drawn = (tmp_path / "drawn").read_text().split()
    assert sorted(map(int, drawn)) == [0, *range(30)], "the first one to get ready, then each once"
    assert pictures[:30] == pictures[30:60] == pictures[60:]


def test_a_slow_machine_leaves_pictures_of_every_camera_out_and_keeps_the_time() -> None:
    slow = Numbered(fps=10.0, drawing_s=0.25)

    def watched(url: str) -> list[Packet]:
        with RtspClient(url).watch() as client:
            return [picture[0] for picture in client.pictures(10)]

    with serving({"one": slow, "other": slow}) as server, ThreadPoolExecutor(2) as threads:
        both = list(threads.map(watched, map(server.url, ("one", "other"))))

    for pictures in both:
        stamps = [(packet.timestamp - pictures[0].timestamp) / CLOCK_HZ for packet in pictures]
        arrivals = [packet.at - pictures[0].at for packet in pictures]
        assert stamps[-1] > 3, "ten pictures, of which no more than two a second can be drawn"
        assert max(abs(stamp - at) for stamp, at in zip(stamps, arrivals, strict=True)) < 1.2


def test_a_silent_camera_sends_nothing_and_stays_connected() -> None:
    film = ScenarioFilm(read_scenario(QUIET, "quiet"))
    with serving({"quiet": film}) as server, RtspClient(server.url("quiet")).watch() as client:
        arrivals = [picture[0].at for picture in client.pictures(30)]
        assert client.request("GET_PARAMETER").status == 200

    pauses = [after - before for before, after in pairwise(arrivals)]
    assert max(pauses) == pytest.approx(1.6, abs=0.3)


def test_a_film_has_no_picture_while_silent_and_an_old_one_while_frozen() -> None:
    film = ScenarioFilm(read_scenario(QUIET, "quiet"))
    shoot = film.opened(film.size)
    pictures = [shoot(number) for number in range(40)]

    assert [number for number, picture in enumerate(pictures) if picture is None] == list(range(20, 35))
    same = [number for number in range(1, 20) if np.array_equal(pictures[number], pictures[number - 1])]  # type: ignore[arg-type]
    assert same == list(range(6, 15)), "noise makes every other picture another"


def test_many_cameras_are_read_at_once(clips: Path) -> None:
    names = [f"box-{number}" for number in range(24)]

    def watched(server: ServerThread, name: str) -> list[Packet]:
        with RtspClient(server.url(name)).watch() as client:
            return [packet for picture in client.pictures(60) for packet in picture]

    with (
        serving(dict.fromkeys(names, clips / "h264.mp4")) as server,
        ThreadPoolExecutor(len(names)) as threads,
    ):
        for packets in threads.map(lambda name: watched(server, name), names):
            first = packets[0].sequence
            assert [packet.sequence for packet in packets] == [(first + n) & 0xFFFF for n in range(len(packets))]
            assert packets[-1].at - packets[0].at == pytest.approx(59 / FPS, abs=2)


def test_a_client_that_does_not_read_is_dropped_and_memory_stays_flat(clips: Path, processes: Processes) -> None:
    port = free_port()
    server = processes.start("fbtasks", "sim", "serve", str(clips / "noise.mp4"), "--port", str(port))
    url = f"rtsp://127.0.0.1:{port}/noise"
    wait_until(lambda: url in server.output() or server.exit_code is not None, SLOW_MACHINE_S, "the camera")
    with RtspClient(url).watch() as reading:
        reading.pictures(5)
        before = resident_bytes(server)
        with RtspClient(url, receive_buffer=65_536).watch():
            while "reads too slowly" not in server.output():
                reading.pictures(2)
        assert resident_bytes(server) - before < 12_000_000
        reading.pictures(5)
    assert server.terminate(SLOW_MACHINE_S) == 0
    assert not server.survivors()


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_a_camera_with_a_password_wants_it(live: ServerThread, open_stream: Callable[..., Stream], scheme: str) -> None:
    url = live.url("numbered")
    live.set_fault("numbered", Protect(Password(scheme, "anna", "hay: and oats")))  # type: ignore[arg-type]
    try:
        with open_stream(url.replace("//", "//anna:hay%3A%20and%20oats@")) as stream:
            assert stream.grab()
        with RtspClient(url) as stranger:
            refused = stranger.request("DESCRIBE")
            assert refused.status == 401
            assert refused.headers["www-authenticate"].lower().startswith(scheme)
        with pytest.raises(CameraError):
            open_stream(url.replace("//", "//anna:straw@"))
    finally:
        live.set_fault("numbered", Protect(None))
    with open_stream(url) as stream:
        assert stream.grab()


@pytest.mark.parametrize("authorization", ["Basic \u00e9", 'Digest nonce="n", username="anna", response="\u00e9"'])
def test_a_password_of_strange_letters_is_a_wrong_one(authorization: str) -> None:
    scheme = authorization.partition(" ")[0].lower()
    assert not Password("basic" if scheme == "basic" else "digest", "anna", "hay").admits(authorization, "PLAY", "n")


def test_requests_out_of_turn_are_refused(live: ServerThread) -> None:
    with RtspClient(live.url("numbered")) as client:
        assert "SET_PARAMETER" in client.request("OPTIONS").headers["public"]
        assert client.request("PLAY").status == 455
        assert client.request("RECORD").status == 501
        assert client.request("SETUP", Transport="RTP/AVP;multicast").status == 461
        assert client.request("DESCRIBE", Session="another").status == 454
        client.watch()
        client.pictures(1)
        assert client.request("PAUSE").status == 200
        client.waiting.clear()
        assert client.request("GET_PARAMETER").status == 200
        assert not client.waiting, "no packet came after the pause"
        assert client.request("PLAY").status == 200
        client.pictures(1)
        assert client.request("TEARDOWN").status == 200


def test_a_client_that_falls_silent_is_forgotten() -> None:
    with serving({"numbered": FILM}, session_s=2.0) as server:
        with RtspClient(server.url("numbered"), timeout_s=3.0).watch(udp=True) as silent:
            begun = silent.packet().at
            with pytest.raises(TimeoutError):
                silent.read_on()
            assert silent.last_at - begun < 3.0
        with RtspClient(server.url("numbered")).watch() as alive:
            for _ in range(7):
                alive.pictures(8)
                assert alive.request("GET_PARAMETER").status == 200


def test_nonsense_ends_its_own_connection_only(live: ServerThread) -> None:
    with RtspClient(live.url("numbered")).watch() as client:
        for nonsense in (b"GARBAGE\r\ncontent-length: many\r\n\r\n", b"\x00" * 100_000, b"PLAY x HTTP/1.1\r\n\r\n"):
            port = int(live.url("numbered").split(":")[2].partition("/")[0])
            with socket.create_connection(("127.0.0.1", port), timeout=5) as other:
                other.sendall(nonsense)
                assert closes(other)
        client.pictures(5)


def test_a_camera_that_is_not_there_cannot_be_opened(live: ServerThread, open_stream: Callable[..., Stream]) -> None:
    with pytest.raises(CameraError):
        open_stream(live.url("nobody"))


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ConfigError, match="cannot be read as a video"), serving({"text": tmp_path / "text.mp4"}):
        pass
    story = QUIET.replace('id = "Luna"', 'id = "Luna"\nacts = [{ from = 0, to = 0.5, does = "lies_lateral" }]')
    film = ScenarioFilm(read_scenario(story, "hasty"))
    with pytest.raises(ConfigError), serving({"hasty": film}):
        pass


def test_a_taken_port_is_named(live: ServerThread) -> None:
    port = int(live.url("numbered").split(":")[2].partition("/")[0])
    with pytest.raises(ConfigError, match=f"port {port}"), serving({"numbered": FILM}, port):
        pass


@given(
    codec=st.sampled_from([(H264, b"\x65"), (H265, b"\x26\x01")]),
    bodies=st.lists(st.binary(min_size=1, max_size=5000), min_size=1, max_size=4),
    sequence=st.integers(0, 0xFFFF),
)
def test_a_picture_survives_its_packets(codec: tuple[Codec, bytes], bodies: list[bytes], sequence: int) -> None:
    kind, header = codec
    nals = [header + body for body in bodies]
    unit = rtp.unit(kind, 0, 5_000_000_000, nals)
    packets = rtp.packets(unit.payloads, unit.shown, sequence, 7)

    assert unit.key
    assert all(len(packet) <= rtp.MAX_PAYLOAD + rtp.HEADER_SIZE for packet in packets)
    assert [packet[1] >> 7 for packet in packets] == [0] * (len(packets) - 1) + [1]
    assert [int.from_bytes(packet[2:4], "big") for packet in packets] == [
        (sequence + number) & 0xFFFF for number in range(len(packets))
    ]
    assert reassembled(packets, len(header)) == nals


def reassembled(packets: list[bytes], header: int) -> list[bytes]:
    """NAL units as a receiver puts them together (RFC 6184 and 7798)."""
    nals: list[bytes] = []
    for payload in (packet[12:] for packet in packets):
        fragment, control, body = payload[:header], payload[header], payload[header + 1 :]
        if (payload[0] & 31 != 28) if header == 1 else (payload[0] >> 1 != 49):
            nals.append(payload)
        elif control & 0x80 and header == 1:
            nals.append(bytes([fragment[0] & 0xE0 | control & 31]) + body)
        elif control & 0x80:
            nals.append(bytes([fragment[0] & 0x81 | (control & 63) << 1, fragment[1]]) + body)
        else:
            nals[-1] += body
    return nals


def next_number(stream: Stream) -> int:
    assert stream.grab()
    picture = stream.picture()
    assert picture is not None
    return number_in(picture)


def closes(connection: socket.socket) -> bool:
    """Whether the other side ends it."""
    try:
        return connection.recv(100) == b""
    except ConnectionError:
        return True


def resident_bytes(process: Process) -> int:
    """Memory of the command and its children."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in process.survivors()]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")
