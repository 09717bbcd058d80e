"""The page of the web chat, in a real browser."""

from pathlib import Path

from selenium.webdriver.common.keys import Keys

from nanoclaw.channels.cards import with_marks
from nanoclaw.records import (
    DONE,
    Address,
    CardContent,
    CardEditContent,
    Clicked,
    Deleted,
    EditContent,
    InboundEvent,
    Option,
    OutgoingFile,
    QuestionContent,
    Reacted,
    ReactionContent,
    Routed,
    TextContent,
)
from tests.channels.web.browser import Browser
from tests.channels.web.web_stage import NAME, Stage

OPTIONS = (Option("Ship it", "Shipped", "yes"), Option("Wait", "Waiting", "no"))
ANSWER = ".message:not(.mine):not(.draft) .body"


async def begin(stage: Stage, browser: Browser, text: str = "hello") -> str:
    """Say something, and return the thread of the conversation."""
    await browser.say(text)
    heard = await stage.host.heard()
    assert heard.message.text == text
    await browser.until("$('.mine time')")
    return heard.address.thread_id or ""


# -- talking


async def test_a_message_goes_to_the_agent_and_the_answer_appears(stage: Stage, browser: Browser) -> None:
    await browser.say("hello")
    heard = await stage.host.heard()
    assert (heard.message.text, heard.message.sender_id) == ("hello", "http:ann")
    await stage.deliver("**Hi** Ann", heard.address.thread_id or "")
    await browser.until("$('.message:not(.mine) strong')?.textContent === 'Hi'")
    assert await browser.script("return document.querySelectorAll('.mine').length") == 1
    assert await browser.log() == []


async def test_words_appear_as_they_are_written_until_the_answer_takes_their_place(
    stage: Stage, browser: Browser
) -> None:
    address = Address(NAME, "ann", await begin(stage, browser))
    await stage.sender.typing(address)
    await browser.until("$('.typing .dots')")
    await stage.sender.draft(address, "The *first* wor")
    await browser.until("$('.draft em')?.textContent === 'first' && !$('.typing')")
    await stage.sender.draft(address, "The *first* words")
    await browser.until("$('.draft .body').textContent.trim() === 'The first words'")
    await stage.deliver("The *first* words, and the last", address.thread_id or "")
    await browser.until("!$('.draft') && $(given).textContent.includes('the last')", ANSWER)


async def test_a_draft_that_is_taken_back_disappears(stage: Stage, browser: Browser) -> None:
    address = Address(NAME, "ann", await begin(stage, browser))
    await stage.sender.draft(address, "Well")
    await browser.until("$('.draft')")
    await stage.sender.draft(address, "")
    await browser.until("!$('.draft')")


async def test_a_new_conversation_is_a_thread_of_its_own(stage: Stage, browser: Browser) -> None:
    first = await begin(stage, browser, "about cats")
    await browser.click("#new-conversation")
    second = await begin(stage, browser, "about dogs")
    assert first != second
    await browser.until("document.querySelectorAll('.mine').length === 1")
    await browser.click(f"[data-thread={first}]")
    await browser.until(
        "$('.mine .body')?.textContent === 'about cats' && $('#title').textContent === 'about cats'"
    )


async def test_another_agent_can_be_chosen(stage: Stage, browser: Browser) -> None:
    await browser.script("document.querySelector('#agent').value = 'coder'")
    await browser.click("#new-conversation")
    await browser.say("mend it")
    heard = await stage.host.heard()
    assert (heard.address.platform_id, stage.agents.wired) == ("ann/coder", {("ann/coder", "coder")})
    await stage.deliver("Mended", heard.address.thread_id or "", "ann/coder")
    await browser.until("$(given)?.textContent.includes('Mended')", ANSWER)


async def test_an_answer_in_another_conversation_is_counted_in_the_list_and_in_the_title(
    stage: Stage, browser: Browser
) -> None:
    await begin(stage, browser)
    await stage.deliver("The backup is done")
    await browser.until("$('.unread')?.textContent === '1' && document.title === '(1) Andy'")
    await browser.click("[data-thread='']")
    await browser.until("!$('.unread') && document.title === 'Andy'")
    await browser.shows("The backup is done")


async def test_what_the_host_drops_is_shown_as_not_sent_with_its_reason(
    stage: Stage, browser: Browser
) -> None:
    stage.host.answer = Routed(dropped="nobody has let you in")
    await browser.say("hello")
    await browser.until("$('.mine .failed')?.textContent === 'nobody has let you in'")
    stage.host.answer = Routed(("session",), ("row",))
    await browser.click(".mine .meta button")
    await browser.until(
        "$('.mine time') && !$('.mine .failed') && document.querySelectorAll('.mine').length === 1"
    )


# -- what stays


async def test_after_a_reload_the_history_and_the_unsent_text_are_there(
    stage: Stage, browser: Browser
) -> None:
    thread = await begin(stage, browser, "first")
    await stage.deliver("second", thread)
    await browser.until("$(given)", ANSWER)
    await browser.write("half a sen")
    await browser.script("location.reload()")
    await browser.until(
        "$('#text')?.value === 'half a sen' && $(given)?.textContent.includes('second')", ANSWER
    )
    assert await browser.script("return document.querySelector('.mine .body').textContent") == "first"


