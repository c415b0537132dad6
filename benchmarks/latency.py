"""Capture stamp to decision, and frames analysed per camera, with everything running on this machine.

    python -m benchmarks.latency --data ../shared/data --cameras 4 --seconds 300

Serves the clips in the data folder as RTSP cameras (gst-rtsp-server), runs `fbtasks up` on them, and prints what
`fbtasks top` hears. Repeats what `fbtasks top` prints, and adds the machine and its load before the start.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.clips import loop_clip
from tests.ports import free_port
from tests.rtsp_server import RtspServer
from tests.waiting import wait_until

CLIPS = ("horse_paddock_360p30", "two_horses_540p25")
BIN = Path(sys.executable).parent
WARM_UP_S = 20.0


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with models/yolo11n.onnx and clips/")
    parser.add_argument("--model", type=Path, help="another ONNX file, such as fbtasks/sim/demo_model.onnx")
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--provider", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--input-height", type=int, default=640)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        _measure(options, Path(folder))


def _measure(options: argparse.Namespace, folder: Path) -> None:
    server = RtspServer(folder)
    try:
        settings = folder / "fbtasks.toml"
        settings.write_text(_settings(options, folder, server))
        ports = {"STATE": free_port(), "FRAMES": free_port(), "FLOWER": free_port()}
        env = os.environ | {"FBTASKS_CONFIG": str(settings)}
        up_env = env | {f"FBTASKS_UP__{name}_PORT": str(port) for name, port in ports.items()}
        log = folder / "up.log"
        with (
            log.open("wb") as output,
            subprocess.Popen([BIN / "fbtasks", "up"], env=up_env, stdout=output, stderr=output) as up,
        ):
            try:
                wait_until(lambda: "infer ready" in log.read_text() or up.poll() is not None, 120, "the GPU worker")
                url = f"redis://127.0.0.1:{ports['STATE']}/0"
                _top(WARM_UP_S, url, env, [])
                print(next(line for line in log.read_text().splitlines() if "infer ready" in line).split("infer ")[1])
                told = _top(options.seconds, url, env, ["--json"] if options.json else [])
                if options.json:
                    options.json.write_text(told)
                print(told)
            except BaseException:
                sys.stderr.write(log.read_text())
                raise
            finally:
                up.send_signal(signal.SIGINT)
    finally:
        server.kill()


def _settings(options: argparse.Namespace, folder: Path, server: RtspServer) -> str:
    model = options.model or options.data / "models" / "yolo11n.onnx"
    lines = [
        f'data_dir = "{folder / "data"}"',
        f"[producer]\nfps = {options.fps}",
        f'[gpu]\nmodel = "{model.resolve()}"\nprovider = "{options.provider}"',
        f'precision = "{options.precision}"\nthreads = {options.threads}\ninput_height = {options.input_height}',
    ]
    for number in range(options.cameras):
        name = CLIPS[number % len(CLIPS)]
        clip = folder / f"{name}.mp4"
        if not clip.exists():
            loop_clip(options.data / "clips" / f"{name}.mp4", clip, options.seconds + WARM_UP_S + 120)
        lines.append(f'[[cameras]]\nid = "cam-{number + 1}"\nurl = "{server.serve(f"cam-{number + 1}", clip)}"')
    return "\n".join(lines) + "\n"


def _top(seconds: float, url: str, env: dict[str, str], more: list[str]) -> str:
    command = [str(BIN / "fbtasks"), "top", "--once", "--seconds", str(seconds), *more]
    done = subprocess.run(command, env=env | {"FBTASKS_REDIS_URL": url}, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


if __name__ == "__main__":
    main()
