"""Talks through the page, as a person with a browser does: Chromium without a window, a file for its microphone.

usage: page.py CHROMIUM ADDRESS KEY CLIP.wav WORD [PICTURE.png]
Prints a line for each case that went well.
"""
import asyncio
import base64
import json
import sys
import tempfile
import wave

from browser import opened

CHROMIUM, ADDRESS, KEY, CLIP, WORD = sys.argv[1:6]


def looped(clip, path):
    """The clip with a rest on both sides, which the browser hears again and again."""
    with wave.open(clip) as wav, wave.open(path, "wb") as out:
        rate, sound = wav.getframerate(), wav.readframes(wav.getnframes())
        out.setparams(wav.getparams())
        rest = bytes(rate * wav.getsampwidth() * wav.getnchannels() // 2)
        out.writeframes(rest + sound + rest)


async def pointer(page, kind):
    await page.eval(
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
    await pointer(page, "pointerdown")
    await page.until("document.getElementById('voice').dataset.mood === 'listening'")
    await asyncio.sleep(3.5)
    if len(sys.argv) > 6:
        picture = await page.ask("Page.captureScreenshot")
        open(sys.argv[6], "wb").write(base64.b64decode(picture["data"]))
    await pointer(page, "pointerup")
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
        flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--window-size=1100,760"]
        flags += [f"--use-file-for-fake-audio-capture={folder}/microphone.wav", "--autoplay-policy=no-user-gesture-required"]
        async with opened(CHROMIUM, ADDRESS, flags) as page:
            await talks(page)


asyncio.run(main())
