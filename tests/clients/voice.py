"""What Home Assistant does with a node, by the library wyoming as it is published, and what its discovery finds.

usage: voice.py HOST PORT CLIP.wav WORD PAGE KEY
Prints a line for each case that went well.
"""
import asyncio
import json
import sys
import threading
import urllib.error
import urllib.request
import wave

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop, wav_to_chunks
from wyoming.client import AsyncClient, AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.handle import Handled
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped
from zeroconf import ServiceBrowser, ServiceListener, Zeroconf

WAIT_S = 60
HOST, PORT, CLIP, WORD, PAGE, KEY = sys.argv[1], int(sys.argv[2]), *sys.argv[3:7]


async def answer(client):
    return await asyncio.wait_for(client.read_event(), WAIT_S)


async def an_info(client):
    # Until the ear is known there is none; each client is told what holds as it comes.
    await client.write_event(Describe().event())
    info = Info.from_event(await answer(client))
    if not info.asr:
        await asyncio.sleep(0.1)
        async with AsyncClient.from_uri(f"tcp://{HOST}:{PORT}") as again:
            return await an_info(again)
    assert info.asr[0].models[0].languages == ["en"], info
    assert info.tts[0].supports_synthesize_streaming and info.tts[0].voices[0].name
    assert info.handle[0].models[0].installed


async def a_ping(client):
    await client.write_event(Ping(text="x").event())
    assert Pong.from_event(await answer(client)).text == "x"


async def a_transcript(client):
    await client.write_event(Transcribe(language="en").event())
    with wave.open(CLIP) as wav:
        for chunk in wav_to_chunks(wav, 1024, start_event=True, stop_event=True):
            await client.write_event(chunk.event())
    text = Transcript.from_event(await answer(client)).text
    assert WORD in text.lower(), text


async def speech(client, last):
    """Bytes of sound until an event of this kind."""
    event, n_bytes = await answer(client), 0
    assert AudioStart.is_type(event.type), event
    while not last.is_type((event := await answer(client)).type):
        if AudioChunk.is_type(event.type):
            chunk = AudioChunk.from_event(event)
            assert (chunk.width, chunk.channels) == (2, 1)
            n_bytes += len(chunk.audio)
    return n_bytes


async def a_speech(client):
    await client.write_event(Synthesize(text="The kettle is on. Tea is in 5 min.").event())
    assert await speech(client, AudioStop) > 20_000


async def a_streamed_speech(client):
    text = ["The kettle ", "is on. Tea ", "is in 5 min."]
    await client.write_event(SynthesizeStart().event())
    for piece in text:
        await client.write_event(SynthesizeChunk(text=piece).event())
    await client.write_event(Synthesize(text="".join(text)).event())
    await client.write_event(SynthesizeStop().event())
    assert await speech(client, SynthesizeStopped) > 20_000


async def an_answer(client):
    context = {"conversation_id": "one"}
    await client.write_event(Transcript(text="who are you", context=context, language="en").event())
    assert Handled.from_event(await answer(client)).text


async def an_error(client):
    await client.write_event(AudioStart(rate=1, width=2, channels=1).event())
    assert "rate" in Error.from_event(await answer(client)).text
    assert await answer(client) is None


async def garbage(client):
    await client.write_event(Event(type="x", payload=bytes(300_000)))
    try:
        event = await answer(client)
        assert event is None or Error.is_type(event.type), event
    except ConnectionError:
        pass


async def an_old_client(_):
    client = AsyncTcpClient(HOST, PORT)
    await client.connect()
    await an_info(client)
    await client.disconnect()


CASES = [an_info, a_ping, a_transcript, a_speech, a_streamed_speech, an_answer, an_error, garbage, an_old_client]


def post(path, body):
    request = urllib.request.Request(f"http://{PAGE}{path}", json.dumps(body).encode(), {"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        return json.load(answer)


async def a_session():
    with wave.open(CLIP) as wav:
        rate, sound = wav.getframerate(), wav.readframes(wav.getnframes())
    begun = post("/api/session/start", {"rate": rate, "name": "python"})
    protocols = [begun["protocol"], "duet.ticket." + begun["ticket"]]
    heard, words, n_bytes = None, "", 0
    async with connect(f"ws://{PAGE}{begun['audio']}", subprotocols=protocols) as socket:
        assert socket.subprotocol == begun["protocol"]
        await socket.send('{"kind": "start"}')
        rest = bytes(rate)
        for at in range(0, len(whole := rest + sound + rest), 1024):
            await socket.send(whole[at : at + 1024])
        await socket.send('{"kind": "stop"}')
        while True:
            told = await asyncio.wait_for(socket.recv(), WAIT_S)
            if isinstance(told, bytes):
                n_bytes += len(told)
                continue
            told = json.loads(told)
            if told["kind"] == "heard":
                heard = told["text"]
            if told["kind"] == "words":
                words += told["words"]
            if told["kind"] == "done":
                break
    assert WORD in heard.lower() and words and n_bytes > 10_000, (heard, words, n_bytes)
    assert post("/api/session/end", {"id": begun["id"]})["id"] == begun["id"]


async def a_session_without_a_key():
    begun = post("/api/session/start", {})
    for protocols in [None, ["duet.session", "duet.ticket.0"]]:
        try:
            async with connect(f"ws://{PAGE}{begun['audio']}", subprotocols=protocols):
                raise AssertionError("nobody asked for a key")
        except InvalidStatus as refused:
            assert refused.response.status_code == 401
    key = {"Authorization": f"Bearer {KEY}"}
    async with connect(f"ws://{PAGE}{begun['audio']}", additional_headers=key) as socket:
        assert json.loads(await socket.recv())["kind"] == "view"
    post("/api/session/end", {"id": begun["id"]})


async def garbage_in_a_session():
    key = {"Authorization": f"Bearer {KEY}"}
    for garbage, status in [(bytes(40_000), 1009), (b"odd", 1007), ("reboot", 1008)]:
        begun = post("/api/session/start", {})
        async with connect(f"ws://{PAGE}{begun['audio']}", additional_headers=key) as socket:
            await socket.send(garbage)
            try:
                while True:
                    await asyncio.wait_for(socket.recv(), WAIT_S)
            except ConnectionClosed as closed:
                assert closed.rcvd.code == status, closed
        post("/api/session/end", {"id": begun["id"]})


SESSIONS = [a_session, a_session_without_a_key, garbage_in_a_session]


class Found(ServiceListener):
    def __init__(self):
        self.ports, self.found = [], threading.Event()

    def add_service(self, zeroconf, kind, name):
        info = zeroconf.get_service_info(kind, name)
        if info and info.port == PORT and HOST in info.parsed_addresses():
            self.found.set()

    update_service = add_service

    def remove_service(self, zeroconf, kind, name):
        pass


def a_discovery():
    zeroconf, found = Zeroconf(interfaces=[HOST]), Found()
    ServiceBrowser(zeroconf, "_wyoming._tcp.local.", found)
    assert found.found.wait(WAIT_S), "nobody answers to _wyoming._tcp.local."
    zeroconf.close()


async def main():
    for case in CASES:
        async with AsyncClient.from_uri(f"tcp://{HOST}:{PORT}") as client:
            await case(client)
        print("ok", case.__name__, flush=True)
    for case in SESSIONS:
        await case()
        print("ok", case.__name__, flush=True)


asyncio.run(main())
if not HOST.startswith("127."):
    a_discovery()
    print("ok a_discovery")
