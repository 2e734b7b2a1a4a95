"""A JupyterLab of one's own: loopback, random token, a folder of copies, nothing of the user's read or written."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells out of sight stay in the page
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "docmanager-extension/plugin": {"autosave": False},
}
PRIVATE = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}


class Laboratory:
    """Starts with the first request for it and stops with `close`.

    Args:
        folder: an empty folder; notebooks go to `folder / "notebooks"`, everything Jupyter writes beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notebooks = folder / "notebooks"
        self.notebooks.mkdir()
        self.log = folder / "jupyter.log"
        self.token = secrets.token_hex(16)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        for plugin, values in SETTINGS.items():
            self._set(plugin, values)
        self.theme("Light")
        self._server = self._start()

    def _set(self, plugin: str, values: dict[str, object]) -> None:
        path = self.folder / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def theme(self, name: str) -> None:
        """`Light` or `Dark`, for pages opened from now on."""
        self._set("apputils-extension/themes", {"theme": f"JupyterLab {name}"})

    def _start(self) -> subprocess.Popen[bytes]:
        private = {name: str(self.folder / place) for name, place in PRIVATE.items()}
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
        command += [f"--port={self.address.rsplit(':', 1)[1]}", "--ServerApp.port_retries=0"]
        command += [f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.folder}"]
        with self.log.open("wb") as log:
            server = subprocess.Popen(
                command, env=os.environ | private, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        for _ in range(240):
            if server.poll() is not None:
                break
            try:
                self.request("GET", "status")
                return server
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.25)
        server.kill()
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()}")

    def request(self, method: str, path: str) -> bytes:
        """One call of Jupyter's REST interface."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.address}/api/{path}", method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.read()

    def url(self, name: str, *, single: bool = False) -> str:
        """Address of a notebook, in the whole JupyterLab or (`single`) alone on the page."""
        return f"{self.address}/{'doc' if single else 'lab'}/tree/notebooks/{name}?token={self.token}&reset"

    def stop_kernels(self) -> None:
        for kernel in json.loads(self.request("GET", "kernels")):
            self.request("DELETE", f"kernels/{kernel['id']}")

    def close(self) -> None:
        self._server.terminate()
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            self._server.kill()
