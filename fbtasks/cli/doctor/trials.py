"""The model, its providers and a camera, each tried in a process of its own: a crash there is a finding here."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from fbtasks.cli.doctor.diagnosis import Diagnosis
from fbtasks.cli.doctor.machine import nvidia
from fbtasks.settings import Settings

LADDER = ("tensorrt", "cuda", "openvino", "cpu")
"""As `fbtasks.gpu.engine` has it, which is not imported here: that loads ONNX Runtime."""
ENGINE_S = 120.0
CAMERA_S = 30.0
MODEL_S = 30.0
ADVICE = {
    "tensorrt": "install TensorRT as NVIDIA says, or set gpu.provider",
    "cuda": "install NVIDIA's driver, CUDA and cuDNN (`pip install onnxruntime-gpu[cuda,cudnn]`), or set gpu.provider",
    "openvino": "`pip install 'fbtasks[openvino]'`: twice as fast on this processor",
    "cpu": "reinstall onnxruntime",
}


@dataclass(frozen=True)
class Tried:
    """What came of a trial."""

    ok: bool
    text: str


def tried(kind: str, what: str, within_s: float) -> Tried:
    """Make a trial in a process of its own."""
    command = [sys.executable, "-m", "fbtasks.cli.doctor.trial", kind, what]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False)
    except subprocess.TimeoutExpired:
        return Tried(False, f"no answer within {within_s:g} s")
    lines = ended.stdout.strip().splitlines()
    try:
        return Tried(**json.loads(lines[-1]))
    except (IndexError, ValueError, TypeError):
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Tried(False, f"its process ended with exit code {ended.returncode}: {last}")


def engines(settings: Settings) -> Iterator[Diagnosis]:
    """GPUs, and the providers that really run the model here, one after the other."""
    cards = nvidia()
    yield Diagnosis("ok", "gpu", "; ".join(cards) or "no NVIDIA GPU")
    asked = settings.gpu.provider
    ran = False
    for provider in LADDER if asked == "auto" else (asked,):
        found = tried("engine", provider, ENGINE_S)
        yield _judged(provider, found, is_asked=asked != "auto", has_gpu=bool(cards), ran=ran)
        ran = ran or found.ok


def _judged(provider: str, found: Tried, *, is_asked: bool, has_gpu: bool, ran: bool) -> Diagnosis:
    """A provider that is not there is a fault where it was asked for, and a hint where it would be the fastest."""
    subject = f"provider {provider}"
    if found.ok:
        return Diagnosis("ok", subject, found.text)
    if is_asked or provider == "cpu":
        return Diagnosis("critical", subject, found.text, ADVICE[provider])
    would_be_faster = has_gpu if provider in ("tensorrt", "cuda") else not ran
    if would_be_faster:
        return Diagnosis("warning", subject, found.text, ADVICE[provider])
    return Diagnosis("ok", subject, f"not used here: {found.text}")


def model(settings: Settings) -> Iterator[Diagnosis]:
    """The model that is set."""
    if settings.gpu.model is None:
        advice = "`fbtasks model export` makes one, `fbtasks model add` keeps it"
        yield Diagnosis("warning", "model", "gpu.model is not set", advice)
        return
    found = tried("model", "", MODEL_S)
    advice = "" if found.ok else "`fbtasks model inspect` tells what it is"
    yield Diagnosis("ok" if found.ok else "critical", "model", found.text, advice)


def camera(settings: Settings, camera_id: str | None) -> Iterator[Diagnosis]:
    """One camera: the one that is named, or the first that is read."""
    named = camera_id or next((one.id for one in settings.cameras if one.enabled), None)
    if named is None:
        yield Diagnosis("warning", "camera", "no camera is set", "add [[cameras]] with id and url to the settings file")
        return
    found = tried("camera", named, CAMERA_S)
    advice = "" if found.ok else f"`fbtasks cameras test {named}` tells more"
    yield Diagnosis("ok" if found.ok else "critical", f"camera {named}", found.text, advice)
