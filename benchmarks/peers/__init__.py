"""Other ways to serve the same detector, on the same pictures and the same machine: `python -m benchmarks.peers`.

    python3.13 -m venv PEERS && PEERS/bin/python -m pip install -r benchmarks/peers/requirements.txt
    python -m benchmarks.peers --python PEERS/bin/python --engine fixed:20ms --within-ms 100
    python -m benchmarks.peers --python PEERS/bin/python --engine cpu --within-ms 250 --model MODEL --image PICTURE

Compared are the worker of `fbtasks infer`; Triton's dynamic batching (with pytriton), LitServe and mosec, each with
the batch size and waiting time that suit the load, over HTTP or gRPC on loopback as their documents show; one Celery
task per frame; and a loop that takes one frame after the other from Redis. All decode the same JPEG with the same
library, on as many threads, and run the same model with the same options of ONNX Runtime, or wait for the same
pretended device, which takes a fixed time for a batch of up to 8 and is one device for all processes.

Each turn one of them is started, measured and ended, and the turns go round, so that a slow minute of the machine meets
all alike. A turn has three parts: as many frames as there are cameras under way all the time (frames per second); then
an even load, the same for all, of which the latency from sending to answer is told; then even loads ever nearer to the
highest of which 95 of 100 frames are answered within a limit, the same for all. That limit must be several times what
one frame takes: cameras send when they like, so at any load some frames meet another, and where two runs alone reach
the limit it tells of luck. A frame of ours that gives way to a fresher one of its camera counts as never answered. The
modules whose names begin with `serve_`, and `work.py`, `load.py` and `plot.py`, run in the peers' environment and know
nothing of fbtasks.
"""
