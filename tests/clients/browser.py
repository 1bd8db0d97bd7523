"""Chromium without a window, asked through its own protocol. page.py and mission.py use it."""
import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import tempfile
import urllib.request

from websockets.asyncio.client import connect

WAIT_S = 60


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
        raise AssertionError((script, await self.eval("document.querySelector('main').innerText")))


@contextlib.asynccontextmanager
async def opened(chromium, address, flags=()):
    """The page of an address; what the browser has of it is gone afterwards.

    Chromium is a family of processes in a group of its own: all of it is killed, and a child that still
    writes its profile while the kernel ends it must not spoil a test that has already seen what it came for."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as own:
        browser = subprocess.Popen(
            [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run"]
            + [*flags, f"--user-data-dir={own}/user", f"http://{address}/"],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            port = next(found.group(1) for line in browser.stderr if (found := re.search(r"ws://127.0.0.1:(\d+)/", line)))
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            async with connect(pages[0]["webSocketDebuggerUrl"], max_size=None) as socket:
                page = Page(socket)
                for domain in ["Runtime", "Log", "Page"]:
                    await page.ask(domain + ".enable")
                yield page
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
