"""A simulated stable: horses whose behaviour is scripted and therefore known, as cameras with real RTSP streams."""

from pathlib import Path

DEMO_MODEL = Path(__file__).with_name("demo_model.onnx")
"""A detector trained on pictures of this stable, and of no use for real ones."""
