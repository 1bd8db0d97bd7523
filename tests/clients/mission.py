"""Uses every panel of the page, as a person with a browser does: Chromium without a window.

usage: mission.py CHROMIUM ADDRESS KEY AXE.js FOLDER GOLDEN [closed]
Prints a line for each case that went well; pictures of every panel, at the width of a phone and of a desk, lie in FOLDER.
GOLDEN is a folder with the page and the status of a node that has models.
"""
import asyncio
import base64
import json
import re
import sys

from browser import opened

CHROMIUM, ADDRESS, KEY, AXE, FOLDER, GOLDEN = sys.argv[1:7]
CLOSED = sys.argv[7:] == ["closed"]
WIDTHS = {"phone": (390, 844), "desk": (1280, 900)}
# Each width once and each shade once: axe takes its time.
AUDITED = [("phone", "light"), ("desk", "dark")]
# What axe calls minor or moderate is told, and fails nothing.
GRAVE = ["serious", "critical"]


def ok(case):
    print("ok " + case, flush=True)


async def text(page, name):
    return await page.eval(f"document.getElementById({json.dumps(name)}).textContent")


async def fill(page, name, value):
    await page.eval(
        f"(e => {{ e.value = {json.dumps(value)}; e.dispatchEvent(new Event('input', {{bubbles: true}})); "
        f"e.dispatchEvent(new Event('change', {{bubbles: true}})); }})(document.getElementById({json.dumps(name)}))"
    )


async def click(page, selector):
    await page.eval(f"document.querySelector({json.dumps(selector)}).click()")


async def says(page, name, words):
    await page.until(f"document.getElementById({json.dumps(name)}).textContent.includes({json.dumps(words)})")


async def key(page, name, code=None):
    for kind in ["keyDown", "keyUp"]:
        await page.ask("Input.dispatchKeyEvent", type=kind, key=name, code=code or name, windowsVirtualKeyCode=9 if name == "Tab" else 0)


async def panels(page):
    return (await page.eval("[...document.querySelectorAll('#rail a')].map(a => a.hash.slice(1)).join()")).split(",")


async def go(page, panel):
    await click(page, f"#rail a[href='#{panel}']")
    await page.until(f"!document.getElementById('{panel}').hidden && duet.panel === '{panel}'")
    assert await page.eval("[...document.querySelectorAll('.panel')].filter(p => !p.hidden).length") == 1


async def size(page, name):
    width, height = WIDTHS[name]
    await page.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=name == "phone")


async def picture(page, name):
    shot = await page.ask("Page.captureScreenshot")
    with open(f"{FOLDER}/{name}.png", "wb") as file:
        file.write(base64.b64decode(shot["data"]))


async def audit(page, where):
    """Nobody is kept out: axe finds nothing grave."""
    found = await page.eval(
        "axe.run(document, {resultTypes: ['violations']}).then(r => JSON.stringify(r.violations.map(v => "
        "[v.impact, v.id, v.nodes.map(n => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).slice(0, 4)])))"
    )
    grave = [violation for violation in json.loads(found) if violation[0] in GRAVE]
    assert grave == [], (where, grave)


async def is_narrow(page, where):
    wide = await page.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, (where, wide)


async def logs_in(page):
    await page.until("document.readyState === 'complete' && document.getElementById('voice-door')?.hidden === false")
    await fill(page, "voice-key", "wrong")
    await click(page, "#voice-door button")
    await says(page, "voice-refused", "not known here")
    ok("a_wrong_key")
    await fill(page, "voice-key", KEY)
    await click(page, "#voice-door button")
    await page.until("!document.getElementById('voice').hidden")
    assert await text(page, "who") == "tester"
    assert await page.eval("document.cookie") == ""
    assert await page.eval("sessionStorage.length") == 0
    # A cookie alone is nobody's word: forms and images send it too.
    assert await page.eval("fetch('/api/voice').then(a => a.status)") == 401
    page.troubles.clear()
    await page.ask("Page.reload")
    await page.until("document.readyState === 'complete' && typeof duet !== 'undefined' && duet.who.voice")
    ok("a_login")


async def asks(page):
    await go(page, "talk")
    await fill(page, "chat-text", "set a timer for five minutes")
    await click(page, "#chat-form button")
    await page.until("document.getElementById('voice-told').textContent !== '' && document.getElementById('chat-stop').hidden")
    assert await text(page, "voice-said") == "set a timer for five minutes"
    await fill(page, "chat-text", "what is twelve times twelve")
    await click(page, "#chat-form button")
    await page.until("document.getElementById('chat-stop').hidden && document.getElementById('chat-past').children.length >= 2")
    ok("a_typed_question")


async def cancels(page):
    await go(page, "timers")
    await page.until("document.querySelector('#timers-list .left')?.textContent.startsWith('4:')")
    await picture(page, "timers-running")
    await click(page, "#timers-list button")
    await page.until("document.getElementById('timers-list').children.length === 0")
    ok("a_timer")


