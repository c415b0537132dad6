"""Leases of cameras in a real Redis: producers that come, die, end, are cut off, and cannot read everything."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic

import pytest

from fbtasks.keys import Keys
from fbtasks.producer.leases import Leases
from fbtasks.transport import REDIS_AWAY, connect
from tests.servers import Valkey
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("no_immortal_keys")

LEASE_S = 0.6
CAMERAS = {f"box-{number}" for number in range(12)}
Site = Callable[..., "Fake"]


class Fake:
    """A producer that opens cameras at once, but for those in `blind`, and notes nothing but what it reads."""

    def __init__(self, valkey: Valkey, name: str, cameras: set[str]) -> None:
        self.cameras = cameras
        self.blind: set[str] = set()
        self.redis = connect(valkey.url, 1.0)
        self.leases = Leases(self.redis, Keys(), name, lease_s=LEASE_S, trial_s=LEASE_S, has_picture=self._has_picture)

    def look(self) -> set[str]:
        try:
            return self.leases.look(self.cameras, monotonic())
        except REDIS_AWAY:
            return self.leases.expire(monotonic())

    def _has_picture(self, camera_id: str, since: float) -> bool:
        return camera_id not in self.blind


@pytest.fixture
def site(valkey: Valkey) -> Iterator[Site]:
    """`site("a", cameras)`: a producer of that name that can read these cameras."""
    fakes: list[Fake] = []

    def start(name: str, cameras: set[str] = CAMERAS) -> Fake:
        fakes.append(Fake(valkey, name, set(cameras)))
        return fakes[-1]

    yield start
    for fake in fakes:
        fake.redis.close()


def settled(*fakes: Fake, cameras: set[str] = CAMERAS) -> bool:
    """Whether, after a look by each, every camera is read by exactly one of them."""
    reading = [fake.look() for fake in fakes]
    return set().union(*reading) == cameras and sum(map(len, reading)) == len(cameras)


def test_a_lone_producer_reads_everything_after_one_look(site: Site) -> None:
    assert site("a").look() == CAMERAS


def test_who_comes_takes_its_share_and_no_camera_is_without_a_reader_meanwhile(site: Site) -> None:
    first, second = site("a"), site("b")
    first.look()
    for _ in CAMERAS:
        assert second.look() | first.look() == CAMERAS
    assert settled(first, second)
    assert first.leases.reading
    assert second.leases.reading


def test_a_camera_stays_with_who_reads_it_until_the_new_one_has_a_picture(site: Site) -> None:
    first, second = site("a"), site("b")
    first.look()
    second.blind = CAMERAS
    tried = second.look()
    assert tried
    assert tried < CAMERAS
    assert first.look() == CAMERAS
    wait_until(lambda: first.look() and not second.look(), 5, "the second to give up for now")
    assert first.look() == CAMERAS


def test_the_cameras_of_a_dead_producer_go_to_the_others_when_its_leases_run_out(site: Site) -> None:
    first, second = site("a"), site("b")
    wait_until(lambda: settled(first, second), 5, "both to have their share")
    began = monotonic()
    wait_until(lambda: second.look() == CAMERAS, 5, "the survivor to read all")
    assert monotonic() - began > LEASE_S / 2, "a lease is a promise"


def test_the_next_look_is_when_a_silent_producer_counts_as_dead(site: Site) -> None:
    first, second = site("a"), site("b")
    wait_until(lambda: settled(first, second), 5, "both to have their share")

    def is_near() -> bool:
        second.look()
        return second.leases.pause_s < LEASE_S / 10

    wait_until(is_near, 5, "a look that is due before its turn")


def test_who_ends_gives_its_cameras_back_at_once(site: Site) -> None:
    first, second = site("a"), site("b")
    wait_until(lambda: settled(first, second), 5, "both to have their share")
    first.leases.release()
    assert first.leases.reading == set()
    assert second.look() == CAMERAS


def test_who_is_cut_off_reads_on_for_less_than_two_leases(site: Site, valkey: Valkey) -> None:
    alone = site("a")
    last_word_at = monotonic()
    alone.leases.look(CAMERAS, last_word_at)
    assert alone.leases.expire(last_word_at + 1.2 * LEASE_S) == CAMERAS, "until others could have it it is read"
    assert alone.leases.expire(last_word_at + 1.9 * LEASE_S) == set()
    valkey.kill()
    wait_until(lambda: not alone.look(), 10, "it to stay so while Redis is away")
    valkey.start()
    wait_until(lambda: alone.look() == CAMERAS, 5, "it to read again")


def test_who_comes_back_after_a_long_freeze_lets_go_of_what_others_read(site: Site) -> None:
    frozen, awake = site("a"), site("b")
    wait_until(lambda: settled(frozen, awake), 5, "both to have their share")
    wait_until(lambda: awake.look() == CAMERAS, 5, "the other to take over")
    assert not any(frozen.blind)
    frozen.blind = CAMERAS
    frozen.look()
    assert awake.look() == CAMERAS
    assert frozen.leases.reading < CAMERAS
    frozen.blind = set()
    wait_until(lambda: settled(frozen, awake), 5, "both to have their share again")


def test_leases_that_redis_lost_are_taken_anew_by_who_holds_them(site: Site, valkey: Valkey) -> None:
    first, second = site("a"), site("b")
    wait_until(lambda: settled(first, second), 5, "both to have their share")
    before = first.leases.reading
    valkey.restart(empty=True)
    with suppress(*REDIS_AWAY):
        assert first.look() >= before
    wait_until(lambda: settled(first, second), 5, "both to have their share")
    assert first.leases.reading == before


def test_each_camera_goes_to_who_can_read_it(site: Site) -> None:
    barn, yard = site("barn", {"box-1", "box-2"}), site("yard", {"run-1", "run-2"})
    everywhere = {"box-1", "box-2", "run-1", "run-2"}
    wait_until(lambda: settled(barn, yard, cameras=everywhere), 5, "all to be read")
    assert barn.leases.reading == {"box-1", "box-2"}


def test_a_camera_that_is_taken_from_the_settings_is_let_go(site: Site, valkey: Valkey) -> None:
    only = site("a")
    only.look()
    only.cameras.remove("box-3")
    assert only.look() == CAMERAS - {"box-3"}
    with valkey.client() as client:
        assert client.get(Keys().lease("box-3")) is None
        assert client.get(Keys().lease("box-4")) == b"a"
