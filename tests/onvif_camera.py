"""An ONVIF camera for tests: it answers WS-Discovery by UDP and the calls about its media by HTTP, in plain text.

Written after the ONVIF core and media specifications, without the libraries that the product asks with.
"""

import base64
import hashlib
import re
import socket
import struct
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.ports import LOOPBACK

MULTICAST = "239.255.255.250"
SOAP = "http://www.w3.org/2003/05/soap-envelope"
ENVELOPE = (
    f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="{SOAP}" '
    'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" '
    'xmlns:dn="http://www.onvif.org/ver10/network/wsdl" xmlns:tds="http://www.onvif.org/ver10/device/wsdl" '
    'xmlns:trt="http://www.onvif.org/ver10/media/wsdl" xmlns:tt="http://www.onvif.org/ver10/schema">'
    "<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
)
MATCH = (
    "<d:ProbeMatches><d:ProbeMatch><a:EndpointReference><a:Address>urn:uuid:{uuid}</a:Address></a:EndpointReference>"
    "<d:Types>dn:NetworkVideoTransmitter</d:Types><d:Scopes>onvif://www.onvif.org/name/Stall%20Cam "
    "onvif://www.onvif.org/hardware/SC-7</d:Scopes><d:XAddrs>{service}</d:XAddrs>"
    "<d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches>"
)
PROFILE = (
    '<trt:Profiles token="{token}" fixed="true"><tt:Name>{token}</tt:Name>'
    '<tt:VideoEncoderConfiguration token="{token}-v"><tt:Name>v</tt:Name><tt:UseCount>1</tt:UseCount>'
    "<tt:Encoding>H264</tt:Encoding><tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height>"
    "</tt:Resolution><tt:Quality>4</tt:Quality><tt:RateControl><tt:FrameRateLimit>{fps}</tt:FrameRateLimit>"
    "<tt:EncodingInterval>1</tt:EncodingInterval><tt:BitrateLimit>2048</tt:BitrateLimit></tt:RateControl>"
    "<tt:Multicast><tt:Address><tt:Type>IPv4</tt:Type><tt:IPv4Address>0.0.0.0</tt:IPv4Address></tt:Address>"
    "<tt:Port>0</tt:Port><tt:TTL>1</tt:TTL><tt:AutoStart>false</tt:AutoStart></tt:Multicast>"
    "<tt:SessionTimeout>PT60S</tt:SessionTimeout></tt:VideoEncoderConfiguration></trt:Profiles>"
)
STREAMS = {"main": (1920, 1080, 25), "sub": (640, 360, 15), "tiny": (320, 180, 5)}


