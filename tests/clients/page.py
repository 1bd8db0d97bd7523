"""Talks through the page, as a person with a browser does: Chromium without a window, a file for its microphone.

usage: page.py CHROMIUM ADDRESS KEY CLIP.wav WORD [PICTURE.png]
Prints a line for each case that went well.
"""
import asyncio
import base64
import itertools
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
import wave

from websockets.asyncio.client import connect

CHROMIUM, ADDRESS, KEY, CLIP, WORD = sys.argv[1:6]
WAIT_S = 60


def looped(clip, path):
    """The clip with a rest on both sides, which the browser hears again and again."""
    with wave.open(clip) as wav, wave.open(path, "wb") as out:
        rate, sound = wav.getframerate(), wav.readframes(wav.getnframes())
        out.setparams(wav.getparams())
        rest = bytes(rate * wav.getsampwidth() * wav.getnchannels() // 2)
        out.writeframes(rest + sound + rest)


class Page:
    def __init__(self, socket):
        self.socket, self.numbers, self.troubles = socket, itertools.count(1), []

    async def ask(self, method, **params):
        number = next(self.numbers)
        await self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            told = json.loads(await asyncio.wait_for(self.socket.recv(), WAIT_S))
            if told.get("method") == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.troubles.append(told["params"]["entry"]["text"])
            if told.get("method") == "Runtime.exceptionThrown":
                self.troubles.append(json.dumps(told["params"]["exceptionDetails"]))
            if told.get("id") == number:
                return told["result"]

    async def eval(self, script):
        result = await self.ask("Runtime.evaluate", expression=script, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, script):
        """Waits until this holds; a page has no other way to say that it is done."""
        for _ in range(WAIT_S * 20):
            if await self.eval(f"!!({script})"):
                return
            await asyncio.sleep(0.05)
        raise AssertionError((script, await self.eval("document.getElementById('voice').parentElement.innerText")))

    async def pointer(self, kind):
        await self.eval(
            "document.getElementById('voice-talk').dispatchEvent(new PointerEvent('" + kind + "', {pointerId: 1, bubbles: true}))"
        )


async def talks(page):
    await page.until("document.readyState === 'complete' && document.getElementById('voice-off')?.hidden")
    await page.eval("window.voice$ = name => document.getElementById('voice-' + name)")
    # The button takes the pointer for itself, which a made-up one cannot be.
    await page.eval("voice$('talk').setPointerCapture = () => {}")
    assert await page.eval("!voice$('door').hidden && document.getElementById('voice').hidden")
    await page.eval("voice$('key').value = 'wrong'; voice$('door').requestSubmit()")
    await page.until("!voice$('door').hidden")
    print("ok a_wrong_key", flush=True)
    await page.eval(f"voice$('key').value = {json.dumps(KEY)}; voice$('door').requestSubmit()")
    await page.until("!document.getElementById('voice').hidden && voice$('volume').value === '80'")
    print("ok a_key", flush=True)
    page.troubles.clear()
    await page.eval("document.querySelector('[name=voice-source][value=browser]').click()")
    await page.until("Number(voice$('level').value) > 0.02")
    print("ok a_microphone", flush=True)
    await page.pointer("pointerdown")
    await page.until("document.getElementById('voice').dataset.mood === 'listening'")
    await asyncio.sleep(3.5)
    if len(sys.argv) > 6:
        picture = await page.ask("Page.captureScreenshot")
        open(sys.argv[6], "wb").write(base64.b64decode(picture["data"]))
    await page.pointer("pointerup")
    await page.until("voice$('said').textContent !== '' || voice$('note').textContent !== ''")
    said = await page.eval("voice$('said').textContent")
    assert WORD in said.lower(), (said, await page.eval("voice$('note').textContent"))
    print("ok a_question", flush=True)
    await page.until("voice$('told').textContent !== ''")
    await page.until("document.getElementById('voice').dataset.mood === 'speaking'")
    await page.until("document.getElementById('voice').dataset.mood === 'idle'")
    print("ok an_answer", flush=True)
    assert page.troubles == [], page.troubles


async def main():
    with tempfile.TemporaryDirectory() as folder:
        looped(CLIP, folder + "/microphone.wav")
        browser = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
            + ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--no-first-run"]
            + [f"--use-file-for-fake-audio-capture={folder}/microphone.wav", f"--user-data-dir={folder}/user"]
            + ["--autoplay-policy=no-user-gesture-required", "--window-size=1100,760", f"http://{ADDRESS}/"],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            port = next(found.group(1) for line in browser.stderr if (found := re.search(r"ws://127.0.0.1:(\d+)/", line)))
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            async with connect(pages[0]["webSocketDebuggerUrl"], max_size=None) as socket:
                page = Page(socket)
                for domain in ["Runtime", "Log", "Page"]:
                    await page.ask(domain + ".enable")
                await talks(page)
        finally:
            browser.kill()
            browser.wait()


asyncio.run(main())
