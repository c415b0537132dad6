"""The picture of an alert: what the camera showed, the animal framed, and the alert's words below it."""

import json
from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from fbtasks.alert import Severity
from fbtasks.errors import BadMessage
from fbtasks.frame import Letterbox
from fbtasks.logic.motion import Corners
from fbtasks.wire import Frame

MOST_SIDE = 4096
"""Pixels; the largest input that a model may be set to."""
COLOURS: dict[Severity, str] = {"note": "#8a949e", "info": "#2f7fd0", "warning": "#f0a63a", "critical": "#ff4d45"}
PAPER, INK, FAINT = "#14181d", "#ffffff", "#b4bcc5"
TEXT_SIZE, PADDING, LINE_WIDTH = 15, 8, 3
QUALITY = 85


def draw(frame: Frame, box: Corners | None, severity: Severity, lines: Sequence[str]) -> bytes:
    """The frame without its border as a JPEG, `box` (source pixels) drawn in it and `lines` below it.

    The JPEG's comment says which frame it is, see `pictured_at`.

    Raises:
        BadMessage: the frame's JPEG cannot be decoded, or is not of the size that the frame says.
    """
    picture = shown(frame)
    if box is not None:
        corners = _placed(box, frame.letterbox)
        ImageDraw.Draw(picture).rectangle(corners, outline=COLOURS[severity], width=LINE_WIDTH)
    encoded = BytesIO()
    comment = json.dumps({"camera_id": frame.camera_id, "seq": frame.seq, "captured_at": frame.captured_at})
    _captioned(picture, severity, lines).save(encoded, "JPEG", quality=QUALITY, comment=comment.encode())
    return encoded.getvalue()


def shown(frame: Frame) -> Image.Image:
    """What the camera showed, without border.

    Raises:
        BadMessage: as `draw` says.
    """
    return _without_border(_decoded(frame), frame.letterbox)


def pictured_at(jpeg: bytes) -> float:
    """Capture time of the frame that `draw` made this picture of, unix seconds.

    Raises:
        BadMessage: it is no such picture.
    """
    try:
        with Image.open(BytesIO(jpeg), formats=["JPEG"]) as picture:
            return float(json.loads(picture.info["comment"])["captured_at"])
    except (OSError, SyntaxError, ValueError, KeyError, TypeError) as error:
        raise BadMessage(f"no picture of an alert: {error}") from error


def _decoded(frame: Frame) -> Image.Image:
    letterbox = frame.letterbox
    width, height = letterbox.resized
    try:
        picture = Image.open(BytesIO(frame.jpeg), formats=["JPEG"])
        # Before anything is decoded: a small file can claim to be a huge picture.
        if max(picture.size) > MOST_SIDE:
            raise BadMessage(f"a picture of {picture.width} x {picture.height} pixels")
        if picture.width < letterbox.pad_x + width or picture.height < letterbox.pad_y + height:
            raise BadMessage("a picture that is smaller than its frame says")
        return picture.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, UnidentifiedImageError) as error:
        raise BadMessage(f"a picture that cannot be decoded: {error}") from error


def _without_border(picture: Image.Image, letterbox: Letterbox) -> Image.Image:
    width, height = letterbox.resized
    left, top = letterbox.pad_x, letterbox.pad_y
    return picture.crop((left, top, left + width, top + height))


def _placed(box: Corners, letterbox: Letterbox) -> Corners:
    width, height = letterbox.resized
    across, down = width / letterbox.width, height / letterbox.height
    left, top, right, bottom = box
    return left * across, top * down, right * across, bottom * down


def _captioned(picture: Image.Image, severity: Severity, lines: Sequence[str]) -> Image.Image:
    font = ImageFont.load_default(TEXT_SIZE)
    broken = [piece for line in lines for piece in _broken(line, font, picture.width - 2 * PADDING - LINE_WIDTH)]
    step = TEXT_SIZE + 5
    whole = Image.new("RGB", (picture.width, picture.height + len(broken) * step + 2 * PADDING), PAPER)
    whole.paste(picture)
    pen = ImageDraw.Draw(whole)
    pen.rectangle((0, picture.height, LINE_WIDTH, whole.height), fill=COLOURS[severity])
    for number, line in enumerate(broken):
        place = (PADDING + LINE_WIDTH, picture.height + PADDING + number * step)
        pen.text(place, line, fill=FAINT if number else INK, font=font)
    return whole


def _broken(line: str, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont", width: int) -> list[str]:
    """The line in pieces that are no wider than `width`, unless one word is."""
    pieces: list[str] = []
    for word in line.split():
        longer = f"{pieces[-1]} {word}" if pieces else word
        if pieces and font.getlength(longer) <= width:
            pieces[-1] = longer
        else:
            pieces.append(word)
    return pieces
