"""A server that takes mail: smtp_server.py PORT [CERTIFICATE USER PASSWORD_FILE]

Works in the present directory. Each email that it is sent becomes a file in attempts/, each that it takes one in emails/,
numbered. The file `behaviour`, if it is there, says what becomes of an email:

  451 later    this answer, or any other
  cut          the connection is closed without an answer
  cut taken    the same, and the email is taken
  hold         nothing until the file says something else
  hold taken   the same, and the email is taken
"""

import asyncio
import ssl
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult

BEHAVIOUR = Path("behaviour")


def behaviour():
    try:
        return BEHAVIOUR.read_text().strip()
    except FileNotFoundError:
        return ""


def keep(directory, content):
    """Whoever lists the directory sees whole emails only."""
    place = Path(directory)
    place.mkdir(exist_ok=True)
    draft = place / "draft"
    draft.write_bytes(content)
    draft.rename(place / f"{len(list(place.glob('*.eml'))):06}.eml")


class Emails:
    async def handle_DATA(self, server, session, envelope):
        keep("attempts", envelope.content)
        now = behaviour()
        is_taken = now.endswith(" taken")
        if is_taken:
            keep("emails", envelope.content)
        if now.startswith("hold"):
            held = now
            while (now := behaviour()) == held:
                await asyncio.sleep(0.05)
        if now.startswith("cut"):
            server.transport.abort()
            return "421 cut"
        if now[:3].isdigit():
            return now
        if not is_taken:
            keep("emails", envelope.content)
        return "250 taken"


async def main():
    port, *credentials = sys.argv[1:]
    options = {}
    context = None
    if credentials:
        certificate, user, password = credentials
        password = Path(password).read_text().strip()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

        def authenticated(server, session, envelope, mechanism, login):
            given = (login.login.decode(), login.password.decode())
            return AuthResult(success=given == (user, password))

        # The connection is encrypted from its beginning, which the library doesn't notice.
        options = {"authenticator": authenticated, "auth_required": True, "auth_require_tls": False}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Emails(), **options), "127.0.0.1", int(port), ssl=context)
    await server.serve_forever()


asyncio.run(main())
