"""The child process: llama.cpp's OpenAI server on loopback. Run as a file; needs xllamacpp and the standard library.

It takes its API key as the first line of standard input, says `ready` on standard output once it listens, and ends
when standard input does: the pipe closes however the parent ends, so no server outlives its arbstr.
"""

from __future__ import annotations

import argparse
import os
import sys

PR_SET_PDEATHSIG = 1
SIGKILL = 9
LOG_INFO = 3
QUEUE_THREADS = 32


def die_with_parent() -> None:
    """Have the kernel end this process with its parent: while a model loads, nothing here can watch a pipe."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)


def arguments() -> argparse.Namespace:
    """What the parent asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", required=True)
    for number in ("--port", "--ctx", "--parallel", "--threads", "--idle"):
        parser.add_argument(number, type=int, required=True)
    return parser.parse_args()


def serve(asked: argparse.Namespace, key: str) -> object:
    """Load the model and listen; returns the server, which lives as long as it is referred to."""
    try:
        import xllamacpp
    except ImportError as missing:
        if "libgomp" in str(missing):
            raise ImportError(f"{missing}; install it (Debian: apt-get install libgomp1)") from missing
        raise

    params = xllamacpp.CommonParams()
    params.model.path = asked.model
    params.model_alias = {asked.name}
    params.port = asked.port
    params.n_parallel = asked.parallel
    params.n_ctx = asked.ctx * asked.parallel
    params.cpuparams.n_threads = asked.threads
    params.cpuparams_batch.n_threads = asked.threads
    params.n_threads_http = asked.parallel + QUEUE_THREADS
    params.api_keys = [key]
    params.cors_origins = ""
    params.ui = False
    params.endpoint_slots = False
    # Its default keeps up to 8 GiB of old prompts in memory; the slots keep the last ones anyway.
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    params.verbosity = LOG_INFO
    params.sleep_idle_seconds = asked.idle or -1
    return xllamacpp.Server(params)


def main() -> None:
    """Serve until standard input ends."""
    die_with_parent()
    asked = arguments()
    key = sys.stdin.buffer.readline().strip().decode()
    if not key:
        return
    # What the library prints belongs to the log; only `ready` goes to the parent.
    parent = os.dup(1)
    os.dup2(2, 1)
    server = serve(asked, key)
    os.write(parent, b"ready\n")
    os.close(parent)
    sys.stdin.buffer.read()
    # Straight out: the library's own end waits for calls in progress, and nobody is left to read them.
    del server
    os._exit(0)


if __name__ == "__main__":
    main()