async def edits(page):
    await go(page, "experts")
    await page.until("document.querySelectorAll('.choice').length >= 8")
    await page.eval("[...document.querySelectorAll('.choice')].find(b => b.textContent.startsWith('general')).click()")
    old = await page.eval("document.getElementById('experts-text').value")
    assert old.startswith("---\n"), old
    await fill(page, "experts-text", old + "\nBe brief.\n")
    await click(page, "#experts-form button")
    await says(page, "experts-note", "Saved.")
    await page.until("document.querySelector('.choice[aria-pressed=true]').textContent.includes('edited')")
    await click(page, "#experts-reset")
    await says(page, "experts-note", "as it was before")
    assert await page.eval("document.getElementById('experts-text').value") == old
    # What is wrong is told with its place, and what held holds on.
    await page.eval("[...document.querySelectorAll('.choice')].find(b => b.textContent.startsWith('researcher') && b.textContent.includes('workflow')).click()")
    old = await page.eval("document.getElementById('experts-text').value")
    await fill(page, "experts-text", old.replace("nodes:", "nodes: nothing", 1))
    await click(page, "#experts-form button")
    await says(page, "experts-note", "researcher.yaml:")
    await picture(page, "experts-mistake")
    page.troubles.clear()
    await fill(page, "experts-text", old + "\n")
    await click(page, "#experts-form button")
    await says(page, "experts-note", "Saved.")
    await click(page, "#experts-reset")
    await says(page, "experts-note", "as it was before")
    ok("a_persona")


async def logs(page):
    await go(page, "log")
    await page.until("document.querySelectorAll('#log-lines .line').length > 0")
    await fill(page, "banner-text", "Good evening")
    await click(page, "#banner-form button")
    await page.until("document.querySelector('.line.banner')?.textContent.includes('Good evening')")
    await picture(page, "log-banner")
    await fill(page, "log-filter", "good even")
    seen = "[...document.querySelectorAll('#log-lines .line')].filter(l => !l.hidden).length"
    assert await page.eval(seen) == 1
    await fill(page, "log-filter", "")
    assert await page.eval(seen) > 1
    await click(page, "#log-clear")
    assert await page.eval(seen) == 0
    ok("a_log")


async def tunes(page):
    await go(page, "audio")
    await page.until("document.getElementById('voice-rate').value === '165'")
    await fill(page, "voice-volume", "31")
    await page.until("fetch('/api/voice', {headers: {'x-duet': 'page'}}).then(a => a.json()).then(s => s.volume === 31)")
    await page.until("document.getElementById('audio-in-db').textContent !== ''")
    ok("a_volume")


async def remembers(page):
    await go(page, "memory")
    fact = "the spare key hangs in the shed"
    await fill(page, "memory-text", fact)
    await click(page, "#memory-form button[value=tell]")
    await says(page, "memory-note", "Remembered on 1 of 1")
    await fill(page, "memory-text", "spare key")
    await click(page, "#memory-form button[value=search]")
    await says(page, "memory-about", "1 found")
    assert fact in await text(page, "memory-facts")
    await picture(page, "memory-found")
    await page.eval("window.confirm = () => true")
    await click(page, "#memory-facts button")
    await says(page, "memory-note", "Forgotten on 1 of 1")
    await page.until(f"!document.getElementById('memory-facts').textContent.includes({json.dumps(fact)})")
    ok("a_memory")


async def by_keyboard(page):
    await page.eval("document.activeElement.blur(); scrollTo(0, 0); getSelection().removeAllRanges()")
    await page.ask("Page.reload")
    await page.until("document.readyState === 'complete' && typeof duet !== 'undefined' && duet.who.voice")
    await key(page, "Tab")
    assert await page.eval("document.activeElement.className") == "skip"
    await page.eval("document.querySelector('#rail a').focus()")
    await key(page, "ArrowDown")
    assert await page.eval("document.activeElement.hash") == "#turns"
    ok("a_keyboard")


async def theme(page):
    for want in ["light", "dark"]:
        await click(page, "#theme")
        assert await page.eval("document.documentElement.dataset.theme") == want
        assert await page.eval("getComputedStyle(document.documentElement).colorScheme") == want
    ok("a_theme")


async def looks(page):
    """Every panel, at both widths, light and dark."""
    await page.eval("(() => {" + open(AXE).read() + "})()")
    for name in WIDTHS:
        await size(page, name)
        for shade in ["light", "dark"]:
            await page.eval(f"document.documentElement.dataset.theme = '{shade}'")
            for panel in await panels(page):
                await go(page, panel)
                await asyncio.sleep(0.15)
                where = f"{panel}-{name}-{shade}"
                await picture(page, where)
                if (name, shade) in AUDITED:
                    await audit(page, where)
                await is_narrow(page, where)
    ok("every_panel")


