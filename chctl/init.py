"""`chctl init`: every password, key and certificate of docker-compose.yml, made on this machine, in one file.

The file is `.env`, which `docker compose` reads; it hands each value to the one container that needs it. The key of the
certificate authority is thrown away once it has signed: nobody can sign another server with it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

#: Logins of deploy/clickhouse/access.sql and of the administrator.
USERS = ("ADMIN", "MIGRATOR", "FEEDER", "GRAFANA", "ANALYST", "AUDITOR", "DOCTOR")
CERTIFICATE_DAYS = 825  # the most that browsers and systems accept of a server


class InitError(RuntimeError):
    """Nothing was written; the text says what to do."""


def certificates(hosts: tuple[str, ...]) -> dict[str, str]:
    """A certificate authority's certificate, and a server's key and certificate for `hosts`, as PEM.

    Raises InitError without the program openssl.
    """
    if shutil.which("openssl") is None:
        raise InitError("chctl init makes certificates with openssl: install it (apt-get install openssl)")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256")
    names = ",".join(f"{'IP' if host.replace('.', '').isdigit() else 'DNS'}:{host}" for host in hosts)
    with tempfile.TemporaryDirectory(prefix="chctl-init-") as folder:
        ca = ["-x509", "-subj", "/CN=chctl CA", "-keyout", "ca.key", "-out", "ca.crt", "-days", "3650"]
        server = ["-x509", "-subj", f"/CN={hosts[0]}", "-keyout", "server.key", "-out", "server.crt"]
        server += ["-CA", "ca.crt", "-CAkey", "ca.key", "-days", str(CERTIFICATE_DAYS)]
        server += ["-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"]
        server += ["-addext", "extendedKeyUsage=serverAuth"]
        for arguments in (ca, server):
            done = subprocess.run(
                ["openssl", "req", *curve, *arguments], cwd=folder, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise InitError(f"openssl failed: {done.stderr.strip()[-400:]}")
        texts = {path.name: path.read_text() for path in Path(folder).iterdir()}
    return {
        "CHCTL_TLS_CA": texts["ca.crt"],
        "CHCTL_TLS_CERTIFICATE": texts["server.crt"],
        "CHCTL_TLS_KEY": texts["server.key"],
    }


def values(hosts: tuple[str, ...]) -> dict[str, str]:
    """All variables of `.env`. Passwords hold 192 random bits in letters that need no quoting anywhere."""
    found = {f"CHCTL_{user}_PASSWORD": secrets.token_urlsafe(24) for user in USERS}
    found["CHCTL_ADMIN_PASSWORD_SHA256"] = hashlib.sha256(found["CHCTL_ADMIN_PASSWORD"].encode()).hexdigest()
    found["CHCTL_GRAFANA_ADMIN_PASSWORD"] = secrets.token_urlsafe(24)
    mongo = found["CHCTL_MONGO_PASSWORD"] = secrets.token_urlsafe(24)
    found["CHCTL_MONGO_URI"] = f"mongodb://chctl:{mongo}@mongo:27017/chctl?authSource=admin"
    found["CHCTL_BEACON_HASH_KEY"] = secrets.token_hex(32)
    found["CHCTL_SOCIAL_AUTHOR_KEY"] = secrets.token_hex(32)
    found["CHCTL_WEBHOOK_SECRET"] = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    return found | certificates(hosts)


def write(path: Path, hosts: tuple[str, ...]) -> None:
    """Write the file for its owner alone (0600). Raises InitError where it exists: secrets are never overwritten."""
    if path.exists() or path.is_symlink():
        raise InitError(f"{path} exists: running services use what is in it; move it away to begin anew")
    lines = ["# Made by `chctl init`. Whoever reads this file owns the system: never commit it, back it up encrypted."]
    for name, value in values(hosts).items():
        quoted = '"' + value.replace("\n", "\\n") + '"' if "\n" in value else value
        lines.append(f"{name}={quoted}")
    lines += [
        "# Who takes the alerts: an https URL that checks the signature of CHCTL_WEBHOOK_SECRET.",
        "CHCTL_WEBHOOK_URL=",
        "# A check outside that is told of every heartbeat of the alert path and pages without; empty: nobody is.",
        "CHCTL_HEARTBEAT_URL=",
    ]
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InitError(f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        file.write("\n".join(lines) + "\n")
