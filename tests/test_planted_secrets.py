"""Secrets other than the key appear in no error, log or captured frame, and in nothing written."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import quote

import nbformat
import pyarrow.parquet as pq
import pytest
from nbclient import NotebookClient

import llama_batches_nb as lb
from llama_batches_nb.http import transport
from llama_batches_nb.http.client import get_client
from llama_batches_nb.lifecycle import lost_response
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server as SandboxServer
from tests.browser.notebooks import write
from tests.conftest import Serve
from tests.frame_logger import FrameLogger, texts_of_error
from tests.output_api import OutputApi, markdown_page
from tests.servers import Request, Response, Server, batch, mapping, page

SECRET = "Pl4nt3d-6f1c0e9b27d4"


def _forms(text: str) -> list[str]:
    encoded = [base64.b64encode(text.encode())[:12].decode()]
    return [text, quote(text, safe=""), json.dumps(text)[1:-1], *encoded]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.setattr(transport, "FIRST_BACKOFF", 0.01)
    monkeypatch.setattr(lost_response, "RECOVERY_DELAYS", (0.0,))
    handler, root = FrameLogger(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.texts
    root.removeHandler(handler)
    root.setLevel(level)


def _check(texts: list[str], *planted: str) -> None:
    assert texts
    for text in texts:
        assert not [form for secret in planted for form in _forms(secret) if form in text], text


WEBHOOK = {
    "webhook_url": f"https://hooks.test/{SECRET}?token={SECRET}",
    "webhook_headers": {"Authorization": f"Bearer {SECRET}"},
    "webhook_signing_secret": f'{SECRET}"/\\',
}


def _rejects(request: Request) -> Any:
    text = request.body.decode()
    return Response({"detail": [{"loc": ["body", text], "msg": f"bad: {text} or {SECRET}"}]}, 422)


ANSWERS: dict[str, Callable[[Request], Any]] = {
    "rejected": _rejects,
    "failed": lambda request: Response({"detail": request.body.decode()}, 500),
    "lost": lambda request: Response(drop=True),
    "no batch": lambda request: request.json,
    "created": lambda request: batch("bat-1"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_webhook_secrets_are_shown_nowhere(serve: Serve, logged: list[str], answer: str) -> None:
    server = serve(lambda r: ANSWERS[answer](r) if r.method == "POST" else page([]))
    try:
        lb.create_batch(
            "dir-1",
            "cfg-1",
            webhook_configurations=[WEBHOOK],
            check_directory=False,
            check_configuration=False,
        )
    except lb.BatchesError as error:
        logged += texts_of_error(error)
    else:
        assert answer == "created"
    sent = next(request.json for request in server.requests if request.method == "POST")
    assert sent["webhook_configurations"] == [WEBHOOK]
    _check(logged, SECRET)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook_signing_secret": [SECRET]},
        {"webhook_headers": [SECRET]},
        {"webhook_headers": {"X": SECRET.encode()}},
        {"webhook_url": SECRET},
        {"webhook_output_format": SECRET},
    ],
    ids=str,
)
def test_webhook_secrets_are_in_no_error_of_a_check(change: dict[str, Any]) -> None:
    lb.connect("llx-key")
    with pytest.raises((ValueError, TypeError), match=r"webhook_configurations\[0\]") as caught:
        lb.create_batch("dir-1", "cfg-1", webhook_configurations=[{**WEBHOOK, **change}])
    _check(list(texts_of_error(caught.value)), SECRET)


def test_custom_headers_are_shown_nowhere(serve: Serve, logged: list[str]) -> None:
    echo = {"X-Token": SECRET, "Usage-Tags": f"team:{SECRET}"}
    serve(lambda r: Response({"detail": str(r.headers)}, 403), headers=echo)
    logged.append(repr(get_client()))
    with pytest.raises(lb.AuthenticationError) as caught:
        lb.fetch_batches()
    _check([*logged, *texts_of_error(caught.value)], SECRET)


PROXY_PASSWORDS = [
    SECRET,
    f"{SECRET}@x",
    f"{SECRET}/x",
    f"{SECRET} x",
    f"{SECRET}:x#",
    f"{SECRET}?[",
]


@pytest.mark.parametrize("password", PROXY_PASSWORDS)
@pytest.mark.parametrize("is_quoted", [True, False])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5h", "odd", ""])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_proxy_password_is_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch,
    logged: list[str],
    password: str,
    is_quoted: bool,
    scheme: str,
    variable: str,
) -> None:
    written = quote(password, safe="") if is_quoted else password
    monkeypatch.setenv(variable, f"{scheme}://me:{written}@127.0.0.1:9".removeprefix("://"))
    with (
        lb.connect("llx-key", base_url="https://api.test", max_retries=0, timeout=1) as client,
        pytest.raises(lb.ConnectionFailedError) as caught,
    ):
        lb.fetch_batches(client=client)
    logged += [repr(client), *texts_of_error(caught.value)]
    _check(logged, password, SECRET, f"me:{password}")


def test_user_info_of_base_url_is_shown_nowhere() -> None:
    with pytest.raises(ValueError, match="user name or password") as caught:
        lb.connect("llx-key", base_url=f"https://me:{SECRET}@api.test")
    _check(list(texts_of_error(caught.value)), SECRET)


@pytest.mark.parametrize("how", ["argument", "variable", "no text"])
def test_key_is_in_no_frame_of_connect(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    bad: Any = f"{SECRET} {SECRET}" if how != "no text" else [SECRET]
    if how == "variable":
        monkeypatch.setenv("LLAMA_CLOUD_API_KEY", bad)
    with pytest.raises((lb.AuthenticationError, TypeError)) as caught:
        lb.connect(None if how == "variable" else bad, headers={"X-A": SECRET})
    _check(list(texts_of_error(caught.value)), SECRET)


# --- a notebook ---------------------------------------------------------------------------------

SECRETS = {
    "key": f"llx-key-{SECRET}",
    "header": f"header-{SECRET}",
    "proxy": f"proxy@/{SECRET}",
    "webhook secret": f'webhook"/\\-{SECRET}',
    "webhook header": f"hook-header-{SECRET}",
    "webhook URL": f"hook-url-{SECRET}",
    "signature": f"signature-{SECRET}",
}
ENVIRONMENT = {
    "LLAMA_CLOUD_API_KEY": SECRETS["key"],
    "LLAMA_CLOUD_CUSTOM_HEADERS": f"X-Token: {SECRETS['header']}\nX-Team: one",
    "HTTPS_PROXY": f"http://me:{quote(SECRETS['proxy'], safe='')}@127.0.0.1:9",
    "all_proxy": f"me:{SECRETS['proxy']}@127.0.0.1:9",
    "WEBHOOK": json.dumps(
        {
            "webhook_url": f"https://hooks.test/{SECRETS['webhook URL']}",
            "webhook_headers": {"Authorization": f"Bearer {SECRETS['webhook header']}"},
            "webhook_signing_secret": SECRETS["webhook secret"],
        }
    ),
}
PRESIGNED = f"https://s3.test/a?X-Amz-Expires=9&X-Amz-Signature={SECRETS['signature']}"
OUTPUTS = ("stored", "failing", "dropped", "redirected", "expired")

CELLS = {
    "strict": """
        import json, logging, os, sys, warnings
        sys.path.insert(0, os.environ["ROOT"])
        from tests.frame_logger import FrameLogger
        warnings.simplefilter("error")
        logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
        for noisy in ("asyncio", "Comm", "matplotlib", "fsspec"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        frames = FrameLogger()
        logging.getLogger().addHandler(frames)

        def try_to(call):
            try:
                call()
            except BaseException:
                logging.exception("failed")
                raise
    """,
    "connect": """
        import llama_batches_nb as lb
        client = lb.connect()
        display(client, vars(client), client.settings, lb.fetch_batches(limit=3))
    """,
    "filter_panel": "panel = lb.filter_panel(limit=5)\npanel.wait(60)\npanel",
    "its code": "print(panel.code, panel.batches)",
    "dashboard": "board = lb.dashboard()\nboard.wait(60)\nboard",
    "create_panel": """
        made = lb.create_panel(
            source_directory_id=lb.fetch_directories(limit=1), configuration_id="cfg-PARSE_AGENTIC"
        )
        made.wait(60)
        made.create().wait(60)
        made
    """,
    "its code too": "print(made.code, made.batches)",
    "verbose": "%xmode Verbose",
    "an error": "try_to(lambda: lb.get_batch('bat-none'))",
    "an error of a worker": "try_to(lambda: lb.fetch_results(['bat-none', 'bat-other']))",
    "no client": "lb.connect(base_url='http://10.0.0.1')",
    "a wrong key": "lb.connect('llx-wrong', base_url=client.base_url)\nlb.fetch_batches()",
    "Ctrl-C": """
        from http.client import HTTPConnection

        send = HTTPConnection.send

        def press(self, data):
            HTTPConnection.send = send
            raise KeyboardInterrupt

        HTTPConnection.send = press
        lb.fetch_batches(client=client)
    """,
    "proxy": """
        lb.connect(base_url="https://api.test", max_retries=0, timeout=1)
        try_to(lb.fetch_batches)
    """,
    "webhook": """
        lb.connect(base_url=os.environ["OTHER"], max_retries=0)
        try_to(lambda: lb.create_batch(
            "dir-1", "cfg-1", webhook_configurations=[json.loads(os.environ["WEBHOOK"])],
            check_directory=False, check_configuration=False,
        ))
    """,
    **{job: f"try_to(lambda: display(lb.fetch_pages('pjb-{job}')))" for job in OUTPUTS},
    "kept": """
        lb.sync_dataset("kept", names=False)
        results = lb.fetch_results()
        lb.export_parquet(lb.fetch_results(raw=True), "results.parquet")
        lb.write_report("kept", "report.html")
        display(results, lb.error_patterns(results), lb.read_dataset("kept", "results"))
    """,
    "its panel": "errors = lb.dashboard()\nerrors.wait(60)\nerrors",
    "frames": """
        with open("frames.txt", "w") as file:
            file.writelines(frames.texts)
    """,
}
"""The cells of a notebook that shows many objects and raises many errors."""


class Other(OutputApi):
    """Reject webhooks with what they contain, and fail with presigned URLs in all places."""

    def __init__(self) -> None:
        super().__init__()
        self.signature = SECRETS["signature"]
        for name in OUTPUTS:
            self.too_large[self.add_parse_job(f"pjb-{name}", markdown_page(1))] = 413

    def __call__(self, request: Request) -> Any:
        name = request.path.rsplit("/", 1)[1]
        if request.method == "POST":
            return Response({"detail": f"{request.body.decode()} {request.headers}"}, 422)
        if name == "batches":
            return page([batch("bat-1", results=None)])
        if name == "bat-1":
            error = f"cannot read {PRESIGNED}&x=1: {request.headers}"
            return batch("bat-1", results=[mapping(f"dfl-{n}", None, error) for n in range(3)])
        if request.path == "/store/pjb-failing":
            return Response({"detail": f"{request.query}"}, 500)
        if request.path == "/store/pjb-redirected":
            location = f"http://10.0.0.1/?signature={self.signature}"
            return Response(status=302, headers={"Location": location})
        faults = {
            "/store/pjb-dropped": Response(drop=True),
            "/store/pjb-expired": Response({}, 403),
        }
        return faults.get(request.path) or super().__call__(request)


@pytest.mark.notebook
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the Jupyter client
def test_secrets_are_in_no_saved_notebook_panel_dataset_or_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path / "seen.ipynb", tuple(map(dedent, CELLS.values())))
    notebook = nbformat.read(tmp_path / "seen.ipynb", 4)  # type: ignore[no-untyped-call]
    options = Options(batches=30, files=(1, 9), speed=1000, api_key=SECRETS["key"])
    other = Other()
    with SandboxServer.start(options, thread=True) as sandbox, Server(other) as server:
        other.url = server.url
        urls = {"LLAMA_CLOUD_BASE_URL": sandbox.url, "OTHER": server.url}
        root = {"ROOT": str(Path(__file__).parents[1])}
        for name, value in {**ENVIRONMENT, **urls, **root}.items():
            monkeypatch.setenv(name, value)
        NotebookClient(
            notebook,
            timeout=120,
            kernel_name="python3",
            allow_errors=True,
            resources={"metadata": {"path": str(tmp_path)}},
        ).execute()
    outputs = {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}
    failed = {
        name: output.ename
        for name, shown in outputs.items()
        for output in shown
        if output.output_type == "error"
    }
    assert failed == {
        "an error": "NotFoundError",
        "an error of a worker": "NotFoundError",
        "no client": "ValueError",
        "a wrong key": "AuthenticationError",
        "Ctrl-C": "KeyboardInterrupt",
        "proxy": "ConnectionFailedError",
        "webhook": "InvalidRequestError",
        "failing": "ServerError",
        "dropped": "ConnectionFailedError",
        "redirected": "ResponseError",
        "expired": "NotFoundError",
    }
    sent = next(request for request in server.requests if request.method == "POST")
    assert sent.json["webhook_configurations"] == [json.loads(ENVIRONMENT["WEBHOOK"])]
    assert SECRETS["header"] in sent.headers.values()
    assert any(SECRETS["signature"] in str(request.query) for request in server.requests)
    saved = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"].state
    assert len(saved) > 100
    content = json.dumps(notebook)
    for seen in (
        "lb.fetch_batches(",
        "lb.create_batch(",
        "DEBUG:urllib3",
        "Most frequent error patterns",
    ):
        assert seen in content, seen
    (tmp_path / "seen.ipynb").write_text(content)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {".ipynb", ".parquet", ".html", ".txt"} <= {file.suffix for file in files}
    texts = {file.name: file.read_bytes().decode("latin-1") for file in files}
    texts |= {
        f"rows of {f.name}": str(pq.read_table(f).to_pylist())
        for f in files
        if f.suffix == ".parquet"
    }
    for name in ("rows of results.parquet", "report.html"):
        assert "X-Amz-Signature=***" in texts[name]
    found = [
        (kind, name, text[max(0, at - 200) : at + 100])
        for name, text in texts.items()
        for kind, secret in SECRETS.items()
        for form in _forms(secret)
        if (at := text.find(form)) >= 0
    ]
    assert not found
