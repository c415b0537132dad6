"""The first stage: reads the cameras, letterboxes, encodes, and pushes onto `batch_frames`."""
