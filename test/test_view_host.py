"""The address that the browser view is served on."""

import socket
import subprocess
import sys
import urllib.request

import pytest

from pandapose_ros.node.live_scene import LiveScene


@pytest.mark.parametrize("host", ["nohost.invalid", "203.0.113.7", "a" * 70])
def test_a_host_of_another_computer_is_refused_at_once(host):
    command = [sys.executable, "-m", "pandapose_ros.tools.main", "view", "--host", host]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"cannot serve on host '{host}'" in done.stderr
    assert "0.0.0.0 for all" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("host", "start"),
    [("::1", "http://[::1]:"), ("::", "http://[::1]:"), ("0.0.0.0", "http://127.0.0.1:")],
)
def test_the_url_can_be_opened(host, start):
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
            trial.bind((host, 0))
    except OSError:
        pytest.skip(f"no {host} here")
    scene = LiveScene(host, 8431)
    try:
        assert scene.url.startswith(start)
        with urllib.request.urlopen(scene.url, timeout=10) as page:
            assert b"<html" in page.read()
    finally:
        scene._server.stop()