async def test_a_long_history_is_read_page_by_page(stage: Stage, browser: Browser) -> None:
    for n in range(120):
        await stage.deliver(f"message {n}", "long")
    await browser.until("$('.unread')?.textContent === '120'")
    await browser.click("[data-thread=long]")
    await browser.until("document.querySelectorAll('.message').length === 50")
    for wanted in (100, 120):
        await browser.click("#earlier")
        await browser.until("document.querySelectorAll('.message').length === given", wanted)
    assert await browser.script("return document.querySelector('#earlier').hidden") is True
    assert await browser.texts(".message .body") == [f"message {n}" for n in range(120)]


# -- changes of messages


async def test_an_edited_message_of_the_agent_changes_in_its_place(stage: Stage, browser: Browser) -> None:
    thread = await begin(stage, browser)
    sent = await stage.deliver("one", thread)
    await stage.deliver("two", thread)
    await stage.deliver(EditContent(str(sent.platform_message_id), "*uno*", markdown=True), thread)
    await browser.until("$('.message:not(.mine) em')?.textContent === 'uno'")
    assert await browser.texts(".message:not(.mine) .body") == ["uno", "two"]


async def test_a_message_can_be_edited(stage: Stage, browser: Browser) -> None:
    await begin(stage, browser, "helo")
    await browser.write(Keys.ARROW_UP)
    await browser.until("!$('#editing').hidden && $('#text').value === 'helo'")
    await browser.write(Keys.BACKSPACE + "lo" + Keys.ENTER)
    changed = await stage.host.heard()
    assert changed.message.text == "hello"
    assert changed.version
    assert isinstance(first := stage.host.offered[0], InboundEvent)
    assert changed.event_id == first.event_id
    await browser.until(
        "$('.mine .body')?.textContent === 'hello' && $('.mine .meta').textContent.includes('edited')"
    )


async def test_a_message_can_be_deleted(stage: Stage, browser: Browser) -> None:
    await begin(stage, browser, "oops")
    await browser.script("window.confirm = () => true")
    await browser.click(".mine [aria-label='Delete this message']")
    deleted = await stage.host.next()
    assert isinstance(deleted, Deleted)
    await browser.until("!$('.mine')")
    await browser.script("location.reload()")
    await browser.until("!$('#app')?.hidden && $('#conversations li')")
    assert await browser.script("return document.querySelectorAll('.mine').length") == 0


async def test_reactions_of_both_sides_are_shown(stage: Stage, browser: Browser) -> None:
    thread = await begin(stage, browser)
    own = await browser.script("return document.querySelector('.mine').dataset.id")
    await stage.deliver(ReactionContent(own, "👀"), thread)
    await browser.until("$('.mine .reactions')?.textContent === '👀'")
    sent = await stage.deliver("Done", thread)
    await browser.click("[aria-label='React with 👍']")
    reacted = await stage.host.next()
    assert isinstance(reacted, Reacted)
    assert (reacted.emoji, reacted.target, reacted.removed) == ("👍", sent.platform_message_id, False)
    await browser.click(".message:not(.mine) .reactions button")
    taken_back = await stage.host.next()
    assert isinstance(taken_back, Reacted)
    assert taken_back.removed
    await browser.until("!$('.message:not(.mine) .reactions')")


# -- cards


async def test_a_press_answers_a_question(stage: Stage, browser: Browser) -> None:
    thread = await begin(stage, browser)
    card = await stage.deliver(QuestionContent("q-1", "Deploy", "Ship *it*?", OPTIONS), thread)
    await browser.until("$('.card em')")
    await browser.click(".card [data-value=yes]")
    clicked = await stage.host.next()
    assert isinstance(clicked, Clicked)
    assert (clicked.question_id, clicked.value, clicked.user_id) == ("q-1", "yes", "http:ann")
    assert clicked.address == Address(NAME, "ann", thread)
    shipped = EditContent(str(card.platform_message_id), "Deploy: **Shipped**", markdown=True)
    await stage.deliver(shipped, thread)
    await browser.until("!$('.card') && $('.message:not(.mine) strong').textContent === 'Shipped'")


async def test_a_press_that_does_not_count_says_why(stage: Stage, browser: Browser) -> None:
    thread = await begin(stage, browser)
    await stage.deliver(QuestionContent("q-1", "Deploy", "Ship it?", OPTIONS), thread)
    stage.host.answer = Routed(dropped="somebody was faster")
    await browser.click(".card [data-value=no]")
    await browser.until(
        "$('.card .refused')?.textContent === 'somebody was faster' && !$('.card button').disabled"
    )


