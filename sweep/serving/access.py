"""Who may see the pages: whoever is on this machine, or has the token in the printed URL."""

import hmac
import ipaddress
import re
import secrets

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d+)?")
"""A `Host` header: a name or an address, and perhaps a port."""


def is_loopback(host: str) -> bool:
    """Return whether only processes of this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Access:
    """Decides on requests by their headers.

    At a loopback address the `Host` must be one, too: a page of another site whose name resolves to 127.0.0.1 (DNS
    rebinding) names that site. Its port is free, since an SSH tunnel has another one. At other addresses a random
    token is demanded; a cookie keeps it.
    """

    def __init__(self, host: str, port: int) -> None:
        self.token = "" if is_loopback(host) else secrets.token_urlsafe(32)
        """Empty at a loopback address."""
        self.cookie = f"batchscape-{port}"
        """Name of the cookie; browsers send cookies to all ports of a host."""

    def refusal(self, host: str, cookies: str, given: str | None) -> str | None:
        """Return why a request is refused, None if it is not.

        Args:
            host: the `Host` header.
            cookies: the `Cookie` header.
            given: the token in the URL, if there is one.
        """
        if not self.token:
            named = _HOST.fullmatch(host)
            is_here = named is not None and is_loopback(named[1].lower())
            return None if is_here else "this server is for http://localhost and http://127.0.0.1 only"
        if self.is_token(given) or self.is_token(self._kept(cookies)):
            return None
        return "open the whole URL that `serve` has printed, with its token"

    def is_token(self, text: str | None) -> bool:
        """Return whether a text is the token, in a time that does not tell how much of it is right."""
        return bool(self.token) and hmac.compare_digest((text or "").encode(), self.token.encode())

    def cookie_header(self) -> str:
        """Return the header that lets a browser keep the token, out of reach of scripts and of other sites."""
        return f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Lax"

    def _kept(self, cookies: str) -> str | None:
        kept = dict(part.strip().partition("=")[::2] for part in cookies.split(";"))
        return kept.get(self.cookie)
