"""The GPU worker: frames in, candidates out, one model run for frames of several cameras."""
