"""On what a measurement ran."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from redis import Redis

from fbtasks import __version__

PACKAGES = ("onnxruntime-gpu", "onnxruntime", "openvino", "redis", "hiredis", "numpy", "simplejpeg", "msgspec")
_CPU_INFO = Path("/proc/cpuinfo")


def machine() -> dict[str, object]:
    """Processor, cores that this process may use, their load over the last minute, system."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": affinity,
        "load_1min": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Versions of what takes part and is installed."""
    told = {"fbtasks": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            told[package] = version(package)
        except PackageNotFoundError:
            continue
    return told


def server_version(redis: Redis) -> str:
    """Name and version of a Redis or Valkey server."""
    info = redis.info("server")
    assert isinstance(info, dict)
    return f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}"


def _processor() -> str:
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