async def models(page):
    """Without any models the panel says what is missing; with some it shows them, and follows how they come."""
    await go(page, "models")
    told = await text(page, "models")
    assert "No boot server has said yet" in told and "Nobody has measured" in told, told
    assert "duet bench models --speech FOLDER" in told, told
    # Another node's page and status in the place of this one's, so the page's own script draws them.
    with open(f"{GOLDEN}/models.html") as html, open(f"{GOLDEN}/models.json") as status:
        # A golden page's style stands shortened, which the policy of this page does not know.
        drawn = re.sub(r"<style>.*?</style>", "", html.read(), flags=re.DOTALL)
        await page.eval(
            f"self.others = {{ html: {json.dumps(drawn)}, status: {status.read()}, fetch: duet.fetch, json: duet.json }};"
            "duet.fetch = async (path, ...rest) => path === '/' ? new Response(others.html) : others.fetch(path, ...rest);"
            "duet.json = async (path, ...rest) => path === '/api/status' ? others.status : others.json(path, ...rest); 0"
        )
    holds = "document.getElementById('models').textContent.includes(%s)"
    await page.until(holds % json.dumps("62 %"))
    told = await text(page, "models")
    for part in ["1 of 4 here", "has no <room>", "attic <2>: 31", "22.7 %277 words", "duet-calls <b>.gguf", "no model, by words"]:
        assert part in told, (part, told)
    for name in WIDTHS:
        await size(page, name)
        for shade in ["light", "dark"]:
            await page.eval(f"document.documentElement.dataset.theme = '{shade}'")
            where = f"models-full-{name}-{shade}"
            await picture(page, where)
            await audit(page, where)
            await is_narrow(page, where)
    # More of it comes: the numbers follow, and then it is here.
    await page.eval("others.status.spread.files[1].have_bytes = 150 * 2 ** 20; others.status.spread.files[1].from[1][1] = 37")
    await page.until(holds % json.dumps("75 %"))
    await page.until(holds % json.dumps("attic <2>: 37"))
    assert await page.eval("document.querySelector('#models progress').value") == 150 * 2**20
    # A table that is wider than a phone is moved by the keyboard.
    assert await page.eval("document.querySelector('#models .scroll').tabIndex") == 0
    await page.eval("duet.fetch = others.fetch; duet.json = others.json")
    await page.until(holds % json.dumps("No boot server has said yet"))
    await size(page, "desk")
    ok("models")


async def reads_closed(page):
    """A page that its owner has closed: nothing of the node before a login, everything after it."""
    matter = "document.getElementById('pc').textContent.includes('Working memory')"
    await page.until("document.readyState === 'complete' && document.getElementById('voice-door')?.hidden === false")
    await page.eval("(() => {" + open(AXE).read() + "})()")
    for panel in await panels(page):
        await go(page, panel)
    assert not await page.eval(matter)
    for name in WIDTHS:
        await size(page, name)
        await go(page, "cluster")
        await picture(page, f"closed-{name}")
        await audit(page, f"closed-{name}")
        await is_narrow(page, f"closed-{name}")
    assert page.troubles == [], page.troubles
    ok("a_closed_page")
    await go(page, "talk")
    await fill(page, "voice-key", KEY)
    await click(page, "#voice-door button")
    await page.until(matter)
    await go(page, "experts")
    await page.until("document.querySelectorAll('.choice').length >= 8")
    await go(page, "cluster")
    await picture(page, "closed-after-login")
    # The login outlives a reload, which itself shows nothing.
    await page.ask("Page.reload")
    await page.until("document.readyState === 'complete' && typeof duet !== 'undefined' && duet.who.voice && " + matter)
    ok("a_login_opens_it")
    await page.eval("document.getElementById('logout').click()")
    await page.until("document.readyState === 'complete' && document.getElementById('voice-door')?.hidden === false && !" + matter)
    assert page.troubles == [], page.troubles
    ok("a_logout_closes_it")


async def main():
    async with opened(CHROMIUM, ADDRESS, ["--window-size=1280,900"]) as page:
        await size(page, "desk")
        if CLOSED:
            await reads_closed(page)
            return
        await logs_in(page)
        all_panels = await panels(page)
        await asks(page)
        await cancels(page)
        await edits(page)
        await logs(page)
        await tunes(page)
        if "memory" in all_panels:
            await remembers(page)
        await theme(page)
        await by_keyboard(page)
        await asks(page)
        await looks(page)
        await models(page)
        await page.eval("document.getElementById('logout').click()")
        await page.until("!document.getElementById('voice-door').hidden && document.getElementById('voice').hidden")
        ok("a_logout")
        assert page.troubles == [], page.troubles


asyncio.run(main())
