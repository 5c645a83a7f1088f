"""Downloads of known content: a file appears under its name only when it is whole and the one that was meant."""

import hashlib
import http.client
import re
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, BinaryIO

from neuralop_jax._whole_files import whole_file
from neuralop_jax.data._open import _bytes
from neuralop_jax.errors import DataError

LIMIT = 2**40
SECONDS = 60.0
"""Time without a single byte after which a download is given up."""
_BLOCK = 2**20
_LOCAL = ("localhost", "127.0.0.1", "::1")


def download(url: str, path: str | Path, *, sha256: str, limit: int = LIMIT, overwrite: bool = False) -> Path:
    """Downloads a file whose content is known by its sha256, or keeps the one that is there already.

    The checksum is required: it is what makes a file from anywhere the one that was meant. Nothing is unpacked or opened.

    **Arguments:**

    - `url`: `https://` or `file://`; `http://` of this machine alone, also after redirections.
    - `path`: the file to write; its directory must exist.
    - `sha256`: of the content, 64 hexadecimal digits.
    - `limit`: the most bytes to take.
    - `overwrite`: replace a file with other content.

    **Returns:** `path`.

    **Raises:** `DataError` if the address cannot be reached (the message says how to go on by hand), what comes is cut off,
    longer than `limit` or other than meant, or a file with other content is there. What was there before is then still there,
    and nothing else is.

    !!! example

        ```python
        import hashlib
        from pathlib import Path

        from neuralop_jax.data import download

        Path("there.bin").write_bytes(b"numbers")
        known = hashlib.sha256(b"numbers").hexdigest()
        path = download(Path("there.bin").absolute().as_uri(), "here.bin", sha256=known)
        assert path.read_bytes() == b"numbers"
        ```
    """
    path, sha256 = Path(path), sha256.lower()
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise DataError(f"sha256 must be 64 hexadecimal digits, got {sha256[:80]!r}. Ask whoever offers {url} for it.")
    _check_address(url)
    if path.exists():
        found = _sha256_of(path)
        if found == sha256:
            return path
        if not overwrite:
            raise DataError(f"{path} exists with sha256 {found[:12]}…, wanted {sha256[:12]}…. Move it, or pass overwrite=True.")
    if not path.parent.is_dir():
        raise DataError(f"no such directory: {path.parent}. Create it before downloading {path.name}.")
    try:
        with whole_file(path) as file:
            found = _fetch(url, file, limit)
            if found != sha256:
                raise DataError(f"{url} is not what was meant: sha256 {found[:12]}…, wanted {sha256[:12]}…. Nothing was kept.")
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        raise DataError(
            f"{url} cannot be downloaded ({' '.join(str(error).split())[:200] or type(error).__name__}). "
            f"Download it elsewhere, put it at {path.absolute()}, and call this again to check it."
        ) from error
    return path


def _check_address(url: str) -> None:
    """Raises `DataError` for addresses that could be read or changed on their way, and schemes that are not known here."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise DataError(f"{url[:200]} is no address ({error}). Give one that begins with https://.") from error
    if not (parts.scheme in ("https", "file") or (parts.scheme == "http" and parts.hostname in _LOCAL)):
        raise DataError(f"{url} is refused: wanted https://, file://, or http:// of this machine.")


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows redirections to addresses that would be taken directly, and never from the network to this machine's files."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, file: BinaryIO, limit: int) -> str:
    """Writes into `file` what is at `url` and gives its sha256."""
    opener, digest, size = urllib.request.OpenerDirector(), hashlib.sha256(), 0
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.FileHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirections(),
    ):
        opener.add_handler(handler)
    with opener.open(url, timeout=SECONDS) as source:
        stated = source.headers.get("Content-Length", "")
        wanted = int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 20 else None
        while block := source.read(_BLOCK):
            size += len(block)
            if size > limit:
                raise DataError(f"{url} has more than {_bytes(limit)}; refused. Raise limit if that is right.")
            digest.update(block)
            file.write(block)
    if wanted is not None and size != wanted:
        raise OSError(f"cut off after {size:,} of {wanted:,} bytes")
    return digest.hexdigest()


def _sha256_of(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