class OnvifCamera:
    """One camera on loopback, from `start` to `stop`.

    Args:
        rtsp: base of its streams' URLs.
        login: user and password that its media service wants.
        multicast: join the group of the search, by loopback; else it hears only what is sent to its own address.
    """

    def __init__(self, rtsp: str, login: tuple[str, str] = ("admin", "hay"), *, multicast: bool = False) -> None:
        self.rtsp = rtsp
        self.login = login
        self.heard: list[str] = []
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("" if multicast else LOOPBACK, 0))
        if multicast:
            group = struct.pack("4s4s", socket.inet_aton(MULTICAST), socket.inet_aton(LOOPBACK))
            self._udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        self._http = ThreadingHTTPServer((LOOPBACK, 0), _handler(self))
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._http.serve_forever, self._listen)
        ]

    @property
    def port(self) -> int:
        """UDP port on which it hears the search."""
        return int(self._udp.getsockname()[1])

    @property
    def service(self) -> str:
        """URL of its device service."""
        return f"http://{LOOPBACK}:{self._http.server_address[1]}/onvif/device_service"

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (LOOPBACK, self.port))
        for thread in self._threads:
            thread.join()
        self._udp.close()

    def _listen(self) -> None:
        while True:
            question, asker = self._udp.recvfrom(65_535)
            if not question:
                return
            self._udp.sendto(b"<no soap", asker)
            message_id = re.search(rb"MessageID>\s*([^<]+?)\s*<", question)
            if message_id is not None and b"NetworkVideoTransmitter" in question:
                self._udp.sendto(self._match(message_id[1].decode()).encode(), asker)

    def _match(self, message_id: str) -> str:
        action = "http://schemas.xmlsoap.org/ws/2005/04/discovery/ProbeMatches"
        header = (
            f"<a:Action>{action}</a:Action><a:MessageID>urn:uuid:{self.port}</a:MessageID>"
            f"<a:RelatesTo>{message_id}</a:RelatesTo>"
            '<d:AppSequence InstanceId="1" MessageNumber="1"/>'
        )
        return ENVELOPE.format(header=header, body=MATCH.format(uuid=self.port, service=self.service))

    def answer(self, request: str) -> tuple[int, str]:
        """Status and envelope for a SOAP request."""
        call = next((name for name in _CALLS if re.search(rf"<[\w-]+:{name}\b", request)), "")
        self.heard.append(call)
        if call in _GUARDED and not self._lets_in(request):
            return 400, _fault("ter:NotAuthorized", "Sender not Authorized")
        if not call:
            return 500, _fault("ter:ActionNotSupported", "Action not supported")
        return 200, ENVELOPE.format(header="", body=_CALLS[call](self, request))

    def _lets_in(self, request: str) -> bool:
        """By the digest of WS-Security: the base64 of SHA-1 over nonce, time and password."""
        told = {
            name: found[1]
            for name in ("Username", "Password", "Nonce", "Created")
            if (found := re.search(rf"<[\w-]+:{name}[^>]*>([^<]+)<", request))
        }
        if len(told) < 4 or told["Username"] != self.login[0]:
            return False
        digest = hashlib.sha1(base64.b64decode(told["Nonce"]) + f"{told['Created']}{self.login[1]}".encode()).digest()
        return base64.b64encode(digest).decode() == told["Password"]

    def date(self, _: str) -> str:
        now = datetime.now(UTC)
        return (
            "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType>"
            "<tt:DaylightSavings>false</tt:DaylightSavings><tt:UTCDateTime>"
            f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute><tt:Second>{now.second}</tt:Second>"
            f"</tt:Time><tt:Date><tt:Year>{now.year}</tt:Year><tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day>"
            "</tt:Date></tt:UTCDateTime></tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
        )

    def services(self, _: str) -> str:
        kinds = ("http://www.onvif.org/ver10/device/wsdl", "http://www.onvif.org/ver10/media/wsdl")
        listed = "".join(
            f"<tds:Service><tds:Namespace>{kind}</tds:Namespace><tds:XAddr>{self.service}</tds:XAddr>"
            "<tds:Version><tt:Major>2</tt:Major><tt:Minor>0</tt:Minor></tds:Version></tds:Service>"
            for kind in kinds
        )
        return f"<tds:GetServicesResponse>{listed}</tds:GetServicesResponse>"

    def profiles(self, _: str) -> str:
        listed = "".join(
            PROFILE.format(token=token, width=width, height=height, fps=fps)
            for token, (width, height, fps) in STREAMS.items()
        )
        return f"<trt:GetProfilesResponse>{listed}</trt:GetProfilesResponse>"

    def stream(self, request: str) -> str:
        token = re.search(r"ProfileToken>([^<]+)<", request)
        assert token is not None
        return (
            f"<trt:GetStreamUriResponse><trt:MediaUri><tt:Uri>{self.rtsp}/{token[1]}</tt:Uri>"
            "<tt:InvalidAfterConnect>false</tt:InvalidAfterConnect><tt:InvalidAfterReboot>false</tt:InvalidAfterReboot>"
            "<tt:Timeout>PT60S</tt:Timeout></trt:MediaUri></trt:GetStreamUriResponse>"
        )


_CALLS = {
    "GetSystemDateAndTime": OnvifCamera.date,
    "GetServices": OnvifCamera.services,
    "GetProfiles": OnvifCamera.profiles,
    "GetStreamUri": OnvifCamera.stream,
}
_GUARDED = {"GetProfiles", "GetStreamUri"}


def _fault(code: str, text: str) -> str:
    body = (
        f'<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value xmlns:ter="http://www.onvif.org/ver10/error">'
        f'{code}</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang="en">{text}</s:Text></s:Reason></s:Fault>'
    )
    return ENVELOPE.format(header="", body=body)


def _handler(camera: OnvifCamera) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, text = camera.answer(request)
            self.send_response(status)
            self.send_header("Content-Type", "application/soap+xml; charset=utf-8")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    return Handler
