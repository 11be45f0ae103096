"""A certificate for a server on this machine, made on the fly by `openssl`. Owns its form, and if it can be had."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers.redisinstallations import RedisInstallation

__all__ = ["Certificate", "why_no_tls"]

DAYS = "2"


def why_no_tls(installation: RedisInstallation) -> str | None:
    """Tell why a server cannot be reached by TLS here; None where it can."""
    if not installation.has_tls:
        return f"{installation.product} {installation.version} was built without TLS"
    if shutil.which("openssl") is None:
        return "there is no openssl here to make a certificate"
    return None


@dataclass(frozen=True)
class Certificate:
    """A certificate that vouches for itself, and its key.

    Attributes:
        file: The certificate; whoever trusts it trusts the server.
        key: Its key.
    """

    file: Path
    key: Path

    @classmethod
    def made_in(cls, folder: Path) -> Certificate:
        """Make one for 127.0.0.1 and localhost."""
        made = cls(folder / "server.crt", folder / "server.key")
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-days", DAYS]
        done = subprocess.run(
            [*command, *names, "-keyout", made.key, "-out", made.file], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return made

    def settings(self) -> dict[str, str]:
        """The server's lines of configuration: clients need none of their own."""
        return {
            "tls-cert-file": str(self.file),
            "tls-key-file": str(self.key),
            "tls-ca-cert-file": str(self.file),
            "tls-auth-clients": "no",
            "tls-replication": "yes",
        }
