"""What a live camera takes pictures of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fbtasks.sim.encoder import Picture
from fbtasks.sim.scenario import Scenario
from fbtasks.sim.scene import Scene
from fbtasks.sim.stage import Conditions, Placed, Truth
from fbtasks.sim.timeline import Timeline

Shoot = Callable[[int], Picture | None]
"""The picture of that number from the start; None while the camera sends nothing."""


class Film(Protocol):
    """A story as a camera sees it. It travels to the drawing process, so it has to be small and of an importable class.

    Attributes:
        size: width and height of its pictures as it wants them, even.
        fps: pictures a second.
        length_s: after which it begins again, None when it does not.
    """

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def fps(self) -> float: ...

    @property
    def length_s(self) -> float | None: ...

    def opened(self, size: tuple[int, int]) -> Shoot:
        """Prepare everything that drawing at that size needs.

        Raises:
            ConfigError: the story cannot be told.
        """


@dataclass(frozen=True)
class ScenarioFilm:
    """A scenario, at its own size and rate or at others."""

    scenario: Scenario
    wanted_size: tuple[int, int] | None = None
    wanted_fps: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        width, height = self.wanted_size or (self.scenario.camera.width, self.scenario.camera.height)
        return width & ~1, height & ~1

    @property
    def fps(self) -> float:
        return self.wanted_fps or self.scenario.camera.fps

    @property
    def length_s(self) -> float | None:
        return self.scenario.length_s if self.scenario.loops else None

    def opened(self, size: tuple[int, int]) -> Shoot:
        return Shooting(self.scenario, size, self.fps).picture


class Shooting:
    """Draws a scenario, a frozen camera's picture once.

    Raises:
        ConfigError: the story cannot be told.
    """

    def __init__(self, scenario: Scenario, size: tuple[int, int], fps: float) -> None:
        self.timeline = Timeline(scenario)
        self._scene = Scene(self.timeline.place, *size)
        self._fps = fps
        self._last: tuple[int, Picture] | None = None

    def picture(self, number: int) -> Picture | None:
        """The picture of that number; None while the camera sends nothing."""
        if not self.timeline.sends(number / self._fps):
            return None
        shown = self._shown(number)
        if self._last is None or self._last[0] != shown:
            self._last = shown, self._scene.picture(*self._stage(shown))
        return self._last[1]

    def truth(self, number: int) -> list[Truth]:
        """What truly is before the camera then, in the pixels of its picture, even if that is old or missing."""
        return self._scene.truth(*self._stage(number))

    def _shown(self, number: int) -> int:
        """Number of the picture that is shown: an earlier one while the camera is frozen."""
        t = number / self._fps
        return round(self.timeline.shown(t) * self._fps) if self.timeline.frozen(t) else number

    def _stage(self, number: int) -> tuple[list[Placed], Conditions, int]:
        t = number / self._fps
        return self.timeline.placed(t), self.timeline.conditions(t), number