async def test_several_options_can_be_chosen(stage: Stage, browser: Browser) -> None:
    thread = await begin(stage, browser)
    question = QuestionContent("q-1", "Toppings", "Which?", OPTIONS, multiple=True)
    card = await stage.deliver(with_marks(question, ()), thread)
    await browser.until("$('.card [data-value=yes]')?.getAttribute('aria-checked') === 'false'")
    await browser.click(".card [data-value=yes]")
    await stage.deliver(
        CardEditContent(str(card.platform_message_id), with_marks(question, ("yes",))), thread
    )
    await browser.until("$('.card [data-value=yes]').getAttribute('aria-checked') === 'true'")
    assert (
        await browser.script("return document.querySelector('.card [data-value=yes]').textContent")
        == "Ship it"
    )
    await stage.host.next()
    await browser.click(".card .done")
    done = await stage.host.next()
    assert isinstance(done, Clicked)
    assert done.value == DONE


async def test_a_question_takes_an_answer_in_own_words(stage: Stage, browser: Browser) -> None:
    thread = await begin(stage, browser)
    await stage.deliver(QuestionContent("q-1", "When", "When?", OPTIONS, free_text=True), thread)
    await browser.until("$('.own-words input')")
    await browser.write("tomorrow" + Keys.ENTER, ".own-words input")
    clicked = await stage.host.next()
    assert isinstance(clicked, Clicked)
    assert (clicked.value, clicked.text) == ("", "tomorrow")


async def test_a_card_to_look_at_is_shown(stage: Stage, browser: Browser) -> None:
    thread = await begin(stage, browser)
    await stage.deliver(CardContent('{"title": "Weather"}', "Weather\nIt rains\nhttps://example.org"), thread)
    await browser.until(
        "$('.card h2')?.textContent === 'Weather' && $('.card a').href === 'https://example.org/'"
    )


# -- files


async def test_files_are_picked_and_sent(stage: Stage, browser: Browser, tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(range(256)) * 20_000)
    note = tmp_path / "nöte.txt"
    note.write_text("hello", "utf-8")
    contents = list[bytes]()
    stage.host.looks_at = lambda event: contents.extend(
        each.path.read_bytes() for each in event.message.attachments if each.path
    )
    await browser.write(f"{big}\n{note}", "#picker")
    await browser.until("document.querySelectorAll('#uploads .ready').length === 2")
    await browser.say("look")
    heard = await stage.host.heard()
    assert [each.name for each in heard.message.attachments] == ["big.bin", "nöte.txt"]
    assert contents == [big.read_bytes(), b"hello"]
    await browser.until("document.querySelectorAll('.mine .file').length === 2 && !$('#uploads li')")
    await browser.until("!localStorage.getItem('nanoclaw.outbox')")
    assert [each for each in (stage.folder / "uploads").iterdir() if each.name.startswith("web-")] == []


async def test_files_are_dropped_and_pasted(stage: Stage, browser: Browser) -> None:
    code = """
        const data = new DataTransfer();
        data.items.add(new File(["one"], "one.txt", { type: "text/plain" }));
        for (const name of ["dragenter", "dragover", "drop"]) {
          window.dispatchEvent(new DragEvent(name, { dataTransfer: data, bubbles: true, cancelable: true }));
        }
        const pasted = new DataTransfer();
        pasted.items.add(new File(["two"], "two.png", { type: "image/png" }));
        const event = new ClipboardEvent("paste", { clipboardData: pasted, bubbles: true, cancelable: true });
        document.querySelector("#text").dispatchEvent(event);
    """
    await browser.script(code)
    await browser.until("document.querySelectorAll('#uploads .ready').length === 2 && $('#drop').hidden")
    await browser.click("#send")
    heard = await stage.host.heard()
    assert [each.name for each in heard.message.attachments] == ["one.txt", "two.png"]
    assert heard.message.text == ""


async def test_a_picture_that_was_sent_is_shown(stage: Stage, browser: Browser, tmp_path: Path) -> None:
    picture = tmp_path / "screen.png"
    await browser.screenshot(picture)
    await browser.write(str(picture), "#picker")
    await browser.until("$('#uploads .ready')")
    await browser.click("#send")
    await stage.host.heard()
    await browser.until("$('.mine .picture img')?.naturalWidth > 100")


async def test_a_file_of_the_agent_is_saved_and_a_picture_is_shown(
    stage: Stage, browser: Browser, tmp_path: Path
) -> None:
    thread = await begin(stage, browser)
    picture, page = tmp_path / "dot.png", tmp_path / "page.html"
    await browser.screenshot(picture)
    page.write_text("<script>alert(1)</script>", "utf-8")
    files = tuple(OutgoingFile(each.name, each, each.stat().st_size) for each in (picture, page))
    await stage.deliver(TextContent("Two files", files=("dot.png", "page.html")), thread, files=files)
    await browser.until(
        "$('.picture img')?.naturalWidth > 100 && $('.file .file-name').textContent === 'page.html'"
    )
    answer = await browser.script(
        """
        const link = [...document.querySelectorAll(".file")].find((each) => each.download === "page.html");
        const request = new XMLHttpRequest();
        request.open("GET", link.href, false);
        request.send();
        const names = ["content-disposition", "x-content-type-options", "content-security-policy"];
        return [request.responseText, ...names.map((name) => request.getResponseHeader(name))];
        """
    )
    assert answer == [
        "<script>alert(1)</script>",
        'attachment; filename="page.html"',
        "nosniff",
        "default-src 'none'; sandbox",
    ]
