"""`autodepth serve` behind nginx: TLS, a path prefix, and pages of others kept out."""

import shutil
import socket
import ssl
import subprocess
import time

import pytest
import requests
from dashboard.servers import serving
from service.queue.queues import BOB, OWNERS, TRIALS, steered

from autodepth.client import Client
from autodepth.dashboard.guard import Access
from autodepth.errors import NotAllowedError

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
NAME = "localhost"
CONF = """
daemon off; pid {place}/nginx.pid; error_log {place}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/a; uwsgi_temp_path {place}/b; scgi_temp_path {place}/c;
  server {{
    listen 127.0.0.1:{port} ssl; server_name {name};
    ssl_certificate {place}/cert.pem; ssl_certificate_key {place}/key.pem;
    location /autodepth/ {{
      proxy_pass http://127.0.0.1:{behind}{stripped};
      proxy_set_header Host $host;
      proxy_buffering off;
      client_max_body_size 1m;
    }}
  }}
}}
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="needs nginx, as Debian's nginx-light has it"),
]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(params=["", "/"], ids=["with its prefix", "without its prefix"])
def proxied(request, make_recorded, tmp_path):
    """An address of a proxy, and what is steered behind it."""
    make_recorded("digits", TRIALS)
    certificate = (
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={NAME}",
    )
    subprocess.run(
        ["openssl", *certificate, "-addext", f"subjectAltName=DNS:{NAME}",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    access = Access(host="127.0.0.1", owners=OWNERS, steers=True, root_path="/autodepth", name=NAME)
    with steered(OWNERS) as steering, serving(access, steering) as behind:
        port = free_port()
        conf = tmp_path / "nginx.conf"
        conf.write_text(
            CONF.format(place=tmp_path, port=port, name=NAME, behind=behind, stripped=request.param)
        )
        nginx = subprocess.Popen([NGINX, "-p", tmp_path, "-c", conf], stderr=subprocess.PIPE)
        try:
            wait_for(port, nginx)
            yield f"https://{NAME}:{port}/autodepth", str(tmp_path / "cert.pem"), steering
        finally:
            nginx.terminate()
            nginx.communicate(timeout=60)


def wait_for(port, nginx):
    for _ in range(3000):
        assert nginx.poll() is None, nginx.stderr.read()
        try:
            with socket.create_connection(("127.0.0.1", port)):
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("nginx does not listen")


def test_people_and_scripts_come_through_a_proxy(proxied, tmp_path):
    address, certificate, steering = proxied
    assert ssl.get_server_certificate((NAME, int(address.split(":")[2].split("/")[0])))
    with requests.Session() as browser:
        browser.verify = certificate
        browser.trust_env = False
        page = browser.get(f"{address}/")
        assert (page.status_code, 'action="/autodepth/login"' in page.text) == (401, True)
        origin = {"Origin": address.removesuffix("/autodepth"), "Sec-Fetch-Site": "same-origin"}
        page = browser.post(f"{address}/login", data={"token": BOB.token}, headers=origin)
        assert (page.status_code, page.url) == (200, f"{address}/")
        for path in ("explorer.js", "api/v1/docs", "api/v1/openapi.json", "plotly.js"):
            assert browser.get(f"{address}/{path}").status_code == 200, path
        asked = {"study": "new", "budget": "1trials"}
        said = {"json": asked, "headers": {**origin, "Idempotency-Key": "k"}}
        assert browser.post(f"{address}/api/v1/queue", **said).status_code == 201
        assert browser.post(f"{address}/api/v1/queue", **said).status_code == 200
        for foreign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            headers = {"Idempotency-Key": "other", **foreign}
            answer = browser.post(f"{address}/api/v1/queue", json=asked, headers=headers)
            assert answer.status_code == 403
        answer = browser.get(f"{address}/api/v1/studies", headers={"Host": "evil.example"})
        assert answer.status_code == 421
        with browser.get(f"{address}/api/v1/queue/events", stream=True) as events:
            assert next(events.iter_lines()) == b"event: change"  # not held back
    client = Client(address, BOB.token)
    client._session.verify = certificate
    assert [work["study"] for work in client.queue()] == ["new"]
    client = Client(address, "x" * 20)
    client._session.verify = certificate
    with pytest.raises(NotAllowedError):
        client.queue()
    assert [work.study for work in steering.store.works()] == ["new"]
