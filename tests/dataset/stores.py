"""Object stores to test with: emulators on loopback that are reached through fsspec.

`make stores` installs them: the extra `stores`, and azurite where npm is. Tests whose emulator is
not installed are skipped.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest

START_TIMEOUT = 30.0  # seconds
AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""The public key of the emulator's only account."""


@contextmanager
def serve_s3() -> Iterator[dict[str, str]]:
    """Serve S3 with moto; yield the environment with which s3fs finds it."""
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = moto.ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    server.stop()


@contextmanager
def serve_az() -> Iterator[dict[str, str]]:
    """Serve Azure Blob Storage with azurite; yield the environment with which adlfs finds it."""
    own = Path(sys.prefix, "azurite", "node_modules", ".bin")  # where `make stores` installs it
    command = shutil.which("azurite-blob", path=f"{os.environ.get('PATH', '')}{os.pathsep}{own}")
    if command is None:
        pytest.skip("azurite is not installed (make stores, which needs npm)")
    port = _free_port()
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [command, "--blobPort", str(port), *options], cwd=folder, stdout=subprocess.DEVNULL
        ) as server,
    ):
        _wait_for_port(port)
        yield {
            "AZURE_STORAGE_CONNECTION_STRING": (
                "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
                f"AccountKey={AZURE_KEY};"
                f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
            )
        }
        server.terminate()


@contextmanager
def serve_gs() -> Iterator[dict[str, str]]:
    """Serve Google Cloud Storage; yield the environment with which gcsfs finds it.

    The emulator ignores the condition that an object does not exist yet.
    """
    pytest.importorskip("gcp_storage_emulator")
    port = _free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory"]
    with subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        _wait_for_port(port)
        yield {
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # asks a service that is not emulated
            "FSSPEC_GS": '{"token": "anon"}',  # others are looked for on the network
        }
        server.terminate()


EMULATORS: dict[str, Callable[[], Any]] = {"s3": serve_s3, "az": serve_az, "gs": serve_gs}
PACKAGES = {"s3": "s3fs", "az": "adlfs", "gs": "gcsfs"}


@contextmanager
def new_bucket(protocol: str, environment: dict[str, str]) -> Iterator[str]:
    """Yield the URL of a new bucket of an emulated store."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setitem(fsspec.config.conf, "gs", {"token": "anon"})  # it was read at the import
        pytest.importorskip(PACKAGES[protocol])
        filesystem = fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True)
        name = f"bucket-{secrets.token_hex(4)}"
        filesystem.mkdir(name)
        yield f"{protocol}://{name}"
        gc.collect()  # what the packages leave open warns here, not in a later test


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
