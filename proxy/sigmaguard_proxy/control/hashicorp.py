"""Encryption keys in HashiCorp Vault (KV version 2), through hvac. Knows the path and field, no ciphertext.

`SIGMAGUARD_VAULT_PATH=MOUNT/PATH#FIELD` names the secret; `VAULT_ADDR` with `VAULT_TOKEN`, or with
`VAULT_ROLE_ID` and `VAULT_SECRET_ID` (AppRole), are Vault's own variables.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import hvac
from hvac.exceptions import InvalidPath, VaultError
from requests import RequestException

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.control.keyring import PATH_VARIABLE, parse_keys

TIMEOUT_S = 5
FIELD = "keys"


class HashicorpKeys:
    """The keys of one secret: base64, separated by white space, the first in use."""

    def __init__(self, path: str, environ: Mapping[str, str]) -> None:
        where, _, field = path.partition("#")
        self._mount, slash, self._path = where.strip("/").partition("/")
        if not slash or not environ.get("VAULT_ADDR"):
            raise ConfigError(f"{PATH_VARIABLE}: write MOUNT/PATH#FIELD, and set VAULT_ADDR")
        self.name = f"HashiCorp Vault secret {where}"
        self._field = field or FIELD
        self._environ = environ

    def load(self) -> Sequence[bytes]:
        """The keys as Vault has them now."""
        return parse_keys(str(self._read(self._client())[0].get(self._field, "")), self.name)

    def add(self, key: bytes) -> None:
        """Writes the secret with the new key in front; refused where someone else wrote it meanwhile."""
        client = self._client()
        data, version = self._read(client)
        keys = f"{base64.b64encode(key).decode()}\n{data.get(self._field, '')}"
        try:
            client.secrets.kv.v2.create_or_update_secret(
                path=self._path, secret={**data, self._field: keys}, cas=version, mount_point=self._mount
            )
        except (VaultError, RequestException) as error:
            raise ConfigError(f"{self.name}: cannot be written ({type(error).__name__})") from error

    def _read(self, client: Any) -> tuple[dict[str, Any], int]:
        try:
            answer = client.secrets.kv.v2.read_secret_version(
                path=self._path, mount_point=self._mount, raise_on_deleted_version=True
            )
        except InvalidPath as error:
            raise ConfigError(f"{self.name}: there is no such secret; write 32 random bytes in base64 to it") from error
        except (VaultError, RequestException) as error:
            raise ConfigError(f"{self.name}: cannot be read ({type(error).__name__})") from error
        return dict(answer["data"]["data"]), int(answer["data"]["metadata"]["version"])

    def _client(self) -> Any:
        environ = self._environ
        client = hvac.Client(url=environ["VAULT_ADDR"], token=environ.get("VAULT_TOKEN"), timeout=TIMEOUT_S)
        if environ.get("VAULT_NAMESPACE"):
            client.adapter.namespace = environ["VAULT_NAMESPACE"]
        if not environ.get("VAULT_TOKEN") and environ.get("VAULT_ROLE_ID"):
            try:
                client.auth.approle.login(environ["VAULT_ROLE_ID"], environ.get("VAULT_SECRET_ID"))
            except (VaultError, RequestException) as error:
                raise ConfigError(f"{self.name}: Vault refused the AppRole login ({type(error).__name__})") from error
        return client
